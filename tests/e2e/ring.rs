//! End to end on io_uring, for files and for the network: every rule of `main.rs`.

#[path = "main.rs"]
mod every;

use every::{retry, support};
