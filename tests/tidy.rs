//! The rules of style that neither rustfmt nor clippy checks, held against every Rust file of the
//! repository. It reads lines and words, and understands no more of Rust than comments and strings.

use std::collections::HashSet;
use std::path::Path;
use std::{fs, io};

/// A file of one idea is a third of this.
const FILE_LINES_MAX: usize = 500;
/// A screen.
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

/// In pieces, so that this file does not hold them.
const MARKERS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

#[test]
fn every_file_opens_with_what_it_is_for() {
    let opens = |file: &File| !file.text.starts_with("//! ");
    report(files().iter().filter(|file| opens(file)).map(|file| at(file, 0, "opens without //!")));
}

#[test]
fn a_file_has_500_lines_at_most() {
    let lengths = files().into_iter().map(|file| (file.text.lines().count(), file));
    let long = lengths.filter(|(length, _)| *length > FILE_LINES_MAX);
    report(long.map(|(length, file)| at(&file, FILE_LINES_MAX, &format!("has {length} lines"))));
}

#[test]
fn a_line_has_100_columns_at_most() {
    report_lines(|_, line| line.text.chars().count() > COLUMNS_MAX, "is wider than 100 columns");
}

#[test]
fn a_function_has_70_lines_at_most() {
    let files = files();
    let source = files.iter().filter(|file| file.is_product());
    report(source.flat_map(|file| {
        let functions = function_lengths(&file.code);
        let long = functions.into_iter().filter(|(_, length)| *length > FUNCTION_LINES_MAX);
        long.map(|(start, length)| at(file, start, &format!("has a function of {length} lines")))
    }));
}

#[test]
fn outside_tests_only_a_prelude_is_taken_whole() {
    let files = files();
    let tests = test_files(&files);
    report(files.iter().filter(|file| file.is_product() && !tests.contains(&file.path)).flat_map(
        |file| {
            let is_test = inline_test_lines(&file.code);
            let is_glob = |code: &str| code.replace("prelude::*", "").contains("::*");
            let lines = file.code.lines().enumerate();
            lines
                .filter(move |(number, code)| is_glob(code) && !is_test[*number])
                .map(|(number, _)| at(file, number, "takes a module whole"))
        },
    ));
}

#[test]
fn no_module_is_called_mod() {
    let files = files();
    let modules = files.iter().filter(|file| file.path.ends_with("/mod.rs"));
    report(modules.map(|file| at(file, 0, "is to be named like its folder, beside it")));
}

#[test]
fn the_target_is_named_only_behind_the_seam() {
    let homes = ["src/backend.rs", "src/backend/", "linux/"];
    report_words(&["target_os"], &homes, "asks for the operating system");
}

#[test]
fn unsafe_stands_only_in_linux() {
    report_words(&["unsafe"], &["linux/"], "is unsafe");
}

#[test]
fn no_marker_is_left_over() {
    let has_marker = |text: &str| MARKERS.iter().any(|marker| has_word(text, marker));
    report_lines(|_, line| has_marker(line.text), "has a marker that is left over");
}

#[test]
fn rustls_is_named_only_in_tls() {
    let words = ["rustls", "tokio_rustls", "rustls_native_certs"];
    report_words(&words, &["src/tls.rs", "src/tls/", "tests/", "benches/"], "names rustls");
}

#[test]
fn hypers_client_is_named_only_in_http() {
    report_lines(
        |file, line| {
            let names = ["hyper::client", "hyper_util::client", "client::conn"];
            !is_in(file, &["src/http.rs", "src/http/", "tests/", "benches/"])
                && names.iter().any(|name| line.code.contains(name))
        },
        "names hyper's client",
    );
}

#[test]
fn clap_is_named_only_where_words_are_typed_and_told() {
    let homes = ["src/cli.rs", "src/cli/", "src/report.rs", "src/main.rs"];
    report_words(&["clap"], &homes, "names clap");
}

#[test]
fn archives_are_read_only_in_extract() {
    // The index and the record take their sums from it.
    let sums = ["src/cache/index.rs", "src/reuse/record.rs"];
    let readers = ["src/extract.rs", "src/extract/", "src/sources/pack.rs"];
    // A registry compresses what it serves.
    let writers = ["src/bench/serve/content.rs", "tests/", "benches/"];
    let homes = [&readers[..], &writers, &sums].concat();
    let homes = homes.as_slice();
    report_words(&["tar", "flate2", "libdeflater"], homes, "names a crate for archives");
}

#[test]
fn tests_that_the_compatibility_page_names_are_there() {
    let page = fs::read_to_string(root().join("docs/compatibility.md")).unwrap();
    // Between two backticks stands code, so every other piece is one.
    let names = page.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"));
    let is_word = |text: &str| text.chars().all(|one| one.is_alphanumeric() || one == '_');
    let names = names.filter(|(module, test)| is_word(module) && is_word(test));
    let is_missing = |(module, test): &(&str, &str)| {
        let path = root().join(format!("tests/e2e/{module}.rs"));
        let source = fs::read_to_string(path).unwrap_or_default();
        !source.contains(&format!("fn {test}()"))
    };
    report(names.filter(is_missing).map(|(module, test)| format!("there is no {module}::{test}")));
}

#[test]
fn comments_and_strings_are_no_code() {
    let cases = [
        ("a // b \" c\nd", "a         \nd"),
        ("a /* b\nc */ d", "a     \n     d"),
        (r#"f("\"}", x)"#, "f(     , x)"),
        (r##"br#"{"a"}"# + r"\" + x"##, "b           +      + x"),
        (r"'{' + '\'' + '\u{7d}' + &'a b", "    +      +          + &'a b"),
    ];
    for (text, expected) in cases {
        assert_eq!(code_of(text), expected, "{text}");
    }
}

#[test]
fn a_function_ends_with_its_own_brace() {
    let code = "pub fn a(x: [u8; 2]) -> u8\nwhere\n{\n    { }\n}\ntrait T {\n    fn b();\n}\n\
                const fn c() {}\nlet f: fn(u8) = g;\n";
    assert_eq!(function_lengths(code), [(0, 5), (8, 1)]);
}

#[test]
fn a_test_module_is_known_by_its_attribute() {
    let code =
        "use a::*;\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n#[cfg(test)]\nmod more;\n";
    assert_eq!(inline_test_lines(code), [false, true, true, true, true, false, false]);
    let file = File { path: "src/a.rs".into(), text: String::new(), code: code.into() };
    assert_eq!(test_files(&[file]), HashSet::from(["src/a/more.rs".into()]));
}

struct File {
    /// From the repository's root.
    path: String,
    text: String,
    /// The text with spaces in the place of comments, strings and characters.
    code: String,
}

struct Line<'f> {
    text: &'f str,
    code: &'f str,
}

impl File {
    fn is_product(&self) -> bool {
        is_in(self, &["src/", "linux/src/"])
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    for folder in ["src", "linux", "tests", "benches"] {
        read_files(root, &root.join(folder), &mut files)
            .unwrap_or_else(|error| panic!("failed to read `{folder}`: {error}"));
    }
    assert!(files.iter().any(|file| file.path == "tests/tidy.rs"), "the files are not these");
    files
}

fn read_files(root: &Path, folder: &Path, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            read_files(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            let path = path.strip_prefix(root).map_err(io::Error::other)?;
            let code = code_of(&text);
            files.push(File { path: path.display().to_string(), text, code });
        }
    }
    Ok(())
}

/// Fails with all lines of which the rule is true.
fn report_lines(is_wrong: impl Fn(&File, &Line<'_>) -> bool, what: &str) {
    report(files().iter().flat_map(|file| {
        let lines = file.text.lines().zip(file.code.lines()).enumerate();
        lines
            .filter(|(_, (text, code))| is_wrong(file, &Line { text, code }))
            .map(|(number, _)| at(file, number, what))
            .collect::<Vec<_>>()
    }));
}

/// Fails with all lines that name one of the words in their code, outside its homes.
fn report_words(words: &[&str], homes: &[&str], what: &str) {
    let has_any = |code: &str| words.iter().any(|word| has_word(code, word));
    report_lines(|file, line| !is_in(file, homes) && has_any(line.code), what);
}

fn report(problems: impl Iterator<Item = String>) {
    let mut problems: Vec<_> = problems.collect();
    problems.sort();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn at(file: &File, number: usize, what: &str) -> String {
    format!("{}:{}: {what}", file.path, number + 1)
}

fn is_in(file: &File, homes: &[&str]) -> bool {
    homes
        .iter()
        .any(|home| file.path == *home || home.ends_with('/') && file.path.starts_with(home))
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(start, _)| {
        let (before, after) = (&text[..start], &text[start + word.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

/// The first line and the number of lines of each function that has a body.
fn function_lengths(code: &str) -> Vec<(usize, usize)> {
    let lines: Vec<_> = code.lines().collect();
    let starts = (0..lines.len()).filter(|number| is_function(lines[*number]));
    starts.filter_map(|start| Some((start, block_lines(&lines[start..])?))).collect()
}

fn is_function(line: &str) -> bool {
    let before = line.split_once("fn ").map(|(before, _)| before.trim());
    let qualifiers = ["const", "async", "unsafe", "extern", "pub"];
    before.is_some_and(|before| {
        before.split_whitespace().all(|word| qualifiers.iter().any(|one| word.starts_with(one)))
    })
}

/// How many lines there are to the end of the first block; `None` where a `;` comes before it.
fn block_lines(lines: &[&str]) -> Option<usize> {
    let mut brackets = 0_usize;
    let mut braces = 0_usize;
    for (number, line) in lines.iter().enumerate() {
        for character in line.chars() {
            match character {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                ';' if brackets + braces == 0 => return None,
                '{' => braces += 1,
                '}' if braces == 1 => return Some(number + 1),
                '}' => braces -= 1,
                _ => {}
            }
        }
    }
    None
}

/// The line after each `#[cfg(test)]`, if that is the head of a module.
fn test_modules<'c>(lines: &'c [&'c str]) -> impl Iterator<Item = (usize, &'c str)> {
    lines.windows(2).enumerate().filter_map(|(number, pair)| {
        let head = pair[1].trim_start().strip_prefix("mod ")?;
        (pair[0].trim() == "#[cfg(test)]").then_some((number, head))
    })
}

/// For each line, whether it is in a test module.
fn inline_test_lines(code: &str) -> Vec<bool> {
    let lines: Vec<_> = code.lines().collect();
    let mut is_test = vec![false; lines.len()];
    for (start, _) in test_modules(&lines) {
        let length = block_lines(&lines[start + 1..]).map_or(0, |length| length + 1);
        is_test[start..start + length].fill(true);
    }
    is_test
}

/// The files that are test modules of others.
fn test_files(files: &[File]) -> HashSet<String> {
    let mut tests = HashSet::new();
    for file in files {
        let lines: Vec<_> = file.code.lines().collect();
        let stem = file.path.trim_end_matches(".rs");
        let folder = stem.trim_end_matches("/lib").trim_end_matches("/main");
        let names = test_modules(&lines).filter_map(|(_, head)| head.strip_suffix(';'));
        tests.extend(names.map(|name| format!("{folder}/{name}.rs")));
    }
    tests
}

/// The text with spaces in the place of what is not code; lines stay lines.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal_length(rest);
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (literal, after) = rest.split_at(length);
        code.extend(literal.chars().map(|one| if one == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    code
}

/// The length of the comment, string or character that the text begins with; 0 where it does not.
fn literal_length(text: &str) -> usize {
    let through = |start: usize, end: &str| {
        text[start..].find(end).map_or(text.len(), |found| start + found + end.len())
    };
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return through(2, "*/");
    }
    if text.starts_with('"') {
        let mut is_escaped = true;
        let end = text.find(|character| {
            let ends = character == '"' && !is_escaped;
            is_escaped = character == '\\' && !is_escaped;
            ends
        });
        return end.map_or(text.len(), |end| end + 1);
    }
    if let Some(raw) = text.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return through(hashes + 2, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    if let Some(quoted) = text.strip_prefix('\'') {
        let mut characters = quoted.char_indices();
        return match (characters.next(), characters.next()) {
            (Some((_, '\\')), Some(_)) => through(3, "'"),
            (_, Some((second, '\''))) => second + 2,
            _ => 0,
        };
    }
    0
}
