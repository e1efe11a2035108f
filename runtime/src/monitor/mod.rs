//! The monitor: one tiny process per container that owns what must outlive the supervisor.
//!
//! It is the parent of the container's PID 1: starts it, reaps it, records its exit durably, starts it again by policy, probes its
//! health, writes its log, holds its terminal or pipes, and serves attach and exec on a socket ([`protocol`]). When its supervisor
//! is gone it starts another one. It never decides what a container is; it has no threads and no async runtime, and needs no
//! network, image or Compose file.
//!
//! Theory of operation. [`event_loop`] waits with poll(2) for what the present state makes interesting, hands each ready
//! descriptor to its handler, and then acts on every deadline that has passed. Nothing is registered anywhere, so nothing can go
//! stale. What is decided is decided by pure state machines ([`restart`], [`health`], [`supervisor::Watch`], [`log`]'s splitter).
//!
//! ```text
//!            first Attach                    the program ended, policy says again
//! Awaiting ───────────────> Running ────────────────────────────────> Pausing (back-off)
//!     │                       │  ^                                        │
//!     │ timeout, Stop         │  └────────────────────────────────────────┤ delay over
//!     └──────────> Ended <────┴── ended for good <────────────────────────┘ Stop
//! ```
//!
//! Signals: SIGTERM asks for what `Stop` asks for, so that whoever ends a monitor gently ends its container too and no orphan is
//! left. When a monitor is killed with SIGKILL its container runs on; what it prints waits in its pipes. The next monitor that is
//! run on the directory takes it over ([`recover`]), or, where that is impossible, kills what is left and starts it again.

mod child;
mod client;
mod connections;
mod event_loop;
mod exec;
mod freeze;
mod health;
mod lifecycle;
mod log;
mod oom;
mod output;
mod packet;
pub mod protocol;
mod record;
mod recover;
mod requests;
mod restart;
mod setup;
mod streams;
mod supervisor;

use std::{
    cell::Cell,
    ffi::OsString,
    os::fd::OwnedFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::sys::signalfd::SignalFd;

pub use client::{Client, ClientError, Received};

use self::{
    connections::Connections, exec::ExecChild, health::HealthWatch, log::Log, oom::OomWatch,
    protocol::Ready, record::Recorder, restart::Restarts, setup::ReadyPipe, streams::Streams,
};
use crate::{cgroup::Cgroup, check::Checked, process::SockFilter, spec::ExitStatus, sys::memory};

/// What a monitor is started with.
#[derive(Debug)]
pub struct Arguments {
    /// The container's directory: `spec.json` is read, `monitor.lock` held, `monitor.sock` served, `state.json` written.
    pub directory: PathBuf,
    /// Takes one [`Ready`] as JSON and is closed then.
    pub ready: OwnedFd,
    /// Start the program with the first `Attach` only.
    pub await_attach: bool,
    /// Program and arguments that start a supervisor; empty = none is ever started.
    pub supervisor: Vec<OsString>,
}

/// Serves one container until it has ended for good; returns the exit status of the process.
///
/// To be called by a process that has no other thread and no other purpose, with /dev/null as standard streams.
pub fn run(arguments: Arguments) -> i32 {
    memory::keep_large_apart();
    let mut ready = ReadyPipe::new(arguments.ready);
    let (mut monitor, last) = match Monitor::open(&arguments.directory, arguments.supervisor) {
        Ok(opened) => opened,
        Err(refusal) => return ready.refused(&refusal),
    };
    if let Err(refusal) = monitor.begin(last.as_ref(), arguments.await_attach, &mut ready) {
        monitor.abandon(&refusal);
        return ready.refused(&refusal);
    }
    monitor.serve();
    0
}

/// The monitor of one container.
#[derive(Debug)]
struct Monitor {
    /// The container's directory, to unlink the socket from.
    directory: OwnedFd,
    /// Keeps other monitors away; `None` once the container has ended for good.
    lock: Option<fs_err::File>,
    /// Where clients connect; `None` once the container has ended for good.
    listener: Option<OwnedFd>,
    signals: SignalFd,
    checked: Checked,
    /// For the first process and every exec that is not privileged.
    filter: Vec<SockFilter>,
    /// `None` before the first start and after the end.
    cgroup: Option<Cgroup>,
    log: Log,
    recorder: Recorder,
    phase: Phase,
    restarts: Restarts,
    connections: Connections,
    execs: Vec<ExecChild>,
    /// Terminals of processes whose clients left.
    terminals: Vec<OwnedFd>,
    /// `Stop` or SIGKILL was asked for: no restart.
    stopping: Option<Stopping>,
    /// Named descriptors kept for the supervisor.
    held: Vec<(String, OwnedFd)>,
    supervisor: supervisor::Watch,
    supervisor_argv: Vec<OsString>,
    /// Rows and columns of the terminal, for the next start too.
    terminal_size: (u16, u16),
    /// A process was started since memory was released last: that takes far more than waiting does.
    has_started: Cell<bool>,
    /// Reused for everything that is read; its first byte is left free for the tag of a frame.
    buffer: Vec<u8>,
}

/// What the container does.
#[derive(Debug)]
enum Phase {
    /// Nothing yet. The first `Attach` starts it.
    Awaiting {
        /// Nobody came.
        until: Instant,
    },
    /// Its process runs. `ended` moves it on.
    Running(Box<Run>),
    /// It will be started again. The time or `Stop` moves it on.
    Pausing {
        attempt: u32,
        until: Instant,
        until_ms: u64,
        last: ExitStatus,
    },
    /// It has ended for good; what clients still have to be told is sent.
    Ended {
        status: ExitStatus,
        at_ms: u64,
        until: Instant,
    },
}

/// One run of the container's process.
#[derive(Debug)]
struct Run {
    /// Host pid of PID 1.
    pid: i32,
    pidfd: OwnedFd,
    parent: Parent,
    start_ticks: u64,
    since: Instant,
    since_ms: u64,
    streams: Streams,
    /// Inode numbers of its output pipes.
    log_pipes: Vec<u64>,
    oom: OomWatch,
    health: Option<HealthRun>,
    /// Somebody paused it.
    paused: bool,
    /// Clients for whose time it is frozen, once for each time that they asked.
    freezers: Vec<u32>,
}

/// Who can reap a run's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parent {
    /// This monitor.
    This,
    /// Whoever inherited it from a monitor that was killed: it cannot be reaped, only watched. `adopted_ready` moves it on.
    Other,
    /// The same, after its end: its status is there once it is reaped.
    OtherEnded {
        /// The status will not come.
        until: Instant,
    },
}

/// The probing of one run.
#[derive(Debug)]
struct HealthRun {
    watch: HealthWatch,
    /// When the next probe is to begin; `None` while one runs.
    next_at: Option<Instant>,
    probe: Option<exec::ProbeRun>,
}

/// The stop that was asked for.
#[derive(Debug)]
struct Stopping {
    /// When SIGKILL follows; `None` = it was sent, or never.
    kill_at: Option<Instant>,
    /// Clients that wait for the end.
    waiting: Vec<u32>,
}

/// Time in which somebody must attach to a container that waits for it.
const ATTACH_MAX: Duration = Duration::from_secs(60);
/// Size of the one buffer, and so the most that is read at a time.
const BUFFER_BYTES: usize = 64 * 1024;
