//! ringstall puts on disk exactly the tree that `npm ci` makes from the same lockfile.
//!
//! The stages are values in, values out: [`config`] and [`lockfile`] are read, [`plan`] decides
//! what has to be done, and [`install`] alone knows the order in which it is carried out.
#![forbid(unsafe_code)]

pub mod backend;
pub mod bench;
pub mod bins;
pub mod cache;
pub mod check;
pub mod clear;
pub mod cli;
pub mod collate;
pub mod commands;
pub mod config;
pub mod conflict;
pub mod delivery;
pub mod dev_engines;
pub mod doctor;
pub mod error;
pub mod extract;
pub mod fetch;
pub mod fill;
pub mod finish;
pub mod glob;
pub mod graph;
pub mod guard;
pub mod hidden_lock;
pub mod http;
pub mod inflate;
pub mod install;
pub mod install_path;
pub mod installed;
pub mod integrity;
pub mod journal;
pub mod json;
pub mod link;
pub mod locate;
pub mod lockfile;
pub mod manifest;
pub mod missing_optional;
pub mod npm_cache;
pub mod overrides;
pub mod parcels;
pub mod phases;
pub mod plan;
pub mod platform;
pub mod prefetch;
pub mod progress;
pub mod project;
pub mod registry;
pub mod report;
pub mod reuse;
pub mod running;
pub mod scripts;
pub mod selection;
pub mod site;
pub mod sources;
pub mod specifier;
pub mod tls;
pub mod unverified;
pub mod watch;
pub mod workers;
pub mod workspaces;
