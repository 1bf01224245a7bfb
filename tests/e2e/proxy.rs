//! The way through a proxy: which addresses take it, what the proxy is told, and what it is not.

use std::path::Path;

use crate::retry::FAST;
use crate::support::proxy::Passed;
use crate::support::{Authority, Clients, Package, Project, Proxy, Registry};

/// base64 of `user:p@ss`.
const BASIC: &str = "Basic dXNlcjpwQHNz";

fn passed(what: &str, authorization: Option<&str>, proxy_authorization: Option<&str>) -> Passed {
    Passed {
        what: what.to_owned(),
        authorization: authorization.map(str::to_owned),
        proxy_authorization: proxy_authorization.map(str::to_owned),
    }
}

fn write_authority(project: &Project, authority: &Authority) -> String {
    let path = project.temp().join("authority.pem");
    std::fs::write(&path, authority.pem()).unwrap();
    path.display().to_string()
}

/// A secure registry with one package, and a project that wants it and trusts it.
fn secure() -> (Registry, Project, String) {
    let authority = Authority::new();
    let registry = Registry::start_secure(authority.server(Clients::Anyone));
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    let settings = format!("{FAST}cafile={}\n", write_authority(&project, &authority));
    (registry, project, settings)
}

/// Installs with npm and with ringstall, and gives what the proxy was asked each time.
fn asked_by_both(proxy: &Proxy, project: &Project) -> [Vec<Passed>; 2] {
    let theirs = project.npm_ci(&[]);
    let asked_by_npm = proxy.take();
    project.ci(&[]).assert_quiet_success();
    let asked = proxy.take();
    let Some((outcome, _)) = theirs else { return [asked.clone(), asked] };
    outcome.assert_success();
    [asked_by_npm, asked]
}

#[test]
fn an_https_address_is_reached_by_a_tunnel_that_credentials_do_not_cross() {
    let (registry, project, settings) = secure();
    let proxy = Proxy::start().wants(BASIC);
    let project = project.npmrc(&format!(
        "{settings}https-proxy=http://user:p%40ss@{}\n{}:_authToken=secret\n",
        proxy.authority(),
        registry.nerf_dart(),
    ));
    let [theirs, ours] = asked_by_both(&proxy, &project);
    assert_eq!(ours, [passed(&format!("CONNECT {}", registry.authority()), None, Some(BASIC))]);
    assert_eq!(theirs, ours);
    for seen in registry.requests() {
        assert_eq!(seen.authorization.as_deref(), Some("Bearer secret"));
        assert_eq!(seen.proxy_authorization, None);
    }
}

#[test]
fn an_http_address_is_told_to_the_proxy_whole() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let proxy = Proxy::start().wants(BASIC);
    let project = Project::new(&registry).with(&a).npmrc(&format!(
        "proxy=http://user:p%40ss@{}\n{}:_authToken=secret\n",
        proxy.authority(),
        registry.nerf_dart(),
    ));
    let [theirs, ours] = asked_by_both(&proxy, &project);
    let what = format!("GET {}a/-/a-1.0.0.tgz", registry.url());
    assert_eq!(ours, [passed(&what, Some("Bearer secret"), Some(BASIC))]);
    assert_eq!(theirs, ours);
    assert!(registry.requests().iter().all(|seen| seen.proxy_authorization.is_none()));
}

#[test]
fn the_environment_s_names_count_as_for_npm() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let proxy = Proxy::start();
    let address = format!("http://{}", proxy.authority());
    let cases: [(&[(&str, &str)], bool); 8] = [
        (&[("HTTP_PROXY", &address)], true),
        (&[("http_proxy", &address)], true),
        (&[("https_proxy", &address)], true),
        (&[("PROXY", &address)], true),
        (&[("ALL_PROXY", &address)], false),
        (&[("http_proxy", &address), ("NO_PROXY", "a.test, 127.0.0.1")], false),
        (&[("http_proxy", &address), ("npm_config_noproxy", "127.0.0.1")], false),
        (&[("http_proxy", &address), ("npm_config_proxy", "false")], true),
    ];
    for (variables, is_proxied) in cases {
        let mut project = Project::new(&registry).with(&a);
        for (name, value) in variables {
            project = project.env(name, value);
        }
        let [theirs, ours] = asked_by_both(&proxy, &project);
        assert_eq!(!ours.is_empty(), is_proxied, "{variables:?}");
        assert_eq!(theirs, ours, "{variables:?}");
    }
}

#[test]
fn the_command_line_can_name_the_proxy_and_its_exceptions() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let proxy = Proxy::start();
    let project = || Project::new(&registry).with(&a);
    let address = format!("http://{}", proxy.authority());
    for option in ["--proxy", "--https-proxy"] {
        project().ci(&[option, &address]).assert_quiet_success();
        assert_eq!(proxy.take().len(), 1, "{option}");
    }
    let options = [&format!("--proxy={address}"), "--noproxy=127.0.0.1"];
    project().ci(&options).assert_quiet_success();
    assert_eq!(proxy.take(), []);
}

#[test]
fn a_proxy_can_be_spoken_to_by_tls() {
    let authority = Authority::new();
    let plain = Registry::start();
    let secure = Registry::start_secure(authority.server(Clients::Anyone));
    let proxy = Proxy::start_secure(authority.server(Clients::Anyone)).wants(BASIC);
    for registry in [plain, secure] {
        let a = registry.serve(Package::new("a", "1.0.0"));
        let project = Project::new(&registry).with(&a);
        let cafile = write_authority(&project, &authority);
        let project = project
            .npmrc(&format!("proxy=https://user:p%40ss@{}\ncafile={cafile}\n", proxy.authority()));
        let [theirs, ours] = asked_by_both(&proxy, &project);
        assert_eq!(ours.len(), 1);
        assert_eq!(theirs, ours);
    }
}

#[test]
fn a_proxy_that_wants_to_know_who_asks_is_an_error_that_says_what_to_do() {
    let (_registry, tunnelled, settings) = secure();
    let proxy = Proxy::start().wants(BASIC);
    let address = format!("proxy=http://user:wr0ng@{}\n", proxy.authority());
    let tunnelled = tunnelled.npmrc(&format!("{settings}{address}"));
    let plain_registry = Registry::start();
    let a = plain_registry.serve(Package::new("a", "1.0.0"));
    let plain = Project::new(&plain_registry).with(&a).npmrc(&format!("{FAST}{address}"));
    for project in [tunnelled, plain] {
        project.assert_npm_fails(&[]);
        proxy.take();
        let outcome = project.ci(&[]);
        let message = outcome.assert_error("E407");
        assert!(message.starts_with("failed to install a@1.0.0 from"), "{message}");
        assert!(outcome.stderr.contains("with status 407"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("http://name:password@host:port/"), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("wr0ng"), "{}", outcome.stderr);
        // It is asked once.
        assert_eq!(proxy.take().len(), 1);
    }
}

#[test]
fn a_proxy_that_refuses_a_tunnel_is_an_error_that_names_both() {
    let (registry, project, settings) = secure();
    let proxy = Proxy::start();
    let project = project.npmrc(&format!("{settings}proxy=http://{}\n", proxy.authority()));
    proxy.reply_once("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let outcome = project.ci(&[]);
    outcome.assert_error("ENETWORK");
    let expected = format!(
        "  caused by: failed to connect to `{}` by the proxy `{}`\n\
         \x20 caused by: the proxy answered with status 403 Forbidden\n",
        registry.authority(),
        proxy.authority(),
    );
    assert!(outcome.stderr.contains(&expected), "{}", outcome.stderr);
    assert_eq!(proxy.take().len(), 1);
}

#[test]
fn a_proxy_that_fails_for_a_moment_is_asked_again() {
    let (registry, project, settings) = secure();
    let proxy = Proxy::start();
    let project = project.npmrc(&format!("{settings}proxy=http://{}\n", proxy.authority()));
    proxy.reply_once("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
    proxy.reply_once("");
    project.ci(&[]).assert_quiet_success();
    assert_eq!(proxy.take().len(), 3);
    assert_eq!(registry.requests().len(), 1);
}

#[test]
fn what_is_no_answer_to_connect_is_an_error() {
    for answer in ["SSH-2.0-server\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nand more"] {
        let (_registry, project, settings) = secure();
        let proxy = Proxy::start();
        let settings = format!("{settings}fetch-retries=0\nproxy=http://{}\n", proxy.authority());
        proxy.reply_once(answer);
        project.npmrc(&settings).ci(&[]).assert_error("ENETWORK");
    }
}

#[test]
fn a_proxy_that_is_not_supported_is_refused_by_name_where_it_is_needed() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    project.ci(&[]).assert_quiet_success();
    let project = project.npmrc("proxy=socks5://user:s3cr3t@127.0.0.1:9\n");
    // What the cache has needs no proxy.
    project.ci(&[]).assert_quiet_success();
    remove_cache(&project.cache());
    let outcome = project.ci(&[]);
    outcome.assert_error("ECONFIG");
    let expected =
        "caused by: `proxy` in `[PROJECT]/.npmrc` is a SOCKS proxy, which is not supported\n";
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("s3cr3t"), "{}", outcome.stderr);
}

fn remove_cache(cache: &Path) {
    std::fs::remove_dir_all(cache).unwrap();
}
