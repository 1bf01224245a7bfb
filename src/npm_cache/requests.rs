//! npm's index of the requests that it made: for an address, what the answer's content is.
//!
//! A file of the index holds one line for each answer, the newest last: the SHA-1 of the rest of
//! the line, a tab, and an object as JSON. Lines that were torn or altered are passed over.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use super::segments;
use crate::integrity::{Integrity, to_hex};

/// A file of the index has an entry or two, of some 1 KiB each.
const BUCKET_BYTES_MAX: u64 = 1 << 20;

#[derive(Deserialize)]
struct Entry {
    key: String,
    integrity: Option<String>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    /// Only answers other than 200 and 304 have it.
    status: Option<IgnoredAny>,
}

/// What npm recorded as the content at the address, when it last asked.
pub fn find(cache: &Path, url: &Url) -> Option<Integrity> {
    let key = request_key(url);
    let hash = to_hex(digest(&SHA256, key.as_bytes()).as_ref());
    let bucket = read(&cache.join("index-v5").join(segments(&hash)))?;
    newest(&bucket, &key)
}

/// The address without the user's name and password, and without its fragment.
fn request_key(url: &Url) -> String {
    let mut url = url.clone();
    // Neither call can fail where there is a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    format!("make-fetch-happen:request-cache:{url}")
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(BUCKET_BYTES_MAX + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= BUCKET_BYTES_MAX).then_some(text)
}

/// The last entry counts. One that says of itself that the answer was an error, or that there is
/// nothing any more, hides those before it.
fn newest(bucket: &str, key: &str) -> Option<Integrity> {
    let entry = bucket.lines().rev().filter_map(parse).find(|entry| entry.key == key)?;
    let is_answer = entry.metadata.is_none_or(|metadata| metadata.status.is_none());
    Integrity::parse(entry.integrity.as_deref().filter(|_| is_answer)?).ok()
}

fn parse(line: &str) -> Option<Entry> {
    let (sum, entry) = line.split_once('\t')?;
    let is_whole = to_hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, entry.as_bytes()).as_ref()) == sum;
    is_whole.then(|| serde_json::from_str(entry).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::{Value, json};

    use crate::npm_cache::{NpmCache, NpmTarball};

    /// Writes an entry as npm does.
    fn record(cache: &Path, url: &Url, integrity: &str) {
        let key = request_key(url);
        let hash = to_hex(digest(&SHA256, key.as_bytes()).as_ref());
        let path = cache.join("index-v5").join(segments(&hash));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, line(&json!({"key": key, "integrity": integrity, "metadata": {}})))
            .unwrap();
    }

    fn line(entry: &Value) -> String {
        let text = entry.to_string();
        let sum = to_hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref());
        format!("\n{sum}\t{text}")
    }

    /// Twenty bytes in base64, of which the digit is the first.
    fn sha1(digit: char) -> String {
        format!("sha1-{digit}{}=", "A".repeat(26))
    }

    fn entry(key: &str, digit: char) -> Value {
        json!({"key": key, "integrity": sha1(digit), "time": 1, "size": 3, "metadata": {}})
    }

    #[test]
    fn the_key_is_the_address_without_secrets_and_fragment() {
        let url = Url::parse("https://u:p@one.test/@s/a/-/a-1.0.0.tgz?x=1#sha").unwrap();
        let expected = "make-fetch-happen:request-cache:https://one.test/@s/a/-/a-1.0.0.tgz?x=1";
        assert_eq!(request_key(&url), expected);
    }

    #[test]
    fn the_newest_whole_line_of_the_key_counts() {
        let (old, new) = (line(&entry("k", 'B')), line(&entry("k", 'C')));
        let other = line(&entry("other", 'D'));
        let torn = &line(&entry("k", 'E'))[..60];
        let altered = line(&entry("k", 'E')).replace("\"size\":3", "\"size\":4");
        let bucket = format!("{old}{new}{other}{torn}{altered}");
        assert_eq!(newest(&bucket, "k"), Integrity::parse(&sha1('C')).ok());
        assert_eq!(newest(&bucket, "none"), None);
        assert_eq!(newest("", "k"), None);
    }

    #[test]
    fn a_deletion_and_an_error_hide_what_was_before() {
        let before = line(&entry("k", 'B'));
        let deleted = line(&json!({"key": "k", "integrity": null, "time": 2}));
        assert_eq!(newest(&format!("{before}{deleted}"), "k"), None);
        let mut gone = entry("k", 'C');
        gone["metadata"] = json!({"status": 404});
        assert_eq!(newest(&format!("{before}{}", line(&gone)), "k"), None);
    }

    #[test]
    fn a_bucket_that_is_no_index_is_a_miss() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::parse("http://one.test/a.tgz").unwrap();
        assert_eq!(find(folder.path(), &url), None);
        record(folder.path(), &url, &sha1('B'));
        assert_eq!(find(folder.path(), &url), Integrity::parse(&sha1('B')).ok());
        let hash = to_hex(digest(&SHA256, request_key(&url).as_bytes()).as_ref());
        let path = folder.path().join("index-v5").join(segments(&hash));
        for content in [vec![0xff; 10], vec![b'x'; usize::try_from(BUCKET_BYTES_MAX).unwrap() + 1]]
        {
            fs::write(&path, content).unwrap();
            assert_eq!(find(folder.path(), &url), None);
        }
    }

    #[test]
    fn an_index_that_others_could_have_written_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("_cacache");
        let url = Url::parse("http://one.test/a.tgz").unwrap();
        record(&directory, &url, &sha1('B'));
        let recorded = Integrity::parse(&sha1('B')).unwrap();
        let hex = recorded.hex_digests().next().unwrap();
        let path = directory.join("content-v2/sha1").join(segments(&hex));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        let found = || NpmCache::open(folder.path()).unwrap().find(None, &url);
        assert_eq!(found(), Some(NpmTarball { path, recorded: Some(recorded) }));
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(found(), None);
    }
}
