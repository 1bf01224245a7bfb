//! The rules of precedence and of values, each on files in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use url::Url;

use super::{Environment, Omit, Overrides, Settings, load};
use crate::error::{Code, Result};
use crate::registry::Source;

/// A project, a home and a global prefix in one temporary folder.
struct Place {
    folder: TempDir,
    variables: Vec<(String, String)>,
    overrides: Overrides,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["project", "home", "prefix/etc"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        Self { folder, variables: Vec::new(), overrides: Overrides::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn project(self, text: &str) -> Self {
        self.file("project/.npmrc", text)
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.path(name), text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = overrides;
        self
    }

    fn load(&self) -> Result<Settings> {
        let base = [("HOME", self.path("home")), ("PREFIX", self.path("prefix"))]
            .map(|(name, path)| (name.to_owned(), path.to_str().unwrap().to_owned()));
        let environment = base.into_iter().chain(self.variables.clone()).collect::<Environment>();
        load(&self.path("project"), &self.overrides, &environment)
    }

    fn settings(&self) -> Settings {
        self.load().unwrap()
    }
}

/// The address of the package `name` at the registry that it is taken from.
fn registry(settings: &Settings, name: &str) -> String {
    settings.registries.registry_of(name).to_string()
}

fn omitted(place: &Place) -> Vec<&'static str> {
    let Omit { dev, optional, peer } = place.settings().omit;
    let kinds = [("dev", dev), ("optional", optional), ("peer", peer)];
    kinds.into_iter().filter(|(_, is_omitted)| *is_omitted).map(|(kind, _)| kind).collect()
}

#[test]
fn the_nearer_place_wins() {
    let place = Place::new().file("prefix/etc/npmrc", "registry=https://global.test");
    assert_eq!(registry(&place.settings(), "a"), "https://global.test/");
    let place = place.file("home/.npmrc", "registry=https://user.test");
    assert_eq!(registry(&place.settings(), "a"), "https://user.test/");
    let place = place.project("registry=https://project.test");
    assert_eq!(registry(&place.settings(), "a"), "https://project.test/");
    let place = place.variable("NPM_CONFIG_REGISTRY", "https://environment.test/npm");
    assert_eq!(registry(&place.settings(), "a"), "https://environment.test/npm/");
    let place = place.overrides([("registry", "https://command.test")].into());
    assert_eq!(registry(&place.settings(), "a"), "https://command.test/");
}

#[test]
fn the_user_and_global_files_can_be_elsewhere() {
    let place = Place::new()
        .file("user", "registry=https://user.test")
        .file("global", "@s:registry=https://global.test");
    let (user, global) = (place.path("user"), place.path("global"));
    let place = place
        .variable("NPM_CONFIG_USERCONFIG", user.to_str().unwrap())
        .variable("npm_config_globalconfig", global.to_str().unwrap());
    assert_eq!(registry(&place.settings(), "a"), "https://user.test/");
    assert_eq!(registry(&place.settings(), "@s/a"), "https://global.test/");
}

#[test]
fn tokens_of_the_user_are_used_with_registries_of_the_project() {
    let place = Place::new()
        .project("@s:registry=https://s.test/npm")
        .file("home/.npmrc", "//s.test/npm/:_authToken=${TOKEN}")
        .variable("TOKEN", "secret");
    let settings = place.settings();
    let Source::Registry { url, .. } =
        settings.registries.tarball_url("@s/a", "1.0.0", None).unwrap()
    else {
        panic!("not a registry")
    };
    assert_eq!(settings.registries.authorization(&url).as_deref(), Some("Bearer secret"));
    let other = Url::parse("https://s.test/other/a.tgz").unwrap();
    assert_eq!(settings.registries.authorization(&other), None);
    assert!(!format!("{settings:?}").contains("secret"));
}

#[test]
fn omit_is_the_list_without_what_is_included() {
    let cases: [(&str, &[&str]); 12] = [
        ("", &[]),
        ("omit=dev", &["dev"]),
        ("omit[]=dev\nomit[]=optional\nomit[]=peer", &["dev", "optional", "peer"]),
        ("omit[]=dev\nomit[]=peer\ninclude=dev", &["peer"]),
        ("only=prod", &["dev"]),
        ("only=production", &["dev"]),
        ("production=true", &["dev"]),
        ("omit=dev\nproduction=false", &[]),
        ("omit=dev\nalso=dev", &[]),
        ("production=true\ndev=true", &[]),
        ("optional=false", &["optional"]),
        ("omit=optional\noptional=true", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(omitted(&Place::new().project(text)), expected, "{text}");
    }
}

#[test]
fn a_stronger_omit_takes_the_place_of_a_weaker_one() {
    let place = Place::new().project("omit=dev").variable("npm_config_omit", "optional\n\npeer");
    assert_eq!(omitted(&place), ["optional", "peer"]);
    let place = place.overrides([("omit", "dev")].into());
    assert_eq!(omitted(&place), ["dev"]);
}

#[test]
fn production_in_node_env_omits_dev_unless_omit_is_set() {
    let place = Place::new().variable("NODE_ENV", "production");
    assert_eq!(omitted(&place), ["dev"]);
    assert_eq!(omitted(&place.project("omit=peer")), ["peer"]);
    let place = Place::new().variable("NODE_ENV", "production").project("include=dev");
    assert_eq!(omitted(&place), Vec::<&str>::new());
}

#[test]
fn an_unknown_kind_is_ignored_with_a_warning_as_in_npm() {
    let place = Place::new().project("omit=dev,optional");
    assert_eq!(omitted(&place), Vec::<&str>::new());
    let path = place.path("project/.npmrc");
    let expected = format!(
        "`dev,optional` is not a kind of dependency that `omit` in `{}` can name",
        path.display()
    );
    assert_eq!(place.settings().warnings, [expected]);
}

#[test]
fn defaults_are_npms() {
    let settings = Place::new().settings();
    assert!(settings.bin_links);
    assert!(!settings.ignore_scripts && !settings.offline);
    let network = settings.network;
    assert_eq!(network.connections_max, 64);
    assert_eq!(network.fetch_retries, 2);
    assert_eq!(network.fetch_retry_mintimeout, Duration::from_secs(10));
    assert_eq!(network.fetch_timeout, Duration::from_secs(300));
    assert!(network.strict_ssl && network.ca.is_empty() && network.cafile.is_none());
}

#[test]
fn settings_of_the_network_are_read() {
    let place = Place::new()
        .project(
            "maxsockets=5\nfetch-retries=0\nfetch-retry-mintimeout=1\nstrict-ssl=false\n\
             ca[]=one\nca[]=two\\nlines\ncafile=~/ca.pem\n",
        )
        .variable("NODE_EXTRA_CA_CERTS", "/extra.pem");
    let network = place.settings().network;
    assert_eq!(network.connections_max, 5);
    assert_eq!(network.fetch_retries, 0);
    assert_eq!(network.fetch_retry_mintimeout, Duration::from_millis(1));
    assert!(!network.strict_ssl);
    assert_eq!(network.ca, ["one", "two\nlines"]);
    assert_eq!(network.cafile, Some(place.path("home/ca.pem")));
    assert_eq!(network.extra_ca_files, [PathBuf::from("/extra.pem")]);
}

#[test]
fn values_that_cannot_be_understood_are_refused_with_their_place() {
    let cases = [
        ("registry=not a url", "is not a URL"),
        ("registry=ftp://a.test", "is not an http or https address"),
        (
            "registry=https://a.test/?x=${PLACE}",
            "has a query or a fragment, which a registry cannot have",
        ),
        ("@s:registry=", "is not a URL"),
        ("ignore-scripts=yes", "is neither `true` nor `false`"),
        ("maxsockets=many", "is not a whole number"),
        ("maxsockets=100000", "is more than 1024"),
        ("fetch-retry-factor=x", "is not a number"),
        ("install-strategy=nested", "asks for a layout that is not supported"),
        ("legacy-bundling=true", "asks for a layout that is not supported"),
        ("global-style", "asks for a layout that is not supported"),
        ("user-agent=\"a\\nb\"", "holds a character that no header can"),
    ];
    for (text, problem) in cases {
        let place = Place::new().project(text).variable("PLACE", "secret");
        let error = place.load().unwrap_err();
        let key = text.split('=').next().unwrap();
        let path = place.path("project/.npmrc");
        let expected = format!("`{key}` in `{}` {problem}", path.display());
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.code(), Code::Config);
    }
}

#[test]
fn the_layouts_that_are_supported_may_be_named() {
    let place = Place::new().project("install-strategy=hoisted\nlegacy-bundling=false");
    assert!(place.load().is_ok());
}

/// The proxy that an address is reached by, with its authorization.
fn proxy(place: &Place, address: &str) -> Option<(String, Option<String>)> {
    let proxy = place.settings().network.proxies.of(&Url::parse(address).unwrap()).unwrap();
    proxy.map(|proxy| (proxy.url.to_string(), proxy.authorization))
}

fn is_proxied(place: &Place, address: &str) -> bool {
    proxy(place, address).is_some()
}

#[test]
fn a_configured_proxy_is_for_every_address_and_hides_those_of_the_environment() {
    let place = Place::new()
        .project("proxy=http://plain.test:3128\nhttps-proxy=http://u:p%40ss@secure.test")
        .variable("HTTP_PROXY", "http://variable.test");
    // base64 of `u:p@ss`.
    let expected = ("http://secure.test/".to_owned(), Some("Basic dTpwQHNz".to_owned()));
    assert_eq!(proxy(&place, "https://a.test/"), Some(expected.clone()));
    assert_eq!(proxy(&place, "http://a.test/"), Some(expected));
    let shown = format!("{:?}", place.settings());
    assert!(!shown.contains("p%40ss") && !shown.contains("dTpwQHNz"), "{shown}");
    let place = Place::new().project("proxy=http://plain.test:3128");
    assert_eq!(proxy(&place, "https://a.test/"), Some(("http://plain.test:3128/".into(), None)));
}

#[test]
fn the_environments_proxies_are_by_scheme_as_in_npm() {
    let place = Place::new().variable("http_proxy", "http://proxy.test");
    assert!(is_proxied(&place, "http://a.test/"));
    assert!(!is_proxied(&place, "https://a.test/"));
    let place = Place::new().variable("HTTPS_PROXY", "http://proxy.test");
    assert!(is_proxied(&place, "http://a.test/"));
    assert!(is_proxied(&place, "https://a.test/"));
    let place = Place::new().variable("ALL_PROXY", "http://proxy.test");
    assert!(!is_proxied(&place, "https://a.test/"));
}

#[test]
fn proxy_false_leaves_the_environments_proxy_alone_as_in_npm() {
    let place = Place::new().project("proxy=false").variable("http_proxy", "http://proxy.test");
    assert!(is_proxied(&place, "http://a.test/"));
}

#[test]
fn hosts_are_exceptions_with_all_below_them() {
    let place = Place::new()
        .project("proxy=http://proxy.test")
        .variable("NO_PROXY", "localhost, .a.test,[::1],b.test:80");
    for (address, is_direct) in [
        ("https://a.test/", true),
        ("https://b.a.test/", true),
        ("https://A.test/", true),
        ("http://localhost:4873/", true),
        ("http://[::1]/", true),
        ("https://ba.test/", false),
        ("https://a.test.evil.test/", false),
        ("http://b.test/", false),
    ] {
        assert_eq!(!is_proxied(&place, address), is_direct, "{address}");
    }
    let place = place.project("proxy=http://proxy.test\nnoproxy[]=c.test\nnoproxy[]=d.test");
    assert!(is_proxied(&place, "https://a.test/"));
    assert!(!is_proxied(&place, "https://d.test/"));
    let place = place.project("proxy=http://proxy.test\nnoproxy=*");
    assert!(!is_proxied(&place, "https://a.test/"));
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_where_it_is_needed() {
    let cases = [
        ("socks5://u:secret@p.test", "is a SOCKS proxy, which is not supported"),
        ("ftp://u:secret@p.test", "is not the address of an http or https proxy"),
        ("p.test", "is not the address of a proxy"),
    ];
    for (address, problem) in cases {
        let place = Place::new().variable("https_proxy", address).variable("no_proxy", "b.test");
        let proxies = place.settings().network.proxies;
        let error = proxies.of(&Url::parse("https://a.test/").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), format!("`https_proxy` in the environment {problem}"));
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        assert!(proxies.of(&Url::parse("https://b.test/").unwrap()).unwrap().is_none());
    }
}

#[test]
fn npms_own_file_is_the_weakest() {
    let place = Place::new().file("prefix/etc/npmrc", "registry=https://global.test");
    fs::create_dir_all(place.path("npm/bin")).unwrap();
    fs::create_dir_all(place.path("path")).unwrap();
    let place = place
        .file("npm/bin/npm-cli.js", "")
        .file("npm/npmrc", "registry=https://npm.test\n@s:registry=https://s.test");
    std::os::unix::fs::symlink("../npm/bin/npm-cli.js", place.path("path/npm")).unwrap();
    let path = place.path("path");
    let place = place.variable("PATH", path.to_str().unwrap());
    assert_eq!(registry(&place.settings(), "a"), "https://global.test/");
    assert_eq!(registry(&place.settings(), "@s/a"), "https://s.test/");
}

#[test]
fn credentials_without_an_address_are_refused_in_files_only() {
    let place = Place::new().project("_authToken=secret").file("home/.npmrc", "username=u");
    let error = place.load().unwrap_err();
    let (project, user) = (place.path("project/.npmrc"), place.path("home/.npmrc"));
    let expected = format!(
        "credentials must name the registry they are for: `_authToken` in `{}`, `username` in `{}`",
        project.display(),
        user.display(),
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.code(), Code::InvalidAuth);
    let place = Place::new().variable("npm_config__auth", "secret").project("_authToken=");
    assert!(place.load().is_ok());
}

#[test]
fn a_projects_file_puts_no_secret_into_an_address() {
    let cases = [
        ("registry", "https://evil.test/${NPM_TOKEN}/"),
        ("registry", "https://${NPM_TOKEN}.evil.test/"),
        ("@s:registry", "https://evil.test/${NPM_TOKEN?}"),
        ("proxy", "http://${NPM_TOKEN}@evil.test/"),
        ("user-agent", "${NPM_TOKEN}"),
    ];
    for (key, value) in cases {
        let text = format!("{key}={value}");
        let place = Place::new().project(&text).variable("NPM_TOKEN", "secret");
        let path = place.path("project/.npmrc");
        let error = place.load().unwrap_err();
        let expected = format!(
            "`{key}` in `{}` sends the environment variable `NPM_TOKEN` to a server",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
    }
    // What a person sets for themselves is theirs to send.
    let text = "registry=https://mine.test/${NPM_TOKEN}/";
    let place = Place::new().file("home/.npmrc", text).variable("NPM_TOKEN", "t");
    assert_eq!(registry(&place.settings(), "a"), "https://mine.test/t/");
}

#[test]
fn an_address_of_the_environment_goes_on_working() {
    let place = Place::new()
        .project(
            "registry=${CI_REGISTRY}\n@s:registry=https://${CI_HOST}/p/${CI_PROJECT_ID}/npm/\n\
             //${CI_HOST}/p/${CI_PROJECT_ID}/npm/:_authToken=${CI_JOB_TOKEN}",
        )
        .variable("CI_REGISTRY", "https://r.test/npm")
        .variable("CI_HOST", "h.test")
        .variable("CI_PROJECT_ID", "7")
        .variable("CI_JOB_TOKEN", "secret");
    let settings = place.settings();
    assert_eq!(registry(&settings, "a"), "https://r.test/npm/");
    assert_eq!(registry(&settings, "@s/a"), "https://h.test/p/7/npm/");
    let url = Url::parse("https://h.test/p/7/npm/a.tgz").unwrap();
    assert_eq!(settings.registries.authorization(&url).as_deref(), Some("Bearer secret"));
}

#[test]
fn settings_without_effect_are_named() {
    let place = Place::new()
        .project("before=2020-01-01\nsave-exact=true\nregistry=https://r.test\n//r.test/:odd=1")
        .variable("npm_config_npm_version", "11.0.0")
        .variable("npm_config_colour", "yes");
    let path = place.path("project/.npmrc");
    let here = |key: &str, reason: &str| format!("`{key}` in `{}` {reason}", path.display());
    let unknown = "has no effect: npm knows no such setting";
    assert_eq!(
        place.settings().ignored,
        [
            format!("`colour` in the environment {unknown}"),
            format!("a key that ends with `:odd` in `{}` {unknown}", path.display()),
            here("before", "has no effect: the lockfile has chosen all versions"),
            here("save-exact", "has no effect: it is for other commands than `ci`"),
        ]
    );
}

#[test]
fn a_line_without_its_sign_is_not_shown() {
    let place = Place::new().project("//r.test/:_authToken s3cr3t\nnpm_s3cr3t\n//r.test/:s3cr3t");
    let ignored = place.settings().ignored;
    assert_eq!(ignored.len(), 3);
    assert!(!format!("{ignored:?}").contains("s3cr3t"), "{ignored:?}");
}

#[test]
fn debug_shows_no_secret_of_any_kind() {
    let overrides = Overrides::from([("//c.test/:_authToken", "s3cr3t")]);
    assert!(!format!("{overrides:?}").contains("s3cr3t"));
    let place = Place::new()
        .project(
            "//a.test/:_authToken=s3cr3t\n//b.test/:_auth=s3cr3t\n//d.test/:username=u\n\
             //d.test/:_password=s3cr3t\ncert=s3cr3t\nkey=s3cr3t\nproxy=http://u:s3cr3t@p.test",
        )
        .variable("HTTPS_PROXY", "http://u:s3cr3t@p.test")
        .variable("npm_config_//e.test/:_authToken", "s3cr3t")
        .overrides(overrides);
    let settings = place.settings();
    let proxy = settings.network.proxies.of(&Url::parse("http://a.test/").unwrap()).unwrap();
    assert!(proxy.as_ref().is_some_and(|proxy| proxy.authorization.is_some()));
    let shown = format!("{settings:?}{proxy:?}");
    // base64 of `u:s3cr3t`.
    assert!(!shown.contains("s3cr3t") && !shown.contains("dTpzM2NyM3Q="), "{shown}");
}

#[test]
fn a_umask_is_read_as_npm_reads_it() {
    let umask = |text: &str| Place::new().project(text).load().map(|settings| settings.umask);
    for (text, expected) in [("", 0), ("umask=077", 0o77), ("umask=0o27", 0o27), ("umask=18", 18)] {
        assert_eq!(umask(text).unwrap(), expected, "{text}");
    }
    for text in ["umask=098", "umask=1000", "umask=u=rwx"] {
        assert_eq!(umask(text).unwrap_err().code(), Code::Config, "{text}");
    }
}

#[test]
fn global_packages_are_refused() {
    for text in ["global=true", "location=global"] {
        let error = Place::new().project(text).load().unwrap_err();
        assert_eq!(error.code(), Code::CiGlobal, "{text}");
    }
    assert!(Place::new().project("global=false\nlocation=user").load().is_ok());
}
