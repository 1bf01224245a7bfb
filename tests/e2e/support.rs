//! What the tests are made of: packages, a registry that serves them, projects that want them, and
//! trees to compare.

pub mod archive;
pub mod authority;
pub mod engine;
pub mod npm;
pub mod npm_cache;
pub mod outcome;
pub mod package;
pub mod project;
pub mod proxy;
pub mod registry;
pub mod reply;
pub mod repository;
pub mod schema;
pub mod tree;

pub use authority::{Authority, Clients};
pub use package::Package;
pub use project::Project;
pub use proxy::Proxy;
pub use registry::Registry;
pub use reply::Reply;

pub const RINGSTALL: &str = env!("CARGO_BIN_EXE_ringstall");
