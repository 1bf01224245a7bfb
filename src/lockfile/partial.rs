//! Lockfiles that do not say all that an installer has to know, as values that can be changed.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::LockfileText;
use super::raw::LockfileVersion;
use super::version_1::{Converted, entries_of_version_1};
use crate::error::{Code, Error, Result};
use crate::manifest::without_byte_order_mark;

/// A lockfile whose entries have to be completed from the tarballs that they name.
#[derive(Debug)]
pub struct Partial {
    pub file_name: &'static str,
    /// npm would ask the registry for what the entries do not say.
    pub is_old: bool,
    pub is_version_4: bool,
    /// Every field of the file but `packages` and `dependencies`.
    head: Map<String, Value>,
    /// The entries, as they would stand in `packages`.
    pub packages: Map<String, Value>,
    /// The paths of those that name an address where others have a version.
    pub by_address: HashSet<String>,
}

impl Partial {
    pub(super) fn parse(
        file_name: &'static str,
        text: &str,
        version: &LockfileVersion,
    ) -> Result<Self> {
        let Value::Object(mut head) = parse(file_name, text)? else {
            unreachable!("it was read as an object before");
        };
        let dependencies = head.remove("dependencies");
        let converted = match head.remove("packages") {
            Some(Value::Object(packages)) => Converted { packages, ..Converted::default() },
            Some(_) | None => entries_of_version_1(dependencies.as_ref()),
        };
        let Converted { packages, by_address } = converted;
        let is_old = *version == LockfileVersion::Old;
        let is_version_4 = *version == LockfileVersion::Four;
        Ok(Self { file_name, is_old, is_version_4, head, packages, by_address })
    }

    /// Gives the root the dependencies that a lockfile of version 1 leaves to package.json:
    /// whatever lies in the root's `node_modules`, never less than what the root asks for.
    pub fn add_dependencies_of_root(&mut self) {
        if self.packages.contains_key("") {
            return;
        }
        let mut root = Map::new();
        for (path, entry) in &self.packages {
            let name = path.strip_prefix("node_modules/");
            let Some(name) = name.filter(|name| !name.contains("/node_modules/")) else { continue };
            let is_set = |flag: &str| entry.get(flag) == Some(&Value::Bool(true));
            let kind = if is_set("optional") {
                "optionalDependencies"
            } else if is_set("dev") {
                "devDependencies"
            } else {
                "dependencies"
            };
            if let Value::Object(names) = root.entry(kind).or_insert_with(|| Map::new().into()) {
                names.insert(name.to_owned(), "*".into());
            }
        }
        self.packages.insert(String::new(), root.into());
    }

    /// A lockfile that says what is known by now.
    pub fn to_text(&self) -> LockfileText {
        let mut value = self.head.clone();
        value.insert("lockfileVersion".to_owned(), 3.into());
        value.insert("packages".to_owned(), self.packages.clone().into());
        let text = Value::Object(value).to_string();
        LockfileText { file_name: self.file_name, text, passed_over: None }
    }
}

pub(super) fn parse(file_name: &str, text: &str) -> Result<Value> {
    serde_json::from_str(without_byte_order_mark(text)).map_err(|error| {
        Error::new(Code::JsonParse, format!("failed to parse `{file_name}`")).with_source(error)
    })
}
