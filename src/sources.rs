//! Sources other than the registry.

pub mod address;
pub mod glob;
pub mod hosted;
pub mod manifest;
pub mod pack;
pub mod packlist;
