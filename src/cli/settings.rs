//! Options that are npm's settings: what is typed here goes before `.npmrc` and the environment.
//!
//! They are made from the list of npm's keys, so that whatever a script passes to `npm ci` can be
//! passed here: `--key value`, `--key=value`, `--no-key`, and `--key=false` for switches. A few are
//! shown in the help; the others are described by npm.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

use clap::builder::PossibleValuesParser;
use clap::error::{Error, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::Overrides;
use crate::config::keys::{KEYS, Key, Kind};

/// What was typed, by npm's names.
#[derive(Clone, Debug, Default)]
pub struct SettingArguments {
    pub overrides: Overrides,
}

/// A setting that the help shows.
struct Shown {
    key: &'static str,
    /// Empty for a switch.
    value: &'static str,
    heading: &'static str,
    help: &'static str,
}

const PACKAGES: &str = "Which packages";
const NETWORK: &str = "Caches and network";
const SCRIPTS: &str = "Lifecycle scripts";

const SHOWN: &[Shown] = &[
    Shown {
        key: "omit",
        value: "KIND",
        heading: PACKAGES,
        help: "Leave out a kind of dependency; can be given several times",
    },
    Shown {
        key: "include",
        value: "KIND",
        heading: PACKAGES,
        help: "Install a kind of dependency in spite of --omit or NODE_ENV",
    },
    Shown {
        key: "os",
        value: "OS",
        heading: PACKAGES,
        help: "Install for another operating system, as node names it",
    },
    Shown {
        key: "cpu",
        value: "CPU",
        heading: PACKAGES,
        help: "Install for another processor, as node names it",
    },
    Shown {
        key: "libc",
        value: "LIBC",
        heading: PACKAGES,
        help: "Install for another C library: glibc or musl",
    },
    Shown {
        key: "engine-strict",
        value: "",
        heading: PACKAGES,
        help: "Fail where a package's `engines` do not match, instead of warning",
    },
    Shown {
        key: "force",
        value: "",
        heading: PACKAGES,
        help: "Install packages that are not for this platform or this node",
    },
    Shown {
        key: "legacy-peer-deps",
        value: "",
        heading: PACKAGES,
        help: "Ignore peer dependencies, as the author of the lockfile did",
    },
    Shown {
        key: "ignore-scripts",
        value: "",
        heading: SCRIPTS,
        help: "Run no scripts and say nothing of them",
    },
    Shown {
        key: "foreground-scripts",
        value: "",
        heading: SCRIPTS,
        help: "Give scripts the terminal, and run them one after the other",
    },
    Shown {
        key: "strict-allow-scripts",
        value: "",
        heading: SCRIPTS,
        help: "Fail where packages have scripts that `allowScripts` neither allows nor denies",
    },
    Shown {
        key: "dangerously-allow-all-scripts",
        value: "",
        heading: SCRIPTS,
        help: "Run the scripts of all packages, whatever `allowScripts` says",
    },
    Shown {
        key: "script-shell",
        value: "PROGRAM",
        heading: SCRIPTS,
        help: "The shell for scripts [default: sh]",
    },
    Shown {
        key: "offline",
        value: "",
        heading: NETWORK,
        help: "Ask nothing of the network; what the caches lack is an error that names all of it",
    },
    Shown {
        key: "prefer-offline",
        value: "",
        heading: NETWORK,
        help: "Take what the caches have without asking whether it is still right, as is always \
               done",
    },
    Shown {
        key: "prefer-online",
        value: "",
        heading: NETWORK,
        help: "Take nothing from npm's cache that the lockfile has no integrity of",
    },
    Shown {
        key: "registry",
        value: "URL",
        heading: NETWORK,
        help: "The registry for packages without a scope's own",
    },
    Shown {
        key: "https-proxy",
        value: "URL",
        heading: NETWORK,
        help: "The proxy for all addresses; --proxy is the same",
    },
    Shown {
        key: "noproxy",
        value: "HOSTS",
        heading: NETWORK,
        help: "Hosts that are reached without the proxy, with commas between them",
    },
    Shown {
        key: "cafile",
        value: "FILE",
        heading: NETWORK,
        help: "Trust the authorities in this file, in PEM, instead of the system's",
    },
    Shown {
        key: "maxsockets",
        value: "N",
        heading: NETWORK,
        help: "Connections to one registry at most [default: 64]",
    },
    Shown {
        key: "fetch-timeout",
        value: "MS",
        heading: NETWORK,
        help: "How long a connection may stay silent [default: 300000]",
    },
    Shown {
        key: "userconfig",
        value: "FILE",
        heading: NETWORK,
        help: "Read this instead of ~/.npmrc",
    },
];

/// Options of ringstall's own go by these names, or by clap's.
const NOT_TYPED: [&str; 12] = [
    "cache",
    "color",
    "include-workspace-root",
    "json",
    "loglevel",
    "prefix",
    "timing",
    "usage",
    "version",
    "versions",
    "workspace",
    "workspaces",
];
/// Options of every command that begin with `no-`.
const NOT_NEGATED: [&str; 1] = ["progress"];

/// Takes a key that no list can have: `--@scope:registry=URL`, `--//host/:_authToken=TOKEN`.
const ENTRY: &str = "npmrc-entry";

impl Args for SettingArguments {
    fn augment_args(command: Command) -> Command {
        let taken: HashSet<String> =
            command.get_arguments().filter_map(Arg::get_long).map(str::to_owned).collect();
        let keys = KEYS.iter().filter(|key| is_typed(key) && !taken.contains(key.name));
        let command =
            keys.fold(command, |command, key| command.arg(positive(key)).args(negative(key.name)));
        let entry = Arg::new(ENTRY).long(ENTRY).hide(true).num_args(1).action(ArgAction::Append);
        command.arg(entry)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut overrides = Overrides::default();
        for key in KEYS.iter().filter(|key| is_typed(key)) {
            // Another option of this name is not one of these.
            let Ok(Some(values)) = matches.try_get_many::<String>(key.name) else { continue };
            for value in values {
                match key.kind {
                    Kind::List => overrides.add(key.name, value),
                    Kind::Flag | Kind::Text => overrides.set(key.name, value),
                }
            }
        }
        for key in KEYS.iter().filter(|key| is_typed(key)) {
            if matches.try_get_one::<bool>(&no(key.name)).ok().flatten() == Some(&true) {
                overrides.set(key.name, "false");
            }
        }
        for entry in matches.get_many::<String>(ENTRY).into_iter().flatten() {
            let Some((name, value)) = entry.split_once('=') else {
                let message = format!("`--{entry}` needs a value\n");
                return Err(Error::raw(ErrorKind::InvalidValue, message));
            };
            overrides.set(name, value);
        }
        Ok(Self { overrides })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The words of the command line with keys that clap cannot know, such as `--@scope:registry=URL`,
/// put as values of an option that it does. What stands behind `--` is left as it is.
pub fn spelled(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut spelled = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let entry = word.to_str().and_then(|word| word.strip_prefix("--")).filter(|entry| {
            (entry.starts_with('@') || entry.starts_with("//")) && entry.contains(':')
        });
        match entry {
            None => {
                let ends = word == OsStr::new("--");
                spelled.push(word);
                if ends {
                    spelled.extend(words);
                    break;
                }
            }
            Some(entry) => {
                let mut entry = OsString::from(entry);
                if !entry.to_string_lossy().contains('=')
                    && let Some(value) = words.next()
                {
                    entry.push("=");
                    entry.push(value);
                }
                let mut option = OsString::from(format!("--{ENTRY}="));
                option.push(entry);
                spelled.push(option);
            }
        }
    }
    spelled
}

fn is_typed(key: &Key) -> bool {
    !NOT_TYPED.contains(&key.name)
}

fn positive(key: &Key) -> Arg {
    let arg = Arg::new(key.name).long(key.name);
    let arg = if is_negated(key.name) { arg.overrides_with(no(key.name)) } else { arg };
    let arg = match key.kind {
        Kind::Flag => arg
            .num_args(0..=1)
            .default_missing_value("true")
            .value_parser(PossibleValuesParser::new(["true", "false"]))
            .hide_possible_values(true),
        Kind::Text => arg.num_args(1),
        Kind::List => arg.num_args(1).action(ArgAction::Append),
    };
    // A kind that is mistyped would be ignored with a warning, as it is in a file.
    let kinds = |kinds: &[&'static str]| PossibleValuesParser::new(kinds.to_vec());
    let arg = match key.name {
        "omit" => arg.value_parser(kinds(&["dev", "optional", "peer"])),
        "include" => arg.value_parser(kinds(&["dev", "optional", "peer", "prod"])),
        "force" => arg.short('f'),
        "global" => arg.short('g'),
        _ => arg,
    };
    match SHOWN.iter().find(|shown| shown.key == key.name) {
        Some(Shown { value, heading, help, .. }) => {
            let arg = arg.help(*help).help_heading(*heading);
            if value.is_empty() {
                arg.value_name("BOOL").hide_default_value(true)
            } else {
                arg.value_name(*value)
            }
        }
        None => arg.hide(true),
    }
}

fn negative(name: &'static str) -> Option<Arg> {
    if !is_negated(name) {
        return None;
    }
    let arg = Arg::new(no(name)).long(no(name)).action(ArgAction::SetTrue);
    let arg = arg.overrides_with(name);
    Some(match name {
        "bin-links" => arg.help("Make no links in node_modules/.bin").help_heading("Placing"),
        _ => arg.hide(true),
    })
}

fn is_negated(name: &str) -> bool {
    !NOT_NEGATED.contains(&name)
}

fn no(name: &str) -> String {
    format!("no-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        settings: SettingArguments,
    }

    fn parsed(words: &[&str]) -> Result<Overrides, Error> {
        let words = std::iter::once("line").chain(words.iter().copied()).map(OsString::from);
        Line::try_parse_from(spelled(words)).map(|line| line.settings.overrides)
    }

    #[track_caller]
    fn assert_set(words: &[&str], expected: &[(&str, &[&str])]) {
        let overrides = parsed(words).unwrap();
        let found = overrides.values();
        let found: Vec<(&str, Vec<&str>)> = found.collect();
        let expected: Vec<_> = expected.iter().map(|(key, list)| (*key, list.to_vec())).collect();
        assert_eq!(found, expected, "{words:?}");
    }

    #[test]
    fn a_setting_is_typed_as_for_npm() {
        assert_set(&["--proxy", "http://p.test"], &[("proxy", &["http://p.test"])]);
        assert_set(&["--proxy=http://p.test"], &[("proxy", &["http://p.test"])]);
        assert_set(&["--strict-ssl"], &[("strict-ssl", &["true"])]);
        assert_set(&["--strict-ssl", "false"], &[("strict-ssl", &["false"])]);
        assert_set(&["--strict-ssl=false"], &[("strict-ssl", &["false"])]);
        assert_set(&["--no-strict-ssl"], &[("strict-ssl", &["false"])]);
        assert_set(&["--no-proxy"], &[("proxy", &["false"])]);
        assert_set(&["--omit=dev", "--omit", "peer"], &[("omit", &["dev", "peer"])]);
        assert_set(&["-f", "--no-audit"], &[("audit", &["false"]), ("force", &["true"])]);
    }

    #[test]
    fn the_last_of_two_counts() {
        let last = ["--strict-ssl", "--no-strict-ssl"];
        assert_set(&last, &[("strict-ssl", &["false"])]);
        let last = ["--no-strict-ssl", "--strict-ssl"];
        assert_set(&last, &[("strict-ssl", &["true"])]);
    }

    #[test]
    fn keys_of_scopes_and_hosts_can_be_typed() {
        assert_set(
            &["--@s:registry=https://r.test/?a=b", "--//r.test/:_authToken", "t"],
            &[("//r.test/:_authToken", &["t"]), ("@s:registry", &["https://r.test/?a=b"])],
        );
        assert!(parsed(&["--//r.test/:_authToken"]).is_err());
    }

    #[test]
    fn what_npm_does_not_know_is_refused() {
        assert!(parsed(&["--strict-sll"]).is_err());
        assert!(parsed(&["--strict-ssl=perhaps"]).is_err());
    }

    #[test]
    fn what_is_shown_is_a_setting() {
        assert!(SHOWN.iter().all(|shown| KEYS.iter().any(|key| key.name == shown.key)));
    }
}
