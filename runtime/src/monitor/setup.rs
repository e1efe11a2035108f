//! Makes a monitor: the process's own attributes, the lock, the description, the socket, the log.

use std::{
    cell::Cell,
    ffi::OsString,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fs_err as fs;
use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::{
    event::{Timespec, poll},
    fs::{FlockOperation, flock},
    io::Errno,
    process::{getpid, set_child_subreaper, setsid},
};

use super::{
    ATTACH_MAX, BUFFER_BYTES, Connections, Log, Monitor, Phase, Ready, Recorder, Restarts, packet,
    supervisor,
};
use crate::{
    cgroup::CgroupError,
    check::{CheckError, Checked, check},
    security::seccomp::{FilterError, program},
    spec::{ContainerSpec, StateRecord},
};

/// Time that an earlier monitor of the container may take to leave after its end.
const LOCK_MAX: Duration = Duration::from_secs(5);
/// Time between two looks at the lock; there is no notice of its release with a limit of time.
const LOCK_PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};

/// A container could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("prepare the monitor")]
    Process(#[source] Errno),
    #[error("use the container's directory")]
    Directory(#[source] io::Error),
    #[error("read `{0}`: it is not a valid description")]
    Malformed(PathBuf, #[source] serde_json::Error),
    #[error("check the container's description")]
    Check(#[source] CheckError),
    #[error("another monitor serves the container")]
    Locked,
    #[error("make the monitor's socket")]
    Socket(#[source] Errno),
    #[error("open the container's log")]
    Log(#[source] io::Error),
    #[error(transparent)]
    Filter(FilterError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error("end the container's leftover process {0}")]
    Leftover(i32, #[source] Errno),
    #[error("make pipes for the container")]
    Streams(#[source] Errno),
    // Its display has its source already.
    #[error("{0}")]
    Launch(crate::Error),
    #[error("nobody attached within {} seconds", ATTACH_MAX.as_secs())]
    NobodyAttached,
}

impl Refusal {
    /// The exit code that shells and Docker report for it.
    pub(super) fn code(&self) -> i32 {
        match self {
            Refusal::Launch(error) => error.exit_code(),
            _ => 125,
        }
    }

    /// The whole chain in one line.
    pub(super) fn message(&self) -> String {
        chain(self)
    }
}

/// An error with its sources in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let fact = inner.to_string();
        // Some errors show their source themselves.
        if !text.ends_with(&fact) {
            text = format!("{text}: {fact}");
        }
        source = inner.source();
    }
    text
}

/// Where the starter waits for the outcome.
#[derive(Debug)]
pub(super) struct ReadyPipe(Option<fs::File>);

impl ReadyPipe {
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self(Some(fs::File::from_parts(
            std::fs::File::from(pipe),
            "the ready pipe",
        )))
    }

    /// Tells the outcome and closes the pipe.
    pub(super) fn tell(&mut self, ready: &Ready) {
        if let Some(mut pipe) = self.0.take() {
            let text = serde_json::to_vec(ready).expect("the outcome has no maps");
            // Nobody waits any more: the container runs all the same.
            drop(pipe.write_all(&text));
        }
    }

    /// Tells a refusal; returns the exit status of the monitor.
    pub(super) fn refused(&mut self, refusal: &Refusal) -> i32 {
        let code = refusal.code();
        self.tell(&Ready::Failed {
            message: refusal.message(),
            code,
        });
        code
    }
}

impl Monitor {
    /// Prepares everything short of starting the container; also returns the last record of it.
    pub(super) fn open(
        directory: &Path,
        supervisor_argv: Vec<OsString>,
    ) -> Result<(Monitor, Option<StateRecord>), Refusal> {
        let now = Instant::now();
        let signals = prepare_process().map_err(Refusal::Process)?;
        let opened = fs::File::open(directory).map_err(Refusal::Directory)?;
        let lock = lock(&directory.join("monitor.lock"))?;
        let checked = read_spec(&directory.join("spec.json"))?;
        let spec = checked.spec();
        let filter = program(&spec.security).map_err(Refusal::Filter)?;
        let log = Log::open(&spec.log).map_err(Refusal::Log)?;
        let (recorder, last) = Recorder::open(directory).map_err(Refusal::Directory)?;
        let listener = packet::serve(opened.as_fd()).map_err(Refusal::Socket)?;
        let restarts = Restarts::new(spec.restart, 0);
        let enabled = !supervisor_argv.is_empty();
        let monitor = Monitor {
            directory: OwnedFd::from(opened.into_file()),
            lock: Some(lock),
            listener: Some(listener),
            signals,
            checked,
            filter,
            cgroup: None,
            log,
            recorder,
            phase: Phase::Awaiting {
                until: now + ATTACH_MAX,
            },
            restarts,
            connections: Connections::default(),
            execs: Vec::new(),
            terminals: Vec::new(),
            stopping: None,
            held: Vec::new(),
            supervisor: supervisor::Watch::new(enabled, getpid().as_raw_pid().unsigned_abs(), now),
            supervisor_argv,
            terminal_size: (0, 0),
            has_started: Cell::new(true),
            buffer: buffer(),
        };
        Ok((monitor, last))
    }
}

/// Makes the one buffer. More is reserved than used, so that the allocator maps it apart from its heap: pages of a mapping cost nothing
/// before something was read into them, and an idle container's monitor reads nothing.
fn buffer() -> Vec<u8> {
    const RESERVED_BYTES: usize = 4 * BUFFER_BYTES;
    let mut buffer = vec![0; RESERVED_BYTES];
    buffer.truncate(1 + BUFFER_BYTES);
    buffer
}

/// Makes this process a session leader, the reaper of its descendants, and a receiver of signals as data.
fn prepare_process() -> Result<SignalFd, Errno> {
    // EPERM: it leads a session already, which is what is wanted.
    setsid().ok();
    set_child_subreaper(Some(getpid()))?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.add(Signal::SIGTERM);
    let mut blocked = signals;
    blocked.add(Signal::SIGPIPE);
    blocked.add(Signal::SIGHUP);
    blocked.add(Signal::SIGINT);
    let errno = |errno: nix::errno::Errno| Errno::from_raw_os_error(errno as i32);
    blocked.thread_block().map_err(errno)?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(errno)
}

/// Takes the lock of the container's directory. An earlier monitor may be about to leave.
fn lock(path: &Path) -> Result<fs::File, Refusal> {
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(Refusal::Directory)?;
    let deadline = Instant::now() + LOCK_MAX;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                poll(&mut [], Some(&LOCK_PAUSE)).ok();
            }
            Err(Errno::WOULDBLOCK) => return Err(Refusal::Locked),
            Err(errno) => return Err(Refusal::Process(errno)),
        }
    }
}

fn read_spec(path: &Path) -> Result<Checked, Refusal> {
    let bytes = fs::read(path).map_err(Refusal::Directory)?;
    let spec: ContainerSpec = serde_json::from_slice(&bytes)
        .map_err(|source| Refusal::Malformed(path.to_owned(), source))?;
    check(spec).map_err(Refusal::Check)
}
