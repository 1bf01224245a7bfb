//! What tests say that cannot be run here.

use std::fmt::Display;
use std::io::Write as _;

/// Says why something is not run, past the test harness, which shows nothing of a test that passes.
pub fn tell_not_run(what: &str, why: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "not run: {what}: {why}");
}

/// The same of what needs io_uring, which is a failure with `RINGSTALL_TEST_RING=require`.
pub fn tell_no_ring(what: &str, why: &dyn Display) {
    let is_required = std::env::var_os("RINGSTALL_TEST_RING").is_some_and(|it| it == "require");
    assert!(!is_required, "RINGSTALL_TEST_RING=require, and {what} cannot be had: {why}");
    tell_not_run(what, why);
}
