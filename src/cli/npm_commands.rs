//! What npm can do and this command cannot: a word on what to type in its place.

use crate::error::{Code, Error};

/// npm's commands with the names that they are commonly typed by (npm 11.19,
/// lib/utils/cmd-list.js); those that only a package's author needs are left out.
const NPM_COMMANDS: [(&str, &[&str]); 25] = [
    ("audit", &[]),
    ("config", &["c", "get", "set"]),
    ("dedupe", &["ddp", "find-dupes"]),
    ("exec", &["x"]),
    ("explain", &["why"]),
    ("fund", &[]),
    ("init", &["create", "innit"]),
    ("link", &["ln"]),
    ("login", &["adduser", "add-user", "logout"]),
    ("ls", &["list", "ll", "la"]),
    ("outdated", &[]),
    ("pack", &[]),
    ("pkg", &[]),
    ("prune", &[]),
    ("publish", &[]),
    ("query", &[]),
    ("rebuild", &["rb"]),
    ("run", &["run-script", "rum", "urn", "start", "stop", "restart"]),
    ("sbom", &[]),
    ("shrinkwrap", &[]),
    ("test", &["t", "tst"]),
    ("uninstall", &["un", "unlink", "remove", "rm", "r"]),
    ("update", &["u", "up", "upgrade", "udpate"]),
    ("version", &["verison"]),
    ("view", &["v", "info", "show"]),
];

/// `npm install` and what is typed for it.
const INSTALL: [&str; 13] = [
    "install",
    "i",
    "add",
    "in",
    "ins",
    "inst",
    "insta",
    "instal",
    "isnt",
    "isnta",
    "isntal",
    "isntall",
    "install-test",
];
const CI_TEST: [&str; 4] = ["install-ci-test", "cit", "clean-install-test", "sit"];

/// The error that says which command of npm's this is; `None` where npm has none of that name.
pub fn hint(name: &str) -> Option<Error> {
    let error = || {
        let message = format!("`{name}` is no command of ringstall, which only installs lockfiles");
        Error::new(Code::Usage, message)
    };
    if INSTALL.contains(&name) {
        let hint = "`ringstall ci` installs what the lockfile says; use `npm install` to change it";
        return Some(error().with_hint(hint));
    }
    if CI_TEST.contains(&name) {
        return Some(error().with_hint("use `ringstall ci && npm test` for that"));
    }
    let is_named =
        |(command, others): &&(&str, &[&str])| *command == name || others.contains(&name);
    NPM_COMMANDS.iter().find(is_named)?;
    Some(
        error().with_hint(format!(
            "use `npm {name}` for that; `ringstall ci` installs from the lockfile"
        )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_there_once() {
        let mut names: Vec<_> = NPM_COMMANDS
            .iter()
            .flat_map(|(name, others)| std::iter::once(name).chain(others.iter()))
            .chain(&INSTALL)
            .chain(&CI_TEST)
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn what_npm_does_not_have_is_not_npms() {
        assert!(hint("teleport").is_none());
        let error = hint("run").unwrap();
        let expected = "use `npm run` for that; `ringstall ci` installs from the lockfile";
        assert_eq!((error.code(), error.hint()), (Code::Usage, Some(expected)));
    }
}
