//! End to end on the tokio-uring crate: the rules for what goes over the network.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "tests that are skipped say so")]
#![expect(dead_code, reason = "the support serves the other targets as well")]

mod support;

mod auth;
mod cache;
mod extract;
mod fetch;
mod integrity;
mod optional;
mod proxy;
mod retry;
mod settings;
mod sources;
mod tls;
