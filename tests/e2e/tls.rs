//! Whom we trust, and who we are: authorities, and certificates of clients.

use std::path::PathBuf;

use crate::retry::FAST;
use crate::support::authority::Identity;
use crate::support::{Authority, Clients, Package, Project, Registry, Reply};

/// A registry with a certificate of its own, and a project that wants its one package.
struct Secure {
    authority: Authority,
    registry: Registry,
    project: Project,
}

impl Secure {
    fn new() -> Self {
        Self::with(Clients::Anyone)
    }

    fn with(clients: Clients<'_>) -> Self {
        let authority = Authority::new();
        let registry = Registry::start_secure(authority.server(clients));
        let a = registry.serve(Package::new("a", "1.0.0"));
        let project = Project::new(&registry).with(&a).npmrc(FAST);
        Self { authority, registry, project }
    }

    /// A file beside the project.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.project.temp().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn trust(&self) -> String {
        format!("{FAST}cafile={}\n", self.file("authority.pem", &self.authority.pem()).display())
    }

    /// Settings that show an identity at the registry.
    fn identity(&self, Identity { certificate, key }: &Identity) -> String {
        let (certificate, key) = (self.file("client.pem", certificate), self.file("key.pem", key));
        let host = self.registry.nerf_dart();
        format!("{host}:certfile={}\n{host}:keyfile={}\n", certificate.display(), key.display())
    }
}

#[test]
fn an_authority_can_be_named_in_each_of_npm_s_ways() {
    type Setting = fn(&Secure) -> String;
    let stranger = |secure: &Secure| {
        let authority = Authority::new();
        format!("ca[]=\"{}\"\nca[]=\"{}\"", authority.one_line(), secure.authority.one_line())
    };
    let ways: [Setting; 4] = [
        Secure::trust,
        |secure| format!("ca=\"{}\"", secure.authority.one_line()),
        stranger,
        |_| "strict-ssl=false".to_owned(),
    ];
    for way in ways {
        let secure = Secure::new();
        let setting = way(&secure);
        let project = secure.project.npmrc(&format!("{FAST}{setting}\n"));
        project.assert_same_as_npm(&[]);
        assert!(project.path().join("node_modules/a/package.json").exists(), "{setting}");
    }
}

#[test]
fn an_authority_can_be_added_by_the_environment() {
    let secure = Secure::new();
    let path = secure.file("authority.pem", &secure.authority.pem());
    let project = secure.project.env("NODE_EXTRA_CA_CERTS", path.to_str().unwrap());
    project.assert_same_as_npm(&[]);
}

#[test]
fn ssl_cert_file_names_the_system_s_authorities() {
    let secure = Secure::new();
    let path = secure.file("authority.pem", &secure.authority.pem());
    let project = secure.project.env("SSL_CERT_FILE", path.to_str().unwrap());
    project.ci(&[]).assert_quiet_success();
}

#[test]
fn the_command_line_can_name_authorities_or_do_without() {
    let secure = Secure::new();
    let path = secure.file("authority.pem", &secure.authority.pem());
    let options: [&[&str]; 4] = [
        &["--cafile", path.to_str().unwrap()],
        &["--no-strict-ssl"],
        &["--strict-ssl=false"],
        &["--strict-ssl", "false"],
    ];
    for options in options {
        let _ = std::fs::remove_dir_all(secure.project.cache());
        secure.project.ci(options).assert_quiet_success();
    }
}

#[test]
fn a_certificate_that_is_not_trusted_is_an_error_without_a_second_try() {
    let secure = Secure::new();
    secure.project.assert_npm_fails(&[]);
    let outcome = secure.project.ci(&[]);
    outcome.assert_error("ENETWORK");
    let hint = "hint: if its certificate is right, set `cafile` to that of its authority";
    assert!(outcome.stderr.contains(hint), "{}", outcome.stderr);
    assert_eq!(secure.registry.requests().len(), 0);
    secure.project.installed().assert(&[]);
}

#[test]
fn a_server_that_wants_a_certificate_is_shown_the_one_for_its_address() {
    let clients = Authority::new();
    let secure = Secure::with(Clients::Only(&clients));
    let settings = secure.trust() + &secure.identity(&clients.identity());
    let project = secure.project.npmrc(&settings);
    project.assert_same_as_npm(&[]);
    assert!(secure.registry.requests().iter().all(|seen| seen.has_certificate));
    project.installed().assert(&[
        ".package-lock.json [node_modules/a]",
        "a/",
        "a/package.json {a@1.0.0}",
    ]);
}

#[test]
fn the_old_cert_and_key_are_shown_to_whoever_asks() {
    let clients = Authority::new();
    let secure = Secure::with(Clients::Only(&clients));
    let Identity { certificate, key } = clients.identity();
    let one_line = |pem: &str| pem.trim().replace("\r\n", "\n").replace('\n', "\\n");
    let settings = format!(
        "{}cert=\"{}\"\nkey=\"{}\"\n",
        secure.trust(),
        one_line(&certificate),
        one_line(&key)
    );
    let project = secure.project.npmrc(&settings);
    project.ci(&[]).assert_quiet_success();
    assert!(secure.registry.requests().iter().all(|seen| seen.has_certificate));
    if let Some((theirs, _)) = project.npm_ci(&[]) {
        theirs.assert_success();
    }
}

#[test]
fn without_the_certificate_that_is_wanted_the_error_says_so() {
    let clients = Authority::new();
    let secure = Secure::with(Clients::Only(&clients));
    let settings = secure.trust();
    let project = secure.project.npmrc(&settings);
    project.assert_npm_fails(&[]);
    let outcome = project.ci(&[]);
    outcome.assert_error("ENETWORK");
    let hint = "it wants a client's certificate: set `//host/:certfile` and `:keyfile`";
    assert!(outcome.stderr.contains(hint), "{}", outcome.stderr);
    assert_eq!(secure.registry.requests().len(), 0);
}

#[test]
fn a_certificate_is_shown_to_no_other_server_and_for_no_other_path() {
    let clients = Authority::new();
    let secure = Secure::with(Clients::Known(&clients));
    let mirror = Registry::start_secure(secure.authority.server(Clients::Known(&clients)));
    let b = mirror.serve(Package::new("b", "1.0.0"));
    let c = secure.registry.serve_under("other/", Package::new("@other/c", "1.0.0"));
    let location = format!("{}{}", mirror.url(), b.tarball_path());
    secure.registry.reply_always("/b/-/b-1.0.0.tgz", Reply::redirect(&location));
    let host = secure.registry.nerf_dart();
    let settings = format!(
        "{}{}@other:registry={}other/\n{host}other/:_authToken=t\n",
        secure.trust(),
        secure.identity(&clients.identity()),
        secure.registry.url(),
    );
    let project = secure.project.npmrc(&settings).with(&b);
    let project = project.resolved(crate::support::project::Resolved::Absent).with(&c);
    project.ci(&[]).assert_quiet_success();
    let mut seen: Vec<_> = secure
        .registry
        .requests()
        .into_iter()
        .map(|seen| (seen.path, seen.has_certificate))
        .collect();
    seen.sort();
    let expected = [
        ("/a/-/a-1.0.0.tgz".to_owned(), true),
        ("/b/-/b-1.0.0.tgz".to_owned(), true),
        ("/other/@other/c/-/c-1.0.0.tgz".to_owned(), false),
    ];
    assert_eq!(seen, expected);
    let at_mirror: Vec<_> = mirror.requests().iter().map(|seen| seen.has_certificate).collect();
    assert_eq!(at_mirror, [false]);
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let secure = Secure::new();
    let trust = secure.trust();
    let odd = secure.file("odd.pem", "odd");
    let good = Authority::new().identity();
    let certificate = secure.file("client.pem", &good.certificate);
    let host = secure.registry.nerf_dart();
    let (odd, certificate) = (odd.display(), certificate.display());
    let cases = [
        ("cafile=/missing.pem\n".to_owned(), "failed to read `cafile` `/missing.pem`".to_owned()),
        (format!("cafile={odd}\n"), "`cafile` `[TEMP]/odd.pem` holds no certificate in PEM".into()),
        ("ca=odd\n".to_owned(), "`ca` holds no certificate in PEM".to_owned()),
        (
            format!("{trust}{host}:certfile=/missing.pem\n{host}:keyfile={odd}\n"),
            "failed to read `certfile` `/missing.pem`".to_owned(),
        ),
        (
            format!("{trust}{host}:certfile={odd}\n{host}:keyfile={odd}\n"),
            "`certfile` `[TEMP]/odd.pem` with `[TEMP]/odd.pem` holds no certificate in PEM".into(),
        ),
        (
            format!("{trust}{host}:certfile={certificate}\n{host}:keyfile={odd}\n"),
            "the key of `certfile` `[TEMP]/client.pem` with `[TEMP]/odd.pem` is no private key in \
             PEM"
            .into(),
        ),
    ];
    let mut project = secure.project;
    for (settings, problem) in cases {
        project = project.npmrc(&settings);
        let outcome = project.ci(&[]);
        outcome.assert_error("ECONFIG");
        let line = format!("  caused by: {problem}\n");
        assert!(outcome.stderr.contains(&line), "{settings}: {}", outcome.stderr);
    }
    let project = project.npmrc("").env("SSL_CERT_FILE", "/missing.pem");
    let outcome = project.ci(&[]);
    outcome.assert_error("ECONFIG");
    assert!(outcome.stderr.contains("/missing.pem"), "{}", outcome.stderr);
}
