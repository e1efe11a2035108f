//! Takes over a container whose monitor was killed, or ends it.
//!
//! A container that still runs is adopted when everything that matters can be had again: its PID 1 is the very process of the last
//! record (pid, start time, boot), it is in the control group, and its streams are pipes, which can be opened anew through /proc.
//! Nothing it printed in between is lost; it waited in the pipes. What is lost: its standard input has ended; execs that clients had
//! started go on without anybody being told of their end; held descriptors have to be held again. Its exit status comes from its
//! pidfd (Linux 6.15), because only its parent can reap it; on older kernels it is unknown and counts as 255.
//!
//! A container with a terminal lost it with its monitor, and one that cannot be identified might be anything: both are killed with
//! their whole control group, and the container is started again.

use std::{
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::ExitStatus as WaitStatus,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use super::{
    HealthRun, HealthWatch, Monitor, Parent, Phase, Restarts, Run,
    oom::OomWatch,
    record::now_ms,
    setup::{Refusal, chain},
    streams::Streams,
};
use crate::{
    cgroup::{Cgroup, Hierarchies},
    process::start_ticks,
    spec::{ContainerState, Health, StateRecord},
    sys,
};

/// Time between the end of an adopted process and its reaping by whoever is its parent now (some hosts' PID 1 looks once a second).
const REAP_MAX: Duration = Duration::from_secs(10);
/// Time that a killed process may take to end.
const END_MAX: Duration = Duration::from_secs(5);
/// Wait status of exit code 255: what is told when nobody knows.
const UNKNOWN: i32 = 255 << 8;

/// A process that an earlier monitor started and that still runs.
#[derive(Debug)]
struct Orphan<'a> {
    record: &'a StateRecord,
    pid: i32,
    pidfd: OwnedFd,
    start_ticks: u64,
    since_ms: u64,
    paused: bool,
    health: &'a Health,
}

impl Monitor {
    /// Adopts the container when it runs and can be adopted; otherwise sees to it that nothing of it runs. True = adopted.
    pub(super) fn recover(
        &mut self,
        last: Option<&StateRecord>,
        hierarchies: &Hierarchies,
    ) -> Result<bool, Refusal> {
        let cgroup = Cgroup::open_in(hierarchies, &self.checked.spec().cgroup)?;
        let orphan = last
            .filter(|record| self.recorder.is_of_this_boot(record))
            .and_then(find_orphan);
        let members = cgroup.pids();
        if let Some(orphan) = orphan {
            let streams = Streams::reopen(orphan.pid, &orphan.record.log_pipes);
            if members.contains(&orphan.pid) && streams.outputs().next().is_some() {
                self.adopt(orphan, streams, cgroup);
                return Ok(true);
            }
            end(&orphan)?;
        }
        if !cgroup.is_absent() {
            if !members.is_empty() {
                self.log.event("killed what an earlier monitor left");
            }
            cgroup.remove()?;
        }
        Ok(false)
    }

    fn adopt(&mut self, orphan: Orphan<'_>, streams: Streams, cgroup: Cgroup) {
        // Frozen for a client of the monitor before, which cannot end that any more.
        if !orphan.paused
            && cgroup.is_frozen()
            && let Err(error) = cgroup.thaw()
        {
            self.log.event(&chain(&error));
        }
        let now = Instant::now();
        let ran = Duration::from_millis(now_ms().saturating_sub(orphan.since_ms));
        let probe = self.checked.spec().probe.as_ref();
        self.restarts = Restarts::new(self.checked.spec().restart, orphan.record.restarts);
        self.phase = Phase::Running(Box::new(Run {
            pid: orphan.pid,
            pidfd: orphan.pidfd,
            parent: Parent::Other,
            start_ticks: orphan.start_ticks,
            since: now.checked_sub(ran).unwrap_or(now),
            since_ms: orphan.since_ms,
            streams,
            log_pipes: orphan.record.log_pipes.clone(),
            oom: OomWatch::new(&cgroup),
            health: probe.map(|probe| HealthRun {
                watch: HealthWatch::resume(probe, orphan.health),
                next_at: (!orphan.paused).then_some(now),
                probe: None,
            }),
            paused: orphan.paused,
            freezers: Vec::new(),
        }));
        self.cgroup = Some(cgroup);
        self.log.event(&format!(
            "taken over by another monitor, pid {}",
            orphan.pid
        ));
        self.publish();
    }

    /// The adopted process has ended, or it was reaped: the kernel tells both by its pidfd, in this order.
    pub(super) fn adopted_ready(&mut self) {
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        match sys::pidfd::exit_status(run.pidfd.as_fd()) {
            Ok(Some(status)) => self.adopted_ended(Some(status)),
            Ok(None) => {
                if run.parent == Parent::Other {
                    run.parent = Parent::OtherEnded {
                        until: Instant::now() + REAP_MAX,
                    };
                }
            }
            Err(_) => self.adopted_ended(None),
        }
    }

    /// Takes the end of the adopted process.
    pub(super) fn adopted_ended(&mut self, status: Option<i32>) {
        if status.is_none() {
            self.log
                .event("its exit status is unknown: the monitor that started it was killed");
        }
        self.run_ended(WaitStatus::from_raw(status.unwrap_or(UNKNOWN)));
    }
}

/// The process of a record, if it is still that process.
fn find_orphan(record: &StateRecord) -> Option<Orphan<'_>> {
    let (pid, since_ms, health, paused) = match &record.state {
        ContainerState::Running {
            pid,
            since_ms,
            health,
        } => (*pid, *since_ms, health, false),
        ContainerState::Paused {
            pid,
            since_ms,
            health,
        } => (*pid, *since_ms, health, true),
        _ => return None,
    };
    let recorded = record.init_start_ticks?;
    // Opened before the start time is read: a pid that is reused in between has another start time.
    let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    (start_ticks(pid).ok() == Some(recorded)).then_some(Orphan {
        record,
        pid,
        pidfd,
        start_ticks: recorded,
        since_ms,
        paused,
        health,
    })
}

/// Kills a process that cannot be adopted, and waits for its end.
fn end(orphan: &Orphan<'_>) -> Result<(), Refusal> {
    let failed = |errno| Refusal::Leftover(orphan.pid, errno);
    match pidfd_send_signal(&orphan.pidfd, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(errno) => return Err(failed(errno)),
    }
    if wait_for(orphan.pidfd.as_fd(), PollFlags::IN, END_MAX) {
        Ok(())
    } else {
        Err(failed(Errno::TIMEDOUT))
    }
}

/// Waits until a descriptor shows one of these events (or a hang-up); false when it does not in time.
fn wait_for(descriptor: BorrowedFd<'_>, events: PollFlags, time_max: Duration) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(descriptor, events)];
    let timeout = Timespec::try_from(time_max).expect("seconds fit");
    poll(&mut fds, Some(&timeout)).is_ok_and(|count| count > 0)
}
