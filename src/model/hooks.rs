//! Hooks: how far those of a container have come.

use serde::{Deserialize, Serialize};

/// `hooks.json` in a container's directory: written before each hook, so that a supervisor that was killed is followed by one that runs none twice.
///
/// Absent for a container without hooks. Every start by the supervisor begins it anew; restarts by policy, which the monitor makes, do not touch it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRecord {
    /// Schema version.
    pub version: u32,
    /// Hooks of `post_start` that were begun since the start, each at most once.
    pub post_start_begun: usize,
    /// All of them ended well, or one did not: none is run any more.
    pub post_start_over: bool,
    /// One of them failed.
    #[serde(default)]
    pub post_start_failed: bool,
    /// Hooks of `pre_stop` that ended well since the stop in work began.
    pub pre_stop_done: usize,
}

impl HookRecord {
    /// The schema version that this build writes.
    pub const VERSION: u32 = 1;

    /// Returns the record of a container that is about to be started, with this many hooks of `post_start`.
    pub fn at_start(post_start: usize) -> Self {
        Self {
            version: Self::VERSION,
            post_start_over: post_start == 0,
            ..Self::default()
        }
    }
}

/// How far the `post_start` hooks of a container's start have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostStart {
    /// They were run, or there are none.
    #[default]
    Over,
    /// They are still to be run: the start is not complete.
    Pending,
    /// One failed: for the loop nothing that needs the container may start. The next command that starts something does not look at it.
    Failed,
}
