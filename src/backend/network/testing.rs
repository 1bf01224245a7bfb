//! For tests of what runs on a network driver: each of them once on each driver.

use std::cell::Cell;

use super::{Driver, Ended, Network, run};
use crate::backend::testing::tell_no_ring;

thread_local! {
    static REFUSES_SENDS: Cell<bool> = const { Cell::new(false) };
}

/// From now on, rings of this thread do not send, as in a sandbox that filters opcodes.
pub fn refuse_sends() {
    REFUSES_SENDS.set(true);
}

/// The opcodes that a ring of this thread may carry out; `None` for all.
#[allow(dead_code, reason = "the ring asks, where there is one")]
pub fn opcodes_allowed() -> Option<Vec<u8>> {
    const SEND: u8 = 26;
    REFUSES_SENDS.get().then(|| (0..60).filter(|code| *code != SEND).collect())
}

/// Makes tests of functions that take a [`Driver`], one for each driver.
macro_rules! on_each_driver {
    ($($rule:ident),* $(,)?) => {
        mod on_epoll { $(
            #[test]
            fn $rule() {
                super::$rule($crate::backend::network::Driver::Epoll);
            }
        )* }
        mod on_ring { $(
            #[test]
            fn $rule() {
                use $crate::backend::network::{Driver, testing::is_had};
                if is_had(Driver::Ring) {
                    super::$rule(Driver::Ring);
                }
            }
        )* }
        mod on_tokio_uring { $(
            #[test]
            fn $rule() {
                use $crate::backend::network::{Driver, testing::is_had};
                if is_had(Driver::TokioUring) {
                    super::$rule(Driver::TokioUring);
                }
            }
        )* }
    };
}
pub(crate) use on_each_driver;

/// Runs `main` on a driver that is not refused.
pub fn run_on<T>(driver: Driver, main: impl AsyncFnOnce(Network) -> T) -> T {
    match run(driver, main).unwrap().0 {
        Ended::Output(output) => output,
        Ended::Refused(error) => panic!("{driver} is refused: {error}"),
    }
}

/// Whether a driver can be had here. Where it cannot, that is said, and is a failure where the
/// ring is required.
pub fn is_had(driver: Driver) -> bool {
    let Err(error) = run(driver, async |_| ()) else { return true };
    tell_no_ring(&format!("the driver {driver}"), &error);
    false
}
