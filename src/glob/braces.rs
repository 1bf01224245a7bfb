//! `a{b,c}d` as `abd` and `acd`, and `{1..3}` as three: brace expansion as in bash
//! (brace-expansion 5).

/// What a line can stand for. Real ones stand for a handful, and the package that asks for more is
/// no friend; what is beyond is left out.
const EXPANSIONS_MAX: usize = 1000;
const EXPANDED_BYTES_MAX: usize = 64 << 10;
const DEPTH_MAX: usize = 16;

pub fn expand(pattern: &str) -> Vec<String> {
    // Bash keeps `{}` at the very start as it is.
    let (kept, rest) = match pattern.strip_prefix("{}") {
        Some(rest) => ("{}", rest),
        None => ("", pattern),
    };
    let mut expanded = expand_below(rest, 0);
    if !kept.is_empty() {
        for text in &mut expanded {
            text.insert_str(0, kept);
        }
    }
    expanded
}

fn expand_below(pattern: &str, depth: usize) -> Vec<String> {
    let mut results = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, body, after)) = first_braces(rest).filter(|_| depth < DEPTH_MAX) {
        let choices = sequence(body).unwrap_or_else(|| expand_choices(body, depth + 1));
        results = combined(&results, before, &choices);
        rest = after;
    }
    combined(&results, rest, &[String::new()])
}

/// What stands between commas; braces without one stay, with what is in them expanded.
fn expand_choices(body: &str, depth: usize) -> Vec<String> {
    let parts = comma_parts(body);
    if parts.len() > 1 {
        return parts.iter().flat_map(|part| expand_below(part, depth)).collect();
    }
    let inner = expand_below(body, depth);
    inner.into_iter().map(|text| format!("{{{text}}}")).collect()
}

fn combined(starts: &[String], middle: &str, ends: &[String]) -> Vec<String> {
    let mut bytes_left = EXPANDED_BYTES_MAX;
    let mut results = Vec::new();
    for start in starts {
        for end in ends {
            let length = start.len() + middle.len() + end.len();
            if results.len() >= EXPANSIONS_MAX || length > bytes_left {
                return results;
            }
            bytes_left -= length;
            results.push([start, middle, end].concat());
        }
    }
    results
}

/// The text before the first pair of braces, in it, and after it.
fn first_braces(text: &str) -> Option<(&str, &str, &str)> {
    let mut open = Vec::new();
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'{' => open.push(at),
            b'}' => {
                if let Some(start) = open.pop() {
                    pairs.push((start, at));
                }
            }
            _ => {}
        }
    }
    let (start, end) = pairs.into_iter().min()?;
    Some((&text[..start], &text[start + 1..end], &text[end + 1..]))
}

/// Splits at the commas that are in no braces of their own.
fn comma_parts(body: &str) -> Vec<&str> {
    let (mut depth, mut start) = (0_usize, 0);
    let mut parts = Vec::new();
    let mut is_escaped = false;
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&body[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&body[start..]);
    parts
}

/// `1..5`, `05..1`, `a..e` and with a step behind a second `..`.
fn sequence(body: &str) -> Option<Vec<String>> {
    let parts: Vec<&str> = body.split("..").collect();
    let (first, last, step) = match parts[..] {
        [first, last] => (first, last, 1),
        [first, last, step] => (first, last, step.parse::<i64>().ok()?.abs().max(1)),
        _ => return None,
    };
    let letter = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii_alphabetic() => Some(i64::from(*byte)),
        _ => None,
    };
    let is_letters = letter(first).is_some();
    let number = |text: &str| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        if is_letters { letter(text) } else { text.parse().ok().filter(|_| is_number) }
    };
    let (from, to): (i64, i64) = (number(first)?, number(last)?);
    let is_padded = |text: &str| {
        let digits = text.trim_start_matches('-');
        digits.len() > 1 && digits.starts_with('0')
    };
    let width = if !is_letters && (is_padded(first) || is_padded(last)) {
        first.len().max(last.len())
    } else {
        0
    };
    let distance = from.abs_diff(to);
    let values = (0..=distance).step_by(usize::try_from(step).ok()?).take(EXPANSIONS_MAX);
    let text = |offset: u64| {
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let value = if from <= to { from + offset } else { from - offset };
        match u8::try_from(value) {
            Ok(byte) if is_letters => char::from(byte).to_string(),
            _ => format!("{value:0width$}"),
        }
    };
    Some(values.map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_expand_as_in_bash() {
        for (pattern, expected) in [
            ("a{b,c}d", &["abd", "acd"][..]),
            ("a{b,}c", &["abc", "ac"]),
            ("{a,b{c,d}}e", &["ae", "bce", "bde"]),
            ("{a,b}{c,d}", &["ac", "ad", "bc", "bd"]),
            ("{1..3}", &["1", "2", "3"]),
            ("{03..1}", &["03", "02", "01"]),
            ("{a..e..2}", &["a", "c", "e"]),
            ("a{b}c", &["a{b}c"]),
            ("a{b,c", &["a{b,c"]),
            ("a\\{b,c}", &["a\\{b,c}"]),
            ("{}a", &["{}a"]),
            ("plain", &["plain"]),
        ] {
            assert_eq!(expand(pattern), expected, "{pattern}");
        }
    }
}
