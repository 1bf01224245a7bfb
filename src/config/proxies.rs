//! Which addresses are reached through which proxy, with npm's settings and npm's reading of the
//! environment (npm 11.19, `@npmcli/agent/lib/proxy.js`). It makes no connection.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use super::environment::Environment;
use super::layers::{Found, Layers};
use crate::error::{Code, Error, Result};
use crate::registry::host_and_port;

/// The proxies that are set, as they are written: one that cannot be used is an error only where it
/// is needed, so that a warm install behind it works. `Debug` shows no password.
#[derive(Clone, Default)]
pub struct Proxies {
    /// The setting `https-proxy`, else `proxy`: for every address, as in npm.
    configured: Option<Setting>,
    /// `HTTPS_PROXY`, where nothing is configured: for every address as well.
    secure: Option<Setting>,
    /// `HTTP_PROXY`, else `PROXY`: for http addresses, where neither of the others is set.
    plain: Option<Setting>,
    /// Hosts, with those below them, that are reached directly.
    exceptions: Vec<String>,
}

/// A proxy to be used.
#[derive(Clone)]
pub struct Proxy {
    /// An http or https address, of which only the origin counts.
    pub url: Url,
    /// What its `Proxy-Authorization` header says.
    pub authorization: Option<String>,
}

#[derive(Clone)]
struct Setting {
    address: String,
    /// Where it is set, for messages: "`proxy` in `.npmrc`".
    origin: String,
}

impl Proxies {
    pub(super) fn from_layers(layers: &Layers, environment: &Environment) -> Self {
        let configured = |key| {
            let found = layers.text(key).filter(|found| is_proxy(found.value))?;
            let Found { key, value, origin } = found;
            Some(Setting { address: value.to_owned(), origin: format!("`{key}` in {origin}") })
        };
        let variable = |name| {
            let value = environment.get_any_case(name).filter(|value| is_proxy(value))?;
            let origin = format!("`{name}` in the environment");
            Some(Setting { address: value.to_owned(), origin })
        };
        let listed =
            layers.list("noproxy").filter(|list| list.iter().any(|one| !one.value.is_empty()));
        let exceptions = match listed {
            Some(list) => list.into_iter().map(|found| found.value).collect::<Vec<_>>().join(","),
            None => environment.get_any_case("no_proxy").unwrap_or_default().to_owned(),
        };
        let exceptions = exceptions.split(',').map(|host| host.trim().to_lowercase());
        Self {
            configured: configured("https-proxy").or_else(|| configured("proxy")),
            secure: variable("https_proxy"),
            plain: variable("http_proxy").or_else(|| variable("proxy")),
            exceptions: exceptions.filter(|host| !host.is_empty()).collect(),
        }
    }

    /// The proxy for an address; `None` where it is reached directly.
    pub fn of(&self, url: &Url) -> Result<Option<Proxy>> {
        let plain = self.plain.as_ref().filter(|_| url.scheme() == "http");
        let Some(setting) = self.configured.as_ref().or(self.secure.as_ref()).or(plain) else {
            return Ok(None);
        };
        if self.is_exception(url.host_str().unwrap_or_default()) {
            return Ok(None);
        }
        setting.proxy().map(Some)
    }

    /// `example.org` and `.example.org` stand for that host and those below it, `*` for all. As in
    /// npm, a port or a network never matches.
    fn is_exception(&self, host: &str) -> bool {
        self.exceptions.iter().any(|exception| {
            let suffix = exception.trim_matches('.');
            let head = host.strip_suffix(suffix).filter(|_| !suffix.is_empty());
            exception == "*" || head.is_some_and(|head| head.is_empty() || head.ends_with('.'))
        })
    }
}

impl Setting {
    fn proxy(&self) -> Result<Proxy> {
        let refuse = |problem: &str| {
            Error::new(Code::Config, format!("{} {problem}", self.origin))
                .with_hint("write it as `http://host:port/`, or list hosts in `noproxy`")
        };
        let mut url = Url::parse(&self.address)
            .map_err(|cause| refuse("is not the address of a proxy").with_source(cause))?;
        match url.scheme() {
            "http" | "https" => {}
            "socks" | "socks4" | "socks4a" | "socks5" | "socks5h" => {
                return Err(refuse("is a SOCKS proxy, which is not supported"));
            }
            _ => return Err(refuse("is not the address of an http or https proxy")),
        }
        let authorization = {
            let decoded = |text| -> Cow<'_, [u8]> { percent_decode_str(text).into() };
            let (username, password) = (url.username(), url.password());
            let has_any = !username.is_empty() || password.is_some();
            has_any.then(|| {
                let password = decoded(password.unwrap_or_default());
                let pair = [&decoded(username)[..], b":", &password[..]].concat();
                format!("Basic {}", STANDARD.encode(pair))
            })
        };
        // With a host to go with them, neither call can fail.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Proxy { url, authorization })
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Proxies")
            .field("configured", &self.configured.is_some())
            .field("secure", &self.secure.is_some())
            .field("plain", &self.plain.is_some())
            .field("exceptions", &self.exceptions)
            .finish()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Proxy").field(&host_and_port(&self.url)).finish()
    }
}

fn is_proxy(value: &str) -> bool {
    !matches!(value, "" | "false" | "null")
}
