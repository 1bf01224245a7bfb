//! What an installation has put into the tree, as npm reports it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use crate::graph::{Graph, NodeId};
use crate::manifest::Manifest;

/// A package or a link in a `node_modules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledPackage {
    /// The name of its folder, which for an alias is the alias.
    pub name: String,
    pub version: Option<String>,
    /// From the root of the filesystem.
    pub path: PathBuf,
}

/// Everything in a `node_modules`, in the order of the nodes.
pub fn installed_packages(
    graph: &Graph<'_>,
    nodes: impl Iterator<Item = NodeId>,
    project: &Path,
) -> Vec<InstalledPackage> {
    let is_in_node_modules = |id: &NodeId| graph.node(*id).parent.is_some();
    let package = |id| {
        let path = graph.node(id).path.as_str();
        let name = path.rsplit_once("node_modules/").map_or(path, |(_, name)| name);
        InstalledPackage {
            name: name.to_owned(),
            version: manifest(graph, id).version.get().map(str::to_owned),
            path: project.join(path),
        }
    };
    nodes.filter(is_in_node_modules).map(package).collect()
}

/// How many packages `npm fund` would count: each name and version once, where it has an address
/// or a list of nothing but addresses (npm 11.19, libnpmfund).
pub fn count_funded(graph: &Graph<'_>, nodes: impl Iterator<Item = NodeId>) -> usize {
    let mut seen = HashSet::new();
    let is_new = |id: NodeId| {
        let manifest = manifest(graph, id);
        let path = graph.node(target(graph, id)).path.as_str();
        let installed = path.rsplit_once("node_modules/").map(|(_, name)| name);
        let name = manifest.name.get().or(installed).unwrap_or(path);
        seen.insert((name, manifest.version.get())).then_some(manifest)
    };
    let packages = nodes.filter(|id| graph.node(*id).parent.is_some()).filter_map(is_new);
    packages.filter(|manifest| manifest.funding.is_some_and(is_funding)).count()
}

/// Of what a link leads to, or of the package itself.
fn manifest<'p>(graph: &Graph<'p>, id: NodeId) -> &'p Manifest<'p> {
    graph.node(target(graph, id)).manifest
}

fn target(graph: &Graph<'_>, id: NodeId) -> NodeId {
    graph.node(id).link_target.unwrap_or(id)
}

fn is_funding(raw: &RawValue) -> bool {
    Value::deserialize(raw).is_ok_and(|value| match &value {
        Value::Array(all) => all.iter().all(is_address),
        other => is_address(other),
    })
}

fn is_address(value: &Value) -> bool {
    let address = value.get("url").unwrap_or(value).as_str();
    let url = address.and_then(|address| Url::parse(address).ok());
    url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn funding_is_an_address_or_a_list_of_addresses() {
        for (text, expected) in [
            (r#""https://a.test/x""#, true),
            (r#"{"type": "x", "url": "http://a.test"}"#, true),
            (r#"["https://a.test", {"url": "https://b.test"}]"#, true),
            (r#"["https://a.test", "mailto:a@b"]"#, false),
            (r#"["https://a.test", ["https://b.test"]]"#, false),
            (r#""a.test""#, false),
            ("{}", false),
            ("null", false),
        ] {
            let raw: &RawValue = serde_json::from_str(text).unwrap();
            assert_eq!(is_funding(raw), expected, "{text}");
        }
    }
}
