//! Glob patterns on paths as text, as npm's minimatch 10 reads them: braces, a star that crosses no
//! slash and finds no hidden name, two stars for any number of folders.
//!
//! Extended patterns such as `@(a|b)` are not read; [`is_extended`] tells them.

use crate::sources::glob::braces;

use glob::{MatchOptions, Pattern};

/// How a star is read, for paths and on the disk.
pub const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Whether the path matches. A leading `!` turns the answer round; nothing matches a leading `#`.
pub fn matches(path: &str, pattern: &str) -> bool {
    if pattern.starts_with('#') {
        return false;
    }
    let plain = pattern.trim_start_matches('!');
    let is_negated = (pattern.len() - plain.len()) % 2 == 1;
    let matches = |alternative: &String| {
        let collapsed = collapse(alternative);
        compile(&collapsed).is_some_and(|pattern| pattern.matches_with(path, OPTIONS))
    };
    braces::expand(plain).iter().any(matches) != is_negated
}

/// What is no pattern stands for itself.
fn compile(text: &str) -> Option<Pattern> {
    let literal = || {
        // A star behind it still is one: `[x/*`.
        let (text, star) = text.strip_suffix("/*").map_or((text, ""), |folder| (folder, "/*"));
        Pattern::new(&format!("{}{star}", Pattern::escape(text)))
    };
    Pattern::new(text).or_else(|_| literal()).ok()
}

/// Whether a part in round brackets follows one of `@`, `!`, `+`, `?` and `*`.
pub fn is_extended(pattern: &str) -> bool {
    ["@(", "!(", "+(", "?(", "*("].iter().any(|start| pattern.contains(start))
}

/// One slash for many, and `a/..` taken out.
fn collapse(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for (place, part) in pattern.split('/').enumerate() {
        match part {
            "" if place > 0 => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, "" | "." | ".." | "**")) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row is what minimatch 10.2.5 answers.
    #[test]
    fn paths_are_matched_as_minimatch_matches_them() {
        for (path, pattern, expected) in [
            ("packages/a", "packages/*", true),
            ("./packages/a", "./packages/*", true),
            ("a", "./*", false),
            ("./a", ".//*", true),
            ("a", "!x/*", true),
            ("packages/.a", "packages/*", false),
            ("packages/a", "packages//*", true),
            ("packages/a/b", "packages/**/*", true),
            ("packages/a", "{packages,libs}/*", true),
            ("../a", "../*", true),
            ("a", "../packages/*", false),
            ("packages/a", "packages/./*", false),
            ("a", "/*", false),
            ("a", "#/*", false),
            ("packages/@s", "packages/*", true),
            ("packages/a", "pack*/*", true),
            ("packages/a", "packages/[a]/*", false),
            ("[x/a", "[x/*", true),
            ("packages/a", "packages/b/../*", true),
            ("a", "*/*", false),
        ] {
            assert_eq!(matches(path, pattern), expected, "{path} {pattern}");
        }
    }

    #[test]
    fn braces_name_several_patterns() {
        assert_eq!(braces::expand("{a,b}/{c,d}"), ["a/c", "a/d", "b/c", "b/d"]);
        assert_eq!(braces::expand("{a}"), ["{a}"]);
    }
}
