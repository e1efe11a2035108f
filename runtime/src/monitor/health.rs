//! Keeps the health of a run: what a finished probe changes, and when the next one runs. Pure; times are counted from the start of the run.
//!
//! Transitions are moby's. The one difference: a first probe runs at once, so that a service that is ready at once is healthy at
//! once. As moby's first probe runs only after the interval, a failure of that additional one counts for nothing.

use std::time::Duration;

use crate::spec::{Health, Probe, ProbeResult};

/// Shortest time between two probes, whatever the spec says; moby's minimum.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// The health of one run.
#[derive(Debug)]
pub(super) struct HealthWatch {
    interval: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: u32,
    status: Status,
    /// Failures in a row that count.
    failing: u32,
    last: Option<ProbeResult>,
    /// No probe has ended yet.
    first: bool,
}

/// The word for the health, without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// `completed` moves it on, with the first success or enough failures.
    Starting,
    /// `completed` moves it on, with enough failures.
    Healthy,
    /// `completed` moves it on, with a success.
    Unhealthy,
}

impl HealthWatch {
    /// Begins with a new run.
    pub(super) fn new(probe: &Probe) -> Self {
        Self {
            interval: Duration::from_millis(probe.interval_ms).max(INTERVAL_MIN),
            start_period: Duration::from_millis(probe.start_period_ms),
            start_interval: Duration::from_millis(probe.start_interval_ms).max(INTERVAL_MIN),
            retries: probe.retries.max(1),
            status: Status::Starting,
            failing: 0,
            last: None,
            first: true,
        }
    }

    /// Goes on with the health that another monitor recorded.
    pub(super) fn resume(probe: &Probe, health: &Health) -> Self {
        let (status, failing, last) = match health {
            Health::None => return Self::new(probe),
            Health::Starting { failing, last } => (Status::Starting, failing, last),
            Health::Healthy { failing, last } => (Status::Healthy, failing, last),
            Health::Unhealthy { failing, last } => (Status::Unhealthy, failing, last),
        };
        Self {
            status,
            failing: *failing,
            last: last.clone(),
            first: last.is_none(),
            ..Self::new(probe)
        }
    }

    /// Takes the result of a probe that began at `began`.
    pub(super) fn completed(&mut self, began: Duration, result: ProbeResult) {
        let success = result.code == 0;
        let additional = std::mem::take(&mut self.first) && began < self.interval;
        let excused = self.status == Status::Starting && (additional || began < self.start_period);
        self.last = Some(result);
        if success {
            self.failing = 0;
            self.status = Status::Healthy;
        } else if !excused {
            self.failing = self.failing.saturating_add(1);
            if self.failing >= self.retries {
                self.status = Status::Unhealthy;
            }
        }
    }

    /// Returns the time from the end of a probe, at `now`, to the next one.
    pub(super) fn pause(&self, now: Duration) -> Duration {
        if self.status == Status::Starting && now < self.start_period {
            self.start_interval
        } else {
            self.interval
        }
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }

    /// Failures in a row that count.
    pub(super) fn failing(&self) -> u32 {
        self.failing
    }

    /// Returns the health as it is told.
    pub(super) fn health(&self) -> Health {
        let (failing, last) = (self.failing, self.last.clone());
        match self.status {
            Status::Starting => Health::Starting { failing, last },
            Status::Healthy => Health::Healthy { failing, last },
            Status::Unhealthy => Health::Unhealthy { failing, last },
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Status::Starting => "starting",
            Status::Healthy => "healthy",
            Status::Unhealthy => "unhealthy",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::ProbeTest;

    fn watch(interval_s: u64, retries: u32, start_period_s: u64) -> HealthWatch {
        HealthWatch::new(&probe(interval_s, retries, start_period_s))
    }

    fn probe(interval_s: u64, retries: u32, start_period_s: u64) -> Probe {
        Probe {
            test: ProbeTest::Exec(vec!["true".to_owned()]),
            interval_ms: interval_s * 1000,
            timeout_ms: 1000,
            retries,
            start_period_ms: start_period_s * 1000,
            start_interval_ms: 2000,
        }
    }

    fn result(code: i32) -> ProbeResult {
        ProbeResult {
            code,
            output: String::new(),
            at_ms: 0,
            took: Duration::ZERO,
        }
    }

    /// Feeds (time of begin in seconds, exit code) and gives the status and count after each.
    fn after(watch: &mut HealthWatch, probes: &[(u64, i32)]) -> Vec<(Status, u32)> {
        probes
            .iter()
            .map(|&(at, code)| {
                watch.completed(Duration::from_secs(at), result(code));
                (watch.status, watch.failing)
            })
            .collect()
    }

    use Status::{Healthy, Starting, Unhealthy};

    #[test]
    fn failures_count_from_the_first_interval_on_as_in_moby() {
        assert_eq!(
            after(
                &mut watch(30, 3, 0),
                &[(0, 1), (30, 1), (60, 1), (90, 1), (120, 1)]
            ),
            [
                (Starting, 0),
                (Starting, 1),
                (Starting, 2),
                (Unhealthy, 3),
                (Unhealthy, 4)
            ]
        );
    }

    #[test]
    fn one_success_heals_and_a_healthy_one_needs_enough_failures() {
        assert_eq!(
            after(
                &mut watch(30, 2, 0),
                &[(0, 0), (30, 1), (60, 0), (90, 1), (120, -1), (150, 0)]
            ),
            [
                (Healthy, 0),
                (Healthy, 1),
                (Healthy, 0),
                (Healthy, 1),
                (Unhealthy, 2),
                (Healthy, 0)
            ]
        );
    }

    #[test]
    fn failures_in_the_start_period_do_not_count_until_a_success_ends_it() {
        assert_eq!(
            after(&mut watch(30, 1, 60), &[(0, 1), (10, 1), (59, 1), (60, 1)]),
            [(Starting, 0), (Starting, 0), (Starting, 0), (Unhealthy, 1)]
        );
        assert_eq!(
            after(&mut watch(30, 1, 60), &[(0, 0), (30, 1)]),
            [(Healthy, 0), (Unhealthy, 1)]
        );
    }

    #[test]
    fn the_start_interval_holds_while_starting_within_the_start_period() {
        let mut watch = watch(30, 3, 60);
        assert_eq!(watch.pause(Duration::from_secs(1)), Duration::from_secs(2));
        assert_eq!(
            watch.pause(Duration::from_secs(60)),
            Duration::from_secs(30)
        );
        watch.completed(Duration::ZERO, result(0));
        assert_eq!(watch.pause(Duration::from_secs(1)), Duration::from_secs(30));
    }

    #[test]
    fn a_resumed_watch_goes_on_where_the_other_one_was() {
        let probe = probe(30, 3, 0);
        let mut first = HealthWatch::new(&probe);
        after(&mut first, &[(0, 0), (30, 1)]);
        let mut second = HealthWatch::resume(&probe, &first.health());
        assert_eq!(second.health(), first.health());
        assert_eq!(
            after(&mut second, &[(31, 1), (61, 1)]),
            [(Healthy, 2), (Unhealthy, 3)]
        );
        let fresh = HealthWatch::resume(&probe, &Health::None);
        assert_eq!(fresh.health(), HealthWatch::new(&probe).health());
    }

    proptest! {
        /// moby's handleProbeResult, word for word, on the probes that moby would have run too.
        #[test]
        fn transitions_are_mobys(
            codes in proptest::collection::vec(0_i32..2, 1..40),
            retries in 1_u32..5,
            start_period_s in 0_u64..100,
        ) {
            let mut watch = watch(10, retries, start_period_s);
            watch.completed(Duration::ZERO, result(1));
            let (mut status, mut streak) = (Starting, 0);
            for (index, code) in codes.into_iter().enumerate() {
                let began = 10 * (index as u64 + 1);
                watch.completed(Duration::from_secs(began), result(code));
                if code == 0 {
                    streak = 0;
                    status = Healthy;
                } else {
                    let count = !(status == Starting && began < start_period_s);
                    if count {
                        streak += 1;
                        if streak >= retries {
                            status = Unhealthy;
                        }
                    }
                }
                prop_assert_eq!((watch.status, watch.failing), (status, streak));
            }
        }
    }
}
