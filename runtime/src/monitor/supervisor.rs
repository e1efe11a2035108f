//! Sees to it that somebody supervises: when the supervisor is gone without having taken leave, a new one is started.
//!
//! Every monitor of the host does so at once; the supervisor's own lock lets one win, the others end at once. The deciding part is
//! [`Watch`], which is pure.

use std::{
    ffi::OsString,
    time::{Duration, Instant},
};

use rustix::process::{getpid, set_child_subreaper, setsid, waitpid};

use crate::sys;

/// Time that the starter of this monitor has to connect.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Time between the loss of a supervisor and the start of another: it may be replacing itself.
const DELAY_MIN: Duration = Duration::from_millis(100);
/// Longest time between two starts.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// A supervisor that stayed this long was a good one.
const STAY_MIN: Duration = Duration::from_secs(10);

/// When to start a supervisor.
#[derive(Debug)]
pub(super) struct Watch {
    /// Time to start one; `None` = one is connected, or has taken leave, or none is wanted at all.
    start_at: Option<Instant>,
    /// The next delay.
    delay: Duration,
    /// Since when one is connected.
    connected: Option<Instant>,
    /// Own part of the delay, so that the monitors of a host do not all start one in the same millisecond.
    share: Duration,
    enabled: bool,
}

impl Watch {
    /// Begins without a supervisor; `enabled` = there is a program to start one.
    pub(super) fn new(enabled: bool, pid: u32, now: Instant) -> Self {
        Self {
            start_at: enabled.then(|| now + CONNECT_MAX),
            delay: DELAY_MIN,
            connected: None,
            share: Duration::from_millis(u64::from(pid % 16) * 25),
            enabled,
        }
    }

    /// A supervisor has connected.
    pub(super) fn connected(&mut self, now: Instant) {
        self.connected = Some(now);
        self.start_at = None;
    }

    /// The supervisor has taken leave: nobody is missed until one connects again.
    pub(super) fn released(&mut self) {
        self.connected = None;
        self.start_at = None;
    }

    /// The supervisor's connection broke.
    pub(super) fn lost(&mut self, now: Instant) {
        let Some(since) = self.connected.take() else {
            return;
        };
        if now.saturating_duration_since(since) >= STAY_MIN {
            self.delay = DELAY_MIN;
        }
        if self.enabled {
            self.start_at = Some(now + self.delay + self.share);
        }
    }

    /// Returns when a supervisor is to be started.
    pub(super) fn start_at(&self) -> Option<Instant> {
        self.start_at
    }

    /// One is being started: the next attempt follows later, if none connects.
    pub(super) fn started(&mut self, now: Instant) {
        self.delay = (self.delay * 2).min(DELAY_MAX);
        // It needs time to find all containers of a host; 100 ms would start a second one for nothing.
        self.start_at = Some(now + self.delay.max(CONNECT_MAX) + self.share);
    }
}

/// Starts a program that does not belong to this monitor: in a session of its own, as a child of the host's init.
pub(super) fn spawn(argv: &[OsString]) -> Result<(), rustix::io::Errno> {
    // As a subreaper this process would inherit it, and with it every monitor that it starts.
    set_child_subreaper(None)?;
    let result = spawn_orphan(argv);
    set_child_subreaper(Some(getpid()))?;
    result
}

fn spawn_orphan(argv: &[OsString]) -> Result<(), rustix::io::Errno> {
    let child = sys::clone::clone_child(0, None, || {
        let grandchild = sys::clone::fork(|| {
            // Already a leader is impossible after a fork; without a session of its own it would still work.
            setsid().ok();
            sys::signal::reset_all().ok();
            execute(argv)
        });
        i32::from(grandchild.is_err())
    })?;
    let pid = rustix::process::Pid::from_raw(child.pid);
    waitpid(pid, rustix::process::WaitOptions::empty())?;
    Ok(())
}

/// Replaces the process; returns the exit code of a process that could not be.
fn execute(argv: &[OsString]) -> i32 {
    use std::os::unix::process::CommandExt;
    let Some((program, arguments)) = argv.split_first() else {
        return 127;
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the supervisor, one of the two programs that the product starts"
    )]
    let mut command = std::process::Command::new(program);
    let null = std::process::Stdio::null;
    // A failure has nobody to be told to; the next attempt follows.
    drop(
        command
            .args(arguments)
            .current_dir("/")
            .stdin(null())
            .stdout(null())
            .stderr(null())
            .exec(),
    );
    127
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(watch: &Watch, now: Instant) -> Option<u128> {
        watch.start_at().map(|at| (at - now).as_millis())
    }

    #[test]
    fn one_is_started_when_none_ever_connects() {
        let now = Instant::now();
        let mut watch = Watch::new(true, 0, now);
        assert_eq!(ms(&watch, now), Some(5000));
        watch.started(now);
        assert_eq!(ms(&watch, now), Some(5000));
        assert_eq!(ms(&Watch::new(false, 0, now), now), None);
    }

    #[test]
    fn one_that_breaks_away_is_replaced_and_one_that_takes_leave_is_not() {
        let now = Instant::now();
        let mut watch = Watch::new(true, 17, now);
        watch.connected(now);
        assert_eq!(ms(&watch, now), None);
        watch.lost(now);
        assert_eq!(ms(&watch, now), Some(125));
        watch.connected(now);
        watch.released();
        assert_eq!(ms(&watch, now), None);
        watch.lost(now);
        assert_eq!(ms(&watch, now), None);
    }

    #[test]
    fn those_that_do_not_stay_are_replaced_ever_later() {
        let mut now = Instant::now();
        let mut watch = Watch::new(true, 0, now);
        let mut delays = Vec::new();
        for _ in 0..12 {
            watch.connected(now);
            watch.lost(now);
            delays.push(ms(&watch, now).unwrap());
            watch.started(now);
        }
        assert_eq!(
            delays,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000
            ]
        );
        watch.connected(now);
        now += STAY_MIN;
        watch.lost(now);
        assert_eq!(ms(&watch, now), Some(100));
    }
}
