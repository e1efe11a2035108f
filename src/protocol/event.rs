//! What a call answers: progress, then one outcome.

use serde::{Deserialize, Serialize};

use crate::model::{FailureKind, Secret, Subject, chain};

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A step moved on.
    Step(Progress),
    /// Something that the user should know.
    Warning {
        /// One sentence.
        text: String,
    },
    /// A step of a build moved on.
    Build(BuildProgress),
    /// Output of a hook, as it comes.
    Output {
        /// Whose: the service or step.
        source: String,
        /// One line.
        line: String,
    },
    /// The last line of a call that was not begun, because the supervisor leaves: the next supervisor gets it.
    Leaving,
    /// The last line.
    Finished(Outcome),
}

/// A step of the work on one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Identifies the subject in the stream; one subject has one row.
    pub subject: Subject,
    /// Where it is.
    pub state: StepState,
    /// Milliseconds since the subject's first step, once it is done or failed.
    pub took_ms: Option<u64>,
}

/// Where a step is. `text` is a verb phrase: `creating`, `created`, `waiting for db to be healthy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum StepState {
    /// Not begun.
    Waiting {
        /// What will be done, or what it waits for.
        text: String,
    },
    /// In work.
    Working {
        /// What is being done.
        text: String,
        /// Bytes done, where that means something.
        current: Option<u64>,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// Finished.
    Done {
        /// What was done.
        text: String,
    },
    /// Did not work; the reason is in the outcome.
    Failed {
        /// What went wrong, short.
        text: String,
    },
}

/// A step of the build of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildProgress {
    /// Whose image: the service, or the tag.
    pub build: String,
    /// Number of the step, unique within the build.
    pub step: usize,
    /// Where it is.
    pub state: BuildState,
}

/// Where a step of a build is. `Started` comes first; `Cached`, `Done`, `Failed` or `Cancelled` comes last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum BuildState {
    /// It is looked at.
    Started {
        /// Name of its stage, or the stage's number.
        stage: String,
        /// Number within the stage, from 1.
        number: usize,
        /// Steps of the stage.
        total: usize,
        /// The instruction as written.
        instruction: String,
    },
    /// It is in the cache.
    Cached,
    /// It is not in the cache although the build was made before.
    Changed {
        /// What is not as it was: `app.py`, `variable VERSION`.
        what: String,
    },
    /// It wrote a line.
    Output {
        /// The line, without its end.
        line: String,
    },
    /// It ended well.
    Done {
        /// How long it took in milliseconds.
        took_ms: u64,
    },
    /// It failed; the outcome says why.
    Failed,
    /// It was stopped, because the build was interrupted or another stage failed.
    Cancelled,
}

/// How a call ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Why it failed; empty = it did what was asked.
    pub errors: Vec<ErrorReport>,
    /// For `run`: id of the container.
    pub container: Option<String>,
    /// References or ids that the call made or removed, for the commands that print them.
    pub names: Vec<String>,
    /// Bytes of the disk that the call gave back.
    #[serde(default)]
    pub reclaimed_bytes: u64,
    /// For `search`: what was found, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Found>,
    /// For `login`: what the registry's token server gave to be kept in the place of the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Secret<String>>,
}

impl Outcome {
    /// Of a call that was ended by one error.
    pub fn failed(kind: FailureKind, error: &dyn std::error::Error) -> Self {
        Self {
            errors: vec![ErrorReport::of(kind, error)],
            ..Self::default()
        }
    }
}

/// A repository that a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its name as one would pull it.
    pub name: String,
    /// What its owner says about it.
    pub description: String,
    /// Stars; `None` where the registry has no such thing.
    pub stars: Option<u64>,
    /// One of the Hub's official images.
    pub official: bool,
}

/// One error for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// Decides the exit code.
    pub kind: FailureKind,
    /// Intent, then causes, outermost first; printed joined with `: `.
    pub chain: Vec<String>,
    /// The next thing to do or look at, one line each.
    pub hints: Vec<String>,
    /// Last log lines of the service that failed, if any.
    pub log: Vec<String>,
    /// Lines of the file that the error is about, with a mark where it is: the Dockerfile of a build.
    #[serde(default)]
    pub excerpt: Vec<String>,
    /// Path in the project that the error is about (`services.web.ports[0]`): the CLI points at it.
    pub config_path: Option<String>,
}

impl ErrorReport {
    /// Makes a report of an error: its message and those of its sources.
    pub fn of(kind: FailureKind, error: &dyn std::error::Error) -> Self {
        Self {
            kind,
            chain: chain(error),
            hints: Vec::new(),
            log: Vec::new(),
            excerpt: Vec::new(),
            config_path: None,
        }
    }

    /// Makes a report of a failure that no error value stands for.
    pub fn operation(text: String) -> Self {
        Self {
            kind: FailureKind::Operation,
            chain: vec![text],
            hints: Vec::new(),
            log: Vec::new(),
            excerpt: Vec::new(),
            config_path: None,
        }
    }
}
