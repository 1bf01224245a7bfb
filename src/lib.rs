//! ringstall puts on disk exactly the tree that `npm ci` makes from the same lockfile.
//!
//! The stages are values in, values out: [`config`] and [`lockfile`] are read, [`plan`] decides
//! what has to be done, and [`install`] alone knows the order in which it is carried out.
#![forbid(unsafe_code)]

pub mod backend;
pub mod bins;
pub mod check;
pub mod collate;
pub mod error;
pub mod graph;
pub mod hidden_lock;
pub mod install_path;
pub mod json;
pub mod lockfile;
pub mod manifest;
pub mod overrides;
pub mod platform;
pub mod project;
pub mod specifier;
pub mod workspaces;
