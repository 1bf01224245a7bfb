//! The keys of the lockfile's `packages`: where on disk a package goes.
//!
//! Lockfiles come from strangers (a pull request may change nothing else), so every key is checked
//! here once, and nothing inside asks again.

use crate::error::{Code, Error, Result};

/// A location relative to the project's root; the root itself is the empty path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstallPath<'a>(&'a str);

/// NAME_MAX of every Linux filesystem.
const COMPONENT_BYTES_MAX: usize = 255;
/// PATH_MAX is 4096 with its NUL; the rest is left for the project's own path and the files below.
const PATH_BYTES_MAX: usize = 3072;

impl<'a> InstallPath<'a> {
    pub const ROOT: InstallPath<'static> = InstallPath("");

    /// Refuses what could leave its place or collide with what npm itself keeps in `node_modules`.
    pub fn parse(key: &'a str) -> Result<Self> {
        match problem(key) {
            None => Ok(Self(key)),
            Some(problem) => {
                let key = key.escape_debug();
                Err(Error::new(
                    Code::LockfileInvalid,
                    format!("the lockfile's entry `{key}` cannot be installed: {problem}"),
                ))
            }
        }
    }

    pub fn as_str(self) -> &'a str {
        self.0
    }

    pub fn is_root(self) -> bool {
        self.0.is_empty()
    }

    /// Whether it lies outside the project's folder (`../other`), as the target of a link may.
    pub fn is_outside(self) -> bool {
        self.0.starts_with("..")
    }

    /// The package's name as its dependents say it: what follows the last `node_modules/`; for
    /// other folders the last component, with its scope if it has one (name-from-folder).
    pub fn name(self) -> &'a str {
        if let Some((_, name)) = self.split_node_modules() {
            return name;
        }
        let mut slashes = self.0.rmatch_indices('/');
        let Some((last, _)) = slashes.next() else { return self.0 };
        let scope = slashes.next().map_or(0, |(slash, _)| slash + 1);
        if self.0[scope..].starts_with('@') { &self.0[scope..] } else { &self.0[last + 1..] }
    }

    /// The path of the package whose `node_modules` it is in, and its name there; `None` for
    /// the root, workspaces and other targets of links.
    pub fn split_node_modules(self) -> Option<(InstallPath<'a>, &'a str)> {
        let at = self.0.rfind("node_modules/")?;
        let name = &self.0[at + "node_modules/".len()..];
        let is_whole_name = match name.split_once('/') {
            None => true,
            Some((scope, rest)) => scope.starts_with('@') && !rest.contains('/'),
        };
        let parent = self.0[..at].strip_suffix('/').unwrap_or(&self.0[..at]);
        (is_whole_name && (at == 0 || self.0.as_bytes()[at - 1] == b'/'))
            .then_some((InstallPath(parent), name))
    }

    /// The folders above it, nearest first, the root last.
    pub fn ancestors(self) -> impl Iterator<Item = InstallPath<'a>> {
        std::iter::successors(Some(self.0), |path| {
            if path.is_empty() {
                return None;
            }
            Some(path.rfind('/').map_or("", |slash| &path[..slash]))
        })
        .skip(1)
        .map(InstallPath)
    }
}

fn problem(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return None;
    }
    if key.len() > PATH_BYTES_MAX {
        return Some("it is too long for a path");
    }
    if key.starts_with('/') {
        return Some("it is an absolute path");
    }
    // Targets of links may lie beside the project, never inside a path that goes up later.
    let mut components = key.split('/').peekable();
    while components.peek() == Some(&"..") {
        components.next();
    }
    let mut is_name = false;
    while let Some(component) = components.next() {
        if let Some(problem) = component_problem(component, is_name) {
            return Some(problem);
        }
        let is_scope = is_name && component.starts_with('@');
        if is_scope {
            match components.next() {
                None => return Some("it names a scope, not a package"),
                Some(name) => {
                    if let Some(problem) = component_problem(name, true) {
                        return Some(problem);
                    }
                }
            }
        }
        is_name = !is_name && component == "node_modules";
    }
    is_name.then_some("it names no package")
}

fn component_problem(component: &str, is_name: bool) -> Option<&'static str> {
    if component.is_empty() {
        return Some("it has an empty component");
    }
    if component == "." || component == ".." {
        return Some("it has a component that is `.` or `..`");
    }
    if component.len() > COMPONENT_BYTES_MAX {
        return Some("a component is longer than 255 bytes");
    }
    if component.bytes().any(|byte| byte < b' ' || byte == b'\\' || byte == 0x7f) {
        return Some("it has a backslash or a control character");
    }
    if is_name && component.starts_with('.') {
        // `.bin`, `.package-lock.json`, `.staging`: npm's own, never a package's name.
        return Some("a package's name cannot start with a dot");
    }
    if is_name && component.eq_ignore_ascii_case("node_modules") {
        return Some("`node_modules` is not a package's name");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_could_leave_their_place_are_refused() {
        for key in [
            "/abs",
            "node_modules/../../x",
            "node_modules/a/../../b",
            "a/../b",
            "node_modules/.bin",
            "node_modules/.bin/x",
            "node_modules/.package-lock.json",
            "node_modules/.staging-1",
            "node_modules/@x/../y",
            "node_modules/@x/.y",
            "node_modules/@x",
            "node_modules/",
            "node_modules",
            "node_modules/node_modules",
            "node_modules//a",
            "node_modules/a\\b",
            "node_modules/a\0b",
            "node_modules/a\nb",
            "./node_modules/a",
            &format!("node_modules/{}", "a".repeat(300)),
            &format!("packages/{}", "a/".repeat(2000)),
        ] {
            let error = InstallPath::parse(key).expect_err(key);
            assert_eq!(error.code(), Code::LockfileInvalid, "{key}");
        }
    }

    #[test]
    fn names_that_javascript_fears_are_plain_names() {
        for key in ["node_modules/__proto__", "node_modules/constructor", "../beside", ""] {
            InstallPath::parse(key).expect(key);
        }
    }

    #[test]
    fn the_name_is_what_follows_the_last_node_modules() {
        let name = |key| InstallPath::parse(key).unwrap().name();
        assert_eq!(name("node_modules/a/node_modules/@s/b"), "@s/b");
        assert_eq!(name("node_modules/a"), "a");
        assert_eq!(name("packages/a"), "a");
        assert_eq!(name("packages/@s/a"), "@s/a");
    }

    #[test]
    fn the_parent_owns_the_node_modules() {
        let parent = |key| InstallPath::parse(key).unwrap().split_node_modules().map(|(p, _)| p.0);
        assert_eq!(parent("node_modules/a/node_modules/@s/b"), Some("node_modules/a"));
        assert_eq!(parent("packages/a/node_modules/b"), Some("packages/a"));
        assert_eq!(parent("node_modules/b"), Some(""));
        assert_eq!(parent("packages/a"), None);
        assert_eq!(parent("not_node_modules/a"), None);
        assert_eq!(parent("node_modules/a/lib"), None);
    }

    #[test]
    fn ancestors_end_at_the_root() {
        let path = InstallPath::parse("packages/@s/a").unwrap();
        let above: Vec<_> = path.ancestors().map(InstallPath::as_str).collect();
        assert_eq!(above, ["packages/@s", "packages", ""]);
    }
}
