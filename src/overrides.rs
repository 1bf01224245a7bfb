//! The `overrides` of the root's package.json: which rule applies to which dependency.
//!
//! A rule applies to the edges of its name below the place where it stands, and the nearest rule
//! wins. Source: @npmcli/arborist 9, lib/override-set.js and lib/edge.js.

use serde_json::Value;

use crate::manifest::Manifest;
use crate::specifier::{Specifier, parse_range, split_name};

/// The rules of a project, as a tree. The first is the root, which is no rule itself.
#[derive(Debug)]
pub struct Overrides {
    rules: Vec<Rule>,
}

/// A place in the tree of rules; what is below it and above it applies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(usize);

#[derive(Debug)]
struct Rule {
    parent: Option<RuleId>,
    children: Vec<RuleId>,
    name: String,
    /// The versions that the rule is for; `*` for all.
    key_specifier: String,
    value: String,
}

/// What a rule demands of one edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand<'o> {
    pub specifier: &'o str,
    pub key_specifier: &'o str,
}

/// Rules nest as deep as a person writes them; this bounds hostile package.json files.
const NESTING_MAX: usize = 64;

impl Overrides {
    /// `None` where the root has no (readable) overrides. References (`$name`) are resolved
    /// against the root's own dependencies.
    pub fn of(root: &Manifest<'_>) -> Option<Self> {
        let value: Value = serde_json::from_str(root.overrides?.get()).ok()?;
        let object = value.as_object().filter(|object| !object.is_empty())?;
        let top = Rule {
            parent: None,
            children: Vec::new(),
            name: String::new(),
            key_specifier: String::new(),
            value: String::new(),
        };
        let mut overrides = Self { rules: vec![top] };
        for (key, child) in object {
            overrides.add(Self::TOP, key, child, root, 0);
        }
        Some(overrides)
    }

    pub const TOP: RuleId = RuleId(0);

    fn add(&mut self, parent: RuleId, key: &str, value: &Value, root: &Manifest<'_>, depth: usize) {
        if key == "." || depth == NESTING_MAX {
            return;
        }
        let (name, key_specifier) = split_name(key);
        let key_specifier = if key_specifier.is_empty() { "*" } else { key_specifier };
        let own = match value {
            Value::String(own) => Some(own.as_str()),
            _ => value.get(".").and_then(Value::as_str),
        };
        let own = match own {
            None => key_specifier,
            Some("") => "*",
            Some(own) => {
                own.strip_prefix('$').and_then(|name| reference(root, name)).unwrap_or(own)
            }
        };
        let id = RuleId(self.rules.len());
        self.rules.push(Rule {
            parent: Some(parent),
            children: Vec::new(),
            name: name.to_owned(),
            key_specifier: key_specifier.to_owned(),
            value: own.to_owned(),
        });
        self.rules[parent.0].children.push(id);
        for (key, child) in value.as_object().into_iter().flatten() {
            self.add(id, key, child, root, depth + 1);
        }
    }

    /// The place that applies to an edge which leaves a node at `place`.
    pub fn for_edge(&self, place: RuleId, name: &str, specifier: &Specifier<'_>) -> RuleId {
        self.ruleset(place)
            .find(|id| {
                let rule = &self.rules[id.0];
                rule.name == name && applies_to(&rule.key_specifier, specifier)
            })
            .unwrap_or(place)
    }

    /// What the rule at `place` demands of an edge of that name, if it is about that name.
    pub fn demand(&self, place: RuleId, name: &str) -> Option<Demand<'_>> {
        let rule = &self.rules[place.0];
        // A rule without a value of its own is there for what is below it.
        (rule.name == name && rule.value != "*")
            .then_some(Demand { specifier: &rule.value, key_specifier: &rule.key_specifier })
    }

    /// The place of a node that two edges reach: the deeper of two on one line, else where their
    /// lines part.
    pub fn join(&self, first: RuleId, second: RuleId) -> RuleId {
        if self.lineage(second).any(|id| id == first) {
            return second;
        }
        self.lineage(first)
            .find(|id| self.lineage(second).any(|other| other == *id))
            .map_or(Self::TOP, |common| if common == second { first } else { common })
    }

    fn lineage(&self, place: RuleId) -> impl Iterator<Item = RuleId> {
        std::iter::successors(Some(place), |id| self.rules[id.0].parent)
    }

    /// The rules that are in force at a place, the nearest first.
    fn ruleset(&self, place: RuleId) -> impl Iterator<Item = RuleId> {
        self.lineage(place).flat_map(|id| {
            let itself = (id != Self::TOP).then_some(id);
            self.rules[id.0].children.iter().copied().chain(itself)
        })
    }
}

/// `$name` in an override stands for what the root itself asks for under that name.
fn reference<'m>(root: &'m Manifest<'_>, name: &str) -> Option<&'m str> {
    root.dev_dependencies
        .find(name)
        .or_else(|| root.optional_dependencies.find(name))
        .or_else(|| root.dependencies.find(name))
        .or_else(|| root.peer_dependencies.find(name))
}

fn applies_to(key_specifier: &str, specifier: &Specifier<'_>) -> bool {
    if key_specifier == "*" {
        return true;
    }
    match specifier {
        Specifier::Range(range) => {
            parse_range(key_specifier).is_some_and(|key| key.allows_any(range))
        }
        Specifier::Alias(_, inner) => applies_to(key_specifier, inner),
        // Any version is asked for, or there is no way to compare versions.
        Specifier::Any
        | Specifier::Tag(_)
        | Specifier::Remote(_)
        | Specifier::File(_)
        | Specifier::Directory(_) => true,
        Specifier::Git(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(overrides: &str, path: &[&str], name: &str, specifier: &str) -> Option<String> {
        let text = format!(r#"{{"dependencies": {{"r": "5"}}, "overrides": {overrides}}}"#);
        let manifest = Manifest::parse(&text, "package.json").unwrap();
        let overrides = Overrides::of(&manifest).unwrap();
        let place = path.iter().fold(Overrides::TOP, |place, name| {
            overrides.for_edge(place, name, &Specifier::parse("^1"))
        });
        let edge = overrides.for_edge(place, name, &Specifier::parse(specifier));
        overrides.demand(edge, name).map(|demand| demand.specifier.to_owned())
    }

    #[test]
    fn a_plain_rule_applies_everywhere() {
        assert_eq!(demand(r#"{"a": "2"}"#, &["x", "y"], "a", "^1"), Some("2".to_owned()));
        assert_eq!(demand(r#"{"a": "2"}"#, &[], "b", "^1"), None);
    }

    #[test]
    fn a_nested_rule_applies_below_its_parent_only() {
        let rules = r#"{"a": "9", "p": {"a": "7"}}"#;
        assert_eq!(demand(rules, &["p", "q"], "a", "^1"), Some("7".to_owned()));
        assert_eq!(demand(rules, &["q"], "a", "^1"), Some("9".to_owned()));
        assert_eq!(demand(rules, &[], "p", "^1"), None);
    }

    #[test]
    fn a_rule_for_a_range_applies_where_the_ranges_meet() {
        assert_eq!(demand(r#"{"a@1": "1.5.0"}"#, &[], "a", "^1.2"), Some("1.5.0".to_owned()));
        assert_eq!(demand(r#"{"a@1": "1.5.0"}"#, &[], "a", "^2"), None);
    }

    #[test]
    fn a_reference_stands_for_the_roots_own_specifier() {
        assert_eq!(demand(r#"{"a": "$r"}"#, &[], "a", "^1"), Some("5".to_owned()));
    }
}
