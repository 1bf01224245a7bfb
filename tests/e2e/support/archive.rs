//! Tar archives down to the byte, so that hostile ones can be made as well as good ones.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

/// A header of ustar with a right checksum. The name is not looked at, but for its length.
pub fn header(path: &[u8], flag: u8, size: u64, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_entry_type(EntryType::new(flag));
    header.set_size(size);
    header.set_mode(mode);
    header.set_cksum();
    header
}

/// The header and its content, filled up to a whole block.
pub fn padded(header: &Header, content: &[u8]) -> Vec<u8> {
    let mut bytes = [header.as_bytes(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub fn member(path: &str, flag: u8, mode: u32, content: &[u8]) -> Vec<u8> {
    padded(&header(path.as_bytes(), flag, content.len() as u64, mode), content)
}

pub fn file(path: &str, content: &str) -> Vec<u8> {
    member(path, b'0', 0o644, content.as_bytes())
}

/// A link of either kind; it has no content.
pub fn link(path: &str, flag: u8, target: &str) -> Vec<u8> {
    let mut header = header(path.as_bytes(), flag, 0, 0o777);
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    padded(&header, b"")
}

/// A PAX header (`x` for the next member, `g` for all) with the given records.
pub fn pax(flag: u8, records: &[(&str, &str)]) -> Vec<u8> {
    let record = |(key, value): &(&str, &str)| {
        let rest = format!(" {key}={value}\n");
        let is_length = |length: &usize| length.to_string().len() + rest.len() == *length;
        let length = (1..=rest.len() + 20).find(is_length).unwrap();
        format!("{length}{rest}")
    };
    let records: String = records.iter().map(record).collect();
    member("PaxHeader", flag, 0o644, records.as_bytes())
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The members one after the other, and the two null blocks of the end.
pub fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}
