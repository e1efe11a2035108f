//! The supervisor; here only its entry.

use std::{ffi::OsString, os::fd::OwnedFd, path::PathBuf};

use crate::store::Root;

/// How a supervisor is started.
#[derive(Debug)]
pub struct Arguments {
    /// The state root.
    pub root: Root,
    /// The `stack` program, for monitors.
    pub program: PathBuf,
    /// Command line (program first) that starts a supervisor of this root.
    pub respawn: Vec<OsString>,
    /// Gets one byte once the socket listens (or another supervisor has the lock), then is closed.
    pub ready: Option<OwnedFd>,
}

/// Runs the supervisor to its end and returns its exit status.
pub fn run(arguments: Arguments) -> i32 {
    tracing::error!(root = %arguments.root.state().display(), "this build has no supervisor");
    1
}
