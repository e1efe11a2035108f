//! Processes of a container: the first one ([`launch`]) and later ones ([`exec`]).

pub(crate) mod attributes;
mod confinement;
pub(crate) mod handover;
pub mod held;
pub mod hook;
mod hooked;
mod init;
pub mod limits;
mod names;
mod plan;
mod prepare;
mod reaper;
pub mod seal;
mod start;
mod streams;
pub mod user;
mod work;

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::cgroup::JoinPlan;
use crate::check::{Checked, check_process};
use crate::error::{Errno, Error, Step};
use crate::spec::{ContainerSpec, Process};

pub use hooked::launch_with_hooks;
pub(crate) use start::is_ending;
pub use start::start_ticks;

/// One instruction of a system call filter.
pub use libc::sock_filter as SockFilter;

/// Standard streams of a process.
#[derive(Debug)]
pub enum LaunchIo {
    /// A new pseudo-terminal of the container's devpts; the master comes back in [`Launched::console`].
    Tty {
        /// Rows; 0 = unknown.
        rows: u16,
        /// Columns; 0 = unknown.
        columns: u16,
    },
    /// These descriptors.
    Files {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
}

/// A process that runs the user's program. It is a child of the caller, who must reap it.
#[derive(Debug)]
pub struct Launched {
    /// Pid as the caller sees it.
    pub pid: i32,
    /// Refers to the process, close-on-exec.
    pub pidfd: OwnedFd,
    /// Start time in clock ticks (field 22 of /proc/pid/stat): tells a reused pid.
    pub start_ticks: u64,
    /// Master of the pseudo-terminal, close-on-exec.
    pub console: Option<OwnedFd>,
    /// What works less well than asked for, for people.
    pub warnings: Vec<String>,
}

/// A process to run in a running container.
#[derive(Debug, Clone, Copy)]
pub struct ExecRequest<'a> {
    /// The container.
    pub spec: &'a ContainerSpec,
    /// Its PID 1.
    pub init: BorrowedFd<'a>,
    /// What to run.
    pub process: &'a Process,
    /// All capabilities. The caller passes no filter then.
    pub privileged: bool,
    /// Inherited descriptors from number 3 on that the program gets too.
    pub kept_files: u32,
}

/// Starts the first process of a container. The caller must be single-threaded; it has made the control group.
///
/// Returns once the program was executed, or with the step that was refused; then nothing is left behind. An empty filter = none.
pub fn launch(
    spec: &Checked,
    io: LaunchIo,
    cgroup: &JoinPlan,
    filter: &[SockFilter],
) -> Result<Launched, Error> {
    let (plan, ours) = plan::Plan::launch(spec.spec(), io, cgroup, filter)?;
    start::start(plan, ours)
}

/// Runs another process in a running container, as a child of the caller, which must be single-threaded. An empty filter = none.
///
/// The caller must reap it: until then the kernel keeps the container's PID 1 from ending, although everything in it was killed.
pub fn exec(
    request: &ExecRequest<'_>,
    io: LaunchIo,
    cgroup: &JoinPlan,
    filter: &[SockFilter],
) -> Result<Launched, Error> {
    // The first process was judged with its container.
    check_process(request.process)
        .map_err(|error| Error::new(Step::Check, error.to_string(), Errno(libc::EINVAL)))?;
    let (plan, ours) = plan::Plan::exec(request, io, cgroup, filter)?;
    start::start(plan, ours)
}
