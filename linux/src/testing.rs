//! For tests: those that need io_uring are left out, with a word, where the kernel refuses it.

use std::io::Write as _;
use std::sync::OnceLock;

use crate::ring::{Options, Ring};

/// Ends the test where the kernel refuses io_uring: with success, unless `RINGSTALL_TEST_RING` is
/// `require`.
macro_rules! needs_ring {
    () => {
        if !$crate::testing::has_ring() {
            return;
        }
    };
}
pub(crate) use needs_ring;

pub fn has_ring() -> bool {
    static REFUSAL: OnceLock<Option<String>> = OnceLock::new();
    let refusal = REFUSAL.get_or_init(|| {
        let options =
            Options { submissions: 8, completions: 16, workers_max: None, opcodes_allowed: None };
        Ring::new(&options).err().map(|error| error.to_string())
    });
    let Some(reason) = refusal else { return true };
    let is_required = std::env::var("RINGSTALL_TEST_RING").is_ok_and(|value| value == "require");
    assert!(!is_required, "RINGSTALL_TEST_RING=require, and io_uring is refused: {reason}");
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    // Written at once, and past the harness, which keeps what a test prints to itself.
    let line = format!("{name}: not run: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    false
}
