//! Why a command of the low-level runtime did not work.

use std::{io, path::PathBuf};

use runtime::{cgroup::CgroupError, check::CheckError, security::seccomp::FilterError};

use super::{map::MapError, state::Status};

/// A command did not work.
#[derive(Debug, thiserror::Error)]
pub(super) enum OciError {
    #[error("container `{0}` does not exist")]
    Unknown(String),
    #[error("container `{0}` exists already")]
    Exists(String),
    #[error("`{0}` is not an id: letters, digits, `_`, `+`, `-` and `.`")]
    Id(String),
    #[error("container `{id}` is {status}, not {wanted}")]
    Status {
        id: String,
        status: Status,
        wanted: &'static str,
    },
    #[error("read `{0}`")]
    Read(PathBuf, #[source] io::Error),
    #[error("`{0}` is not valid")]
    Malformed(PathBuf, #[source] serde_json::Error),
    #[error("use the state directory")]
    Directory(#[source] io::Error),
    #[error("write `{0}`")]
    Write(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Map(#[from] MapError),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("{0}")]
    Runtime(#[from] runtime::Error),
    #[error("signal container `{0}`")]
    Signal(String, #[source] io::Error),
    #[error("`{0}` is not a signal")]
    UnknownSignal(String),
    #[error("hook `{path}`: {reason}")]
    Hook { path: PathBuf, reason: String },
    #[error("{0}")]
    Usage(String),
    #[error("hand the terminal to `{0}`")]
    Console(PathBuf, #[source] io::Error),
    #[error("use the terminal")]
    Terminal(#[source] io::Error),
    #[error("wait for the process")]
    Wait(#[source] io::Error),
    #[error("write to standard output")]
    Output(#[source] io::Error),
}

impl OciError {
    /// The exit code: that of a shell where a program could not be executed, else 1.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Runtime(error) => match error.exit_code() {
                code @ (126 | 127) => u8::try_from(code).unwrap_or(1),
                _ => 1,
            },
            _ => 1,
        }
    }

    /// The whole chain in one line.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(inner) = source {
            let fact = inner.to_string();
            if !text.ends_with(&fact) {
                text = format!("{text}: {fact}");
            }
            source = inner.source();
        }
        text
    }
}
