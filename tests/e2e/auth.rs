//! Credentials: which request carries which, and where none may go.

use serde_json::json;

use crate::support::project::Resolved;
use crate::support::{Authority, Clients, Package, Project, Proxy, Registry, Reply};

/// The authorization that each tarball was asked for with, sorted by path.
fn authorizations(registry: &Registry) -> Vec<(String, Option<String>)> {
    let requests = registry.requests();
    let mut seen: Vec<_> =
        requests.into_iter().map(|seen| (seen.path, seen.authorization)).collect();
    seen.sort();
    seen
}

fn sent(path: &str, authorization: Option<&str>) -> (String, Option<String>) {
    (path.to_owned(), authorization.map(str::to_owned))
}

/// Installs one package with these settings; `{host}` stands for the registry's `//host:port/`.
fn authorization_with(settings: &str, environment: &[(&str, &str)]) -> Option<String> {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let settings = settings.replace("{host}", &registry.nerf_dart());
    let mut project = Project::new(&registry).npmrc(&settings).with(&a);
    for (name, value) in environment {
        project = project.env(name, value);
    }
    project.ci(&[]).assert_quiet_success();
    registry.requests()[0].authorization.clone()
}

#[test]
fn a_token_is_sent_as_a_bearer() {
    let found = authorization_with("{host}:_authToken=secret\n", &[]);
    assert_eq!(found.as_deref(), Some("Bearer secret"));
}

#[test]
fn a_token_can_come_from_the_environment() {
    let found = authorization_with("{host}:_authToken=${TOKEN}\n", &[("TOKEN", "secret")]);
    assert_eq!(found.as_deref(), Some("Bearer secret"));
}

#[test]
fn auth_is_sent_as_basic_as_it_is() {
    let found = authorization_with("{host}:_auth=dXNlcjpwYXNz\n", &[]);
    assert_eq!(found.as_deref(), Some("Basic dXNlcjpwYXNz"));
}

#[test]
fn a_name_and_a_password_are_sent_as_basic() {
    let settings = "{host}:username=user\n{host}:_password=cGFzcw==\n";
    let found = authorization_with(settings, &[]);
    assert_eq!(found.as_deref(), Some("Basic dXNlcjpwYXNz"));
}

#[test]
fn the_command_line_can_hold_credentials_for_an_address() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    for spelling in [&["--{host}:_authToken=secret"][..], &["--{host}:_authToken", "secret"]] {
        let project = Project::new(&registry).with(&a);
        let words: Vec<_> =
            spelling.iter().map(|word| word.replace("{host}", &registry.nerf_dart())).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        project.ci(&words).assert_quiet_success();
        let seen = registry.requests();
        assert_eq!(seen[0].authorization.as_deref(), Some("Bearer secret"));
        registry.forget_requests();
    }
}

#[test]
fn credentials_without_an_address_are_refused_in_files_as_by_npm() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    for key in ["_authToken", "_auth", "username", "_password", "_authtoken", "-authtoken"] {
        let project = Project::new(&registry).with(&a).npmrc(&format!("{key}=s3cr3t\n"));
        project.assert_npm_fails(&[]);
        registry.forget_requests();
        let expected = format!(
            "error: ERR_INVALID_AUTH: credentials must name the registry they are for: `{key}` in \
             `[PROJECT]/.npmrc`"
        );
        let hint = "hint: write `//host/:_authToken`, `//host/:_auth` and so on; `npm config fix` \
                    does";
        project.ci(&[]).assert_failure(&[&expected, hint]);
        assert_eq!(registry.paths(), [""; 0]);
    }
}

#[test]
fn credentials_without_an_address_in_the_environment_go_nowhere() {
    for name in ["npm_config__authToken", "npm_config__auth"] {
        assert_eq!(authorization_with("", &[(name, "secret")]), None, "{name}");
    }
}

#[test]
fn without_credentials_nothing_is_sent() {
    assert_eq!(authorization_with("", &[]), None);
}

#[test]
fn a_token_is_for_the_path_it_was_given_for() {
    let registry = Registry::start();
    let a = registry.serve_under("one/", Package::new("@one/a", "1.0.0"));
    let b = registry.serve_under("two/", Package::new("@two/b", "1.0.0"));
    let (url, host) = (registry.url(), registry.nerf_dart());
    let settings =
        format!("@one:registry={url}one/\n@two:registry={url}two/\n{host}one/:_authToken=secret\n");
    let project =
        Project::new(&registry).npmrc(&settings).resolved(Resolved::Absent).with(&a).with(&b);
    project.ci(&[]).assert_quiet_success();
    assert_eq!(
        authorizations(&registry),
        [
            sent("/one/@one/a/-/a-1.0.0.tgz", Some("Bearer secret")),
            sent("/two/@two/b/-/b-1.0.0.tgz", None),
        ]
    );
}

#[test]
fn the_longest_path_wins() {
    let registry = Registry::start();
    let a = registry.serve_under("one/", Package::new("@one/a", "1.0.0"));
    let b = registry.serve(Package::new("b", "1.0.0"));
    let (url, host) = (registry.url(), registry.nerf_dart());
    let settings =
        format!("@one:registry={url}one/\n{host}:_authToken=all\n{host}one/:_authToken=one\n");
    let project =
        Project::new(&registry).npmrc(&settings).resolved(Resolved::Absent).with(&a).with(&b);
    project.ci(&[]).assert_quiet_success();
    assert_eq!(
        authorizations(&registry),
        [
            sent("/b/-/b-1.0.0.tgz", Some("Bearer all")),
            sent("/one/@one/a/-/a-1.0.0.tgz", Some("Bearer one")),
        ]
    );
}

#[test]
fn a_redirect_to_another_host_carries_no_credentials() {
    let (registry, mirror) = (Registry::start(), Registry::start());
    let a = mirror.serve(Package::new("a", "1.0.0"));
    let location = format!("{}{}", mirror.url(), a.tarball_path());
    registry.reply_always("/a/-/a-1.0.0.tgz", Reply::redirect(&location));
    let settings = format!("{}:_authToken=secret\n", registry.nerf_dart());
    let project = Project::new(&registry).npmrc(&settings).with(&a);
    project.ci(&[]).assert_quiet_success();
    let expected = sent("/a/-/a-1.0.0.tgz", Some("Bearer secret"));
    assert_eq!(authorizations(&registry), [expected]);
    assert_eq!(authorizations(&mirror), [sent("/a/-/a-1.0.0.tgz", None)]);
}

#[test]
fn credentials_in_the_user_s_npmrc_are_used() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry).with(&a);
    let settings = format!("{}:_authToken=secret\n", registry.nerf_dart());
    std::fs::write(project.temp().join("home/.npmrc"), settings).unwrap();
    project.ci(&[]).assert_quiet_success();
    let expected = sent("/a/-/a-1.0.0.tgz", Some("Bearer secret"));
    assert_eq!(authorizations(&registry), [expected]);
}

#[test]
fn the_registry_can_come_from_the_environment() {
    let registry = Registry::start();
    let a = registry.serve(Package::new("a", "1.0.0"));
    let project = Project::new(&registry)
        .without_registry_option()
        .npmrc("registry=http://127.0.0.1:9/\n")
        .env("npm_config_registry", &registry.url())
        .resolved(Resolved::Absent)
        .with(&a);
    project.ci(&[]).assert_quiet_success();
    assert_eq!(registry.paths(), ["/a/-/a-1.0.0.tgz"]);
}

/// Settings that hold a secret each, for a registry that fails.
const SECRETS: [&str; 7] = [
    "{host}:_authToken=s3cr3t",
    // base64 of `user:s3cr3t`, and of `s3cr3t`.
    "{host}:_auth=dXNlcjpzM2NyM3Q=",
    "{host}:username=user\n{host}:_password=czNjcjN0",
    "{host}:_authToken=${SECRET}",
    "{host}:_authToken=\"s3cr3t\\nx\"",
    "proxy=http://user:s3cr3t@{proxy}",
    "proxy=socks5://user:s3cr3t@{proxy}",
];

#[track_caller]
fn assert_says_no_secret(project: &Project, options: &[&str]) {
    let forms = ["s3cr3t", "dXNlcjpzM2NyM3Q", "czNjcjN0"];
    for output in [&["-v"][..], &["--json", "-v"], &["--stats", "-v"]] {
        let outcome = project.ci(&[options, output].concat());
        assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
        for form in forms {
            let said = format!("{}{}", outcome.stderr, outcome.stdout);
            assert!(!said.contains(form), "{options:?}: {said}");
        }
    }
}

#[test]
fn no_secret_is_ever_printed() {
    let registry = Registry::start();
    let proxy = Proxy::start();
    let a = Package::new("a", "1.0.0");
    for settings in SECRETS {
        let settings = settings
            .replace("{host}", &registry.nerf_dart())
            .replace("{proxy}", &proxy.authority());
        for status in [401, 403, 404, 407, 500] {
            registry.reply_always("/a/-/a-1.0.0.tgz", Reply::status(status));
            let project = Project::new(&registry)
                .npmrc(&format!("{}{settings}\n", crate::retry::FAST))
                .env("SECRET", "s3cr3t")
                .with(&a);
            assert_says_no_secret(&project, &[]);
        }
    }
}

#[test]
fn no_secret_of_the_command_line_or_of_a_wrong_setting_is_printed() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0");
    let token = format!("--{}:_authToken=s3cr3t", registry.nerf_dart());
    assert_says_no_secret(&Project::new(&registry).with(&a), &[&token]);
    assert_says_no_secret(&Project::new(&registry).with(&a), &["--proxy=s3cr3t"]);
    let registry_option = "--registry=http://user:s3cr3t@127.0.0.1:9/";
    assert_says_no_secret(&Project::new(&registry).with(&a), &[registry_option]);
    for settings in [
        "registry=${SECRET}",
        "@s:registry=${SECRET}",
        "strict-ssl=s3cr3t",
        "maxsockets=s3cr3t",
        "umask=s3cr3t",
        "install-strategy=s3cr3t",
        "cert=s3cr3t\nkey=s3cr3t",
        "_auth=s3cr3t",
    ] {
        let secure = Registry::start_secure(Authority::new().server(Clients::Anyone));
        let project = Project::new(&secure).without_registry_option().with(&a).npmrc(settings);
        assert_says_no_secret(&project.env("SECRET", "s3cr3t"), &[]);
    }
}

#[test]
fn a_secret_in_an_address_is_not_printed() {
    let registry = Registry::start();
    let a = Package::new("a", "1.0.0");
    let url = registry.url().replace("http://", "http://user:s3cr3t@");
    let project = Project::new(&registry)
        .with(&a)
        .entry("node_modules/a", json!({"resolved": format!("{url}a/-/a-1.0.0.tgz")}));
    let outcome = project.ci(&["-v"]);
    assert_eq!(outcome.code, Some(1));
    assert!(!outcome.stderr.contains("s3cr3t"), "{}", outcome.stderr);
}

#[test]
fn a_setting_that_cannot_be_understood_is_an_error_that_names_its_place() {
    let registry = Registry::start();
    let project = Project::new(&registry).npmrc("strict-ssl=perhaps\n");
    let outcome = project.ci(&[]);
    let message = outcome.assert_error("ECONFIG");
    assert_eq!(message, "`strict-ssl` in `[PROJECT]/.npmrc` is neither `true` nor `false`");
}

#[test]
fn a_setting_that_asks_for_another_layout_is_refused() {
    let registry = Registry::start();
    let project = Project::new(&registry).npmrc("install-strategy=linked\n");
    project.ci(&[]).assert_failure(&[
        "error: ECONFIG: `install-strategy` in `[PROJECT]/.npmrc` asks for a layout that is not \
         supported",
        "hint: remove the setting, or install with npm",
    ]);
}
