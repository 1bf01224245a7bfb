//! Which engine does what: what is asked for, and what is chosen.

/// What `--io` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileEngine {
    /// For each class of operation and filesystem, what was measured best.
    #[default]
    Auto,
    Ring,
    Threads,
}

/// What `--net` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkDriver {
    /// The ring where it can be had, else epoll.
    #[default]
    Auto,
    Ring,
    TokioUring,
    Epoll,
}
