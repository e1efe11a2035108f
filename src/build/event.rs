//! What a build tells while it runs.

use std::time::Duration;

/// One step of a build: those with the same number are the same step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepName {
    /// Unique within the build, in the order of starting.
    pub id: usize,
    /// Name of the stage, or its number.
    pub stage: String,
    /// Number within the stage, from 1.
    pub number: usize,
    /// Steps of the stage.
    pub total: usize,
    /// The instruction as written.
    pub text: String,
}

/// What happened. Events of different steps may be interleaved, because independent stages run at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildEvent {
    /// A step began.
    Started {
        /// Which.
        step: StepName,
    },
    /// A step was found in the cache; it is done.
    Cached {
        /// Its id.
        step: usize,
    },
    /// A step is not in the cache, and it is known why; it is done now.
    Changed {
        /// Its id.
        step: usize,
        /// What is not as it was the last time: `app.py`, `argument VERSION`.
        what: String,
    },
    /// A step wrote something; not necessarily a line.
    Output {
        /// Its id.
        step: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// A step ended well.
    Done {
        /// Its id.
        step: usize,
        /// How long it took.
        elapsed: Duration,
    },
    /// A step failed; the error of the build says why.
    Failed {
        /// Its id.
        step: usize,
    },
    /// A step was stopped before its end, because the build was interrupted or another stage failed.
    Cancelled {
        /// Its id.
        step: usize,
    },
    /// Something works but deserves a look.
    Warning {
        /// What, with its place.
        text: String,
    },
}

/// Takes events. Called from several threads.
pub type Progress<'a> = &'a (dyn Fn(BuildEvent) + Sync);
