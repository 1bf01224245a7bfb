//! The heads of requests and answers: as much of HTTP/1.1 as package managers speak.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;

/// Heads are some 300 bytes; those with large cookies or tokens are refused by servers, too.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;

/// The media type with which an installer asks for the shorter form of a packument.
const ABBREVIATED: &str = "vnd.npm.install-v1";

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a header that is there or not")]
pub struct Request {
    /// Without its first slash and its query, and with nothing escaped.
    pub path: String,
    pub is_head: bool,
    pub accepts_gzip: bool,
    pub wants_abbreviated: bool,
    pub if_none_match: Option<String>,
    pub keeps_alive: bool,
}

/// What a buffer begins with.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A request, and the length of its head.
    Request(Request, usize),
    /// More has to be read.
    Partial,
    /// Something that is not answered but with this status, after which the connection ends.
    Refused(&'static str),
}

pub fn parse(buffer: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() < HEAD_BYTES_MAX => return Parsed::Partial,
        Ok(httparse::Status::Partial) => return Parsed::Refused("431 Head Too Large"),
        Err(_) => return Parsed::Refused("400 Bad Request"),
    };
    let is_head = match head.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Parsed::Refused("405 Method Not Allowed"),
    };
    let mut request =
        Request { is_head, keeps_alive: head.version == Some(1), ..Request::default() };
    let path = head.path.unwrap_or_default().trim_start_matches('/');
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    request.path = percent_decode_str(path).decode_utf8_lossy().into_owned();
    for header in &*head.headers {
        let value = String::from_utf8_lossy(header.value);
        match header.name.to_ascii_lowercase().as_str() {
            "accept" => request.wants_abbreviated = value.contains(ABBREVIATED),
            "accept-encoding" => request.accepts_gzip = value.contains("gzip"),
            "if-none-match" => request.if_none_match = Some(value.into_owned()),
            "connection" => request.keeps_alive = !value.eq_ignore_ascii_case("close"),
            // Nothing is read behind a head.
            "content-length" if value.trim() != "0" => {
                return Parsed::Refused("413 Content Too Large");
            }
            "transfer-encoding" => return Parsed::Refused("413 Content Too Large"),
            _ => {}
        }
    }
    Parsed::Request(request, length)
}

/// What is said of an answer before its body.
#[derive(Clone, Copy, Debug)]
pub struct Head<'h> {
    pub status: &'h str,
    pub media_type: &'h str,
    pub length: u64,
    pub is_gzip: bool,
    pub etag: Option<&'h str>,
    pub keeps_alive: bool,
}

impl Head<'_> {
    pub fn write(&self, buffer: &mut Vec<u8>) {
        let Self { status, media_type, length, .. } = self;
        let mut text = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n"
        );
        if self.is_gzip {
            text.push_str("content-encoding: gzip\r\nvary: accept-encoding, accept\r\n");
        }
        if let Some(etag) = self.etag {
            // As registries say it: what npm has it does not ask for again at once.
            let _ = write!(text, "etag: {etag}\r\ncache-control: public, max-age=300\r\n");
        }
        if !self.keeps_alive {
            text.push_str("connection: close\r\n");
        }
        text.push_str("\r\n");
        buffer.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let text = b"GET /%40s%2fa%20?x=1 HTTP/1.1\r\nHost: x\r\naccept-encoding: br, gzip\r\n\
            Accept: application/vnd.npm.install-v1+json; q=1.0, */*\r\nIf-None-Match: \"e\"\r\n\
            \r\nGET";
        let Parsed::Request(request, length) = parse(text) else { panic!("it is whole") };
        assert_eq!(length, text.len() - 3);
        let expected = Request {
            path: "@s/a ".to_owned(),
            is_head: false,
            accepts_gzip: true,
            wants_abbreviated: true,
            if_none_match: Some("\"e\"".to_owned()),
            keeps_alive: true,
        };
        assert_eq!(request, expected);
        for end in 0..length {
            assert_eq!(parse(&text[..end]), Parsed::Partial, "{end}");
        }
    }

    #[test]
    fn a_connection_ends_where_the_client_wants_it() {
        for (head, keeps) in [
            ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", true),
            ("HEAD / HTTP/1.1\r\n\r\n", true),
        ] {
            let Parsed::Request(request, _) = parse(head.as_bytes()) else { panic!("{head}") };
            assert_eq!(request.keeps_alive, keeps, "{head}");
        }
    }

    #[test]
    fn what_is_not_asked_of_a_registry_is_refused() {
        let many = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(HEAD_BYTES_MAX));
        for (head, status) in [
            ("POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", "405 Method Not Allowed"),
            ("GET / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", "413 Content Too Large"),
            ("GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", "413 Content Too Large"),
            ("hello\r\n\r\n", "400 Bad Request"),
            (&many, "431 Head Too Large"),
        ] {
            assert_eq!(parse(head.as_bytes()), Parsed::Refused(status), "{head}");
        }
    }
}
