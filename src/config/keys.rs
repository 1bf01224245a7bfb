//! Every setting that npm knows, and what it means here: used, refused, or without effect.
//!
//! The list is that of npm 11.19 (`@npmcli/config/lib/definitions/definitions.js`), in the order of
//! the alphabet, so that the two can be laid side by side. A key that is not in it is unknown to
//! npm as well, which ignores it. Nothing here reads a value from anywhere.

use Idle::{Address, Chosen, Freshness, Links, OtherCommands, Output, Programs};
use Kind::{Flag, List, Text};

/// One setting of npm's.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub role: Role,
}

/// How a value is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `--key`, `--no-key`, `--key=false`.
    Flag,
    /// `--key value`; the last one counts.
    Text,
    /// `--key one --key two`.
    List,
}

#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// Has the effect that it has for `npm ci`.
    Used,
    /// Asks for another tree, or for none, in a way that is not supported.
    Refused {
        /// Values that ask for nothing special, npm's default among them.
        harmless: &'static [&'static str],
        problem: &'static str,
    },
    /// Has no effect on what `ringstall ci` does.
    Idle(Idle),
}

/// Why a setting has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// `npm ci` does not look at it, or overrules it.
    OtherCommands,
    /// It steers how npm chooses versions, which the lockfile has done already.
    Chosen,
    /// It steers what npm prints, logs, reports or asks.
    Output,
    /// It is about folders that are copied instead of linked.
    Links,
    /// It is about npm's own cache, or how fresh its answers have to be.
    Freshness,
    /// It names a program; what runs is never a file's to choose.
    Programs,
    /// It picks this machine's end of a connection.
    Address,
}

impl Idle {
    /// Ends the sentence "`key` has no effect: ...".
    pub fn reason(self) -> &'static str {
        match self {
            Self::OtherCommands => "it is for other commands than `ci`",
            Self::Chosen => "the lockfile has chosen all versions",
            Self::Output => "it is about npm's own output and logs",
            Self::Links => "folders are always linked",
            Self::Freshness => "what the cache has is known by its integrity",
            Self::Programs => "no setting chooses a program to run",
            Self::Address => "the system chooses the address that connections come from",
        }
    }
}

/// The setting of this name, if npm has one.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.binary_search_by(|key| key.name.cmp(name)).ok().map(|index| &KEYS[index])
}

const fn used(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, role: Role::Used }
}

const fn idle(name: &'static str, kind: Kind, idle: Idle) -> Key {
    Key { name, kind, role: Role::Idle(idle) }
}

const fn refused(
    name: &'static str,
    kind: Kind,
    harmless: &'static [&'static str],
    problem: &'static str,
) -> Key {
    Key { name, kind, role: Role::Refused { harmless, problem } }
}

const LAYOUT: &str = "asks for a layout that is not supported";

/// Sorted by name.
pub const KEYS: &[Key] = &[
    // Without an address it is an error in a file, and ignored elsewhere (see `credentials`).
    used("_auth", Text),
    idle("access", Text, OtherCommands),
    idle("all", Flag, OtherCommands),
    idle("allow-directory", Text, Links),
    used("allow-file", Text),
    used("allow-git", Text),
    used("allow-remote", Text),
    idle("allow-same-version", Flag, OtherCommands),
    used("allow-scripts", List),
    idle("allow-scripts-pending", Flag, OtherCommands),
    idle("allow-scripts-pin", Flag, OtherCommands),
    used("also", Text),
    idle("audit", Flag, Output),
    idle("audit-level", Text, Output),
    idle("auth-type", Text, OtherCommands),
    idle("before", Text, Chosen),
    used("bin-links", Flag),
    idle("browser", Text, OtherCommands),
    idle("bypass-2fa", Flag, OtherCommands),
    used("ca", List),
    used("cache", Text),
    idle("cache-max", Text, Freshness),
    idle("cache-min", Text, Freshness),
    used("cafile", Text),
    idle("call", Text, OtherCommands),
    used("cert", Text),
    idle("cidr", List, OtherCommands),
    used("color", Text),
    idle("commit-hooks", Flag, OtherCommands),
    used("cpu", Text),
    used("dangerously-allow-all-scripts", Flag),
    idle("depth", Text, OtherCommands),
    idle("description", Flag, OtherCommands),
    used("dev", Flag),
    idle("diff", List, OtherCommands),
    idle("diff-dst-prefix", Text, OtherCommands),
    idle("diff-ignore-all-space", Flag, OtherCommands),
    idle("diff-name-only", Flag, OtherCommands),
    idle("diff-no-prefix", Flag, OtherCommands),
    idle("diff-src-prefix", Text, OtherCommands),
    idle("diff-text", Flag, OtherCommands),
    idle("diff-unified", Text, OtherCommands),
    // npm says what it would add, and changes nothing.
    refused("dry-run", Flag, &["false"], "asks for a rehearsal, which is not supported"),
    idle("editor", Text, OtherCommands),
    used("engine-strict", Flag),
    idle("expect-result-count", Text, OtherCommands),
    idle("expect-results", Flag, OtherCommands),
    idle("expires", Text, OtherCommands),
    used("fetch-retries", Text),
    used("fetch-retry-factor", Text),
    used("fetch-retry-maxtimeout", Text),
    used("fetch-retry-mintimeout", Text),
    used("fetch-timeout", Text),
    used("force", Flag),
    used("foreground-scripts", Flag),
    idle("format-package-lock", Flag, OtherCommands),
    used("fund", Flag),
    idle("git", Text, Programs),
    idle("git-tag-version", Flag, OtherCommands),
    used("global", Flag),
    refused("global-style", Flag, &["false"], LAYOUT),
    used("globalconfig", Text),
    idle("heading", Text, Output),
    used("https-proxy", Text),
    idle("if-present", Flag, OtherCommands),
    used("ignore-scripts", Flag),
    used("include", List),
    idle("include-attestations", Flag, OtherCommands),
    idle("include-staged", Flag, Chosen),
    used("include-workspace-root", Flag),
    idle("init-author-email", Text, OtherCommands),
    idle("init-author-name", Text, OtherCommands),
    idle("init-author-url", Text, OtherCommands),
    idle("init-license", Text, OtherCommands),
    idle("init-module", Text, OtherCommands),
    idle("init-private", Flag, OtherCommands),
    idle("init-type", Text, OtherCommands),
    idle("init-version", Text, OtherCommands),
    idle("init.author.email", Text, OtherCommands),
    idle("init.author.name", Text, OtherCommands),
    idle("init.author.url", Text, OtherCommands),
    idle("init.license", Text, OtherCommands),
    idle("init.module", Text, OtherCommands),
    idle("init.version", Text, OtherCommands),
    refused("install-links", Flag, &["false"], LAYOUT),
    refused("install-strategy", Text, &["hoisted"], LAYOUT),
    idle("json", Flag, Output),
    used("key", Text),
    refused("legacy-bundling", Flag, &["false"], LAYOUT),
    used("legacy-peer-deps", Flag),
    used("libc", Text),
    idle("link", Flag, OtherCommands),
    idle("local-address", Text, Address),
    used("location", Text),
    // The hidden lockfile is of version 3 whatever is set, and no other one is written.
    idle("lockfile-version", Text, OtherCommands),
    used("loglevel", Text),
    idle("logs-dir", Text, Output),
    idle("logs-max", Text, Output),
    idle("long", Flag, OtherCommands),
    used("maxsockets", Text),
    idle("message", Text, OtherCommands),
    idle("min-release-age", Text, Chosen),
    idle("min-release-age-exclude", List, Chosen),
    idle("name", Text, OtherCommands),
    used("node-gyp", Text),
    used("node-options", Text),
    used("noproxy", List),
    used("offline", Flag),
    used("omit", List),
    used("omit-lockfile-registry-resolved", Flag),
    used("only", Text),
    used("optional", Flag),
    idle("orgs", List, OtherCommands),
    idle("orgs-permission", Text, OtherCommands),
    used("os", Text),
    idle("otp", Text, OtherCommands),
    idle("pack-destination", Text, OtherCommands),
    idle("package", List, OtherCommands),
    // `npm ci` reads the lockfile in spite of it.
    idle("package-lock", Flag, OtherCommands),
    // npm empties node_modules and puts nothing there.
    refused("package-lock-only", Flag, &["false"], "asks for nothing to be installed"),
    idle("packages", List, OtherCommands),
    idle("packages-all", Flag, OtherCommands),
    idle("packages-and-scopes-permission", Text, OtherCommands),
    idle("parseable", Flag, OtherCommands),
    idle("password", Text, OtherCommands),
    idle("prefer-dedupe", Flag, Chosen),
    idle("prefer-offline", Flag, Freshness),
    used("prefer-online", Flag),
    used("prefix", Text),
    idle("preid", Text, OtherCommands),
    used("production", Flag),
    used("progress", Flag),
    idle("provenance", Flag, OtherCommands),
    idle("provenance-file", Text, OtherCommands),
    used("proxy", Text),
    idle("read-only", Flag, OtherCommands),
    idle("rebuild-bundle", Flag, OtherCommands),
    used("registry", Text),
    used("replace-registry-host", Text),
    // `npm ci` saves nothing, whatever is set.
    idle("save", Flag, OtherCommands),
    idle("save-bundle", Flag, OtherCommands),
    idle("save-dev", Flag, OtherCommands),
    idle("save-exact", Flag, OtherCommands),
    idle("save-optional", Flag, OtherCommands),
    idle("save-peer", Flag, OtherCommands),
    idle("save-prefix", Text, OtherCommands),
    idle("save-prod", Flag, OtherCommands),
    idle("sbom-format", Text, OtherCommands),
    idle("sbom-type", Text, OtherCommands),
    used("scope", Text),
    idle("scopes", List, OtherCommands),
    used("script-shell", Text),
    idle("searchexclude", Text, OtherCommands),
    idle("searchlimit", Text, OtherCommands),
    idle("searchopts", Text, OtherCommands),
    idle("searchstaleness", Text, OtherCommands),
    idle("shell", Text, OtherCommands),
    idle("shrinkwrap", Flag, OtherCommands),
    idle("sign-git-commit", Flag, OtherCommands),
    idle("sign-git-tag", Flag, OtherCommands),
    used("strict-allow-scripts", Flag),
    // It makes npm fail where it would resolve a conflict; nothing is resolved here.
    idle("strict-peer-deps", Flag, Chosen),
    used("strict-ssl", Flag),
    idle("tag", Text, Chosen),
    idle("tag-version-prefix", Text, OtherCommands),
    idle("timing", Flag, Output),
    idle("token-description", Text, OtherCommands),
    used("umask", Text),
    idle("unicode", Flag, Output),
    idle("update-notifier", Flag, Output),
    idle("usage", Flag, OtherCommands),
    used("user-agent", Text),
    used("userconfig", Text),
    idle("version", Flag, OtherCommands),
    idle("versions", Flag, OtherCommands),
    idle("viewer", Text, OtherCommands),
    idle("which", Text, OtherCommands),
    used("workspace", List),
    used("workspaces", Flag),
    idle("workspaces-update", Flag, OtherCommands),
    idle("yes", Flag, Output),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_listed_once_and_in_order() {
        assert!(KEYS.is_sorted_by(|first, second| first.name < second.name));
    }

    #[test]
    fn a_key_is_found_by_its_whole_name() {
        assert_eq!(find("registry").map(|key| key.kind), Some(Text));
        assert_eq!(find("init.module").map(|key| key.kind), Some(Text));
        assert!(find("regist").is_none());
        assert!(find("//host/:_authToken").is_none());
    }
}
