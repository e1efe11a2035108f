//! The caches of one build that were made elsewhere: a step that one of them knows is found at once, and its layer comes meanwhile.
//!
//! Finding needs only keys, so a chain of steps is found before the first of its layers is here, and layers are fetched at the same time. Who
//! reads a layer waits for it ([`Imports::wait`]). A layer that does not come after all is lost: its steps are not found again, and the
//! build starts over, which costs nothing but looking steps up.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    cache::{Hit, Key},
    event::{BuildEvent, Progress},
    exchange::{CachedStep, ImportedCache},
    layers::{Layer, Layers, LayersError},
};
use crate::model::{Digest, chain};

/// Layers that are fetched at the same time.
const FETCHES_MAX: usize = 4;
/// How often somebody who waits looks whether his build still matters.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);

/// The caches of one build that were made elsewhere, the first that knows a step wins.
pub(crate) struct Imports<'a> {
    caches: Vec<Import<'a>>,
    state: Mutex<State>,
    /// A layer was asked for, has come or is lost.
    changed: Condvar,
}

struct Import<'a> {
    cache: &'a ImportedCache<'a>,
    by_key: HashMap<&'a Digest, &'a CachedStep>,
    layers: HashSet<&'a Digest>,
    /// It failed once: it is not asked again.
    failed: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Asked for, and not begun.
    queue: VecDeque<Digest>,
    layers: HashMap<Digest, Fetch>,
    /// Nothing is begun any more.
    closed: bool,
    /// A layer was lost since the build began.
    lost: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fetch {
    Coming,
    Here,
    Lost,
}

/// What a layer that is waited for has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// It is in the store, or was never asked for.
    Here,
    /// No cache has it after all.
    Lost,
    /// The build does not matter any more.
    Cancelled,
}

impl<'a> Imports<'a> {
    pub(crate) fn new(caches: &'a [ImportedCache<'a>]) -> Self {
        let import = |cache: &'a ImportedCache<'a>| {
            let keys = |step: &'a CachedStep| step.keys.iter().map(move |key| (key, step));
            Import {
                cache,
                by_key: cache.steps.iter().flat_map(keys).collect(),
                layers: cache.steps.iter().flat_map(|step| &step.layer).collect(),
                failed: AtomicBool::new(false),
            }
        };
        Self {
            caches: caches.iter().map(import).collect(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Looks a step up, and has its layer fetched when the store does not have it.
    pub(crate) fn find(&self, key: &Key, layers: &dyn Layers) -> Result<Option<Hit>, LayersError> {
        for import in &self.caches {
            let step = match import.by_key.get(key.digest()) {
                Some(step) if !import.failed.load(Ordering::SeqCst) => step,
                _ => continue,
            };
            let layer = match &step.layer {
                None => None,
                Some(diff_id) => {
                    let path = layers.layer(diff_id)?;
                    if path.is_none() && !self.ask(diff_id) {
                        continue;
                    }
                    Some(Layer {
                        diff_id: diff_id.clone(),
                        path,
                    })
                }
            };
            return Ok(Some(Hit {
                layer,
                created: step.created,
                keys: step.keys.clone(),
            }));
        }
        Ok(None)
    }

    /// Has a layer fetched; false when it is known to be lost.
    fn ask(&self, diff_id: &Digest) -> bool {
        let mut state = self.lock();
        match state.layers.get(diff_id) {
            Some(Fetch::Lost) => return false,
            Some(Fetch::Coming) => return true,
            // One that is here was found in the store, unless it was removed meanwhile.
            Some(Fetch::Here) | None => {}
        }
        state.layers.insert(diff_id.clone(), Fetch::Coming);
        state.queue.push_back(diff_id.clone());
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Waits for a layer.
    pub(crate) fn wait(&self, diff_id: &Digest, cancel: &CancellationToken) -> Awaited {
        let mut state = self.lock();
        loop {
            match state.layers.get(diff_id) {
                Some(Fetch::Coming) => {}
                Some(Fetch::Lost) => return Awaited::Lost,
                Some(Fetch::Here) | None => return Awaited::Here,
            }
            if cancel.is_cancelled() {
                return Awaited::Cancelled;
            }
            // A cancellation notifies nobody here, so it is looked for from time to time.
            let waited = self.changed.wait_timeout(state, CANCEL_INTERVAL);
            state = waited.map_or_else(|error| error.into_inner().0, |(state, _)| state);
        }
    }

    /// Runs a build while layers are fetched; everything that it asked for has come or is lost when it worked. Returns what it returned, and
    /// whether a layer was lost, so that it must begin again.
    pub(crate) fn serve<T, E>(
        &self,
        progress: Progress<'_>,
        build: impl FnOnce() -> Result<T, E>,
    ) -> (Result<T, E>, bool) {
        let mut state = self.lock();
        (state.closed, state.lost) = (false, false);
        drop(state);
        let workers = if self.caches.is_empty() {
            0
        } else {
            FETCHES_MAX
        };
        let result = std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| self.work(progress));
            }
            let closing = Closing(self);
            let result = build();
            if result.is_err() {
                self.lock().queue.clear();
            }
            drop(closing);
            result
        });
        let mut state = self.lock();
        // What was given up is asked for again by whoever finds it again.
        state.layers.retain(|_, fetch| *fetch != Fetch::Coming);
        (result, state.lost)
    }

    /// Fetches until there is nothing to fetch any more.
    fn work(&self, progress: Progress<'_>) {
        let mut state = self.lock();
        loop {
            let Some(diff_id) = state.queue.pop_front() else {
                if state.closed {
                    return;
                }
                let waited = self.changed.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            // Whoever waits must not wait for ever.
            let fetch = || self.fetch(&diff_id, progress);
            let came = catch_unwind(AssertUnwindSafe(fetch)).unwrap_or(false);
            state = self.lock();
            let fetch = if came { Fetch::Here } else { Fetch::Lost };
            state.lost |= !came;
            state.layers.insert(diff_id, fetch);
            self.changed.notify_all();
        }
    }

    /// Fetches a layer from the first cache that has it. One that cannot be read costs a warning, not the build.
    fn fetch(&self, diff_id: &Digest, progress: Progress<'_>) -> bool {
        for import in &self.caches {
            if import.failed.load(Ordering::SeqCst) || !import.layers.contains(diff_id) {
                continue;
            }
            match (import.cache.fetch)(diff_id) {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) if !import.failed.swap(true, Ordering::SeqCst) => {
                    let text = format!(
                        "cache `{}` is not used any more: {}",
                        import.cache.name,
                        chain(&error).join(": ")
                    );
                    progress(BuildEvent::Warning { text });
                }
                Err(_) => {}
            }
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the workers end, also when the build panics.
struct Closing<'i, 'a>(&'i Imports<'a>);

impl Drop for Closing<'_, '_> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}
