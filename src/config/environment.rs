//! The environment as a value: captured once, so that no setting depends on when it is read and
//! no test touches the real one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// npm's prefix of environment variables that are settings, in any case.
const SETTING_PREFIX: &str = "npm_config_";

/// A captured set of environment variables. Its `Debug` shows names only: values hold secrets.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Captures the variables of this process. One that is not UTF-8 is read as far as it is.
    pub fn from_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .collect()
    }

    /// The variable's value; `None` where it is missing or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The first of `name` in lower and in upper case, as proxies are conventionally set.
    pub fn get_any_case(&self, name: &str) -> Option<&str> {
        self.get(&name.to_ascii_lowercase()).or_else(|| self.get(&name.to_ascii_uppercase()))
    }

    pub fn home(&self) -> Option<&Path> {
        self.get("HOME").map(Path::new)
    }

    /// The settings among the variables, under their names in `.npmrc`. Where one is set both in
    /// upper and in lower case, the lower case comes last, and so wins.
    pub(super) fn settings(&self) -> impl Iterator<Item = (String, &str)> {
        self.variables.iter().filter(|(_, value)| !value.is_empty()).filter_map(|(name, value)| {
            let prefix = name.get(..SETTING_PREFIX.len())?;
            if !prefix.eq_ignore_ascii_case(SETTING_PREFIX) {
                return None;
            }
            Some((setting_name(&name[SETTING_PREFIX.len()..]), value.as_str()))
        })
    }

    /// Replaces `${NAME}` and `${NAME?}` as npm does: an unset variable stays as it is written,
    /// or is empty with the question mark; a backslash before the dollar sign escapes it
    /// (npm 11.19, `@npmcli/config/lib/env-replace.js`).
    pub(super) fn expand(&self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let Some(reference) = Reference::parse(&rest[start..]) else {
                expanded.push_str(&rest[..start + 2]);
                rest = &rest[start + 2..];
                continue;
            };
            let before = &rest[..start];
            let plain = before.trim_end_matches('\\');
            let escapes = before.len() - plain.len();
            expanded.push_str(plain);
            expanded.extend(std::iter::repeat_n('\\', escapes / 2));
            match self.variables.get(reference.name) {
                _ if escapes % 2 == 1 => expanded.push_str(reference.whole),
                Some(value) => expanded.push_str(value),
                None if reference.is_optional => {}
                None => expanded.push_str(reference.whole),
            }
            rest = &rest[start + reference.whole.len()..];
        }
        expanded.push_str(rest);
        expanded
    }

    /// The names of the variables that `text` refers to, whether or not they are set.
    pub(super) fn references(text: &str) -> impl Iterator<Item = &str> {
        text.match_indices("${")
            .filter_map(|(start, _)| Some(Reference::parse(&text[start..])?.name))
    }

    /// npm's own folder: that of the `npm` that is found first, which is a link into it, else the
    /// one beside node.
    pub(super) fn npm_folder(&self) -> Option<PathBuf> {
        let beside_node = || Some(self.node()?.parent()?.parent()?.join("lib/node_modules/npm"));
        let linked = self.find_on_path("npm").filter(|file| file.ends_with("bin/npm-cli.js"));
        linked.and_then(|file| Some(file.parent()?.parent()?.to_owned())).or_else(beside_node)
    }

    /// Where npm looks for the global `etc/npmrc`: `PREFIX`, or two folders above the `node` that
    /// is found first.
    pub(super) fn global_prefix(&self) -> Option<PathBuf> {
        npmrc_config_rs::global_prefix_from(
            self.get("PREFIX"),
            self.node().as_deref(),
            self.get("DESTDIR"),
            false,
        )
    }

    fn node(&self) -> Option<PathBuf> {
        self.find_on_path("node")
    }

    /// npm sees its own executable, so every symbolic link is followed.
    fn find_on_path(&self, name: &str) -> Option<PathBuf> {
        std::env::split_paths(self.get("PATH")?)
            .filter(|folder| folder.is_absolute())
            .find_map(|folder| folder.join(name).canonicalize().ok())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let variables =
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.variables.keys()).finish()
    }
}

/// `${NAME}` or `${NAME?}` at the start of a text.
struct Reference<'a> {
    whole: &'a str,
    name: &'a str,
    is_optional: bool,
}

impl<'a> Reference<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let inner = text.strip_prefix("${")?;
        let inner = &inner[..inner.find('}')?];
        let whole = &text[..inner.len() + "${}".len()];
        let (name, is_optional) = match inner.strip_suffix('?') {
            Some(name) => (name, true),
            None => (inner, false),
        };
        let is_name = !name.is_empty() && !name.contains(['$', '{', '?']);
        is_name.then_some(Self { whole, name, is_optional })
    }
}

/// `STRICT_SSL` is `strict-ssl`. Keys of credentials are kept, because their case matters, and so
/// is an underscore at the very start (`_auth`).
fn setting_name(name: &str) -> String {
    if name.starts_with("//") {
        return name.to_owned();
    }
    let rest = name.strip_prefix('_');
    let lead = if rest.is_some() { "_" } else { "" };
    format!("{lead}{}", rest.unwrap_or(name).replace('_', "-").to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_settings_ignore_case_and_kind_of_dash() {
        let environment = Environment::from_iter([
            ("NPM_CONFIG_STRICT_SSL", "false"),
            ("npm_config_fetch-retries", "3"),
            ("npm_config_//host/:_authToken", "secret"),
            ("npm_config__auth", "x"),
            ("npm_config_empty", ""),
            ("OTHER", "x"),
        ]);
        let settings: BTreeMap<_, _> = environment.settings().collect();
        let expected = [
            ("//host/:_authToken", "secret"),
            ("_auth", "x"),
            ("fetch-retries", "3"),
            ("strict-ssl", "false"),
        ];
        let expected: BTreeMap<_, _> =
            expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(settings, expected);
    }

    #[test]
    fn references_are_replaced_as_npm_does() {
        let environment = Environment::from_iter([("A", "1"), ("NONE", "")]);
        let cases = [
            ("x${A}y", "x1y"),
            ("${A}${A?}", "11"),
            ("${B}", "${B}"),
            ("${B?}!", "!"),
            ("${NONE}", ""),
            ("\\${A}", "${A}"),
            ("\\\\${A}", "\\1"),
            ("\\\\\\${A}", "\\${A}"),
            ("${", "${"),
            ("${}", "${}"),
            ("${${A}}", "${1}"),
            ("$A", "$A"),
        ];
        for (text, expected) in cases {
            assert_eq!(environment.expand(text), expected, "{text}");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let environment = Environment::from_iter([("NPM_TOKEN", "secret")]);
        assert_eq!(format!("{environment:?}"), r#"{"NPM_TOKEN"}"#);
    }
}
