//! What all builds of one supervisor share: who makes which step now, and how many steps may run at the same time.
//!
//! Builds run only in the supervisor, which holds its state root alone: so whoever asks for the same step, from whatever project or client,
//! meets here. The second one waits for the first and then finds the step in the cache. When the first one fails or is cancelled, one of
//! those who wait makes the step itself.

use std::{
    collections::HashSet,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::cache::Key;

/// Steps that may run at the same time for each processor: most wait for the network or the disk.
const STEPS_PER_CPU: usize = 2;
/// Steps that may always run at the same time.
const STEPS_MIN: usize = 4;
/// How often somebody who waits looks whether his build still matters.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);

/// The shared part of all builds. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// A claim or a slot was given back.
    changed: Condvar,
    slots: usize,
}

#[derive(Debug, Default)]
struct State {
    claimed: HashSet<Key>,
    running: usize,
}

/// The build does not matter any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cancelled;

/// The right to make a step; given back when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    shared: Arc<Shared>,
    key: Key,
    /// Somebody else made or tried the step meanwhile.
    pub(crate) waited: bool,
}

/// The right to use a processor; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Shared>);

impl Default for Engine {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_slots((cpus * STEPS_PER_CPU).max(STEPS_MIN))
    }
}

impl Engine {
    /// Makes one that runs at most `slots` steps at the same time.
    pub(crate) fn with_slots(slots: usize) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            slots,
        }))
    }

    /// Claims a step, waiting for whoever makes it now. Look into the cache again afterwards.
    pub(crate) fn claim(&self, key: &Key, cancel: &CancellationToken) -> Result<Claim, Cancelled> {
        let mut waited = false;
        let mut state = self.0.wait_until(cancel, |state| {
            let free = !state.claimed.contains(key);
            waited |= !free;
            free
        })?;
        state.claimed.insert(key.clone());
        drop(state);
        Ok(Claim {
            shared: Arc::clone(&self.0),
            key: key.clone(),
            waited,
        })
    }

    /// Takes one of the slots, waiting for one. Do not wait for a claim while holding it.
    pub(crate) fn slot(&self, cancel: &CancellationToken) -> Result<Slot, Cancelled> {
        let slots = self.0.slots;
        let mut state = self.0.wait_until(cancel, |state| state.running < slots)?;
        state.running += 1;
        drop(state);
        Ok(Slot(Arc::clone(&self.0)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(
        &self,
        cancel: &CancellationToken,
        mut ready: impl FnMut(&State) -> bool,
    ) -> Result<MutexGuard<'_, State>, Cancelled> {
        let mut state = self.lock();
        loop {
            if cancel.is_cancelled() {
                return Err(Cancelled);
            }
            if ready(&state) {
                return Ok(state);
            }
            // A cancellation notifies nobody here, so it is looked for from time to time.
            state = self
                .changed
                .wait_timeout(state, CANCEL_INTERVAL)
                .map_or_else(|error| error.into_inner().0, |(state, _)| state);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.lock().claimed.remove(&self.key);
        self.shared.changed.notify_all();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    #[test]
    fn one_makes_a_step_and_the_others_wait() {
        let engine = Engine::with_slots(8);
        let key = Key::of(json!({ "step": "x" }));
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let cancel = CancellationToken::new();
                    let _claim = engine.claim(&key, &cancel).unwrap();
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        let other = Key::of(json!({ "step": "y" }));
        let cancel = CancellationToken::new();
        let _first = engine.claim(&key, &cancel).unwrap();
        assert!(!engine.claim(&other, &cancel).unwrap().waited);
    }

    #[test]
    fn slots_are_bounded_and_a_cancelled_build_stops_waiting() {
        let engine = Engine::with_slots(1);
        let cancel = CancellationToken::new();
        let key = Key::of(json!({}));
        let held = (
            engine.slot(&cancel).unwrap(),
            engine.claim(&key, &cancel).unwrap(),
        );
        std::thread::scope(|scope| {
            let slot = scope.spawn(|| engine.slot(&cancel).map(drop));
            let claim = scope.spawn(|| engine.claim(&key, &cancel).map(drop));
            cancel.cancel();
            assert_eq!(slot.join().unwrap(), Err(Cancelled));
            assert_eq!(claim.join().unwrap(), Err(Cancelled));
        });
        drop(held);
        let fresh = CancellationToken::new();
        assert!(engine.slot(&fresh).is_ok());
        assert!(engine.claim(&key, &fresh).is_ok());
    }
}
