//! A launch that stops on its way: before the host is out of reach, for preparations by others, and before it becomes the program, until
//! somebody says so. What an OCI runtime calls `create` and `start`, which are two processes.
//!
//! Two FIFOs in a directory of the caller's carry the words, because the creating process is gone by then:
//!
//! ```text
//! gate     a byte lets the child go on
//! report   the child's reports (see `fault`); it ends when the child has become the program
//! ```

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::confinement::above_streams;
use super::plan::Plan;
use super::start::{Outcome, await_program, await_report, start_and};
use super::{LaunchIo, Launched, SockFilter};
use crate::cgroup::JoinPlan;
use crate::check::Checked;
use crate::error::{Error, Step};
use crate::fault::Fault;

/// Name of the FIFO that holds the child.
const GATE: &str = "gate";
/// Name of the FIFO that tells about it.
const REPORT: &str = "report";

/// How a launch is held.
pub struct Hold<'a> {
    /// Directory for the FIFOs. Only root may be able to enter it.
    pub directory: &'a Path,
    /// Called with the child's pid when all its namespaces and mounts are made and the host's root is still its root. An error ends it.
    pub prepare: &'a mut dyn FnMut(i32) -> Result<(), String>,
    /// Inherited descriptors from number 3 on that the program gets too.
    pub kept_files: u32,
}

impl std::fmt::Debug for Hold<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Hold")
            .field("directory", &self.directory)
            .field("kept_files", &self.kept_files)
            .finish_non_exhaustive()
    }
}

/// As [`super::launch`], but the child waits for [`release`] before it becomes the program.
pub fn launch_held(
    spec: &Checked,
    io: LaunchIo,
    cgroup: &JoinPlan,
    filter: &[SockFilter],
    hold: Hold<'_>,
) -> Result<Launched, Error> {
    let (mut plan, mut ours) = Plan::launch(spec.spec(), io, cgroup, filter)?;
    let refuse = |errno| Error::new(Step::Pipe, hold.directory.display().to_string(), errno);
    make(hold.directory).map_err(refuse)?;
    let open = |name, flags| open_fifo(hold.directory, name, flags).map_err(refuse);
    ours.stage = open(REPORT, OFlags::RDONLY | OFlags::NONBLOCK)?;
    plan.stage = above_streams(open(REPORT, OFlags::WRONLY)?).map_err(refuse)?;
    // It is its own writer, so that a read waits also while nobody else has it open.
    plan.gate = Some(above_streams(open(GATE, OFlags::RDWR)?).map_err(refuse)?);
    plan.kept_files = hold.kept_files;
    let prepare = hold.prepare;
    start_and(plan, ours, |pid, gate, stage| {
        let outcome = await_report(stage, true);
        let (Outcome::Started, Some(gate)) = (&outcome, gate) else {
            return Ok(outcome);
        };
        prepare(pid).map_err(|message| Error::new(Step::Prepare, message, Errno::CANCELED))?;
        rustix::io::write(gate, b"x").map_err(refuse)?;
        Ok(await_report(stage, true))
    })
}

/// Lets a held child go on, and returns once it has become the program. `program` is for messages.
///
/// ESRCH: nobody is held.
pub fn release(directory: &Path, program: &str) -> Result<(), Error> {
    let refuse = |errno: Errno| match errno {
        Errno::NXIO | Errno::NOENT => Error::new(Step::Pipe, "no process is held", Errno::SRCH),
        errno => Error::new(Step::Pipe, directory.display().to_string(), errno),
    };
    let report = open_fifo(directory, REPORT, OFlags::RDONLY | OFlags::NONBLOCK).map_err(refuse)?;
    let gate = open_fifo(directory, GATE, OFlags::WRONLY | OFlags::NONBLOCK).map_err(refuse)?;
    rustix::fs::unlinkat(CWD, directory.join(GATE), rustix::fs::AtFlags::empty())
        .map_err(refuse)?;
    rustix::io::write(&gate, b"x").map_err(refuse)?;
    drop(gate);
    match await_program(&report) {
        Outcome::Started => Ok(()),
        Outcome::Refused(Fault { step, errno, .. }) => Err(Error::new(step, program, errno)),
        Outcome::Silent(errno) => Err(Error::new(Step::Killed, "while it was held", errno)),
    }
}

/// Tells whether a child that was held in this directory was not released yet.
pub fn is_held(directory: &Path) -> bool {
    directory.join(GATE).exists()
}

fn make(directory: &Path) -> Result<(), Errno> {
    for name in [GATE, REPORT] {
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, directory.join(name), FileType::Fifo, mode, 0)?;
    }
    Ok(())
}

fn open_fifo(directory: &Path, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(directory.join(name), flags, Mode::empty())
}
