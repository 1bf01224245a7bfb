//! One portion of a path pattern: `*`, `?`, `[...]` and the extended `@(a|b)` and its kin.

use std::collections::HashSet;

use super::{Dialect, Work};

/// A portion that may stand between two slashes.
#[derive(Debug)]
pub struct Portion {
    tokens: Vec<Token>,
    /// `*` alone does not match nothing.
    is_lone_star: bool,
    dialect: Dialect,
}

#[derive(Debug)]
enum Token {
    Character(char),
    Any,
    Star,
    Class(Class),
    Extended(Kind, Vec<Vec<Token>>),
    /// A class that no character is in: the whole portion matches nothing.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `@(...)`
    One,
    /// `?(...)`
    Optional,
    /// `+(...)`
    Some,
    /// `*(...)`
    Repeated,
    /// `!(...)`
    Not,
}

#[derive(Debug, Default)]
struct Class {
    is_negated: bool,
    ranges: Vec<(char, char)>,
    named: Vec<&'static str>,
}

/// minimatch takes `@(` as plain characters below this depth.
const DEPTH_MAX: usize = 2;

const CLASS_NAMES: [&str; 12] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "lower", "punct", "space", "upper",
    "word", "xdigit",
];

impl Portion {
    pub fn parse(text: &str, dialect: Dialect) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let is_lone_star = !text.is_empty() && characters.iter().all(|one| *one == '*');
        let unclosed = HashSet::new();
        let mut parser = Parser { characters: &characters, position: 0, unclosed };
        Self { tokens: parser.sequence(0), is_lone_star, dialect }
    }

    pub fn matches(&self, text: &[char], work: &Work) -> bool {
        let matcher = Matcher { text, dialect: self.dialect, work };
        if self.is_lone_star {
            return !text.is_empty() && !matcher.hides_start();
        }
        let mut starts = vec![false; text.len() + 1];
        starts[0] = true;
        matcher.ends(&self.tokens, true, starts, &[])[text.len()]
    }

    /// The only text that it matches, if there is one.
    pub fn literal(&self) -> Option<String> {
        let character = |token: &Token| match token {
            Token::Character(character) if self.dialect == Dialect::Path => Some(*character),
            _ => None,
        };
        self.tokens.iter().map(character).collect()
    }
}

struct Matcher<'m> {
    text: &'m [char],
    dialect: Dialect,
    work: &'m Work,
}

impl Matcher<'_> {
    /// Where on the text the tokens can end, if they begin at any of `starts`. `after` is what has
    /// to follow, innermost last: `!(a)b` asks for it. What stands at the start of a portion
    /// (`is_start`) and is no dot itself finds no hidden name, unless the dialect has it find them.
    fn ends(
        &self,
        tokens: &[Token],
        mut is_start: bool,
        mut starts: Vec<bool>,
        after: &[&[Token]],
    ) -> Vec<bool> {
        let length = self.text.len();
        if is_start && self.hides_start() && tokens.first().is_some_and(Token::may_take_any) {
            starts[0] = false;
        }
        for (number, token) in tokens.iter().enumerate() {
            if !self.work.spend(length.max(1)) {
                return vec![false; length + 1];
            }
            let Some(first) = starts.iter().position(|is_start| *is_start) else { return starts };
            starts = match token {
                Token::Star => (0..=length).map(|at| at >= first).collect(),
                Token::Extended(kind, choices) => {
                    let after = [after, &[&tokens[number + 1..]]].concat();
                    let ends = self.extended_ends(*kind, choices, is_start, &starts, &after);
                    is_start &= *kind == Kind::Not;
                    starts = ends;
                    continue;
                }
                single => {
                    let mut next = vec![false; length + 1];
                    for (at, character) in self.text.iter().enumerate().skip(first) {
                        next[at + 1] = starts[at] && single.takes(*character, self.dialect);
                    }
                    next
                }
            };
            is_start = false;
        }
        starts
    }

    fn hides_start(&self) -> bool {
        self.dialect == Dialect::Path && self.text.first() == Some(&'.')
    }

    fn extended_ends(
        &self,
        kind: Kind,
        choices: &[Vec<Token>],
        is_start: bool,
        starts: &[bool],
        after: &[&[Token]],
    ) -> Vec<bool> {
        let once = |starts: &[bool]| {
            let mut union = vec![false; starts.len()];
            for choice in choices {
                let found = self.ends(choice, is_start, starts.to_vec(), after);
                union.iter_mut().zip(found).for_each(|(one, is_end)| *one |= is_end);
            }
            union
        };
        match kind {
            Kind::One => once(starts),
            Kind::Optional => joined(once(starts), starts),
            Kind::Repeated => closure(starts, once),
            Kind::Some => closure(&once(starts), once),
            Kind::Not => {
                let is_free = |start: usize| {
                    let mut from = vec![false; starts.len()];
                    from[start] = true;
                    let rest = after
                        .iter()
                        .rev()
                        .fold(once(&from), |rest, tokens| self.ends(tokens, false, rest, &[]));
                    !rest[self.text.len()]
                };
                let is_hidden = |start: usize| start == 0 && is_start && self.hides_start();
                let free = (0..starts.len())
                    .find(|start| starts[*start] && !is_hidden(*start) && is_free(*start));
                (0..starts.len()).map(|at| free.is_some_and(|free| at >= free)).collect()
            }
        }
    }
}

/// All positions that can be reached by going on and on.
fn closure(starts: &[bool], once: impl Fn(&[bool]) -> Vec<bool>) -> Vec<bool> {
    let mut reached = starts.to_vec();
    loop {
        let next = joined(once(&reached), &reached);
        if next == reached {
            return reached;
        }
        reached = next;
    }
}

fn joined(mut one: Vec<bool>, other: &[bool]) -> Vec<bool> {
    one.iter_mut().zip(other).for_each(|(one, other)| *one |= *other);
    one
}

impl Token {
    /// Whether it could stand for a dot without being one.
    fn may_take_any(&self) -> bool {
        matches!(self, Token::Any | Token::Star | Token::Class(_))
    }

    fn takes(&self, character: char, dialect: Dialect) -> bool {
        match self {
            Token::Character(own) => {
                *own == character
                    || (dialect == Dialect::Ignore && equal_ignoring_case(*own, character))
            }
            Token::Any => true,
            Token::Class(class) => class.takes(character, dialect),
            Token::Star | Token::Extended(..) | Token::Nothing => false,
        }
    }
}

impl Class {
    fn takes(&self, character: char, dialect: Dialect) -> bool {
        let cases = match dialect {
            Dialect::Path => [character; 3],
            Dialect::Ignore => [
                character,
                character.to_lowercase().next().unwrap_or(character),
                character.to_uppercase().next().unwrap_or(character),
            ],
        };
        let is_in = cases.into_iter().any(|one| {
            self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&one))
                || self.named.iter().any(|name| is_named(name, one))
        });
        is_in != self.is_negated
    }
}

fn is_named(name: &str, character: char) -> bool {
    match name {
        "alnum" => character.is_alphanumeric(),
        "alpha" => character.is_alphabetic(),
        "ascii" => character.is_ascii(),
        "blank" => matches!(character, ' ' | '\t'),
        "cntrl" => character.is_control(),
        "digit" => character.is_numeric(),
        "lower" => character.is_lowercase(),
        "punct" => character.is_ascii_punctuation(),
        "space" => character.is_whitespace(),
        "upper" => character.is_uppercase(),
        "word" => character.is_alphanumeric() || character == '_',
        "xdigit" => character.is_ascii_hexdigit(),
        _ => false,
    }
}

fn equal_ignoring_case(one: char, other: char) -> bool {
    one.to_lowercase().eq(other.to_lowercase())
}

struct Parser<'t> {
    characters: &'t [char],
    position: usize,
    /// Where `@(` at which depth is known to have no end.
    unclosed: HashSet<(usize, usize)>,
}

impl Parser<'_> {
    /// To the end, or to the `|` or `)` that ends a choice.
    fn sequence(&mut self, depth: usize) -> Vec<Token> {
        let mut tokens = Vec::new();
        while let Some(character) = self.peek(0) {
            if depth > 0 && matches!(character, '|' | ')') {
                break;
            }
            if let Some(token) = self.extended(depth) {
                tokens.push(token);
                continue;
            }
            self.position += 1;
            let token = match character {
                '*' if matches!(tokens.last(), Some(Token::Star)) => continue,
                '*' => Token::Star,
                '?' => Token::Any,
                '[' => self.class().unwrap_or(Token::Character('[')),
                '\\' => match self.peek(0) {
                    Some(escaped) => {
                        self.position += 1;
                        Token::Character(escaped)
                    }
                    None => Token::Character('\\'),
                },
                plain => Token::Character(plain),
            };
            tokens.push(token);
        }
        tokens
    }

    /// `@(a|b)` and its kin; without the closing bracket they are plain characters.
    fn extended(&mut self, depth: usize) -> Option<Token> {
        let kind = match self.peek(0)? {
            '@' => Kind::One,
            '?' => Kind::Optional,
            '+' => Kind::Some,
            '*' => Kind::Repeated,
            '!' => Kind::Not,
            _ => return None,
        };
        let start = self.position;
        let is_none = self.peek(1) != Some('(') || depth > DEPTH_MAX;
        if is_none || self.unclosed.contains(&(start, depth)) {
            return None;
        }
        self.position += 2;
        let mut choices = Vec::new();
        loop {
            choices.push(self.sequence(depth + 1));
            match self.peek(0) {
                Some('|') => self.position += 1,
                Some(_) => {
                    self.position += 1;
                    return Some(Token::Extended(kind, choices));
                }
                None => {
                    self.unclosed.insert((start, depth));
                    self.position = start;
                    return None;
                }
            }
        }
    }

    /// What follows a `[`, unless nothing closes it.
    fn class(&mut self) -> Option<Token> {
        let start = self.position;
        let mut class = Class::default();
        if matches!(self.peek(0), Some('!' | '^')) {
            class.is_negated = true;
            self.position += 1;
        }
        let mut is_first = true;
        loop {
            let Some(mut character) = self.peek(0) else {
                self.position = start;
                return None;
            };
            self.position += 1;
            if character == ']' && !is_first {
                break;
            }
            is_first = false;
            if character == '['
                && let Some(name) = self.class_name()
            {
                class.named.push(name);
                continue;
            }
            if character == '\\'
                && let Some(escaped) = self.peek(0)
            {
                character = escaped;
                self.position += 1;
            }
            let end = match (self.peek(0), self.peek(1)) {
                (Some('-'), Some(end)) if end != ']' => {
                    self.position += 2;
                    end
                }
                _ => character,
            };
            class.ranges.push((character, end));
        }
        class.ranges.retain(|(from, to)| from <= to);
        let is_empty = class.ranges.is_empty() && class.named.is_empty();
        Some(if is_empty { Token::Nothing } else { Token::Class(class) })
    }

    /// `:alpha:]` after a `[` in a class.
    fn class_name(&mut self) -> Option<&'static str> {
        let rest = &self.characters[self.position..];
        let name = CLASS_NAMES.into_iter().find(|name| {
            let whole = format!(":{name}:]");
            rest.iter().copied().take(whole.len()).eq(whole.chars())
        })?;
        self.position += name.len() + ":".len() + ":]".len();
        Some(name)
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.position + ahead).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_match_as_in_minimatch() {
        for (pattern, text, expected) in [
            ("a*c", "abbc", true),
            ("a*c", "ac", true),
            ("*", "", false),
            ("**x", "x", true),
            ("a?c", "ac", false),
            ("[]a]", "]", true),
            ("[a-]", "-", true),
            ("[^a]", "a", false),
            ("[z-a]", "b", false),
            ("[", "[", true),
            ("[[:digit:]]x", "7x", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("@(a|b)c", "bc", true),
            ("@(a|b)c", "c", false),
            ("?(a)b", "b", true),
            ("+(ab)", "ABab", true),
            ("+(ab)", "", false),
            ("*(ab)", "", true),
            ("!(a|b)", "a", false),
            ("!(a|b)", "ab", true),
            ("!(*.map).js", "x.js", true),
            ("!(*.map)", "x.js.map", false),
            ("a!(b)c", "abc", false),
            ("a!(b)c", "abbc", true),
            ("@(a", "@(a", true),
        ] {
            let text: Vec<char> = text.chars().collect();
            let portion = Portion::parse(pattern, Dialect::Ignore);
            let found = portion.matches(&text, &Work::default());
            assert_eq!(found, expected, "{pattern} {text:?}");
        }
    }
}
