//! Tells of processes that the out-of-memory killer ended while the container runs.
//!
//! v1 gives notice when the memory is used up, which is before the killer has struck and counted; so after a notice the count is
//! looked at several times.

use std::time::{Duration, Instant};

use super::{Monitor, Phase};
use crate::cgroup::{Cgroup, OomNotice};

/// Looks after a notice, at doubling distances: the last one 5 s after it.
const LOOKS: u32 = 8;
/// Time from a notice to the second look.
const LOOK_DELAY: Duration = Duration::from_millis(20);

/// The watch over one run.
#[derive(Debug)]
pub(super) struct OomWatch {
    /// Kills before this run.
    before: u64,
    /// Kills that were told, and those before.
    told: u64,
    /// `None` where the kernel gives no notice.
    pub(super) notice: Option<OomNotice>,
    /// The next look and those left then.
    pub(super) look_at: Option<Instant>,
    looks_left: u32,
}

impl OomWatch {
    pub(super) fn new(cgroup: &Cgroup) -> Self {
        let before = cgroup.oom_kills();
        Self {
            before,
            told: before,
            notice: cgroup.oom_notice(),
            look_at: None,
            looks_left: 0,
        }
    }
}

impl Monitor {
    /// The memory of the container is used up, or a process was killed for it.
    pub(super) fn oom_noticed(&mut self, now: Instant) {
        if let Phase::Running(run) = &mut self.phase {
            if let Some(notice) = &run.oom.notice {
                notice.acknowledge();
            }
            run.oom.looks_left = LOOKS;
        }
        self.look_for_oom_kills(now);
    }

    /// Tells of kills since the last look; returns whether there was any in this run.
    pub(super) fn look_for_oom_kills(&mut self, now: Instant) -> bool {
        let (Phase::Running(run), Some(cgroup)) = (&mut self.phase, &self.cgroup) else {
            return false;
        };
        let oom = &mut run.oom;
        let all = cgroup.oom_kills();
        let new = all.saturating_sub(oom.told);
        oom.told = all;
        oom.looks_left = if new > 0 {
            0
        } else {
            oom.looks_left.saturating_sub(1)
        };
        oom.look_at =
            (oom.looks_left > 0).then(|| now + LOOK_DELAY * 2_u32.pow(LOOKS - 1 - oom.looks_left));
        if new > 0 {
            self.log.event(&format!(
                "out of memory: the kernel killed {new} of its processes"
            ));
        }
        all > oom.before
    }
}
