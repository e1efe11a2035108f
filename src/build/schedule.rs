//! Runs the stages of a plan, those that do not need each other at the same time.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, PoisonError},
};

/// Work in progress.
struct Queue<T, E> {
    /// Stages not yet begun, with what they still wait for.
    waiting: BTreeMap<usize, Vec<usize>>,
    running: usize,
    done: BTreeMap<usize, T>,
    /// The first failure: nothing is begun after it.
    failure: Option<E>,
}

/// A stage ended in a panic, with these words: a fault of the program that must not keep the others waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panicked(pub(crate) String);

/// Runs `work` for every stage once those that it needs are done, on at most `threads` threads, and returns all results.
///
/// The graph has no cycle, because a stage can only name earlier ones. After a failure nothing more is begun, `on_failure` is
/// called to stop what runs, and that is waited for. A panic is a failure like others.
pub(crate) fn run<T, E>(
    needs: BTreeMap<usize, Vec<usize>>,
    threads: usize,
    work: impl Fn(usize, &BTreeMap<usize, T>) -> Result<T, E> + Sync,
    on_failure: impl Fn() + Sync,
) -> Result<BTreeMap<usize, T>, E>
where
    T: Clone + Send,
    E: Send + From<Panicked>,
{
    let threads = threads.clamp(1, needs.len().max(1));
    let queue = Mutex::new(Queue::<T, E> {
        waiting: needs,
        running: 0,
        done: BTreeMap::new(),
        failure: None,
    });
    let changed = Condvar::new();
    let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    let worker = || {
        let mut state = lock();
        loop {
            if state.failure.is_some() || state.waiting.is_empty() {
                return;
            }
            let ready = state
                .waiting
                .iter()
                .find(|(_, needs)| needs.iter().all(|need| state.done.contains_key(need)))
                .map(|(stage, _)| *stage);
            let Some(stage) = ready else {
                assert!(state.running > 0, "stages only need earlier stages");
                state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let needs = state.waiting.remove(&stage).unwrap_or_default();
            let inputs: BTreeMap<usize, T> = needs
                .iter()
                .filter_map(|need| Some((*need, state.done.get(need)?.clone())))
                .collect();
            state.running += 1;
            drop(state);
            // What a panic leaves half-done is the stage's own: nobody gets its result.
            let result = catch_unwind(AssertUnwindSafe(|| work(stage, &inputs)));
            let result = result.unwrap_or_else(|panic| Err(E::from(Panicked(words(&*panic)))));
            state = lock();
            state.running -= 1;
            match result {
                Ok(value) => drop(state.done.insert(stage, value)),
                Err(error) => {
                    // Those that are stopped now fail later: theirs is not the reason.
                    state.failure = state.failure.take().or(Some(error));
                    on_failure();
                }
            }
            changed.notify_all();
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(worker);
        }
        worker();
    });
    let state = queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.failure {
        Some(error) => Err(error),
        None => Ok(state.done),
    }
}

/// Returns what a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, atomic::AtomicUsize, atomic::Ordering};

    use super::*;

    fn needs(edges: &[(usize, &[usize])]) -> BTreeMap<usize, Vec<usize>> {
        edges
            .iter()
            .map(|(stage, needs)| (*stage, needs.to_vec()))
            .collect()
    }

    #[test]
    fn a_stage_gets_the_results_of_those_it_needs() {
        let graph = needs(&[(0, &[]), (1, &[0]), (2, &[0]), (3, &[1, 2])]);
        let done = run(
            graph,
            4,
            |stage, inputs| Ok::<_, Panicked>(stage + inputs.values().sum::<usize>() * 10),
            || {},
        )
        .unwrap();
        assert_eq!(done, BTreeMap::from([(0, 0), (1, 1), (2, 2), (3, 33)]));
    }

    #[test]
    fn independent_stages_run_at_the_same_time() {
        let both = Barrier::new(2);
        // Ends only if both are inside at once.
        run(
            needs(&[(0, &[]), (1, &[])]),
            2,
            |_, _| {
                both.wait();
                Ok::<_, Panicked>(())
            },
            || {},
        )
        .unwrap();
    }

    #[test]
    fn nothing_is_begun_after_a_failure() {
        let begun = AtomicUsize::new(0);
        let stopped = AtomicUsize::new(0);
        let no = Panicked("no".to_owned());
        let result = run(
            needs(&[(0, &[]), (1, &[0]), (2, &[1])]),
            3,
            |stage, _| {
                begun.fetch_add(1, Ordering::SeqCst);
                if stage == 1 { Err(no.clone()) } else { Ok(()) }
            },
            || {
                stopped.fetch_add(1, Ordering::SeqCst);
            },
        );
        assert_eq!(result, Err(no));
        assert_eq!(stopped.load(Ordering::SeqCst), 1);
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_panic_is_a_failure_and_nobody_waits_for_it() {
        let result = run(
            needs(&[(0, &[]), (1, &[]), (2, &[0, 1])]),
            3,
            |stage, _| {
                assert!(stage != 1, "stage {stage} is broken");
                Ok::<_, Panicked>(())
            },
            || {},
        );
        assert_eq!(result, Err(Panicked("stage 1 is broken".to_owned())));
    }
}
