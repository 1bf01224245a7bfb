//! The fields of a package that an installer reads, be it from package.json or from an entry of
//! the lockfile's `packages`: npm keeps the same fields under the same names in both.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::conflict::conflict;
use crate::error::{Code, Error, Result};
use crate::json::{Bundle, Dependencies, Flag, List, Text};

/// A package as its package.json or its lockfile entry describes it. Values that are only passed
/// on to the hidden lockfile stay raw.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Manifest<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub version: Text<'a>,
    #[serde(borrow)]
    pub resolved: Text<'a>,
    #[serde(borrow)]
    pub integrity: Text<'a>,

    pub link: Flag,
    pub dev: Flag,
    pub optional: Flag,
    pub dev_optional: Flag,
    pub peer: Flag,
    pub in_bundle: Flag,
    pub extraneous: Flag,
    pub has_shrinkwrap: Flag,
    pub has_install_script: Flag,

    #[serde(borrow)]
    pub dependencies: Dependencies<'a>,
    #[serde(borrow)]
    pub dev_dependencies: Dependencies<'a>,
    #[serde(borrow)]
    pub optional_dependencies: Dependencies<'a>,
    #[serde(borrow)]
    pub peer_dependencies: Dependencies<'a>,
    #[serde(borrow)]
    pub accept_dependencies: Dependencies<'a>,
    #[serde(borrow, alias = "bundledDependencies")]
    pub bundle_dependencies: Bundle<'a>,

    #[serde(borrow)]
    pub os: Option<&'a RawValue>,
    #[serde(borrow)]
    pub cpu: Option<&'a RawValue>,
    #[serde(borrow)]
    pub libc: Option<&'a RawValue>,

    #[serde(borrow)]
    pub allow_scripts: Option<&'a RawValue>,
    #[serde(borrow)]
    pub bin: Option<&'a RawValue>,
    #[serde(borrow)]
    pub config: Option<&'a RawValue>,
    #[serde(borrow)]
    pub deprecated: Option<&'a RawValue>,
    #[serde(borrow)]
    pub dev_engines: Option<&'a RawValue>,
    #[serde(borrow)]
    pub directories: Option<&'a RawValue>,
    #[serde(borrow)]
    pub engines: Option<&'a RawValue>,
    #[serde(borrow)]
    pub funding: Option<&'a RawValue>,
    #[serde(borrow)]
    pub gypfile: Option<&'a RawValue>,
    #[serde(borrow)]
    pub license: Option<&'a RawValue>,
    #[serde(borrow)]
    pub overrides: Option<&'a RawValue>,
    #[serde(borrow)]
    pub peer_dependencies_meta: Option<&'a RawValue>,
    #[serde(borrow)]
    pub scripts: Option<&'a RawValue>,
    #[serde(borrow)]
    pub workspaces: Option<&'a RawValue>,
}

/// What npm runs of a project's own scripts where anything was installed, in its order.
pub const CHANGE_EVENTS: [&str; 3] = ["predependencies", "dependencies", "postdependencies"];
/// What it runs of them in any case, after those.
pub const PROJECT_EVENTS: [&str; 7] =
    ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"];

/// A package.json that a person wrote is a hundredth of this.
pub const MANIFEST_BYTES_MAX: u64 = 16 << 20;

const CONFLICT_HINT: &str =
    "keep one side of it, and remove the lines that begin with <<<<<<<, ======= and >>>>>>>";

impl<'a> Manifest<'a> {
    /// Parses a package.json; `path` is for the message.
    pub fn parse(text: &'a str, path: &str) -> Result<Self> {
        serde_json::from_str(without_byte_order_mark(text)).map_err(|error| {
            conflict(path, text, CONFLICT_HINT).unwrap_or_else(|| {
                Error::new(Code::JsonParse, format!("failed to parse `{path}`")).with_source(error)
            })
        })
    }

    /// The names that `peerDependenciesMeta` marks as optional.
    pub fn optional_peers(&self) -> Vec<String> {
        let Some(meta) = self.peer_dependencies_meta else { return Vec::new() };
        let Ok(serde_json::Value::Object(meta)) = serde_json::from_str(meta.get()) else {
            return Vec::new();
        };
        let is_optional = |value: &serde_json::Value| {
            value.get("optional").is_some_and(|flag| !matches!(flag.as_bool(), Some(false) | None))
        };
        meta.into_iter().filter(|(_, value)| is_optional(value)).map(|(name, _)| name).collect()
    }

    /// Whether one of the scripts that npm runs at installation is there.
    pub fn has_install_script(&self) -> bool {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Scripts<'a> {
            #[serde(borrow)]
            preinstall: Text<'a>,
            #[serde(borrow)]
            install: Text<'a>,
            #[serde(borrow)]
            postinstall: Text<'a>,
        }
        let scripts: Scripts<'_> = parse_object(self.scripts);
        self.has_install_script.0
            || [scripts.preinstall, scripts.install, scripts.postinstall]
                .iter()
                .any(|script| script.get().is_some())
    }

    /// Whether one of the scripts is there that npm runs for a project itself.
    pub fn has_own_scripts(&self) -> bool {
        let scripts: serde_json::Map<String, serde_json::Value> = parse_object(self.scripts);
        CHANGE_EVENTS.iter().chain(&PROJECT_EVENTS).any(|event| scripts.contains_key(*event))
    }

    /// What a dependency asks for, of whatever kind it is.
    pub fn locked_specifier(&self, name: &str) -> Option<&str> {
        let kinds = [
            &self.dependencies,
            &self.optional_dependencies,
            &self.dev_dependencies,
            &self.peer_dependencies,
        ];
        kinds.into_iter().find_map(|kind| kind.find(name)).filter(|text| !text.is_empty())
    }

    /// `engines.node` and `engines.npm`; an old list form (`["node >= 0.8"]`) says nothing, as in
    /// npm (npm-install-checks 7, lib/index.js).
    pub fn engines(&self) -> Engines<'a> {
        parse_object(self.engines)
    }

    pub fn bundles(&self, name: &str) -> bool {
        match &self.bundle_dependencies {
            Bundle::Nothing => false,
            Bundle::All => self.dependencies.find(name).is_some(),
            Bundle::Names(names) => names.iter().any(|bundled| bundled == name),
        }
    }

    pub fn has_bundle(&self) -> bool {
        match &self.bundle_dependencies {
            Bundle::Nothing => false,
            Bundle::All => !self.dependencies.is_empty(),
            Bundle::Names(names) => !names.is_empty(),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Engines<'a> {
    #[serde(borrow)]
    pub node: Text<'a>,
    #[serde(borrow)]
    pub npm: Text<'a>,
}

/// `os`, `cpu` or `libc`; a lone string is a list of one.
pub fn parse_list(raw: Option<&RawValue>) -> List<'_> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// Anything but an object reads as an empty one.
fn parse_object<'a, T: Default + Deserialize<'a>>(raw: Option<&'a RawValue>) -> T {
    raw.filter(|raw| raw.get().starts_with('{'))
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

/// npm accepts a byte order mark before package.json and lockfiles.
pub fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_is_ejsonparse_with_its_place() {
        let error = Manifest::parse("{\n  \"name\": }", "package.json").unwrap_err();
        let expected = "EJSONPARSE: failed to parse `package.json`: expected value at line 2";
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }

    #[test]
    fn peers_are_optional_only_where_the_meta_says_so() {
        let text = r#"{"peerDependenciesMeta": {"a": {"optional": true}, "b": {}, "c": 1}}"#;
        assert_eq!(Manifest::parse(text, "").unwrap().optional_peers(), ["a"]);
    }

    #[test]
    fn old_engine_lists_say_nothing() {
        let manifest = Manifest::parse(r#"{"engines": ["node >= 0.6"]}"#, "").unwrap();
        assert_eq!(manifest.engines().node.get(), None);
    }

    #[test]
    fn both_spellings_of_bundle_dependencies_are_read() {
        let manifest = Manifest::parse(r#"{"bundledDependencies": ["a"]}"#, "").unwrap();
        assert!(manifest.bundles("a") && !manifest.bundles("b"));
    }
}
