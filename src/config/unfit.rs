//! What a file of settings must not hold: credentials without an address, as npm refuses them, and
//! addresses made of secrets, which is where npm looks away.

use super::environment::Environment;
use super::ini::{Entries, Entry};
use crate::error::{Code, Error, Result};

/// Words in the name of an environment variable that holds a secret.
const SECRET_WORDS: [&str; 9] =
    ["AUTH", "COOKIE", "CREDENTIAL", "CREDENTIALS", "JWT", "KEY", "PASS", "PAT", "SESSION"];
/// The same, also as a part of a word (`NPMTOKEN`).
const SECRET_PARTS: [&str; 4] = ["TOKEN", "SECRET", "PASSWORD", "PASSWD"];

/// The names of keys in a file that are credentials of no registry in particular. npm refuses them
/// since it is not known where they may be sent (npm 11.19, `validate` in
/// `@npmcli/config/lib/index.js`).
pub fn unscoped_credentials(entries: &Entries) -> impl Iterator<Item = &str> {
    let keys = ["_authtoken", "-authtoken", "_auth", "_authToken", "username", "_password"];
    let is_set = |entry: &Entry| entry.values.iter().any(|value| !value.trim().is_empty());
    keys.into_iter().filter(move |key| entries.get(*key).is_some_and(is_set))
}

/// The error for all of them, each a key with its place.
pub fn refuse_unscoped(found: &[(&str, &str)]) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let listed: Vec<_> = found.iter().map(|(key, origin)| format!("`{key}` in {origin}")).collect();
    let message = format!("credentials must name the registry they are for: {}", listed.join(", "));
    Err(Error::new(Code::InvalidAuth, message)
        .with_hint("write `//host/:_authToken`, `//host/:_auth` and so on; `npm config fix` does"))
}

/// Refuses a project's file that would make a secret of the environment a part of an address, or
/// of what every request says: who receives the request would have the secret. It is known by the
/// variable's name, so that `registry=${CI_REGISTRY}` goes on working.
pub fn refuse_secrets_in_addresses(
    entries: &Entries,
    environment: &Environment,
    origin: &str,
) -> Result<()> {
    for (key, entry) in entries.iter().filter(|(key, _)| is_shown_to_others(key)) {
        let mut names = entry.values.iter().flat_map(|value| Environment::references(value));
        let Some(name) = names.find(|name| is_secret(name) && environment.get(name).is_some())
        else {
            continue;
        };
        let message =
            format!("`{key}` in {origin} sends the environment variable `{name}` to a server");
        let hint = "keep tokens in `//host/:_authToken`; an address that has to hold one belongs \
                    into your own `.npmrc` or the environment";
        return Err(Error::new(Code::Config, message).with_hint(hint));
    }
    Ok(())
}

fn is_shown_to_others(key: &str) -> bool {
    matches!(key, "registry" | "proxy" | "https-proxy" | "replace-registry-host" | "user-agent")
        || key.ends_with(":registry")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_PARTS.iter().any(|part| name.contains(part))
        || name.split('_').any(|word| SECRET_WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_name() {
        for name in ["NPM_TOKEN", "npm_token", "NPMTOKEN", "CI_JOB_TOKEN", "API_KEY", "GH_PAT"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["CI_REGISTRY", "CI_PROJECT_ID", "CI_SERVER_HOST", "KEYCLOAK_HOST", "PATH"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
