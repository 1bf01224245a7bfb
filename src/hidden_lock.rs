//! `node_modules/.package-lock.json`: what npm leaves behind to know the tree again, and what
//! other tools read to see whether it has changed.
//!
//! It holds the lockfile's entries of all that was installed, with the flags computed anew, and
//! without the root. Sources: @npmcli/arborist 9 lib/shrinkwrap.js (`metaFromNode`, `commit`),
//! json-stringify-nice 1.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::bins::normalized_bins;
use crate::collate::locale_compare;
use crate::error::Result;
use crate::graph::{Graph, Node, NodeId};
use crate::json::Bundle;
use crate::lockfile::read_text;
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest};
use crate::workers::Workers;

/// Where it lies, relative to the project's root.
pub const HIDDEN_LOCK_PATH: &str = "node_modules/.package-lock.json";

const INSTALL_SCRIPT: &str = "hasInstallScript";

/// Enough for one thread to be worth its waking.
const ENTRIES_AT_ONCE: usize = 256;

/// The package.json texts of packages that came with the tarball of another: npm takes their
/// entries from there.
#[derive(Debug, Default)]
pub struct BundleTexts(HashMap<NodeId, String>);

impl BundleTexts {
    /// Reads them where they were placed; a package that its bundle did not bring has none.
    pub fn read(
        directory: &Path,
        graph: &Graph<'_>,
        nodes: impl Iterator<Item = NodeId>,
    ) -> Result<Self> {
        let mut texts = HashMap::new();
        for id in nodes {
            let path = directory.join(graph.node(id).path.as_str()).join("package.json");
            if let Some(text) = read_text(&path, MANIFEST_BYTES_MAX)? {
                texts.insert(id, text);
            }
        }
        Ok(Self(texts))
    }

    /// One that cannot be parsed is as good as none.
    fn manifest(&self, id: NodeId) -> Option<Manifest<'_>> {
        self.0.get(&id).and_then(|text| Manifest::parse(text, "package.json").ok())
    }
}

/// The hidden lockfile of the given nodes. `hides_resolved` is npm's
/// `omit-lockfile-registry-resolved`: nothing is said of where packages of a registry came from.
/// What the lockfile says of itself (`head`) is said here too.
///
/// `built` are packages that node-gyp builds though nothing but their files says so: npm takes that
/// for an install script of theirs, whether it is run or not.
pub fn hidden_lock(
    graph: &Graph<'_>,
    nodes: impl Iterator<Item = NodeId>,
    bundles: &BundleTexts,
    head: &[(Cow<'_, str>, &RawValue)],
    hides_resolved: bool,
    built: &HashSet<NodeId>,
    workers: Workers,
) -> String {
    let mut nodes: Vec<_> = nodes.collect();
    let path = |id: &NodeId| graph.node(*id).path.as_str();
    nodes.sort_by(|first, second| locale_compare(path(first), path(second)));
    let entries = workers.map(&nodes, ENTRIES_AT_ONCE, |id| {
        let mut entry = format!("\n    {}: ", quoted(path(id)));
        let brought = bundles.manifest(*id);
        let mut fields = fields(graph, *id, brought.as_ref());
        let is_link = graph.node(*id).link_target.is_some();
        if hides_resolved && !is_link && graph.is_from_registry(*id) {
            fields.retain(|(key, _)| key != "resolved");
        }
        if built.contains(id) && !fields.iter().any(|(key, _)| key == INSTALL_SCRIPT) {
            fields.push((INSTALL_SCRIPT.into(), "true".into()));
        }
        write_object(&mut entry, &mut fields, 3);
        entry
    });
    let end = if nodes.is_empty() { "}" } else { "\n  }" };
    let mut fields: Vec<Field<'_>> = head
        .iter()
        .filter_map(|(key, value)| {
            let value: Value = serde_json::from_str(value.get()).ok()?;
            Some((key.clone(), nice(&value, 1).into()))
        })
        .collect();
    fields.push(("lockfileVersion".into(), "3".into()));
    fields.push(("requires".into(), "true".into()));
    fields.push(("packages".into(), format!("{{{}{end}", entries.join(",")).into()));
    let mut text = String::new();
    write_object(&mut text, &mut fields, 1);
    text.push('\n');
    text
}

/// A value as npm writes it, `depth` levels below the top.
fn nice(value: &Value, depth: usize) -> String {
    match value {
        Value::Object(object) => {
            let nice = |(key, value): (&String, &Value)| {
                (Cow::Owned(key.clone()), nice(value, depth + 1).into())
            };
            let mut fields: Vec<Field<'_>> = object.iter().map(nice).collect();
            let mut text = String::new();
            write_object(&mut text, &mut fields, depth + 1);
            text
        }
        Value::Array(items) if !items.is_empty() => {
            let indent = "  ".repeat(depth + 1);
            let items: Vec<_> =
                items.iter().map(|item| format!("{indent}{}", nice(item, depth + 1))).collect();
            format!("[\n{}\n{}]", items.join(",\n"), "  ".repeat(depth))
        }
        value => value.to_string(),
    }
}

/// A field of an entry: its key and its value as JSON text.
type Field<'f> = (Cow<'f, str>, Cow<'f, str>);

/// An object whose fields stand `depth` levels below the top.
fn write_object(text: &mut String, fields: &mut [Field<'_>], depth: usize) {
    fields.sort_by(compare_fields);
    let indent = "  ".repeat(depth);
    text.push('{');
    for (place, (key, value)) in fields.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(text, "{comma}\n{indent}{}: {value}", quoted(key));
    }
    if !fields.is_empty() {
        text.push('\n');
        text.push_str(&indent[2..]);
    }
    text.push('}');
}

/// npm's order: objects after all else, some keys before the others, then by the alphabet.
fn compare_fields(first: &Field<'_>, second: &Field<'_>) -> Ordering {
    const FIRST_KEYS: [&str; 8] = [
        "name",
        "version",
        "lockfileVersion",
        "resolved",
        "integrity",
        "requires",
        "packages",
        "dependencies",
    ];
    let is_object = |field: &Field<'_>| field.1.starts_with('{');
    let rank = |field: &Field<'_>| {
        FIRST_KEYS.iter().position(|key| *key == field.0).unwrap_or(FIRST_KEYS.len())
    };
    is_object(first)
        .cmp(&is_object(second))
        .then_with(|| rank(first).cmp(&rank(second)))
        .then_with(|| locale_compare(&first.0, &second.0))
}

/// The fields of one entry. What a bundle brought has neither address nor integrity of its own.
fn fields<'f>(
    graph: &'f Graph<'_>,
    id: NodeId,
    brought: Option<&'f Manifest<'f>>,
) -> Vec<Field<'f>> {
    let node = graph.node(id);
    if let Some(target) = node.link_target {
        let target = graph.node(target).path.as_str();
        return vec![("resolved".into(), quoted(target).into()), ("link".into(), "true".into())];
    }
    let manifest = brought.unwrap_or(node.manifest);
    let mut fields = Vec::with_capacity(12);
    if let Some(name) = manifest.name.get().filter(|name| *name != node.path.name()) {
        fields.push(("name".into(), quoted(name).into()));
    }
    push_text(&mut fields, "version", manifest.version.get());
    if brought.is_none() {
        push_text(&mut fields, "resolved", node.entry.resolved.get());
        push_text(&mut fields, "integrity", node.entry.integrity.get());
    }
    push_dependencies(&mut fields, manifest, node.parent.is_none());
    push_bundle(&mut fields, manifest);
    push_raw(&mut fields, "os", manifest.os);
    push_raw(&mut fields, "cpu", manifest.cpu);
    push_raw(&mut fields, "libc", manifest.libc);
    push_raw(&mut fields, "deprecated", manifest.deprecated);
    push_raw(&mut fields, "engines", manifest.engines);
    push_raw(&mut fields, "peerDependenciesMeta", manifest.peer_dependencies_meta);
    push_raw(&mut fields, "workspaces", manifest.workspaces);
    push_funding(&mut fields, manifest.funding);
    push_license(&mut fields, manifest.license);
    push_bin(&mut fields, node, manifest);
    push_flags(&mut fields, node, manifest);
    fields
}

fn push_text(fields: &mut Vec<Field<'_>>, key: &'static str, value: Option<&str>) {
    if let Some(value) = value {
        fields.push((key.into(), quoted(value).into()));
    }
}

fn push_raw<'f>(fields: &mut Vec<Field<'f>>, key: &'static str, value: Option<&'f RawValue>) {
    // npm leaves out what is false in JavaScript, and empty objects and lists.
    const NOTHING: [&str; 7] = ["null", "false", "0", "\"\"", "{}", "[]", "-0"];
    if let Some(value) = value.map(RawValue::get).filter(|text| !NOTHING.contains(text)) {
        fields.push((key.into(), value.into()));
    }
}

fn push_dependencies(fields: &mut Vec<Field<'_>>, manifest: &Manifest<'_>, is_top: bool) {
    let optional = &manifest.optional_dependencies;
    let optional_names: HashSet<_> = optional.pairs().map(|(name, _)| name).collect();
    let required = manifest.dependencies.pairs().filter(|(name, _)| !optional_names.contains(name));
    push_pairs(fields, "dependencies", required);
    push_pairs(fields, "optionalDependencies", optional.pairs());
    push_pairs(fields, "peerDependencies", manifest.peer_dependencies.pairs());
    push_pairs(fields, "acceptDependencies", manifest.accept_dependencies.pairs());
    if is_top {
        push_pairs(fields, "devDependencies", manifest.dev_dependencies.pairs());
    }
}

fn push_pairs<'v>(
    fields: &mut Vec<Field<'_>>,
    key: &'static str,
    pairs: impl Iterator<Item = (&'v str, &'v str)>,
) {
    let mut pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() {
        return;
    }
    pairs.sort_by(|first, second| locale_compare(first.0, second.0));
    let lines: Vec<_> = pairs
        .into_iter()
        .map(|(name, value)| format!("        {}: {}", quoted(name), quoted(value)))
        .collect();
    fields.push((key.into(), format!("{{\n{}\n      }}", lines.join(",\n")).into()));
}

fn push_bundle(fields: &mut Vec<Field<'_>>, manifest: &Manifest<'_>) {
    match &manifest.bundle_dependencies {
        Bundle::Nothing => {}
        Bundle::All => {
            let names = manifest.dependencies.pairs().map(|(name, _)| name);
            push_list(fields, "bundleDependencies", names);
        }
        Bundle::Names(names) => {
            push_list(fields, "bundleDependencies", names.iter().map(AsRef::as_ref));
        }
    }
}

fn push_list<'v>(
    fields: &mut Vec<Field<'_>>,
    key: &'static str,
    items: impl Iterator<Item = &'v str>,
) {
    let items: Vec<_> = items.map(|item| format!("        {}", quoted(item))).collect();
    if !items.is_empty() {
        fields.push((key.into(), format!("[\n{}\n      ]", items.join(",\n")).into()));
    }
}

/// A string is an address.
fn push_funding<'f>(fields: &mut Vec<Field<'f>>, funding: Option<&'f RawValue>) {
    match funding.map(RawValue::get) {
        Some(address) if address.starts_with('"') && address != "\"\"" => {
            fields.push((
                "funding".into(),
                format!("{{\n        \"url\": {address}\n      }}").into(),
            ));
        }
        _ => push_raw(fields, "funding", funding),
    }
}

/// Of an object only its type is kept.
fn push_license<'f>(fields: &mut Vec<Field<'f>>, license: Option<&'f RawValue>) {
    let object = license.filter(|raw| raw.get().starts_with('{'));
    let kind = object.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    match kind.as_ref().and_then(|value| value.get("type")?.as_str()) {
        Some(kind) => push_text(fields, "license", Some(kind)),
        None => push_raw(fields, "license", license),
    }
}

/// `directories.bin` of a package.json on disk stands for everything in that folder.
fn push_bin(fields: &mut Vec<Field<'_>>, node: &Node<'_>, manifest: &Manifest<'_>) {
    let own_name = manifest.name.get().unwrap_or(node.path.name());
    let named = normalized_bins(manifest, own_name);
    let bins = if manifest.bin.is_some() { &named } else { node.directory_bins };
    push_pairs(fields, "bin", bins.iter().map(|(name, file)| (name.as_str(), file.as_str())));
}

fn push_flags(fields: &mut Vec<Field<'_>>, node: &Node<'_>, manifest: &Manifest<'_>) {
    let flags = node.flags;
    for (key, holds) in [
        ("inBundle", node.entry.in_bundle.0),
        ("hasShrinkwrap", node.entry.has_shrinkwrap.0),
        (INSTALL_SCRIPT, manifest.has_install_script()),
        ("peer", flags.is_peer),
        ("dev", flags.is_dev),
        ("optional", flags.is_optional),
        ("devOptional", flags.is_dev_optional && !flags.is_dev && !flags.is_optional),
    ] {
        if holds {
            fields.push((key.into(), "true".into()));
        }
    }
}

/// The text as a JSON string.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
