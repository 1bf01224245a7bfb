//! Tarballs that want to do harm: nothing is written outside of the package's folder, and what
//! cannot be unpacked is an error that leaves nothing behind.

use std::fs;

use crate::support::archive::{archive, file, gzip, header, link, member, padded, pax};
use crate::support::package::sri;
use crate::support::tree::Tree;
use crate::support::{Package, Project, Registry};

/// A project whose package `a` has these bytes, with things around it that could be overwritten.
fn with_tarball(bytes: Vec<u8>) -> Project {
    let registry = Registry::start();
    let package = registry.serve(Package::new("a", "1.0.0").tarball(bytes));
    let other = registry.serve(Package::new("other", "1.0.0").file("x", "other"));
    Project::new(&registry)
        .with(&package)
        .with(&other)
        .file("x", "kept")
        .file("../x", "kept")
        .keeping(registry)
}

fn manifest() -> Vec<u8> {
    file("package/package.json", r#"{"name":"a","version":"1.0.0"}"#)
}

/// What lies around the project's `node_modules`.
fn outside(project: &Project) -> (Tree, Tree) {
    let ours = project.whole_tree().without("project/node_modules");
    (ours, Tree::read(&project.temp().join("home")))
}

/// The package becomes this, as with npm, and nothing else changes anywhere.
#[track_caller]
fn assert_contained(members: &[Vec<u8>], expected: &[&str]) {
    let project = with_tarball(gzip(&archive(&[&[manifest()], members].concat())));
    let before = outside(&project);
    project.assert_same_as_npm(&[]);
    assert_eq!(outside(&project), before);
    project.installed().below("other").assert(&["package.json {other@1.0.0}", "x \"other\""]);
    project.installed().below("a").without("package.json").assert(expected);
}

/// ETARBALL for this reason; nothing of the package is in the project or the cache.
#[track_caller]
fn assert_refused(bytes: Vec<u8>, reason: &str) {
    let project = with_tarball(bytes);
    let before = outside(&project);
    project.ci(&[]).assert_failure(&[
        "error: ETARBALL: failed to install a@1.0.0 from [REGISTRY]/a/-/a-1.0.0.tgz",
        &format!("  caused by: {reason}"),
    ]);
    assert_eq!(outside(&project), before);
    assert!(!project.path().join("node_modules/a").exists());
    assert!(!project.path().join("node_modules/.package-lock.json").exists());
    let leftovers = fs::read_dir(project.cache().join("v2-u022/tmp")).unwrap().count();
    assert_eq!(leftovers, 0);
}

#[track_caller]
fn assert_members_refused(members: &[Vec<u8>], reason: &str) {
    let bytes = gzip(&archive(&[&[manifest()], members].concat()));
    assert_refused(bytes, &format!("the tarball cannot be unpacked: {reason}"));
}

#[test]
fn paths_with_two_dots_are_passed_over() {
    let members = [
        file("package/../x", "1"),
        file("package/../../x", "2"),
        file("package/a/../../../x", "3"),
        file("package/..", "4"),
        file("package\\..\\..\\x", "5"),
        file("package/..\\x", "6"),
        file("package/good", ""),
    ];
    assert_contained(&members, &["good \"\""]);
}

#[test]
fn a_first_component_of_two_dots_is_dropped_like_any_other() {
    assert_contained(&[file("../x", "1")], &["x \"1\""]);
}

#[test]
fn absolute_paths_stay_inside() {
    let members = [file("/abs/x", "1"), file("////deep/y", "2"), file("package//etc/passwd", "3")];
    assert_contained(
        &members,
        &["abs/", "abs/x \"1\"", "deep/", "deep/y \"2\"", "etc/", "etc/passwd \"3\""],
    );
}

#[test]
fn drive_letters_are_dropped() {
    let members = [file("package/C:\\x", "1"), file("package/C:..\\y", "2"), file("C:/z", "3")];
    assert_contained(&members, &["x \"1\"", "z \"3\""]);
}

#[test]
fn a_file_is_not_written_through_a_symbolic_link() {
    let members = [
        link("package/link", b'2', "../../.."),
        file("package/link/x", "1"),
        link("package/etc", b'2', "/etc"),
        file("package/etc/passwd", "2"),
    ];
    assert_contained(&members, &["etc/", "etc/passwd \"2\"", "link/", "link/x \"1\""]);
}

#[test]
fn a_hard_link_gives_no_file_from_outside() {
    let members = [
        link("package/passwd", b'1', "/etc/passwd"),
        link("package/other", b'1', "../other/x"),
        link("package/later", b'1', "package/x"),
        file("package/x", "1"),
    ];
    assert_contained(&members, &["x \"1\""]);
}

#[test]
fn a_nul_ends_a_name() {
    assert_contained(&[file("package/x\0/../../y", "1")], &["x \"1\""]);
}

#[test]
fn the_path_of_a_global_header_is_not_used() {
    let members = [pax(b'g', &[("path", "package/evil")]), file("package/x", "1")];
    assert_contained(&members, &["x \"1\""]);
}

#[test]
fn names_that_differ_only_in_case_or_normalisation_are_different_files() {
    let names = ["README", "e\u{301}", "readme", "ss", "\u{df}", "\u{e9}"];
    let members = [0, 1, 2, 3, 4, 5]
        .map(|number: usize| file(&format!("package/{}", names[number]), &number.to_string()));
    let expected = [
        "README \"0\"",
        "e\u{301} \"1\"",
        "readme \"2\"",
        "ss \"3\"",
        "\u{df} \"4\"",
        "\u{e9} \"5\"",
    ];
    assert_contained(&members, &expected);
}

#[test]
fn a_size_in_an_extension_hides_no_entries() {
    let hidden = file("package/evil", "");
    let hidden_text = String::from_utf8(hidden.clone()).unwrap();
    let outer = padded(&header(b"package/x", b'0', 0, 0o644), &hidden);
    let members = [pax(b'x', &[("size", "512")]), outer];
    let project = with_tarball(gzip(&archive(&[&[manifest()], &members[..]].concat())));
    project.assert_same_as_npm(&[]);
    let found = fs::read_to_string(project.path().join("node_modules/a/x")).unwrap();
    assert_eq!(found, hidden_text);
    assert!(!project.path().join("node_modules/a/evil").exists());
}

#[test]
fn a_path_that_is_a_file_and_a_folder_is_refused() {
    let (outer, inner) = (file("package/x", ""), file("package/x/y", ""));
    let reason = "`x` is a file and a directory";
    assert_members_refused(&[outer.clone(), inner.clone()], reason);
    assert_members_refused(&[inner, outer], reason);
}

#[test]
fn a_file_name_longer_than_linux_allows_is_refused() {
    let path = format!("package/{}", "x".repeat(256));
    let members = [pax(b'x', &[("path", &path)]), file("package/y", "")];
    assert_members_refused(&members, "a file name is longer than 255 bytes");
}

#[test]
fn a_path_longer_than_linux_allows_is_refused() {
    let path = format!("package{}", "/abcd".repeat(900));
    let members = [pax(b'x', &[("path", &path)]), file("package/y", "")];
    assert_members_refused(&members, "a path is longer than 4095 bytes");
}

#[test]
fn a_path_that_is_too_deep_is_passed_over() {
    let path = format!("package{}", "/a".repeat(1025));
    let members = [pax(b'x', &[("path", &path)]), file("package/y", ""), file("package/z", "")];
    assert_contained(&members, &["z \"\""]);
}

#[test]
fn a_malformed_extension_is_refused() {
    let members = [member("x", b'x', 0o644, b"99 path=package/x\n"), file("package/y", "")];
    assert_members_refused(&members, "a PAX record is malformed");
}

#[test]
fn a_size_that_is_no_number_is_refused() {
    let mut odd = header(b"package/x", b'0', 0, 0o644);
    odd.as_old_mut().size = [0xff; 12];
    odd.set_cksum();
    assert_members_refused(&[padded(&odd, b"")], "the size of an entry is not a number");
}

#[test]
fn a_size_that_no_disk_holds_is_refused() {
    let huge = header(b"package/x", b'0', 20 << 30, 0o644);
    let reason = "unpacked, it is larger than 8589934592 bytes";
    assert_members_refused(&[padded(&huge, b"")], reason);
}

#[test]
fn a_wrong_checksum_of_a_header_is_refused() {
    let mut wrong = file("package/x", "");
    wrong[0] ^= 1;
    assert_members_refused(&[wrong], "the checksum of a header is wrong");
}

#[test]
fn a_bomb_is_refused() {
    // Zeros: a thousand times their compressed size.
    let size = 64 << 20;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut write = |bytes: &[u8]| std::io::Write::write_all(&mut encoder, bytes).unwrap();
    write(&manifest());
    write(header(b"package/x", b'0', size, 0o644).as_bytes());
    let zeros = vec![0; 1 << 20];
    (0..size >> 20).for_each(|_| write(&zeros));
    write(&[0; 1024]);
    let project = with_tarball(encoder.finish().unwrap());
    let outcome = project.ci(&[]);
    outcome.assert_error("ETARBALL");
    assert!(!project.path().join("node_modules/a").exists());
}

#[test]
fn a_truncated_archive_is_refused() {
    let bytes = archive(&[manifest(), file("package/x", &"x".repeat(2000))]);
    let reason = "the tarball cannot be unpacked: it ends in the middle of an entry";
    assert_refused(gzip(&bytes[..2048]), reason);
}

#[test]
fn truncated_or_altered_compression_is_refused() {
    let whole = gzip(&archive(&[manifest()]));
    let mut altered = whole.clone();
    let crc = altered.len() - 8;
    altered[crc] ^= 1;
    for bytes in [whole[..whole.len() - 9].to_vec(), altered] {
        let project = with_tarball(bytes);
        project.assert_npm_fails(&[]);
        project.ci(&[]).assert_error("ETARBALL");
        assert!(!project.path().join("node_modules/a").exists());
    }
}

#[test]
fn what_is_no_archive_is_refused_by_name() {
    let page = b"<!doctype html><title>Sign in</title>".repeat(30);
    let reason = "the tarball cannot be unpacked: it is HTML or XML, not gzip or tar";
    assert_refused(page, reason);
    let reason = "the tarball cannot be unpacked: it is not a tar archive";
    assert_refused(vec![b'x'; 1024], reason);
    assert_refused(gzip(&[b'x'; 1024]), reason);
}

#[test]
fn an_empty_body_is_refused() {
    let project = with_tarball(Vec::new());
    assert!(sri("sha512", b"").starts_with("sha512-z4Ph"));
    project.ci(&[]).assert_error("ETARBALL");
    assert!(!project.path().join("node_modules/a").exists());
}

#[test]
fn names_that_steer_a_terminal_are_not_printed_as_they_are() {
    let members = [file("package/../\u{1b}[31mred", "")];
    let project = with_tarball(gzip(&archive(&[&[manifest()], &members[..]].concat())));
    let outcome = project.ci(&["-v"]);
    outcome.assert_success();
    assert!(!outcome.stderr.contains('\u{1b}'), "{:?}", outcome.stderr);
}
