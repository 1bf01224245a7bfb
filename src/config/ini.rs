//! Reads the text of an `.npmrc` into entries, as npm's `ini` 6 does. It expands nothing and knows
//! no key.
//!
//! The crate `npmrc-config-rs` has a reader too, but keeps only the last of `omit[]=dev` and
//! `omit[]=optional`, which would change the tree.

use std::collections::BTreeMap;

/// The values of one key. Only a key written `key[]` has several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub values: Vec<String>,
    pub is_list: bool,
}

impl Entry {
    pub fn one(value: impl Into<String>) -> Self {
        Self { values: vec![value.into()], is_list: false }
    }
}

pub type Entries = BTreeMap<String, Entry>;

/// Lines that say nothing are skipped, and so is every `[section]`, whose keys are no settings.
pub fn parse(text: &str) -> Entries {
    let mut entries = Entries::new();
    for line in text.trim_start_matches('\u{feff}').split(['\r', '\n']) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with([';', '#']) {
            continue;
        }
        if is_section(line) {
            break;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (unquote(key), unquote(value)),
            None => (unquote(line), "true".to_owned()),
        };
        let list_key = key.strip_suffix("[]").filter(|name| !name.is_empty());
        let name = list_key.unwrap_or(&key);
        if name.is_empty() {
            continue;
        }
        let entry = entries.entry(name.to_owned()).or_default();
        entry.is_list |= list_key.is_some();
        // A key without brackets after one with them still adds to the list.
        if !entry.is_list {
            entry.values.clear();
        }
        entry.values.push(value);
    }
    entries
}

/// Sections reach to the end of the file: nothing leads back to the top level.
fn is_section(line: &str) -> bool {
    let line = line.trim_end();
    line.starts_with('[') && line.find(']') == Some(line.len() - 1)
}

/// Takes quotes off, or what follows an unescaped `;` or `#`.
fn unquote(text: &str) -> String {
    let text = text.trim();
    let is_quoted =
        |quote: char| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    if is_quoted('\'') {
        let inner = &text[1..text.len() - 1];
        return serde_json::from_str(inner).unwrap_or_else(|_| inner.to_owned());
    }
    if is_quoted('"') {
        return serde_json::from_str(text).unwrap_or_else(|_| text.to_owned());
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ';' | '#' => break,
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ';' | '#')) => plain.push(escaped),
                Some(other) => plain.extend(['\\', other]),
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str, key: &str) -> Vec<String> {
        parse(text).remove(key).unwrap_or_default().values
    }

    #[test]
    fn every_element_of_a_list_is_kept() {
        assert_eq!(values("omit[]=dev\nomit[] = optional\n", "omit"), ["dev", "optional"]);
        assert_eq!(values("omit=dev\nomit[]=peer", "omit"), ["dev", "peer"]);
        assert_eq!(values("omit[]=dev\nomit=peer", "omit"), ["dev", "peer"]);
    }

    #[test]
    fn the_last_of_a_plain_key_wins() {
        assert_eq!(values("a=1\r\na=2\r\n", "a"), ["2"]);
    }

    #[test]
    fn values_are_unquoted_and_comments_cut() {
        let cases = [
            ("a = b ; c", "b"),
            ("a=b\\;c\\#d\\e", "b;c#d\\e"),
            ("a=\"b ; c\"", "b ; c"),
            ("a=\"b\\nc\"", "b\nc"),
            ("a='b'", "b"),
            ("a=\"b", "\"b"),
            ("a=b=c", "b=c"),
            ("a", "true"),
            ("a=", ""),
            ("\"a\"=1", "1"),
        ];
        for (line, expected) in cases {
            assert_eq!(values(line, "a"), [expected], "{line}");
        }
    }

    #[test]
    fn comments_sections_and_empty_keys_are_no_settings() {
        assert_eq!(parse("; a=1\n# b=2\n\n=3\n[section]\nc=4\n"), Entries::new());
    }
}
