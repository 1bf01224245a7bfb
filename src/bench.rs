//! `ringstall bench`: the phases table of a project, for ours and for other package managers.

pub mod mirror;
pub mod serve;
