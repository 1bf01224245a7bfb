//! What a script in the background has printed: its beginning and its end, in bounded memory.

use std::collections::VecDeque;
use std::fmt::Write as _;

/// A stack trace or a compiler's first error is within this.
const HEAD_BYTES: usize = 64 << 10;
/// What a build says last is why it failed.
const TAIL_BYTES: usize = 192 << 10;

/// Both streams of a script, in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Output {
    pub fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - self.head.len()));
        self.head.extend_from_slice(first);
        let rest = match rest.len().checked_sub(TAIL_BYTES) {
            None => rest,
            Some(excess) => {
                self.left_out += excess as u64;
                &rest[excess..]
            }
        };
        let excess = (self.tail.len() + rest.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..excess);
        self.left_out += excess as u64;
        self.tail.extend(rest);
    }

    /// The text without escape sequences, which could make a log say something else than what
    /// was written; lines end with LF.
    pub fn text(&self) -> String {
        let mut text = plain(&self.head);
        if self.left_out > 0 {
            // Writing to a String does not fail.
            let _ = write!(text, "\n[{} bytes are left out here]\n", self.left_out);
        }
        let (first, second) = self.tail.as_slices();
        text.push_str(&plain(&[first, second].concat()));
        text.trim().to_owned()
    }
}

fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = anstream::adapter::strip_str(&text).to_string();
    text.replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_output_is_whole() {
        let mut output = Output::default();
        output.push(b"one\r\n");
        output.push(b"two\xff\n\n");
        assert_eq!(output.text(), "one\ntwo\u{fffd}");
    }

    #[test]
    fn of_long_output_the_beginning_and_the_end_are_kept() {
        let long: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        for piece in [1000, 7_001, HEAD_BYTES, TAIL_BYTES * 2, long.len()] {
            let mut output = Output::default();
            for bytes in long.chunks(piece) {
                output.push(bytes);
            }
            assert_eq!(output.head, long[..HEAD_BYTES], "{piece}");
            assert_eq!(output.tail, &long[long.len() - TAIL_BYTES..], "{piece}");
            assert_eq!(output.left_out, (long.len() - HEAD_BYTES - TAIL_BYTES) as u64, "{piece}");
        }
        let mut output = Output::default();
        output.push(&vec![b'a'; HEAD_BYTES]);
        output.push(&vec![b'b'; TAIL_BYTES + 5]);
        assert!(output.text().contains("a\n[5 bytes are left out here]\nb"));
    }

    #[test]
    fn escape_sequences_are_taken_out() {
        let mut output = Output::default();
        output.push(b"\x1b[31mred\x1b[0m \x1b]8;;http://evil\x07link\x1b]8;;\x07\x1b[2J");
        assert_eq!(output.text(), "red link");
    }
}
