//! The extractor against archives that are odd or hostile. Each is unpacked in every way there is
//! (in memory, as a stream, not compressed), with one outcome: the same tree or the same error.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tar::{EntryType, Header};

use super::*;
use crate::backend::Bases;

/// Path to contents and mode.
type Tree = BTreeMap<String, (String, u32)>;

struct Fixture {
    directory: tempfile::TempDir,
    cache: Cache,
    queue: FileQueue,
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("cache");
    let cache = Cache::open(&root, process_umask(), &crate::journal::Board::default()).unwrap();
    let bases = Bases::open(cache.directory(), directory.path()).unwrap();
    Fixture { cache, queue: FileQueue::plain(bases), directory }
}

/// Without setting it, which would disturb the tests beside this one.
fn process_umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    u32::from_str_radix(line.trim(), 8).unwrap()
}

fn header(path: &[u8], flag: u8, size: u64, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_entry_type(EntryType::new(flag));
    header.set_size(size);
    header.set_mode(mode);
    header.set_cksum();
    header
}

fn padded(header: &Header, content: &[u8]) -> Vec<u8> {
    let mut bytes = [header.as_bytes(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn member(path: &str, flag: u8, content: &str) -> Vec<u8> {
    padded(&header(path.as_bytes(), flag, content.len() as u64, 0o644), content.as_bytes())
}

fn file(path: &str, content: &str) -> Vec<u8> {
    member(path, b'0', content)
}

fn pax(flag: u8, records: &[(&str, &str)]) -> Vec<u8> {
    let record = |(key, value): &(&str, &str)| {
        let rest = format!(" {key}={value}\n");
        let length = (1..10_000).find(|n: &usize| n.to_string().len() + rest.len() == *n).unwrap();
        format!("{length}{rest}")
    };
    member("PaxHeader", flag, &records.iter().map(record).collect::<String>())
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn spooled(bytes: &[u8]) -> Body {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Body::File(file, bytes.len() as u64)
}

/// What is published and on disk; the folder holds the files of the index and no others.
fn read_package(fixture: &Fixture, extracted: &Extracted) -> Tree {
    let found = fixture.cache.lookup(fixture.queue.bases(), &extracted.key).unwrap().unwrap();
    assert_eq!(found, extracted.index);
    let folder = fixture.cache.directory().join(Cache::package_path(&extracted.key));
    let path = |number| folder.join(crate::cache::file_path(number));
    let read = |entry: FileEntry<'_>| {
        let metadata = fs::metadata(path(entry.number)).unwrap();
        assert_eq!(metadata.len(), entry.size);
        assert_eq!(metadata.mode() & 0o7777, entry.mode & !fixture.cache.umask());
        let content = String::from_utf8(fs::read(path(entry.number)).unwrap()).unwrap();
        (entry.path.to_string_lossy().into_owned(), (content, entry.mode))
    };
    let tree: Tree = found.files().map(read).collect();
    let in_folder = fs::read_dir(path(0).parent().unwrap()).unwrap().count();
    assert_eq!((tree.len(), in_folder), (found.file_count(), tree.len() + 1));
    tree
}

fn assert_nothing_is_left(fixture: &Fixture) {
    let left = |path: &Path| fs::read_dir(path).unwrap().count();
    assert_eq!(left(&fixture.cache.directory().join("tmp")), 0);
    assert_eq!(left(fixture.directory.path()), 1, "something was written outside of the cache");
}

fn unpack_one(body: Body, limits: Limits) -> Result<(Tree, Warnings), String> {
    let mut fixture = fixture();
    let mut extractor = Extractor { limits, ..Extractor::new() };
    let identity = Identity::Address("test");
    let result = extractor.extract(body, identity, &mut fixture.queue, &fixture.cache);
    let result = result.map(|unpacked| {
        let warnings = unpacked.warnings.clone();
        (unpacked.publish(fixture.queue.bases(), &fixture.cache).unwrap(), warnings)
    });
    assert_nothing_is_left(&fixture);
    match result {
        Ok((extracted, warnings)) => Ok((read_package(&fixture, &extracted), warnings)),
        Err(error) => {
            assert_eq!(error.code(), Code::Tarball, "{error:?}");
            let shelves = fixture.cache.directory().join("packages");
            assert_eq!(fs::read_dir(shelves).unwrap().count(), 0);
            Err(error.to_string())
        }
    }
}

fn unpack(tar: &[u8]) -> Result<(Tree, Warnings), String> {
    let compressed = gzip(tar);
    let streamed = Limits { streamed_file_min: 4, ..Limits::DEFAULT };
    let results = [
        unpack_one(Body::Memory(compressed.clone().into()), Limits::DEFAULT),
        unpack_one(spooled(&compressed), Limits::DEFAULT),
        unpack_one(spooled(&compressed), streamed),
        unpack_one(Body::Memory(tar.to_vec().into()), Limits::DEFAULT),
    ];
    let [first, others @ ..] = results;
    for other in others {
        assert_eq!(first, other);
    }
    first
}

#[track_caller]
fn assert_tree(members: &[Vec<u8>], expected: &[(&str, &str)]) -> Warnings {
    let (tree, warnings) = unpack(&archive(members)).unwrap();
    let found: Vec<_> =
        tree.iter().map(|(path, (text, _))| (path.as_str(), text.as_str())).collect();
    assert_eq!(found, expected);
    warnings
}

#[track_caller]
fn assert_refused(tar: &[u8], why: &str) {
    let expected = format!("the tarball cannot be unpacked: {why}");
    assert_eq!(unpack(tar).unwrap_err(), expected);
}

#[test]
fn paths_that_would_leave_the_package_are_passed_over_with_a_warning() {
    // A-01 to A-06, A-09.
    let names =
        ["package/../../x", "package\\..\\..\\x", "package/..\\x", "package/..", "package/"];
    let members: Vec<_> =
        names.iter().map(|name| file(name, "")).chain([file("package/a", "good")]).collect();
    let warnings = assert_tree(&members, &[("a", "good")]);
    let first = Some("path contains '..': `package/../../x`".to_owned());
    assert_eq!(warnings, Warnings { count: 3, first });
    assert_tree(
        &[file("../x", "1"), file("/abs/y", "2"), file("////z", "3"), file("p/C:\\w", "4")],
        &[("abs/y", "2"), ("w", "4"), ("x", "1"), ("z", "3")],
    );
}

#[test]
fn a_nul_ends_a_name_in_a_header_and_in_a_pax_record() {
    // A-07.
    let mut cut = header(b"package/a\0b", b'0', 1, 0o644);
    cut.set_cksum();
    assert_tree(&[padded(&cut, b"1")], &[("a", "1")]);
    let members = [pax(b'x', &[("path", "package/c\0/../d")]), file("package/e", "2")];
    assert_tree(&members, &[("c", "2")]);
}

#[test]
fn an_entry_without_a_name_is_passed_over_with_its_contents() {
    let inner = String::from_utf8(file("package/evil", "")).unwrap();
    let warnings = assert_tree(&[file("", &inner), file("package/a", "1")], &[("a", "1")]);
    assert_eq!(warnings.first.unwrap(), "path is required: ``");
}

#[test]
fn only_regular_files_are_extracted() {
    // A-10 to A-14, and types that npm does not know.
    let mut members =
        vec![file("package/a", "1"), member("package/b", 0, "2"), member("package/c", b'7', "3")];
    for flag in *b"123456DSMVAIz" {
        let mut odd = header(b"package/link", flag, 0, 0o644);
        if matches!(flag, b'1' | b'2') {
            odd.as_old_mut().linkname[..6].copy_from_slice(b"../../");
        }
        odd.set_cksum();
        members.push(padded(&odd, b""));
    }
    members.push(file("package/link/x", "4"));
    members.push(file("package/empty/", ""));
    let expected = [("a", "1"), ("b", "2"), ("c", "3"), ("link/x", "4")];
    assert_eq!(assert_tree(&members, &expected), Warnings::default());
}

#[test]
fn a_file_with_a_link_target_is_passed_over_with_its_contents() {
    let mut odd = header(b"package/a", b'0', 512, 0o644);
    odd.as_old_mut().linkname[0] = b'x';
    odd.set_cksum();
    let members = [padded(&odd, &file("package/evil", "")), file("package/b", "1")];
    assert_eq!(assert_tree(&members, &[("b", "1")]).count, 1);
}

#[test]
fn a_path_that_is_a_file_and_a_directory_is_refused() {
    // A-15.
    let (a, b) = (file("package/a", ""), file("package/a/b", ""));
    assert_refused(&archive(&[a.clone(), b.clone()]), "`a` is a file and a directory");
    assert_refused(&archive(&[b, a]), "`a` is a file and a directory");
}

#[test]
fn of_two_entries_the_last_contents_and_the_first_mode_count() {
    // A-16, A-19.
    let with_mode =
        |mode, text: &[u8]| padded(&header(b"p/a", b'0', text.len() as u64, mode), text);
    let tar = archive(&[with_mode(0o6755, b"first"), with_mode(0o644, b"the second")]);
    let expected = Tree::from([("a".to_owned(), ("the second".to_owned(), 0o777))]);
    assert_eq!(unpack(&tar).unwrap().0, expected);
    let expected = Tree::from([("a".to_owned(), (String::new(), 0o666))]);
    assert_eq!(unpack(&archive(&[with_mode(0, b"")])).unwrap().0, expected);
}

#[test]
fn names_that_differ_in_case_or_normalisation_only_are_two_files() {
    // A-17.
    let names = ["README", "e\u{301}", "readme", "ss", "\u{df}", "\u{e9}"];
    let members: Vec<_> = names.iter().map(|name| file(&format!("p/{name}"), name)).collect();
    assert_tree(&members, &names.map(|name| (name, name)));
}

#[test]
fn long_names_are_refused_and_deep_ones_passed_over() {
    // A-18.
    let long = |path: &str| archive(&[pax(b'x', &[("path", path)]), file("p/a", "")]);
    assert_refused(
        &long(&format!("p/{}", "x".repeat(256))),
        "a file name is longer than 255 bytes",
    );
    assert_refused(&long(&format!("p{}", "/abcd".repeat(900))), "a path is longer than 4095 bytes");
    let (tree, warnings) = unpack(&long(&format!("p{}", "/a".repeat(1025)))).unwrap();
    assert_eq!((tree.len(), warnings.count), (0, 1));
}

#[test]
fn entries_and_bytes_have_limits() {
    // A-20, A-21, A-28.
    let tar = archive(&[file("p/a", ""), file("p/b", &"x".repeat(2000))]);
    let refused = |limits: Limits| unpack_one(Body::Memory(gzip(&tar).into()), limits).unwrap_err();
    let why = refused(Limits { entries_max: 1, ..Limits::DEFAULT });
    assert_eq!(why, "the tarball cannot be unpacked: it has more than 1 entries");
    let why = refused(Limits { unpacked_bytes_max: 3071, ..Limits::DEFAULT });
    assert_eq!(why, "the tarball cannot be unpacked: unpacked, it is larger than 3071 bytes");
    let mut huge = padded(&header(b"p/a", b'0', 20 << 30, 0o644), b"");
    huge.resize(4096, 0);
    assert_refused(&huge, "unpacked, it is larger than 8589934592 bytes");
}

#[test]
fn a_bomb_is_refused_by_its_ratio() {
    // A-28: 3 MiB of zeros, a thousand and some to one.
    let content = vec![0; 3 << 20];
    let tar = archive(&[padded(&header(b"p/a", b'0', content.len() as u64, 0o644), &content)]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&tar).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() * 1000 < tar.len());
    let limits = Limits { ratio_ignored_below: 1 << 20, ..Limits::DEFAULT };
    let error = unpack_one(Body::Memory(bomb.into()), limits).unwrap_err();
    assert_eq!(error, "failed to unpack the tarball");
}

#[test]
fn a_pax_size_wins_over_the_header_and_hides_no_entries() {
    // A-22.
    let nested = file("package/evil", "");
    let inner = String::from_utf8(nested).unwrap();
    let outer = padded(&header(b"package/a", b'0', 0, 0o644), inner.as_bytes());
    let members = [pax(b'x', &[("size", "512")]), outer];
    assert_tree(&members, &[("a", inner.as_str())]);
    // It describes the file, not the header of another extension in between.
    let members =
        [pax(b'x', &[("size", "1")]), member("L", b'L', "package/long"), file("p/short", "x")];
    assert_tree(&members, &[("long", "x")]);
    let unknown = archive(&[pax(b'x', &[("size", "512")]), member("p/s", b'S', "")]);
    assert_refused(&unknown, "a PAX size belongs to an entry of unknown type");
}

#[test]
fn a_malformed_pax_record_is_refused() {
    // A-23.
    let cases = [
        "99 path=p/x\n",
        "5 path=p/x\n",
        "path=p/x\n",
        "12 path=p/xy",
        "0 \n",
        "4 =\n",
        "18446744073709551616 path=p/x\n",
        "-1 path=p/x\n",
        "\0\0\0",
        "35 comment=a\n17 path=p/evil\n\n\n\n\n",
    ];
    for records in cases {
        let tar = archive(&[member("x", b'x', records), file("p/a", "")]);
        assert_refused(&tar, "a PAX record is malformed");
    }
    for size in ["-1", "", "1e3", " 5", "0x10", "18446744073709551616"] {
        let tar = archive(&[pax(b'x', &[("size", size)]), file("p/a", "")]);
        assert_refused(&tar, "a PAX size is not a number");
    }
    // Of macOS: a value is any bytes.
    let members = [pax(b'x', &[("SCHILY.xattr.a", "b\nc\n\0"), ("path", "p/b")]), file("p/a", "1")];
    assert_tree(&members, &[("b", "1")]);
}

#[test]
fn of_several_descriptions_of_one_entry_the_last_counts() {
    // A-24.
    let long = |name: &str| member("././@LongLink", b'L', &format!("{name}\0"));
    let path = |name: &str| pax(b'x', &[("path", name)]);
    let a = || file("p/a", "");
    assert_tree(&[long("p/1"), long("p/2"), a(), file("p/b", "")], &[("2", ""), ("b", "")]);
    assert_tree(&[long("p/1"), path("p/2"), a()], &[("2", "")]);
    assert_tree(&[path("p/1"), member("k", b'K', "/etc/passwd"), long("p/2"), a()], &[("2", "")]);
    let huge = archive(&[member("x", b'x', &"x".repeat((1 << 20) + 1)), a()]);
    assert_refused(&huge, "the description of an entry is larger than 1 MiB");
}

#[test]
fn sizes_that_are_no_numbers_are_refused() {
    // A-25.
    let negative = [0xff; 12];
    let cut = [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let near_max = [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for size in [negative, cut, near_max, *b"0000000001x\0", *b"-0000000001\0"] {
        let mut odd = header(b"p/a", b'0', 0, 0o644);
        odd.as_old_mut().size = size;
        odd.set_cksum();
        assert_refused(&archive(&[padded(&odd, b"")]), "the size of an entry is not a number");
    }
    let mut empty = header(b"p/a", b'0', 0, 0o644);
    empty.as_old_mut().size = *b"            ";
    empty.set_cksum();
    assert_tree(&[padded(&empty, b"")], &[("a", "")]);
}

#[test]
fn a_wrong_checksum_is_refused_and_nothing_is_resynchronised() {
    // A-26.
    let mut wrong = file("p/b", "");
    wrong[0] ^= 1;
    let tar = archive(&[file("p/a", ""), wrong, file("p/c", "")]);
    assert_refused(&tar, "the checksum of a header is wrong");
}

#[test]
fn a_global_header_changes_no_path_and_may_set_no_size() {
    // A-27.
    let global = pax(b'g', &[("comment", "5f0b"), ("path", "p/evil"), ("linkpath", "/etc")]);
    assert_tree(&[global, file("p/a", "1"), file("p/b", "2")], &[("a", "1"), ("b", "2")]);
    let tar = archive(&[pax(b'g', &[("size", "512")]), file("p/a", "")]);
    assert_refused(&tar, "a global PAX header sets a size");
}

#[test]
fn the_end_of_an_archive_is_where_npm_sees_it() {
    let (a, b) = (file("p/a", "1"), file("p/b", "2"));
    let null = vec![0; 512];
    let of = |parts: &[&[u8]]| unpack(&parts.concat()).map(|(tree, _)| tree.len());
    assert_eq!(of(&[&a]), Ok(1));
    assert_eq!(of(&[&null, &a, &null, &b]), Ok(2));
    assert_eq!(of(&[&a, &null, &null, &b]), Ok(1));
    assert_eq!(of(&[&a, &null, &[7; 2048]]), Ok(1));
    assert_eq!(of(&[&a, &b[..300]]), Ok(1));
    assert_refused(&a[..513], "it ends in the middle of an entry");
    assert_refused(&[a, b[..513].to_vec()].concat(), "it ends in the middle of an entry");
    assert_refused(&vec![0; 1024], "it is not a tar archive, or an empty one");
    assert_refused(b"", "it is not a tar archive, or an empty one");
    assert_eq!(of(&[&member("package/", b'5', ""), &null, &null]), Ok(0));
}

#[test]
fn what_is_not_a_tarball_is_refused_by_name() {
    // A-29 is tested in `inflate`, A-30 here.
    let page = format!("<!doctype html>{}", " ".repeat(1000));
    let error = unpack_one(Body::Memory(page.into()), Limits::DEFAULT).unwrap_err();
    assert_eq!(error, "the tarball cannot be unpacked: it is HTML or XML, not gzip or tar");
    assert_refused(&[b'x'; 1024], "it is not a tar archive");
    let cut = gzip(&archive(&[file("p/a", "1")]));
    for body in [&cut[..cut.len() - 9], &[&cut[..], b"garbage"].concat()] {
        for body in [Body::Memory(body.to_vec().into()), spooled(body)] {
            let error = unpack_one(body, Limits::DEFAULT).unwrap_err();
            assert_eq!(error, "failed to unpack the tarball");
        }
    }
}

#[test]
fn targets_of_bins_are_executable_wherever_package_json_stands() {
    let manifest = r#"{"name": "n", "version": "1.0.0", "bin": {"x": "./b.js"},
        "scripts": {"install": "true"}}"#;
    let bin = || file("p/b.js", "#!/usr/bin/env node\r\nrun()\n");
    let json = || file("p/package.json", manifest);
    for members in [[bin(), json()], [json(), bin()]] {
        let tar = archive(&members);
        for body in [Body::Memory(gzip(&tar).into()), spooled(&gzip(&tar))] {
            let mut fixture = fixture();
            let extracted = Extractor::new()
                .extract(body, Identity::Address("a"), &mut fixture.queue, &fixture.cache)
                .and_then(|unpacked| unpacked.publish(fixture.queue.bases(), &fixture.cache))
                .unwrap();
            read_package(&fixture, &extracted);
            let index = &extracted.index;
            let files: Vec<_> = index
                .files()
                .map(|file| (file.path, file.mode, file.plain_mode, file.has_crlf_shebang))
                .collect();
            assert_eq!(
                files,
                [(c"b.js", 0o777, 0o666, true), (c"package.json", 0o666, 0o666, false)]
            );
            assert_eq!((index.name(), index.version()), ("n", "1.0.0"));
            assert_eq!(index.bins().collect::<Vec<_>>(), [("x", "b.js")]);
            assert!(index.has_install_scripts() && !index.has_node_modules());
        }
    }
}

#[test]
fn a_carriage_return_counts_only_at_the_end_of_a_shebang() {
    assert!(has_crlf_shebang(b"#!x\r\n"));
    for content in ["", "#!", "#!\r\n", "#!x\n\r\n", "#!x\r", " #!x\r\n"] {
        assert!(!has_crlf_shebang(content.as_bytes()), "{content:?}");
    }
    assert!(!has_crlf_shebang(format!("#!{}\r\n", "x".repeat(2048)).as_bytes()));
}

#[test]
fn nothing_is_written_where_the_integrity_is_wrong() {
    let integrity = Integrity::from_sha1_hex(&"0".repeat(40)).unwrap();
    let tar = gzip(&archive(&[file("p/a", "1")]));
    for body in [Body::Memory(tar.clone().into()), spooled(&tar)] {
        let mut fixture = fixture();
        let identity = Identity::Integrity(&integrity);
        let error = Extractor::new()
            .extract(body, identity, &mut fixture.queue, &fixture.cache)
            .unwrap_err();
        assert_eq!(error.code(), Code::Integrity);
        assert_nothing_is_left(&fixture);
    }
}

#[test]
fn extractors_that_publish_one_package_at_once_all_get_the_winner() {
    let fixture = fixture();
    let members: Vec<_> = (0..50).map(|n| file(&format!("p/{n}"), "x")).collect();
    let body = Bytes::from(gzip(&archive(&members)));
    let barrier = std::sync::Barrier::new(4);
    let extract = || {
        let mut queue = FileQueue::plain(fixture.queue.bases().clone());
        let mut extractor = Extractor::new();
        barrier.wait();
        let body = Body::Memory(body.clone());
        extractor
            .extract(body, Identity::Address("a"), &mut queue, &fixture.cache)
            .and_then(|unpacked| unpacked.publish(queue.bases(), &fixture.cache))
            .unwrap()
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(extract)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for extracted in &all {
        assert_eq!(read_package(&fixture, extracted).len(), 50);
    }
    assert_nothing_is_left(&fixture);
}
