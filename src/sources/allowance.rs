//! `allow-git`, `allow-remote` and `allow-file`: which packages may come from elsewhere than the
//! registry. npm asks them when it fetches (pacote 21, `canUse` in `lib/fetcher.js`; arborist 9,
//! `_isRoot` and `#isRegistryResolvedTarball` in `lib/arborist/reify.js`). `allow-directory` stands
//! beside them, but a folder is linked from a lockfile without being fetched.

use crate::error::{Code, Error, Result};
use crate::graph::{Graph, NodeId};
use crate::plan::count;
use crate::project::Project;
use crate::registry::{Registries, Source};
use crate::specifier::Specifier;

/// The value of one of the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    #[default]
    All,
    /// What the project itself or a workspace asks for.
    Root,
    None,
}

/// Where packages may come from, and what may be done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowances {
    pub git: Allowed,
    pub remote: Allowed,
    pub file: Allowed,
}

impl Allowed {
    /// `None` for what npm ignores with a warning.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::All),
            "root" => Some(Self::Root),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Root => "root",
            Self::None => "none",
        }
    }
}

impl Default for Allowances {
    fn default() -> Self {
        let all = Allowed::All;
        Self { git: all, remote: all, file: all }
    }
}

impl Allowances {
    /// The optional packages that are not allowed; others are an error, all of a kind at once.
    pub fn denied(
        self,
        graph: &Graph<'_>,
        project: &Project<'_>,
        registries: &Registries,
        ids: impl Iterator<Item = NodeId>,
    ) -> Result<Vec<NodeId>> {
        if [self.git, self.remote, self.file] == [Allowed::All; 3] {
            return Ok(Vec::new());
        }
        let (mut optional, mut refused) = (Vec::new(), Vec::new());
        for id in ids {
            let Some(rule) = self.rule(graph, registries, id)? else { continue };
            let is_allowed = match rule.allowed {
                Allowed::All => true,
                Allowed::Root => is_wanted_by_project(graph, project, id),
                Allowed::None => false,
            };
            if is_allowed {
                continue;
            }
            if graph.node(id).flags.is_optional {
                optional.push(id);
            } else {
                refused.push((rule, graph.node(id).path.as_str()));
            }
        }
        let Some((first, _)) = refused.first().copied() else { return Ok(optional) };
        let paths: Vec<_> =
            refused.iter().filter(|(rule, _)| *rule == first).map(|(_, path)| *path).collect();
        let Rule { code, setting, allowed, what } = first;
        let message = format!(
            "`{setting}={}` forbids {} from {what}\n\n{}",
            allowed.as_str(),
            count(paths.len(), "package"),
            paths.join("\n")
        );
        Err(Error::new(code, message).with_hint(format!("`{setting}=all` allows it")))
    }

    fn rule(self, graph: &Graph<'_>, registries: &Registries, id: NodeId) -> Result<Option<Rule>> {
        let node = graph.node(id);
        if node.parent.is_none() || node.link_target.is_some() || node.entry.in_bundle.0 {
            return Ok(None);
        }
        let name = node.entry.name.get().unwrap_or(node.path.name());
        let Some(resolved) = node.entry.resolved.get() else { return Ok(None) };
        let git = (Code::AllowGit, "allow-git", self.git, "git repositories");
        let remote = (Code::AllowRemote, "allow-remote", self.remote, "other addresses");
        let file = (Code::AllowFile, "allow-file", self.file, "tarballs on the disk");
        let found = match registries.tarball_url(name, "", Some(resolved))? {
            Source::Git(_) => git,
            Source::File(_) => file,
            Source::Remote(_) => remote,
            Source::Registry { url, .. }
                if !registries.serves(name, &url) || !is_asked_of_registry(graph, id) =>
            {
                remote
            }
            Source::Registry { .. } | Source::Folder | Source::Unknown => return Ok(None),
        };
        let (code, setting, allowed, what) = found;
        Ok(Some(Rule { code, setting, allowed, what }))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    code: Code,
    setting: &'static str,
    allowed: Allowed,
    what: &'static str,
}

fn is_wanted_by_project(graph: &Graph<'_>, project: &Project<'_>, id: NodeId) -> bool {
    graph.node(id).dependents.iter().any(|(from, place)| {
        let path = graph.node(*from).path.as_str();
        let is_ours = *from == Graph::ROOT || project.workspaces.iter().any(|one| one.path == path);
        is_ours && graph.node(*from).edges[*place].problem.is_none()
    })
}

/// Whether all who want the package name a version, and none an address.
fn is_asked_of_registry(graph: &Graph<'_>, id: NodeId) -> bool {
    let dependents = &graph.node(id).dependents;
    let is_version = |(from, place): &(NodeId, usize)| {
        let specifier = &graph.node(*from).edges[*place].specifier;
        !matches!(
            Specifier::parse(specifier),
            Specifier::Git(_) | Specifier::Remote(_) | Specifier::File(_) | Specifier::Directory(_)
        )
    };
    !dependents.is_empty() && dependents.iter().all(is_version)
}
