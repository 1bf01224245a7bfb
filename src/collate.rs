//! The order in which npm sorts paths and keys: JavaScript's `localeCompare` in English.
//!
//! Names of packages are ASCII, so the table covers ASCII; what lies beyond sorts by code point
//! after it. Source: Unicode Collation Algorithm, root table (CLDR).

use std::cmp::Ordering;

/// Compares as `a.localeCompare(b, 'en')`: by letters first, then lower case before upper case.
pub fn locale_compare(first: &str, second: &str) -> Ordering {
    let by_letter = first.chars().map(weight).cmp(second.chars().map(weight));
    // The case decides only where nothing else does.
    let is_upper = char::is_uppercase;
    by_letter.then_with(|| first.chars().map(is_upper).cmp(second.chars().map(is_upper)))
}

/// The place in [`ORDER`]; what is not there comes after it.
fn weight(character: char) -> (u8, char) {
    let lower = character.to_ascii_lowercase();
    let place = WEIGHTS.get(lower as usize).copied().unwrap_or(UNKNOWN);
    (place, lower)
}

/// Printable ASCII in collation order; letters in lower case.
const ORDER: &[u8] = b" _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz";

const UNKNOWN: u8 = u8::MAX;

/// The place of each ASCII character in [`ORDER`].
const WEIGHTS: [u8; 128] = {
    let mut weights = [UNKNOWN; 128];
    let mut place: u8 = 0;
    while (place as usize) < ORDER.len() {
        weights[ORDER[place as usize] as usize] = place;
        place += 1;
    }
    weights
};

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
