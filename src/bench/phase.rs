//! The phases: what is there at the start of a run, and what is timed.

use std::fmt;

use serde::{Serialize, Serializer};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// `package.json` alone and no cache: resolve and install.
    FullCold,
    /// `package.json` alone and no cache: the lockfile alone.
    Resolve,
    /// A lockfile, an empty cache and no `node_modules`: install.
    Cold,
    /// A lockfile, a warm cache and no `node_modules`: install.
    Warm,
    /// Everything in place: install again.
    Unchanged,
}

impl Phase {
    pub const ALL: [Self; 5] =
        [Self::FullCold, Self::Resolve, Self::Cold, Self::Warm, Self::Unchanged];

    pub fn name(self) -> &'static str {
        match self {
            Self::FullCold => "p0",
            Self::Resolve => "p1",
            Self::Cold => "p3",
            Self::Warm => "p4",
            Self::Unchanged => "p5",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == text)
    }

    pub fn has_lockfile(self) -> bool {
        !matches!(self, Self::FullCold | Self::Resolve)
    }

    /// Whether all runs of a contender share a cache that a run before them has filled.
    pub fn has_warm_cache(self) -> bool {
        matches!(self, Self::Warm | Self::Unchanged)
    }

    pub fn makes_tree(self) -> bool {
        self != Self::Resolve
    }

    /// Whether tarballs have to be asked for; `None` where they may be.
    pub fn wants_tarballs(self) -> Option<bool> {
        match self {
            Self::FullCold | Self::Cold => Some(true),
            Self::Warm | Self::Unchanged => Some(false),
            Self::Resolve => None,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Serialize for Phase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_known_by_its_name() {
        for phase in Phase::ALL {
            assert_eq!(Phase::parse(phase.name()), Some(phase));
        }
        assert_eq!(Phase::parse("p2"), None);
    }
}
