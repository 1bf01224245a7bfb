//! End to end on plain system calls and epoll: every rule of `main.rs`.

#[path = "main.rs"]
mod every;

use every::{retry, support};
