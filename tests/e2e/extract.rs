//! Unpacking as npm does it: which entries become files, under which names and with which modes.

use serde_json::json;

use crate::support::archive::{archive, file, gzip, link, member, pax};
use crate::support::{Package, Project, Registry};

/// Installs a package with these members, compares with npm, and gives what the package became.
#[track_caller]
fn assert_unpacked(members: Vec<Vec<u8>>, expected: &[&str]) {
    let project = installed(members);
    project.assert_same_as_npm(&[]).assert_quiet_success();
    project.installed().below("a").without("package.json").assert(expected);
}

fn installed(members: Vec<Vec<u8>>) -> Project {
    let registry = Registry::start();
    let package = members.into_iter().fold(Package::new("a", "1.0.0"), Package::member);
    let package = registry.serve(package);
    // The registry lives as long as the project's test.
    Project::new(&registry).with(&package).keeping(registry)
}

#[test]
fn files_keep_whether_they_are_executable_and_nothing_else_of_their_mode() {
    let modes = [0o644, 0o755, 0o600, 0o400, 0o444, 0o777, 0o000, 0o100, 0o711, 0o640];
    let members =
        modes.iter().map(|mode| member(&format!("package/{mode:03o}"), b'0', *mode, b"")).collect();
    assert_unpacked(
        members,
        &[
            "000 \"\"",
            "100 744 \"\"",
            "400 \"\"",
            "444 \"\"",
            "600 \"\"",
            "640 \"\"",
            "644 \"\"",
            "711 755 \"\"",
            "755 755 \"\"",
            "777 755 \"\"",
        ],
    );
}

/// npm lets the bit through; it is masked here on purpose.
#[test]
fn a_setuid_bit_is_taken_off() {
    let project = installed(vec![member("package/x", b'0', 0o6755, b"")]);
    project.ci(&[]).assert_quiet_success();
    project.installed().below("a").without("package.json").assert(&["x 755 \"\""]);
}

/// A package with a command, a file that everybody may run, and one that nobody else may read.
fn with_modes() -> Package {
    Package::new("a", "1.0.0")
        .field("bin", json!("cli.js"))
        .file("cli.js", "#!/bin/sh\n")
        .file_with_mode("lib/run", 0o755, "x")
        .file_with_mode("lib/x", 0o600, "x")
}

#[test]
fn the_umask_of_the_process_and_npm_s_setting_both_count() {
    let expected = |[run, file, folder, bin]: [&str; 4]| {
        [
            format!("cli.js{bin} \"#!/bin/sh\\n\""),
            format!("lib/{folder}"),
            format!("lib/run{run} \"x\""),
            format!("lib/x{file} \"x\""),
        ]
    };
    let cases = [
        ("022", "", [" 755", "", "", " 755"]),
        ("000", "", [" 777", " 666", " 777", " 777"]),
        ("002", "", [" 775", " 664", " 775", " 775"]),
        ("077", "", [" 700", " 600", " 700", " 700"]),
        ("022", "umask=0", [" 755", "", "", " 755"]),
        ("022", "umask=077", [" 700", " 600", " 700", " 755"]),
        ("000", "umask=027", [" 750", " 640", " 750", " 777"]),
        ("022", "umask=0777", [" 600", " 600", " 700", " 755"]),
    ];
    for (umask, setting, modes) in cases {
        let registry = Registry::start();
        let package = registry.serve(with_modes());
        let project = Project::new(&registry).with(&package).npmrc(setting);
        // Twice: what the cache has is placed by the same rule.
        for _ in 0..2 {
            project.assert_same_as_npm_with_umask(umask, &[]);
            let tree = project.installed().below("a").without("package.json");
            assert_eq!(tree.lines(), expected(modes), "umask {umask}, {setting}");
        }
    }
}

#[test]
fn the_first_component_of_a_path_is_dropped_whatever_it_is() {
    let members = vec![
        file("anything/1", ""),
        file("./package/2", ""),
        file("other/deep/3", ""),
        file("toplevel", ""),
    ];
    assert_unpacked(members, &["1 \"\"", "deep/", "deep/3 \"\"", "package/", "package/2 \"\""]);
}

#[test]
fn a_gitignore_becomes_an_npmignore() {
    let members = vec![file("package/.gitignore", "g"), file("package/lib/.gitignore", "l")];
    assert_unpacked(members, &[".npmignore \"g\"", "lib/", "lib/.npmignore \"l\""]);
}

#[test]
fn a_gitignore_after_an_npmignore_is_passed_over() {
    let members = vec![file("package/.npmignore", "n"), file("package/.gitignore", "g")];
    assert_unpacked(members, &[".npmignore \"n\""]);
}

#[test]
fn a_gitignore_before_an_npmignore_gives_way_to_it() {
    let members = vec![file("package/.gitignore", "git"), file("package/.npmignore", "n")];
    assert_unpacked(members, &[".npmignore \"n\""]);
}

#[test]
fn of_two_entries_with_one_name_the_last_content_counts() {
    assert_unpacked(
        vec![file("package/x", "first"), file("package/x", "second")],
        &["x \"second\""],
    );
}

#[test]
fn of_two_entries_with_one_name_the_first_mode_counts() {
    let members =
        vec![member("package/x", b'0', 0o755, b"1"), member("package/x", b'0', 0o644, b"2")];
    assert_unpacked(members, &["x 755 \"2\""]);
    let members =
        vec![member("package/x", b'0', 0o644, b"1"), member("package/x", b'0', 0o755, b"2")];
    assert_unpacked(members, &["x \"2\""]);
}

#[test]
fn empty_folders_are_not_made() {
    let members = vec![
        member("package/empty/", b'5', 0o755, b""),
        member("package/full/", b'5', 0o700, b""),
        file("package/full/x", ""),
    ];
    assert_unpacked(members, &["full/", "full/x \"\""]);
}

#[test]
fn links_devices_and_pipes_are_passed_over() {
    let members = vec![
        link("package/symlink", b'2', "package.json"),
        link("package/hardlink", b'1', "package/package.json"),
        member("package/character", b'3', 0o644, b""),
        member("package/block", b'4', 0o644, b""),
        member("package/pipe", b'6', 0o644, b""),
        file("package/x", ""),
    ];
    assert_unpacked(members, &["x \"\""]);
}

#[test]
fn a_node_modules_that_the_tarball_brings_stays_though_it_is_not_locked() {
    let members = vec![file("package/node_modules/stray/index.js", "s")];
    let expected = ["node_modules/", "node_modules/stray/", "node_modules/stray/index.js \"s\""];
    assert_unpacked(members, &expected);
}

#[test]
fn long_names_are_read_from_their_extensions() {
    let name = "x".repeat(200);
    let members = vec![
        pax(b'x', &[("path", &format!("package/pax/{name}"))]),
        file("package/short", "1"),
        member("././@LongLink", b'L', 0, format!("package/gnu/{name}\0").as_bytes()),
        file("package/short", "2"),
    ];
    let (pax, gnu) = (format!("pax/{name} \"1\""), format!("gnu/{name} \"2\""));
    assert_unpacked(members, &["gnu/", &gnu, "pax/", &pax]);
}

#[test]
fn odd_names_are_kept_as_they_are() {
    let names = ["with space", "with\nline", "back\\slash", "é", "e\u{301}", "-dash", "*", "a:b"];
    let members = names.iter().map(|name| file(&format!("package/d/{name}"), "")).collect();
    let mut expected: Vec<_> = names.iter().map(|name| format!("d/{name} \"\"")).collect();
    expected.push("d/".to_owned());
    expected.sort_unstable();
    assert_unpacked(members, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn an_archive_that_is_not_compressed_is_unpacked() {
    let registry = Registry::start();
    let manifest = file("package/package.json", r#"{"name":"a","version":"1.0.0"}"#);
    let package = Package::new("a", "1.0.0").tarball(archive(&[manifest]));
    let package = registry.serve(package);
    let project = Project::new(&registry).with(&package);
    project.assert_same_as_npm(&[]);
    project.installed().below("a").assert(&["package.json {a@1.0.0}"]);
}

#[test]
fn several_gzip_members_are_one_archive() {
    let registry = Registry::start();
    let manifest = file("package/package.json", r#"{"name":"a","version":"1.0.0"}"#);
    let bytes = archive(&[manifest, file("package/x", "x")]);
    let (first, second) = bytes.split_at(700);
    let package = Package::new("a", "1.0.0").tarball([gzip(first), gzip(second)].concat());
    let package = registry.serve(package);
    let project = Project::new(&registry).with(&package);
    project.assert_same_as_npm(&[]);
    project.installed().below("a").assert(&["package.json {a@1.0.0}", "x \"x\""]);
}

#[test]
fn a_package_of_many_and_of_large_files_is_unpacked() {
    let mut members: Vec<_> =
        (0..3000).map(|number| file(&format!("package/d{}/{number}", number % 7), "x")).collect();
    let large: Vec<_> = (0..600_000).map(|number: u32| format!("{number:07}\n")).collect();
    let large = large.concat();
    members.push(file("package/large", &large));
    let project = installed(members);
    project.assert_same_as_npm(&[]).assert_quiet_success();
}
