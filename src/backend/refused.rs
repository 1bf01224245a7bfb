//! What is known of io_uring where it is refused, as values that every host has.

use std::fmt;

use crate::error::{Code, Error};

/// Why something is refused, and what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub why: String,
    pub advice: String,
}

/// All that was tried of io_uring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingFindings {
    /// Why it cannot be used for files; `None` where it can.
    pub files: Option<Refused>,
    /// Why it cannot be used for connections.
    pub sockets: Option<Refused>,
    /// What there is of it, part by part; nothing where no ring can be made.
    pub parts: Vec<RingPart>,
}

/// A part of io_uring that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingPart {
    pub kind: RingPartKind,
    pub name: &'static str,
    /// The first kernel that has it.
    pub since: &'static str,
    pub role: RingPartRole,
    /// The errno that it met.
    pub errno: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingPartKind {
    SetupFlag,
    Feature,
    Registration,
    Opcode,
}

/// What depends on a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingPartRole {
    /// Files or connections cannot do without it.
    Needed,
    /// It saves switches or system calls.
    Faster,
    /// It is told for who compares kernels.
    Unused,
}

impl RingPartKind {
    pub const ALL: [Self; 4] = [Self::SetupFlag, Self::Feature, Self::Registration, Self::Opcode];
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.why)
    }
}

impl std::error::Error for Refused {}

/// The error for who insists on io_uring by `option`.
pub(super) fn refused(option: &str, refused: Refused) -> Error {
    let advice = &refused.advice;
    let hint = format!("{advice}, or leave it to `auto`; `ringstall doctor` says more");
    Error::new(Code::Config, format!("`{option}` cannot be had: io_uring is refused"))
        .with_source(refused)
        .with_hint(hint)
}
