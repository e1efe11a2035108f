//! Messages between a monitor and its clients.
//!
//! The socket is `monitor.sock` in the container's directory: unix, `SOCK_SEQPACKET`, one JSON document a packet (at most 128 KiB), file descriptors
//! attached by `SCM_RIGHTS` where a message says so. A client sends one [`Request`]; the monitor answers with [`Event`]s. A connection that sent
//! `Subscribe` stays open and gets every change. After `Attach` the connection carries [`Frame`]s both ways.
//! Only root (or the owner of the state root) can connect: the directory is 0700.

use serde::{Deserialize, Serialize};

use crate::spec::{ContainerState, ExitStatus, Process};

/// What a client asks of a monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "request")]
pub enum Request {
    /// Send the state now and at every change. `supervisor`: when this connection breaks without `Release`, start a new supervisor.
    Subscribe {
        /// Whether the client is the supervisor.
        supervisor: bool,
    },
    /// The supervisor leaves on purpose: do not start another. Answer: `Done`.
    Release,
    /// Keep the attached file descriptors under these names (listening sockets, DNS sockets), replacing those held. Answer: `Done`.
    Hold {
        /// One name for each descriptor, in order.
        names: Vec<String>,
    },
    /// Answer: `Held`, with the descriptors attached.
    Held,
    /// Send the signal, then SIGKILL after the grace; no restart. Answer: `Done` once the process has ended.
    Stop {
        /// Signal number; `None` = as the spec says.
        signal: Option<i32>,
        /// Milliseconds; `None` = as the spec says.
        grace_ms: Option<u64>,
    },
    /// Send a signal to PID 1. SIGKILL prevents a restart by policy, as `docker kill` does. Answer: `Done`.
    Kill {
        /// Signal number.
        signal: i32,
    },
    /// Freeze. Answer: `Done`.
    Pause,
    /// Thaw. Answer: `Done`.
    Resume,
    /// Freeze for as long as this connection is open; the state does not become `Paused`. Answer: `Done`.
    Freeze,
    /// Run another process in the container. Without `tty` the client's stdin, stdout and stderr are attached to this message and become the
    /// process's own. Answer: `ExecStarted` (with the pty master attached when `tty`), later `ExecExited` on the same connection.
    Exec {
        /// What to run.
        process: Process,
        /// Give it a pseudo-terminal.
        tty: bool,
        /// Rows and columns of the terminal.
        size: Option<(u16, u16)>,
        /// All capabilities, no seccomp filter.
        privileged: bool,
    },
    /// Keep the attached master of the terminal of a process that `Exec` started, because its client leaves: what it prints from now on is thrown away.
    /// Answer: `Done`.
    Detach,
    /// Connect to the first process's terminal or pipes: the connection then carries frames, the first of which is the present `State`.
    /// With `await_attach` the first `Attach` starts the program. Nothing is dropped for a client that reads slowly: the program waits
    /// for it. A client without input that reads nothing for 10 s is disconnected instead; the log has what it missed.
    Attach {
        /// Whether this client also sends input.
        stdin: bool,
    },
    /// Set the size of the first process's terminal. Answer: `Done`.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
}

/// What a monitor says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The state, after `Subscribe` and at every change.
    State {
        /// The container.
        id: String,
        /// What it does.
        #[serde(flatten)]
        state: ContainerState,
        /// Restarts by policy so far.
        restarts: u32,
    },
    /// The request was carried out.
    Done,
    /// The request was refused or did not work.
    Failed {
        /// What and why, for people.
        message: String,
        /// For `Exec`: 126 = found but not executable, 127 = not found, 125 = anything else.
        code: i32,
    },
    /// The held descriptors are attached, one for each name.
    Held {
        /// Names in the order of the descriptors.
        names: Vec<String>,
    },
    /// The process was started.
    ExecStarted {
        /// Its host pid.
        pid: i32,
    },
    /// The process ended.
    ExecExited {
        /// How.
        status: ExitStatus,
    },
}

/// One packet of an attached connection: a tag byte, then the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Frame {
    /// Client to monitor: input. An empty payload closes it.
    Stdin = 0,
    /// Monitor to client: standard output, or the terminal.
    Stdout = 1,
    /// Monitor to client: standard error.
    Stderr = 2,
    /// Monitor to client: an [`Event`] as JSON; the last one is `State` with `Exited`.
    Event = 3,
}

/// What a starting monitor writes, once, to its ready pipe before it closes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ready {
    /// The user's program was executed.
    Started {
        /// Host pid of the container's PID 1.
        pid: i32,
        /// Things that work less well than asked for (clamped limits, missing controllers), for people.
        warnings: Vec<String>,
    },
    /// The socket is bound; the program starts with the first `Attach` (`await_attach`).
    Waiting,
    /// It could not be started; nothing is left behind.
    Failed {
        /// What and why, for people: `step: subject: errno text`.
        message: String,
        /// 126 = found but not executable, 127 = program not found, 125 = anything else.
        code: i32,
    },
}

/// Largest packet of the socket in bytes.
pub const PACKET_BYTES_MAX: usize = 128 * 1024;
