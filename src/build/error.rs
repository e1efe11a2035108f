//! Why a build failed.

use std::fmt;

use runtime::spec::ExitStatus;

use super::{
    dockerfile::{ExpandError, Place, SyntaxError, SyntaxErrors},
    emulation::EmulationError,
    files::{OverlayError, PlaceError, SelectError},
    git::GitError,
    ignore::IgnoreError,
    layers::LayersError,
    lint::{CheckOptionError, Finding},
    runner::{RunnerError, StepNetworkError},
    schedule::Panicked,
    ssh::SshError,
};
use crate::{
    image::{DownloadError, UnpackError},
    store::StoreError,
};

impl From<Panicked> for BuildError {
    fn from(Panicked(text): Panicked) -> Self {
        Self::Panicked(text)
    }
}

/// A build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile is not one.
    #[error(transparent)]
    Syntax(#[from] SyntaxErrors),
    /// The builder itself is at fault.
    #[error("the builder ended a stage by mistake, which is a bug of stack: {0}")]
    Panicked(String),
    /// The ignore file is not one.
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
    /// A key of the `build:` section cannot be used.
    #[error("`build.{key}: {value}` cannot be used: {hint}")]
    Key {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// Why, or what to do.
        hint: &'static str,
    },
    /// A context that is an archive could not be unpacked.
    #[error("unpack the context `{path}`")]
    Archive {
        /// The archive.
        path: String,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// A context that is a repository could not be had.
    #[error("fetch the context `{address}`")]
    Repository {
        /// Its address.
        address: String,
        /// Why.
        #[source]
        source: GitError,
    },
    /// A context could not be fetched.
    #[error("fetch the context `{address}`")]
    Download {
        /// Its address.
        address: String,
        /// Why.
        #[source]
        source: DownloadError,
    },
    /// A layout directory could not be loaded.
    #[error("load the context `{path}`")]
    Layout {
        /// The directory.
        path: String,
        /// Why.
        #[source]
        source: LayersError,
    },
    /// A platform is not one.
    #[error("invalid platform `{0}`: it must be os/architecture or os/architecture/variant")]
    Platform(String),
    /// SOURCE_DATE_EPOCH is not a time.
    #[error("invalid SOURCE_DATE_EPOCH `{0}`: it must be a number of seconds since 1970")]
    Epoch(String),
    /// A file could not be read.
    #[error("read `{path}`")]
    Read {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `# check=` is not understood.
    #[error("`check` of {file}")]
    CheckOption {
        /// The Dockerfile, or the build argument that overrides it.
        file: String,
        /// Why.
        #[source]
        source: CheckOptionError,
    },
    /// The Dockerfile says `check=error=true`, and there are findings.
    #[error("the checks of the Dockerfile found {}, and `check=error=true` makes that an error", count(.0))]
    Findings(Vec<Finding>),
    /// There is no such stage.
    #[error("target stage `{target}` does not exist{}", hint(suggestion.as_deref()))]
    Target {
        /// Its name.
        target: String,
        /// A stage with a similar name.
        suggestion: Option<String>,
    },
    /// A step failed.
    #[error(transparent)]
    Step(Box<StepError>),
    /// The finished image could not be stored.
    #[error("store the image")]
    Commit(#[source] LayersError),
    /// The cache could not be sent to where it shall go; the image is there.
    #[error("the image is built, but its cache was not written to `{name}`")]
    CacheTo {
        /// Where.
        name: String,
        /// Why.
        #[source]
        source: LayersError,
    },
    /// State of the builder could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Scratch space could not be made.
    #[error("make room for a build")]
    Workspace(#[source] std::io::Error),
}

fn count(findings: &[Finding]) -> String {
    match findings.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    }
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

/// A step failed: where, and why.
#[derive(Debug)]
pub struct StepError {
    /// The instruction's place.
    pub place: Place,
    /// The instruction as written.
    pub text: String,
    /// Why.
    pub failure: StepFailure,
    /// The last lines that the step wrote.
    pub last_output: Vec<String>,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, shorten(&self.text))
    }
}

impl std::error::Error for StepError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.failure)
    }
}

/// Longest instruction that a message repeats, in characters.
const TEXT_MAX: usize = 80;

/// Returns the first line, at most [`TEXT_MAX`] characters of it.
pub(crate) fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= TEXT_MAX && line.len() == text.trim_end().len() {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(TEXT_MAX).collect();
    short.push('…');
    short
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepFailure {
    /// The process did not end with status 0.
    #[error("{}", exit_text(*.0))]
    Exit(ExitStatus),
    /// The process could not be started.
    #[error("run the command")]
    Runner(#[source] RunnerError),
    /// The network of the step could not be made.
    #[error(
        "make the network of the step (`--network=none` needs none, `network: host` is the host's)"
    )]
    Network(#[source] StepNetworkError),
    /// It is parsed, but the builder cannot do it yet.
    #[error("{0} is not supported yet")]
    Unsupported(String),
    /// A word could not be expanded.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// A value came out wrong once its variables were expanded.
    #[error(transparent)]
    Syntax(#[from] Box<SyntaxError>),
    /// A value is empty or ill-formed once expanded.
    #[error("{what} `{value}` {rule}")]
    Value {
        /// What it is.
        what: &'static str,
        /// What it is now.
        value: String,
        /// What it should be.
        rule: &'static str,
    },
    /// A stage is named before it is defined.
    #[error("stage `{0}` needs to be defined before the stage that uses it")]
    LaterStage(String),
    /// There is no stage with this number.
    #[error("there is no stage number {0}")]
    StageNumber(usize),
    /// The base image could not be had.
    #[error("get image `{reference}`{}", hint(suggestion.as_deref()))]
    Image {
        /// Its reference as written.
        reference: String,
        /// A stage with a similar name.
        suggestion: Option<String>,
        /// Why.
        #[source]
        source: LayersError,
    },
    /// A source could not be selected.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// A file could not be written into the image.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Layers could not be merged.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// A file could not be handled.
    #[error(transparent)]
    File(#[from] runtime::Error),
    /// A user or group of `--chown` or USER is not in the image.
    #[error("{kind} `{name}` is not in /etc/{file} of the image")]
    NoSuchOwner {
        /// `user` or `group`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// `passwd` or `group`.
        file: &'static str,
    },
    /// A right that the caller did not give.
    #[error(
        "the step asks for `{0}`, which is not allowed: allow it with `--allow {0}`, or `entitlements: [{0}]` in the Compose file"
    )]
    NotAllowed(&'static str),
    /// A required device cannot be had.
    #[error("{0}")]
    Device(String),
    /// The step would run programs of another architecture.
    #[error(transparent)]
    Emulation(#[from] EmulationError),
    /// A required agent was not given.
    #[error(
        "ssh agent `{0}` is required but was not given: start an agent and build with `--ssh {0}`, or give a key file, `--ssh {0}=FILE`"
    )]
    NoAgent(String),
    /// An agent or key cannot be used.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// A required secret was not given.
    #[error("secret `{0}` is required but was not given")]
    NoSecret(String),
    /// A layer that a cache promised did not come: the build starts over without it.
    #[error("a layer of a cache was not to be had")]
    LostLayer,
    /// A file could not be fetched.
    #[error("fetch `{address}`")]
    Download {
        /// Its address.
        address: String,
        /// Why.
        #[source]
        source: DownloadError,
    },
    /// A fetched file is not the one that was promised.
    #[error("`{address}` has the checksum {found}, not {wanted}")]
    Checksum {
        /// Its address.
        address: String,
        /// What `--checksum` says.
        wanted: String,
        /// What came.
        found: String,
    },
    /// A repository could not be had.
    #[error(transparent)]
    Git(#[from] GitError),
    /// An archive could not be unpacked.
    #[error("unpack `{name}`")]
    Unpack {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// The ignore file of a named directory cannot be used.
    #[error(transparent)]
    NamedDirectory(Box<BuildError>),
    /// Scratch files could not be made.
    #[error("prepare the step")]
    Prepare(#[source] std::io::Error),
    /// The layer could not be stored.
    #[error("store the layer")]
    Commit(#[source] LayersError),
    /// A cache record could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The build does not matter any more: interrupted, or another stage failed.
    #[error("cancelled")]
    Cancelled,
    /// An instruction that a base image left for its users is not one.
    #[error("ONBUILD trigger `{trigger}` of the base image")]
    Trigger {
        /// The trigger.
        trigger: String,
        /// What is wrong with it.
        #[source]
        source: SyntaxErrors,
    },
}

fn exit_text(status: ExitStatus) -> String {
    let memory = if status.oom_killed {
        " (out of memory)"
    } else {
        ""
    };
    match status.signal {
        Some(signal) => format!("the command was killed by signal {signal}{memory}"),
        None => format!("the command ended with exit code {}{memory}", status.code),
    }
}

impl BuildError {
    /// Returns the line of the Dockerfile that the error is about, with carets.
    pub fn excerpt(&self) -> Option<String> {
        match self {
            Self::Syntax(errors) => errors.0.first().map(|error| error.place.excerpt()),
            Self::Step(error) => Some(error.place.excerpt()),
            Self::Findings(findings) => {
                let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
                Some(shown.join("\n"))
            }
            Self::Ignore(IgnoreError::Lone(place) | IgnoreError::Syntax { place, .. }) => {
                Some(place.excerpt())
            }
            _ => None,
        }
    }

    /// Returns the last lines that the failed step wrote.
    pub fn last_output(&self) -> &[String] {
        match self {
            Self::Step(error) => &error.last_output,
            _ => &[],
        }
    }

    /// Returns the exit code of the failed command.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Step(error) => match &error.failure {
                StepFailure::Exit(status) => Some(status.code),
                StepFailure::Runner(error) => Some(error.code),
                _ => None,
            },
            _ => None,
        }
    }
}
