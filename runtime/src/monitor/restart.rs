//! Decides whether and when an ended container is started again. Pure.

use std::time::Duration;

use crate::spec::RestartPolicy;

/// The first delay; doubles with each attempt (moby's constants).
const DELAY_MIN: Duration = Duration::from_millis(100);
/// The longest delay.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// A run of this length makes the next delay the first one again.
const RUN_RESETS: Duration = Duration::from_secs(10);

/// The restarts of one container since its start by the user.
#[derive(Debug)]
pub(super) struct Restarts {
    policy: RestartPolicy,
    /// Attempts made so far.
    attempts: u32,
    /// The last delay; zero before the first and after a long run.
    delay: Duration,
}

/// What to do after the end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing: it has ended for good.
    End,
    /// Start it again after a delay.
    Restart {
        /// Number of the attempt, from 1.
        attempt: u32,
        /// Time from the end of the run.
        delay: Duration,
    },
}

impl Restarts {
    /// Begins after `attempts` attempts, which are more than none when a monitor takes over from one that was killed.
    pub(super) fn new(policy: RestartPolicy, attempts: u32) -> Self {
        Self {
            policy,
            attempts,
            delay: Duration::ZERO,
        }
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Decides after a run of this length that ended with this exit code, or after a start that did not work.
    pub(super) fn after(&mut self, ran: Duration, code: i32) -> Decision {
        if ran >= RUN_RESETS {
            self.delay = Duration::ZERO;
        }
        self.delay = (self.delay * 2).clamp(DELAY_MIN, DELAY_MAX);
        let wanted = match self.policy {
            RestartPolicy::No => false,
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure { attempts_max } => {
                code != 0 && attempts_max.is_none_or(|max| self.attempts < max)
            }
        };
        if !wanted {
            return Decision::End;
        }
        self.attempts = self.attempts.saturating_add(1);
        Decision::Restart {
            attempt: self.attempts,
            delay: self.delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    fn delays(restarts: &mut Restarts, runs: &[(Duration, i32)]) -> Vec<Option<u128>> {
        runs.iter()
            .map(|&(ran, code)| match restarts.after(ran, code) {
                Decision::End => None,
                Decision::Restart { delay, .. } => Some(delay.as_millis()),
            })
            .collect()
    }

    #[test]
    fn the_delay_doubles_from_100_ms_to_a_minute() {
        let mut restarts = Restarts::new(RestartPolicy::Always, 0);
        assert_eq!(
            delays(&mut restarts, &[(SHORT, 0); 12]),
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000
            ]
            .map(Some)
        );
        assert_eq!(restarts.attempts(), 12);
    }

    #[test]
    fn a_run_of_ten_seconds_resets_the_delay_and_not_the_count() {
        let mut restarts = Restarts::new(RestartPolicy::Always, 0);
        let runs = [SHORT, SHORT, Duration::from_secs(10), SHORT].map(|ran| (ran, 1));
        assert_eq!(delays(&mut restarts, &runs), [100, 200, 100, 200].map(Some));
        assert_eq!(restarts.attempts(), 4);
    }

    #[test]
    fn the_policy_decides() {
        let mut no = Restarts::new(RestartPolicy::No, 0);
        assert_eq!(no.after(SHORT, 1), Decision::End);
        let policy = RestartPolicy::OnFailure {
            attempts_max: Some(2),
        };
        let mut some = Restarts::new(policy, 0);
        assert_eq!(
            delays(&mut some, &[(SHORT, 1), (SHORT, 1), (SHORT, 1)]),
            [Some(100), Some(200), None]
        );
        let mut fine = Restarts::new(RestartPolicy::OnFailure { attempts_max: None }, 0);
        assert_eq!(
            delays(&mut fine, &[(SHORT, 7), (SHORT, 0)]),
            [Some(100), None]
        );
    }

    proptest! {
        #[test]
        fn delays_stay_in_bounds_and_attempts_are_counted(
            runs in proptest::collection::vec((0_u64..20_000, 0_i32..3), 1..200),
            attempts_max in proptest::option::of(0_u32..50),
        ) {
            let mut restarts = Restarts::new(RestartPolicy::OnFailure { attempts_max }, 0);
            let mut count = 0;
            for (ran_ms, code) in runs {
                match restarts.after(Duration::from_millis(ran_ms), code) {
                    Decision::End => prop_assert!(code == 0 || Some(count) == attempts_max),
                    Decision::Restart { attempt, delay } => {
                        count += 1;
                        prop_assert!(code != 0 && attempt == count);
                        prop_assert!(delay >= DELAY_MIN && delay <= DELAY_MAX);
                        prop_assert!(ran_ms < 10_000 || delay == DELAY_MIN);
                        prop_assert!(attempts_max.is_none_or(|max| attempt <= max));
                    }
                }
            }
        }
    }
}
