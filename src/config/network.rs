//! Settings of the network: limits, retries, certificates. It opens no connection and reads no
//! certificate.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::Environment;
use super::layers::Layers;
use super::proxies::Proxies;
use crate::error::Result;
use crate::registry::Credentials;

/// Connections to one origin unless `maxsockets` is set. npm's own default is 15; a registry
/// serves far more at once, and what is fetched here is known beforehand.
const CONNECTIONS_DEFAULT: usize = 64;
/// Above this a single machine runs out of ports and file descriptors before anything is won.
const CONNECTIONS_MAX: u64 = 1024;
/// The 32-bit exponent of the backoff is never near this; a person who asks for more means "for
/// ever", which a build that hangs does not help.
const RETRIES_MAX: u64 = 100;
/// A day in milliseconds: longer waits are mistakes in the unit.
const WAIT_MS_MAX: u64 = 24 * 60 * 60 * 1000;

#[derive(Clone)]
pub struct NetworkSettings {
    pub connections_max: usize,
    pub fetch_retries: u32,
    pub fetch_retry_factor: f64,
    pub fetch_retry_mintimeout: Duration,
    pub fetch_retry_maxtimeout: Duration,
    /// How long a connection may stay silent. Zero is no limit, as it is for npm.
    pub fetch_timeout: Duration,
    pub strict_ssl: bool,
    /// Certificates in PEM. Together with `cafile` they take the place of the system's, as in npm.
    pub ca: Vec<String>,
    pub cafile: Option<PathBuf>,
    /// `NODE_EXTRA_CA_CERTS`, which adds to the system's certificates.
    pub extra_ca_files: Vec<PathBuf>,
    /// Whose certificate to show where, by address.
    pub credentials: Credentials,
    /// The old `cert` and `key`, which any server that asks is shown.
    pub identity: Option<Identity>,
    pub user_agent: String,
    pub proxies: Proxies,
}

/// A client's certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl NetworkSettings {
    pub(super) fn from_layers(
        layers: &Layers,
        environment: &Environment,
        credentials: Credentials,
    ) -> Result<Self> {
        let connections_max = match bounded(layers, "maxsockets", CONNECTIONS_MAX)? {
            None => CONNECTIONS_DEFAULT,
            // npm (and Node) understand 0 as no limit of their own.
            Some(0) => usize::try_from(CONNECTIONS_MAX).unwrap_or(usize::MAX),
            Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
        };
        let retries = bounded(layers, "fetch-retries", RETRIES_MAX)?.unwrap_or(2);
        let milliseconds = |key, default| -> Result<Duration> {
            Ok(bounded(layers, key, WAIT_MS_MAX)?.map_or(default, Duration::from_millis))
        };
        let ca = layers.list("ca").unwrap_or_default();
        Ok(Self {
            connections_max,
            fetch_retries: u32::try_from(retries).unwrap_or(u32::MAX),
            fetch_retry_factor: factor(layers)?,
            fetch_retry_mintimeout: milliseconds(
                "fetch-retry-mintimeout",
                Duration::from_secs(10),
            )?,
            fetch_retry_maxtimeout: milliseconds(
                "fetch-retry-maxtimeout",
                Duration::from_secs(60),
            )?,
            fetch_timeout: milliseconds("fetch-timeout", Duration::from_secs(5 * 60))?,
            strict_ssl: layers.flag("strict-ssl")?.unwrap_or(true),
            ca: ca.into_iter().map(|found| with_line_breaks(found.value)).collect(),
            cafile: layers.path("cafile"),
            extra_ca_files: environment
                .get("NODE_EXTRA_CA_CERTS")
                .map(PathBuf::from)
                .into_iter()
                .collect(),
            credentials,
            identity: identity(layers),
            user_agent: user_agent(layers)?,
            proxies: Proxies::from_layers(layers, environment),
        })
    }
}

impl Default for NetworkSettings {
    /// What holds where nothing is set.
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_DEFAULT,
            fetch_retries: 2,
            fetch_retry_factor: 10.0,
            fetch_retry_mintimeout: Duration::from_secs(10),
            fetch_retry_maxtimeout: Duration::from_secs(60),
            fetch_timeout: Duration::from_secs(5 * 60),
            strict_ssl: true,
            ca: Vec::new(),
            cafile: None,
            extra_ca_files: Vec::new(),
            credentials: Credentials::default(),
            identity: None,
            user_agent: user_agent_default(),
            proxies: Proxies::default(),
        }
    }
}

impl fmt::Debug for NetworkSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NetworkSettings")
            .field("connections_max", &self.connections_max)
            .field("fetch_retries", &self.fetch_retries)
            .field("fetch_timeout", &self.fetch_timeout)
            .field("strict_ssl", &self.strict_ssl)
            .field("cafile", &self.cafile)
            .field("credentials", &self.credentials)
            .field("identity", &self.identity)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").finish_non_exhaustive()
    }
}

fn identity(layers: &Layers) -> Option<Identity> {
    let pem = |key| layers.text(key).map(|found| with_line_breaks(found.value));
    Some(Identity { certificate: pem("cert")?, key: pem("key")? })
}

/// Unquoted, the line breaks of a certificate are two characters.
fn with_line_breaks(text: &str) -> String {
    text.replace("\\n", "\n")
}

fn bounded(layers: &Layers, key: &str, limit: u64) -> Result<Option<u64>> {
    let Some(number) = layers.number(key)? else { return Ok(None) };
    match layers.text(key) {
        Some(found) if number > limit => Err(found.error(&format!("is more than {limit}"))),
        _ => Ok(Some(number)),
    }
}

fn factor(layers: &Layers) -> Result<f64> {
    let Some(found) = layers.text("fetch-retry-factor") else { return Ok(10.0) };
    match found.value.parse::<f64>() {
        Ok(factor) if factor.is_finite() && factor >= 0.0 => Ok(factor),
        _ => Err(found.error("is not a number")),
    }
}

/// npm's template, as far as its words mean something here.
fn user_agent(layers: &Layers) -> Result<String> {
    let Some(found) = layers.text("user-agent") else { return Ok(user_agent_default()) };
    if !found.value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(found.error("holds a character that no header can"));
    }
    let replacements = [
        ("{npm-version}", env!("CARGO_PKG_VERSION")),
        ("{node-version}", "none"),
        ("{platform}", std::env::consts::OS),
        ("{arch}", architecture()),
        ("{workspaces}", "false"),
        ("{ci}", ""),
    ];
    let mut agent = found.value.to_owned();
    for (word, replacement) in replacements {
        agent = agent.replace(word, replacement);
    }
    Ok(agent.trim().to_owned())
}

fn user_agent_default() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("ringstall/{version} {} {}", std::env::consts::OS, architecture())
}

/// Node's name of the architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        "x86" => "ia32",
        "loongarch64" => "loong64",
        other => other,
    }
}
