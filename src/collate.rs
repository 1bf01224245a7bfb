//! The order in which npm sorts paths and keys: JavaScript's `localeCompare` in English.
//!
//! Names of packages are ASCII, so the table covers ASCII; what lies beyond sorts by code point
//! after it. Source: Unicode Collation Algorithm, root table (CLDR).

use std::cmp::Ordering;

/// Compares as `a.localeCompare(b, 'en')`: by letters first, then lower case before upper case.
pub fn locale_compare(first: &str, second: &str) -> Ordering {
    let by_letter = first.chars().map(weight).cmp(second.chars().map(weight));
    // The case decides only where nothing else does.
    by_letter.then_with(|| {
        let case = |text: &str| text.chars().map(char::is_uppercase).collect::<Vec<_>>();
        case(first).cmp(&case(second))
    })
}

/// The place in [`ORDER`]; what is not there comes after it.
fn weight(character: char) -> (usize, char) {
    let lower = character.to_ascii_lowercase();
    let place = u8::try_from(lower).ok().and_then(|byte| ORDER.iter().position(|at| *at == byte));
    (place.unwrap_or(ORDER.len()), lower)
}

/// Printable ASCII in collation order; letters in lower case.
const ORDER: &[u8] = b" _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_locale_compare() {
        // As `node -e` sorted them with localeCompare(b, 'en').
        let sorted = [
            "_a",
            "-a",
            "@al/ias",
            "@b/c",
            "1",
            "2",
            "a",
            "A",
            "a_b",
            "a-b",
            "a.b",
            "a/b",
            "a1",
            "ab",
            "B",
            "JSONStream",
            "jsonstreams",
            "semver",
            "z",
        ];
        let mut shuffled = sorted;
        shuffled.reverse();
        shuffled.sort_by(|first, second| locale_compare(first, second));
        assert_eq!(shuffled, sorted);
    }
}
