//! End to end: the real binary, on real projects, against a registry of our own on loopback.
//!
//! This is the command on its default engines. `threads.rs`, `ring.rs` and `tokio_uring.rs` beside
//! it hold the same rules on the engines that can be forced; see [`support::engine`].
//!
//! Each module holds the rules of one part of the contract. Where npm itself is the judge, it runs
//! on a copy of the same project and the two trees are compared whole; see [`support::npm`].
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "tests that are skipped say so")]

pub(crate) mod support;

mod allowances;
mod auth;
mod bench;
mod bins;
mod bundled;
mod cache;
mod cache_care;
mod command_line;
mod doctor;
mod emptying;
mod events;
mod extract;
mod fetch;
mod fetch_command;
mod filesystems;
mod git;
mod git_hosted;
mod git_hostile;
mod git_prepare;
mod hangs;
mod hidden_lock;
mod hostile_lock;
mod hostile_tarball;
mod integrity;
mod json;
mod lockfile;
mod members;
mod missing_optional;
mod npm_cache;
mod observed;
mod offline;
mod omit;
mod optional;
mod output;
mod packlist;
mod place;
mod platform;
mod proxy;
mod read_only_cache;
#[cfg(feature = "io-uring")]
mod refusals;
pub(crate) mod retry;
mod reuse;
mod reuse_scripts;
mod scripts;
mod scripts_environment;
mod scripts_failure;
mod scripts_order;
mod scripts_policy;
mod scripts_private;
mod scripts_signals;
mod settings;
mod shrinkwrap;
mod sources;
mod sync;
mod sync_sources;
mod tarballs;
mod timings;
mod tls;
mod unverified;
mod version_1;
#[cfg(not(feature = "io-uring"))]
mod without_ring;
mod workspaces;
