//! Starts monitors: the only place of the product that starts a program.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use runtime::monitor::protocol::Ready;
use tokio::io::AsyncReadExt;

/// Time from the start of a monitor to its word that the program runs. Pulling nothing, it takes milliseconds; a frozen disk may take longer.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest `Ready` message.
const READY_BYTES_MAX: u64 = 64 * 1024;

/// A container could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The monitor itself could not be started.
    #[error("start a monitor")]
    Monitor(#[source] io::Error),
    /// The monitor ended without a word.
    #[error("the monitor ended without a word; see `{}`", log.display())]
    Silent {
        /// Its log.
        log: PathBuf,
    },
    /// The monitor did not answer in time.
    #[error("the monitor gave no answer within {} s", READY_TIMEOUT.as_secs())]
    Timeout,
    /// The runtime refused or a system call did.
    #[error("{message}")]
    Refused {
        /// What and why.
        message: String,
        /// 125, 126 or 127 as the shell uses them.
        code: i32,
    },
}

/// How to start a monitor.
#[derive(Debug, Clone)]
pub struct Start {
    /// The `stack` program.
    pub program: PathBuf,
    /// The container's directory.
    pub directory: PathBuf,
    /// Wait for the first `Attach` before the process starts.
    pub await_attach: bool,
    /// Command line that starts a supervisor when this one is gone; empty = none.
    pub supervisor: Vec<OsString>,
}

/// What a monitor reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Host pid of PID 1; `None` while it waits for the first `Attach`.
    pub pid: Option<i32>,
    /// What works less well than asked for.
    pub warnings: Vec<String>,
}

/// Starts the monitor of a container and returns once the user's program was executed.
///
/// The ready pipe is the monitor's standard output: it needs no inheritable descriptor that a monitor started at the same moment would inherit too.
pub async fn spawn_monitor(start: &Start) -> Result<Started, SpawnError> {
    let log_path = start.directory.join("monitor.log");
    let log = open_log(&log_path).map_err(SpawnError::Monitor)?;
    let mut command = monitor_command(start);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    let mut child = command.spawn().map_err(SpawnError::Monitor)?;
    let pipe = child.stdout.take().expect("stdout is a pipe");
    let mut text = Vec::new();
    let mut pipe = pipe.take(READY_BYTES_MAX);
    let read = tokio::time::timeout(READY_TIMEOUT, pipe.read_to_end(&mut text)).await;
    // The child is not waited for: it lives as long as its container. tokio reaps it when it ends.
    drop(child);
    read.map_err(|_elapsed| SpawnError::Timeout)?
        .map_err(SpawnError::Monitor)?;
    match serde_json::from_slice(&text) {
        Ok(Ready::Started { pid, warnings }) => Ok(Started {
            pid: Some(pid),
            warnings,
        }),
        Ok(Ready::Waiting) => Ok(Started {
            pid: None,
            warnings: Vec::new(),
        }),
        Ok(Ready::Failed { message, code }) => Err(SpawnError::Refused { message, code }),
        Err(_) => Err(SpawnError::Silent { log: log_path }),
    }
}

#[expect(clippy::disallowed_methods, reason = "the product's own monitor")]
fn monitor_command(start: &Start) -> tokio::process::Command {
    let mut command = std::process::Command::new(&start.program);
    command.env_clear().arg("monitor");
    command
        .arg("--directory")
        .arg(&start.directory)
        .args(["--ready-fd", "1"]);
    if start.await_attach {
        command.arg("--await-attach");
    }
    command.arg("--").args(&start.supervisor);
    command.into()
}

fn open_log(path: &Path) -> io::Result<std::fs::File> {
    fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map(fs_err::File::into_file)
}
