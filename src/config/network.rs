//! Settings of the network: limits, retries, certificates, proxies. It opens no connection and
//! reads no certificate.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::environment::Environment;
use super::layers::Layers;
use crate::error::{Code, Error, Result};

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
    pub user_agent: String,
    pub proxies: Proxies,
}

impl NetworkSettings {
    pub(super) fn from_layers(layers: &Layers, environment: &Environment) -> Result<Self> {
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
            // Unquoted, the line breaks of a certificate are two characters.
            ca: ca.into_iter().map(|found| found.value.replace("\\n", "\n")).collect(),
            cafile: layers.path("cafile"),
            extra_ca_files: environment
                .get("NODE_EXTRA_CA_CERTS")
                .map(PathBuf::from)
                .into_iter()
                .collect(),
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
            user_agent: user_agent_default(),
            proxies: Proxies::default(),
        }
    }
}

/// The proxies that are set. None is supported yet, so an address that would need one is refused
/// when a connection is made: a warm install behind a proxy works, for it makes none.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For https addresses, and before `plain` for http ones.
    secure: Option<String>,
    plain: Option<String>,
    exceptions: Vec<String>,
}

impl Proxies {
    fn from_layers(layers: &Layers, environment: &Environment) -> Self {
        let set = |key| layers.text(key).map(|found| found.value).filter(|value| is_proxy(value));
        let variable = |name| environment.get_any_case(name).filter(|value| is_proxy(value));
        // `proxy=false` and `proxy=null` say that there is none, whatever the environment says.
        let is_off = layers.text("proxy").is_some_and(|found| found.value == "false");
        let configured = set("https-proxy").or_else(|| set("proxy"));
        let secure = configured.or_else(|| variable("https_proxy")).filter(|_| !is_off);
        let plain = variable("http_proxy").or_else(|| variable("proxy")).filter(|_| !is_off);
        let listed =
            layers.list("noproxy").filter(|list| list.iter().any(|one| !one.value.is_empty()));
        let exceptions = match listed {
            Some(list) => list.into_iter().map(|found| found.value).collect::<Vec<_>>().join(","),
            None => environment.get_any_case("no_proxy").unwrap_or_default().to_owned(),
        };
        let exceptions = exceptions.split(',').map(|host| host.trim().to_lowercase()).collect();
        Self { secure: secure.map(str::to_owned), plain: plain.map(str::to_owned), exceptions }
    }

    /// Refuses an address that the settings want to be reached through a proxy.
    pub fn check(&self, url: &Url) -> Result<()> {
        let host = url.host_str().unwrap_or_default();
        let plain = self.plain.as_ref().filter(|_| url.scheme() == "http");
        if self.secure.as_ref().or(plain).is_none() || self.is_exception(host) {
            return Ok(());
        }
        let message = format!("a proxy is set for `{host}`, and proxies are not supported yet");
        Err(Error::new(Code::Config, message)
            .with_hint(format!("add `{host}` to `noproxy` if it can be reached directly")))
    }

    /// `example.org` and `.example.org` stand for that host and those below it, `*` for all.
    fn is_exception(&self, host: &str) -> bool {
        self.exceptions.iter().any(|exception| {
            let suffix = exception.trim_start_matches('.');
            let head = host.strip_suffix(suffix).filter(|_| !suffix.is_empty());
            exception == "*" || head.is_some_and(|head| head.is_empty() || head.ends_with('.'))
        })
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
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Proxies {
    /// A proxy's address may hold a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Proxies")
            .field("secure", &self.secure.is_some())
            .field("plain", &self.plain.is_some())
            .field("exceptions", &self.exceptions)
            .finish()
    }
}

fn is_proxy(value: &str) -> bool {
    !matches!(value, "" | "false" | "null")
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
