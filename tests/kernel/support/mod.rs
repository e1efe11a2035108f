//! A world for one scenario: own network and mount namespace, own state root, and a leak check at the end.

mod image;
mod leaks;
mod world;

pub(crate) use world::{Output, World, run_tool};

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// Pause between two looks at a fact.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks until a fact holds, and panics with the last answer when it does not within the deadline.
pub(crate) fn eventually<T, E: Debug>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        match look() {
            Ok(value) => return value,
            Err(error) if Instant::now() > end => {
                panic!("{what}: not within {deadline:?}: {error:?}")
            }
            Err(_) => std::thread::sleep(LOOK_AGAIN),
        }
    }
}
