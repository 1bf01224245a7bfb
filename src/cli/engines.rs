//! Which engine carries what is done to files, and which the downloads.

use clap::{Args, ValueEnum};

use crate::backend::{BATCH_DEFAULT, BATCH_MAX};

#[derive(Debug, Args)]
#[command(next_help_heading = "Engines")]
pub struct EngineArguments {
    /// How files are made and placed
    #[arg(long, value_enum, default_value_t, value_name = "ENGINE", env = "RINGSTALL_IO")]
    pub io: FileEngineArgument,
    /// How many operations on files each ring has in flight at most; plain system calls are made
    /// one by one
    #[arg(long, default_value_t = BATCH_DEFAULT, value_name = "N", env = "RINGSTALL_BATCH",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(BATCH_MAX)))]
    pub batch: u32,
    /// How tarballs are downloaded
    #[arg(long, value_enum, default_value_t, value_name = "DRIVER", env = "RINGSTALL_NET")]
    pub net: NetworkDriverArgument,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FileEngineArgument {
    /// For each kind of operation and filesystem, what was measured best
    #[default]
    Auto,
    /// Batches on io_uring; fails where the kernel refuses it
    Ring,
    /// Plain system calls on threads
    Threads,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NetworkDriverArgument {
    /// The ring where the kernel allows it, else epoll
    #[default]
    Auto,
    /// Batches on io_uring; fails where the kernel refuses it
    Ring,
    /// The tokio-uring crate, for comparison; fails where the kernel refuses io_uring
    TokioUring,
    /// Readiness by epoll, one system call for each read and write
    Epoll,
}
