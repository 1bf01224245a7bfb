//! What is kept or replaced as a whole: each thing that lies directly in the `node_modules` of the
//! root or of another folder, with all that lies below it. So a package is always replaced with
//! those nested in it, and nothing is ever pieced together inside of one.

use std::collections::BTreeMap;

use ring::digest;

use super::record::Digest;
use crate::delivery::Parcel;
use crate::graph::Graph;
use crate::link::Privacy;
use crate::plan::Plan;

/// What is to be put into each unit; `None` for one that has to be made anew by every run.
pub type Fingerprints = BTreeMap<String, Option<Digest>>;

/// The unit that a path below the project lies in: up to the first name in a `node_modules`.
pub fn unit_of(path: &str) -> Option<&str> {
    const FOLDER: &str = "node_modules/";
    let is_component = |at: &usize| *at == 0 || path.as_bytes()[at - 1] == b'/';
    let at = path.match_indices(FOLDER).map(|(at, _)| at).find(is_component)?;
    let start = at + FOLDER.len();
    let mut slashes = path[start..].match_indices('/').map(|(slash, _)| start + slash);
    let end = if path[start..].starts_with('@') { slashes.nth(1) } else { slashes.next() };
    Some(&path[..end.unwrap_or(path.len())])
}

/// A package whose scripts may run is made anew wherever anything at all has changed, since what
/// they do may hang on all the rest. `built` are those of which the lockfile need not say so.
pub fn fingerprints(
    graph: &Graph<'_>,
    plan: &Plan<'_>,
    parcels: &[Parcel<'_>],
    how: &str,
    built: &[String],
) -> Fingerprints {
    let mut drafts = Drafts::default();
    for parcel in parcels {
        // A tarball on this machine may be another one tomorrow, under the same path.
        let is_doubtful = parcel.at_hand.is_some() && parcel.integrity.is_none();
        let identity = match &parcel.integrity {
            Some(integrity) => format!("{integrity:?}"),
            None => parcel.url.to_string(),
        };
        for target in &parcel.targets {
            let mut nested = target.nested.clone();
            nested.sort_unstable();
            let mut won = target.won_bins.clone();
            won.sort_unstable();
            let (path, is_resolved) = (target.path, target.is_resolved);
            let (is_private, umask) = (target.privacy == Privacy::Private, target.umask);
            let line =
                format!("{path} {identity} {won:?} {nested:?} {is_resolved} {is_private} {umask}");
            drafts.add(path, line);
            if is_doubtful || is_private {
                drafts.doubt(path);
            }
        }
    }
    for link in &plan.links {
        drafts.add(link.at.as_str(), format!("{} -> {}", link.at.as_str(), link.target.as_str()));
    }
    for bin in plan.bins.iter().filter(|bin| !is_of_every_run(&bin.at)) {
        drafts.add(&bin.at, format!("{} -> {}", bin.at, bin.target));
        // The file lies elsewhere, and is made executable by every run.
        if graph.node(bin.node).link_target.is_some() {
            drafts.doubt(&bin.at);
        }
    }
    for id in plan.placed(graph).filter(|id| graph.node(*id).link_target.is_none()) {
        let path = graph.node(id).path.as_str();
        if built.binary_search_by(|built| built.as_str().cmp(path)).is_ok() {
            drafts.doubt(path);
        }
    }
    drafts.finish(how)
}

/// The commands of the root and of workspaces: who wins a name hangs on all packages.
pub fn is_of_every_run(path: &str) -> bool {
    unit_of(path).is_some_and(|unit| unit.ends_with("/.bin"))
}

#[derive(Default)]
struct Drafts<'p>(BTreeMap<&'p str, Draft>);

#[derive(Default)]
struct Draft {
    lines: Vec<String>,
    is_doubtful: bool,
}

impl<'p> Drafts<'p> {
    fn add(&mut self, path: &'p str, line: String) {
        if let Some(unit) = unit_of(path) {
            self.0.entry(unit).or_default().lines.push(line);
        }
    }

    fn doubt(&mut self, path: &'p str) {
        if let Some(unit) = unit_of(path) {
            self.0.entry(unit).or_default().is_doubtful = true;
        }
    }

    fn finish(self, how: &str) -> Fingerprints {
        let digest = |mut draft: Draft| {
            // The order is that of the whole lockfile, which may change elsewhere.
            draft.lines.sort_unstable();
            let mut context = digest::Context::new(&digest::SHA256);
            for line in std::iter::once(how).chain(draft.lines.iter().map(String::as_str)) {
                context.update(line.as_bytes());
                context.update(b"\0");
            }
            let digest = Digest::try_from(context.finish().as_ref()).ok();
            digest.filter(|_| !draft.is_doubtful)
        };
        self.0.into_iter().map(|(unit, draft)| (unit.to_owned(), digest(draft))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_what_lies_directly_in_the_first_node_modules() {
        for (path, expected) in [
            ("node_modules/a", Some("node_modules/a")),
            ("node_modules/a/node_modules/b", Some("node_modules/a")),
            ("node_modules/@s/a/node_modules/b", Some("node_modules/@s/a")),
            ("node_modules/@s/a", Some("node_modules/@s/a")),
            ("packages/w/node_modules/a/x", Some("packages/w/node_modules/a")),
            ("node_modules/.bin/x", Some("node_modules/.bin")),
            ("my_node_modules/a", None),
            ("packages/w", None),
            ("", None),
        ] {
            assert_eq!(unit_of(path), expected, "{path}");
        }
    }

    #[test]
    fn the_commands_of_the_tops_are_of_every_run() {
        assert!(is_of_every_run("node_modules/.bin/x"));
        assert!(is_of_every_run("w/node_modules/.bin/x"));
        assert!(!is_of_every_run("node_modules/a/node_modules/.bin/x"));
    }
}
