//! Whether the supervisor is needed, and whether it still takes work.
//!
//! One lock decides both: a call is either counted before an idle supervisor decides to leave, or it is told that it was not begun. Nothing is cut off
//! because it came at the wrong moment.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

/// Shared by all that do work. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Presence {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    idle: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Calls in work, and projects with a task.
    busy: usize,
    /// No call is begun any more.
    closed: bool,
}

/// Counts as work until dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Inner>);

impl Presence {
    /// Counts work that is done in any case.
    pub(super) fn busy(&self) -> Busy {
        self.inner.state().busy += 1;
        Busy(Arc::clone(&self.inner))
    }

    /// Counts a client's call; `None` when no call is begun any more.
    pub(super) fn begin_call(&self) -> Option<Busy> {
        let mut state = self.inner.state();
        if state.closed {
            return None;
        }
        state.busy += 1;
        Some(Busy(Arc::clone(&self.inner)))
    }

    /// Begins no more calls.
    pub(super) fn close(&self) {
        self.inner.state().closed = true;
    }

    /// Begins no more calls, unless something is in work; returns whether none is begun any more.
    pub(super) fn close_if_idle(&self) -> bool {
        let mut state = self.inner.state();
        state.closed |= state.busy == 0;
        state.closed
    }

    /// Tells whether nothing is in work.
    pub(super) fn is_idle(&self) -> bool {
        self.inner.state().busy == 0
    }

    /// Returns once nothing is in work.
    pub(super) async fn idle(&self) {
        loop {
            let woken = self.inner.idle.notified();
            if self.is_idle() {
                return;
            }
            woken.await;
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.busy -= 1;
        if state.busy == 0 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn an_idle_supervisor_that_decided_to_leave_begins_nothing() {
        let presence = Presence::default();
        let call = presence.begin_call().unwrap();
        assert!(!presence.close_if_idle(), "a call is in work");
        drop(call);
        assert!(presence.close_if_idle());
        assert!(presence.begin_call().is_none());
        // What an adopted container makes it do is done all the same.
        drop(presence.busy());
    }

    #[test]
    fn a_call_is_either_begun_or_turned_away_whoever_is_faster() {
        for _ in 0..2_000 {
            let (presence, both) = (Presence::default(), Barrier::new(2));
            let (call, left) = std::thread::scope(|scope| {
                let call = scope.spawn(|| {
                    both.wait();
                    presence.begin_call()
                });
                both.wait();
                let left = presence.close_if_idle();
                (call.join().unwrap(), left)
            });
            assert_ne!(call.is_some(), left);
        }
    }

    #[tokio::test]
    async fn idleness_is_noticed_when_the_last_work_ends() {
        let presence = Presence::default();
        let (first, second) = (presence.busy(), presence.begin_call());
        let mut idle = std::pin::pin!(presence.idle());
        assert!(futures_util::poll!(&mut idle).is_pending());
        drop(first);
        assert!(futures_util::poll!(&mut idle).is_pending());
        drop(second);
        idle.await;
    }
}
