//! The monitor: one tiny process per container that owns what must outlive the supervisor.

mod client;
mod health;
mod log;
mod packet;
pub mod protocol;
mod record;
mod restart;
mod supervisor;

pub use client::{Client, ClientError, Received};

/// What a monitor is started with.
#[derive(Debug)]
pub struct Arguments {
    /// The container's directory.
    pub directory: std::path::PathBuf,
    /// Takes one `Ready` as JSON and is closed then.
    pub ready: std::os::fd::OwnedFd,
    /// Start the program with the first `Attach` only.
    pub await_attach: bool,
    /// Program and arguments that start a supervisor; empty = none is ever started.
    pub supervisor: Vec<std::ffi::OsString>,
}

/// Serves one container until it has ended for good; returns the exit status of the process.
pub fn run(_arguments: Arguments) -> i32 {
    1
}
