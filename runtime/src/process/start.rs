//! The parent's side of a launch or exec: clone, wait for the report, reap what failed.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use super::Launched;
use super::init::run;
use super::plan::{Ours, Plan};
use super::streams::Streams;
use crate::error::{Error, Step};
use crate::fault::{Fault, REPORT_BYTES, Report};
use crate::namespaces::{in_pid_namespace_at, in_pid_namespace_of};
use crate::sys::clone::{Child, clone_child};

/// A child that says nothing for so long hangs in a system call (a dead network filesystem); it is killed.
const REPORT_SECONDS_MAX: i64 = 60;

/// Starts the child of a plan and waits until it became the program.
pub(crate) fn start(plan: Plan<'_>, ours: Ours) -> Result<Launched, Error> {
    start_and(plan, ours, |_, _, stage| Ok(await_program(stage)))
}

/// Starts the child of a plan; `follow` is told its pid and gate, and reads its reports.
pub(crate) fn start_and(
    mut plan: Plan<'_>,
    ours: Ours,
    follow: impl FnOnce(i32, Option<&OwnedFd>, &OwnedFd) -> Result<Outcome, Error>,
) -> Result<Launched, Error> {
    let child = clone(&mut plan, &ours)?;
    let Plan {
        streams,
        stage,
        gate,
        ..
    } = plan;
    // Our copy of the write end would keep its end from being seen.
    drop(stage);
    let outcome = match follow(child.pid, gate.as_ref(), &ours.stage) {
        Ok(outcome) => outcome,
        Err(error) => return Err(remove(&child, error)),
    };
    let finish = || {
        match outcome {
            Outcome::Started => {}
            Outcome::Refused(fault) => return Err(ours.subjects.error(fault)),
            Outcome::Silent(errno) => {
                let subject = format!("no report for {REPORT_SECONDS_MAX} s");
                return Err(Error::new(Step::Killed, subject, errno));
            }
        }
        let console = match streams {
            Streams::Tty { handover, .. } => Some(
                handover
                    .receive()
                    .map_err(|errno| Error::new(Step::Terminal, "in /dev/pts", errno))?,
            ),
            Streams::Files { .. } => None,
        };
        Ok((console, start_ticks(child.pid)?))
    };
    match finish() {
        Ok((console, start_ticks)) => Ok(Launched {
            pid: child.pid,
            pidfd: child.pidfd,
            start_ticks,
            console,
            warnings: ours.warnings,
        }),
        Err(error) => Err(remove(&child, error)),
    }
}

fn clone(plan: &mut Plan<'_>, ours: &Ours) -> Result<Child, Error> {
    let refuse = |errno| Error::new(Step::Clone, "a process in its namespaces", errno);
    let cgroup = plan.cgroup.v2_directory.as_ref().map(OwnedFd::as_fd);
    let flags = plan.namespaces.new;
    if let Some(init) = plan.container {
        let join = |errno| Error::new(Step::JoinNamespace, "pid of the container", errno);
        return in_pid_namespace_of(init, || clone_child(flags, cgroup, || run(plan)))
            .map_err(join)?
            .map_err(refuse);
    }
    let pid = plan.namespaces.pid.take();
    let child = in_pid_namespace_at(pid.as_ref(), || clone_child(flags, cgroup, || run(plan)));
    child
        .map_err(|fault| ours.subjects.error(fault))?
        .map_err(refuse)
}

/// What became of the child.
pub(crate) enum Outcome {
    /// It is the program, or holds where it was asked to.
    Started,
    Refused(Fault),
    /// It ended, or hangs, without a report.
    Silent(Errno),
}

/// Reads the stage pipe to its end. The last report counts: after `Ready` the program may still be refused.
pub(crate) fn await_program(stage: &OwnedFd) -> Outcome {
    await_report(stage, false)
}

/// Reads the stage pipe to its end, or to the first `Ready` when the child is to hold there.
pub(crate) fn await_report(stage: &OwnedFd, holds: bool) -> Outcome {
    let mut last = None;
    loop {
        let mut poll = [PollFd::new(stage, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: REPORT_SECONDS_MAX,
            tv_nsec: 0,
        };
        match rustix::event::poll(&mut poll, Some(&timeout)) {
            Ok(0) => return Outcome::Silent(Errno::TIMEDOUT),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Outcome::Silent(errno),
        }
        let mut bytes = [0; REPORT_BYTES];
        match rustix::io::read(stage, &mut bytes) {
            Ok(REPORT_BYTES) => last = Report::from_bytes(bytes),
            Err(Errno::AGAIN) => {}
            Err(Errno::INTR) => {}
            Ok(_) => break,
            Err(errno) => return Outcome::Silent(errno),
        }
        if holds && last == Some(Report::Ready) {
            break;
        }
    }
    match last {
        Some(Report::Ready) => Outcome::Started,
        Some(Report::Fault(fault)) => Outcome::Refused(fault),
        None => Outcome::Silent(Errno::CHILD),
    }
}

/// Ends a child that is of no use, reaps it, and returns the error to report.
fn remove(child: &Child, error: Error) -> Error {
    // It may have ended by itself; then there is nobody to signal.
    rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL).ok();
    let status = loop {
        let id = WaitId::PidFd(child.pidfd.as_fd());
        match rustix::process::waitid(id, WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            outcome => break outcome,
        }
    };
    let has_ended_by_itself = error.step == Step::Killed && error.source.0 == libc::ECHILD;
    match status {
        Ok(Some(status)) if has_ended_by_itself => {
            let subject = match status.terminating_signal() {
                Some(signal) => format!("by signal {signal}"),
                None => format!("with status {}", status.exit_status().unwrap_or_default()),
            };
            Error { subject, ..error }
        }
        _ => error,
    }
}

/// Returns the start time of a process in clock ticks: with its pid, it tells the process from a later one of the same number.
pub fn start_ticks(pid: i32) -> Result<u64, Error> {
    let path = format!("/proc/{pid}/stat");
    let text =
        fs_err::read_to_string(&path).map_err(|error| Error::new(Step::Read, &path, error))?;
    ticks_of(&text).ok_or_else(|| Error::new(Step::Read, path, Errno::INVAL))
}

/// Tells whether a process is on its way out, or gone. The first process of a pid namespace is for as long as the kernel takes to end all
/// others there.
pub(crate) fn is_ending(pid: i32) -> bool {
    // include/linux/sched.h; the kernel keeps what it shows here.
    const PF_EXITING: u64 = 4;
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    number(&stat, FLAGS).is_none_or(|flags| flags & PF_EXITING != 0)
}

/// Field of the kernel's flags of a process.
const FLAGS: usize = 9;

fn ticks_of(stat: &str) -> Option<u64> {
    const START_TIME: usize = 22;
    number(stat, START_TIME)
}

/// A field of proc_pid_stat(5). The second one is a name in brackets that may itself contain blanks and brackets.
fn number(stat: &str, field: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(field - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_any_name() {
        let stat = "7 (a) b ) S 1 7 7 0 -1 4194560 3 0 0 0 4 5 6 7 20 0 1 0 4321 99 0";
        assert_eq!(ticks_of(stat), Some(4321));
        assert!(start_ticks(std::process::id().cast_signed()).unwrap() > 0);
        assert_eq!(ticks_of("7 (a"), None);
        assert_eq!(number(stat, FLAGS), Some(4_194_560));
        assert!(start_ticks(-5).is_err());
    }

    #[test]
    fn what_runs_is_not_ending_and_what_is_gone_is() {
        assert!(!is_ending(std::process::id().cast_signed()));
        assert!(is_ending(i32::MAX));
    }
}
