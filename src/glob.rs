//! Glob patterns as npm's minimatch 10.2 reads them: braces, `*` that crosses no slash, `**` for
//! any number of folders, `[...]`, and the extended `@(a|b)` and its kin.
//!
//! A path portion is matched by following all positions at once, never by trying them in turn, and
//! all comparisons are paid for from one purse: no pattern of a stranger's can keep us busy.

use std::cell::Cell;

pub mod braces;
mod portion;
mod walk;

use braces::expand;
use portion::Portion;

pub use walk::folders;

/// Which options minimatch is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// npm's ignore files and `files`: `matchBase`, `dot`, `nocase` and `flipNegate`, as
    /// ignore-walk 8 asks. Of 300,000 random pairs of a pattern and a path all were answered alike.
    Ignore,
    /// None: names of workspaces. `*` and `**` find no hidden name. Of 200,000 random pairs one was
    /// answered otherwise, whose name begins with two dots.
    Path,
}

/// What may still be spent on comparisons, in characters compared.
#[derive(Debug)]
pub struct Work {
    left: Cell<u64>,
}

/// A pattern.
#[derive(Debug)]
pub struct Rule {
    /// Written with an odd number of `!`: what matches is included.
    pub is_negated: bool,
    /// Could match a base name: it has one portion, or one and a final slash.
    pub is_relative: bool,
    dialect: Dialect,
    alternatives: Vec<Vec<Part>>,
}

#[derive(Debug)]
enum Part {
    /// `**`, which stands for any number of portions.
    Globstar,
    Portion(Portion),
}

/// A path, split at its slashes: a first slash makes an empty first portion, a last one an empty
/// last portion.
#[derive(Debug)]
pub struct SplitPath {
    portions: Vec<Vec<char>>,
}

/// No path is longer. (minimatch throws at 64 KiB.)
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Ten thousand files in folders five deep, with a hundred patterns, take a tenth of it.
const WORK_MAX: u64 = 20_000_000_000;

impl Default for Work {
    fn default() -> Self {
        Self { left: Cell::new(WORK_MAX) }
    }
}

impl Work {
    /// Nothing matches any more.
    pub fn is_exhausted(&self) -> bool {
        self.left.get() == 0
    }

    fn spend(&self, steps: usize) -> bool {
        self.left.set(self.left.get().saturating_sub(steps as u64));
        !self.is_exhausted()
    }
}

impl Rule {
    /// `None` for a pattern that is too long.
    pub fn parse(pattern: &str, dialect: Dialect) -> Option<Self> {
        let plain = pattern.trim_start_matches('!');
        let is_negated = (pattern.len() - plain.len()) % 2 == 1;
        Some(Self { is_negated, ..Self::plain(plain, dialect)? })
    }

    /// The same where a leading `!` has no meaning of its own.
    fn plain(pattern: &str, dialect: Dialect) -> Option<Self> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return None;
        }
        let texts: Vec<Vec<String>> = match pattern {
            "" => Vec::new(),
            _ => expand(pattern).iter().map(|text| without_climbing(split(text))).collect(),
        };
        let is_relative = texts.iter().any(|parts| {
            let is_open = parts.last().is_some_and(String::is_empty);
            parts.len() <= if is_open { 2 } else { 1 }
        });
        let alternatives = texts
            .iter()
            .map(|parts| {
                let part = |text: &String| match text.as_str() {
                    "**" => Part::Globstar,
                    text => Part::Portion(Portion::parse(text, dialect)),
                };
                parts.iter().map(part).collect()
            })
            .collect();
        Some(Self { is_negated: false, is_relative, dialect, alternatives })
    }

    /// Whether the path fits, whatever that then means.
    pub fn matches(&self, path: &SplitPath, work: &Work) -> bool {
        self.matches_as(path, false, work)
    }

    /// Whether something below the path could fit.
    pub fn matches_partly(&self, path: &SplitPath, work: &Work) -> bool {
        self.matches_as(path, true, work)
    }

    fn matches_as(&self, path: &SplitPath, is_partial: bool, work: &Work) -> bool {
        self.alternatives.iter().any(|parts| match &parts[..] {
            // `matchBase`: a pattern without a slash is for the name alone.
            [_] if self.dialect == Dialect::Ignore => {
                match_parts(parts, path.base(), is_partial, self.dialect, work)
            }
            parts => match_parts(parts, &path.portions, is_partial, self.dialect, work),
        })
    }
}

/// Whether a path fits a pattern of [`Dialect::Path`]. A leading `!` turns the answer round;
/// nothing fits a leading `#`, or a pattern that is too long.
pub fn matches(path: &str, pattern: &str) -> bool {
    if pattern.starts_with('#') {
        return false;
    }
    let fits =
        |rule: Rule| rule.matches(&SplitPath::new(path), &Work::default()) != rule.is_negated;
    Rule::parse(pattern, Dialect::Path).is_some_and(fits)
}

impl SplitPath {
    pub fn new(path: &str) -> Self {
        let portions = split(path).iter().map(|part| part.chars().collect()).collect();
        Self { portions }
    }

    /// The last portion that is not empty.
    fn base(&self) -> &[Vec<char>] {
        let last = self.portions.iter().rposition(|portion| !portion.is_empty()).unwrap_or(0);
        &self.portions[last..=last]
    }
}

/// Several slashes count as one.
fn split(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut is_after_slash = false;
    for part in text.split('/') {
        if !(part.is_empty() && is_after_slash) || parts.is_empty() {
            parts.push(part.to_owned());
        }
        is_after_slash = true;
    }
    // `a//` and `//` end with the slash that an empty last portion stands for.
    if text.ends_with('/') && parts.last().is_some_and(|last| !last.is_empty()) {
        parts.push(String::new());
    }
    if text.starts_with('/') && parts.len() == 1 {
        parts.push(String::new());
    }
    parts
}

/// `a/../b` is `b`, and `**/**` is `**`.
fn without_climbing(parts: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(parts.len());
    for part in parts {
        let last = kept.last().map(String::as_str);
        if part == "**" && last == Some("**") {
            continue;
        }
        if part == ".." && !matches!(last, None | Some("" | "." | ".." | "**")) {
            kept.pop();
            continue;
        }
        kept.push(part);
    }
    if kept.is_empty() {
        kept.push(String::new());
    }
    kept
}

/// Compares from the end: `fits[at]` is whether the rest of the pattern fits `path[at..]`.
fn match_parts(
    parts: &[Part],
    path: &[Vec<char>],
    is_partial: bool,
    dialect: Dialect,
    work: &Work,
) -> bool {
    let is_passed = |portion: &[char]| dialect == Dialect::Ignore || !is_hidden(portion);
    let globstar = parts.iter().position(|part| matches!(part, Part::Globstar));
    if let Some(globstar) = globstar.filter(|_| is_partial) {
        // What follows may be anywhere below, so that only what is before it can be wrong.
        let mut head = parts[..globstar].iter().zip(path);
        return head.all(|(part, portion)| part.takes(portion, work));
    }
    let end = path.len();
    // A final slash of the path needs none in the pattern.
    let mut fits: Vec<bool> =
        (0..=end).map(|at| at == end || at + 1 == end && path[at].is_empty()).collect();
    for (number, part) in parts.iter().enumerate().rev() {
        let is_last = number + 1 == parts.len();
        let mut now = vec![false; end + 1];
        now[end] = match part {
            Part::Globstar => fits[end] && !is_last,
            Part::Portion(_) => is_partial,
        };
        for at in (0..end).rev() {
            now[at] = match part {
                // At the end it stands for one portion at least.
                Part::Globstar if is_last => path[at..].iter().all(|portion| is_passed(portion)),
                Part::Globstar => fits[at] || (is_passed(&path[at]) && now[at + 1]),
                Part::Portion(_) => fits[at + 1] && part.takes(&path[at], work),
            };
        }
        fits = now;
    }
    fits[0]
}

fn is_hidden(portion: &[char]) -> bool {
    portion.first() == Some(&'.')
}

impl Part {
    fn takes(&self, portion: &[char], work: &Work) -> bool {
        match self {
            Part::Globstar => true,
            Part::Portion(pattern) => pattern.matches(portion, work),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let rule = Rule::parse(pattern, Dialect::Ignore).unwrap();
        rule.matches(&SplitPath::new(path), &Work::default())
    }

    #[test]
    fn patterns_match_as_in_minimatch() {
        for (pattern, path, expected) in [
            ("*.js", "a/b/c.JS", true),
            ("*.js", "/.js", true),
            ("a", "x/a", true),
            ("a", "x/a/", true),
            ("/a", "x/a", false),
            ("/a", "/a", true),
            ("/a", "/a/", true),
            ("a/", "a", false),
            ("a/", "a/", true),
            ("a/**", "a", false),
            ("a/**", "a/", true),
            ("a/**", "a/b/c", true),
            ("**/a", "a", true),
            ("**/a", "/x/y/a", true),
            ("**/a/**", "x/a", false),
            ("**/a/**", "x/a/y", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b/", true),
            ("a/*", "a/b/", true),
            ("a/*", "a/", false),
            ("a//b", "a/b", true),
            ("a/x/../b", "a/b", true),
            ("readme{,.*[^~$]}", "README", true),
            ("readme{,.*[^~$]}", "readme.md", true),
            ("readme{,.*[^~$]}", "readme.md~", false),
            ("{a,b}/c", "b/c", true),
            ("?", "a", true),
            ("[a-c]x", "Bx", true),
            ("[!a-c]x", "Bx", false),
            ("[object Object]", "b", true),
            ("x/!(*.map)", "x/a.js", true),
            ("x/!(*.map)", "x/a.map", false),
            ("!!a", "a", true),
            ("#a", "#a", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    /// Each row is what minimatch 10.2.5 answers without options.
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
            assert_eq!(super::matches(path, pattern), expected, "{path} {pattern}");
        }
    }

    #[test]
    fn a_folder_that_may_hold_a_match_matches_partly() {
        for (pattern, path, expected) in [
            ("a/b/c", "a", true),
            ("a/b/c", "a/b", true),
            ("a/b/c", "b", false),
            ("/a/b", "/a", true),
            ("a/**/c", "a/x/y", true),
            ("a/**/c", "b", false),
            ("**/c", "x", true),
        ] {
            let rule = Rule::parse(pattern, Dialect::Ignore).unwrap();
            let found = rule.matches_partly(&SplitPath::new(path), &Work::default());
            assert_eq!(found, expected, "{pattern} {path}");
        }
    }

    #[test]
    fn an_exclamation_mark_negates_and_two_do_not() {
        for (pattern, expected) in [("a", false), ("!a", true), ("!!a", false), ("!", true)] {
            let rule = Rule::parse(pattern, Dialect::Ignore).unwrap();
            assert_eq!(rule.is_negated, expected, "{pattern}");
        }
        assert!(!matches("!", "a"));
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let path = "a".repeat(255);
        for pattern in [
            format!("{}b", "*a".repeat(2000)),
            "*(*(*(a|aa)|a)|a)b".to_owned(),
            "@(".repeat(2000),
            format!("{}b", "{a,b}".repeat(600)),
        ] {
            assert!(!matches(&pattern, &path), "{pattern}");
        }
        assert!(Rule::parse(&"a".repeat(PATTERN_BYTES_MAX + 1), Dialect::Path).is_none());
    }

    #[test]
    fn once_the_purse_is_empty_nothing_matches() {
        let work = Work { left: Cell::new(2) };
        let (rule, path) = (Rule::parse("a", Dialect::Ignore).unwrap(), SplitPath::new("a"));
        assert!(rule.matches(&path, &work));
        assert!(!rule.matches(&path, &work) && work.is_exhausted());
    }
}
