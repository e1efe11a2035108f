//! Who does what steps need from outside of the builder: the process of a RUN, a file that ADD fetches.

use std::io;

use runtime::spec::{ContainerSpec, ExitStatus};
use tokio_util::sync::CancellationToken;

use crate::image::{DownloadError, Downloaded};

/// Takes bytes as they come.
pub type Write<'a> = &'a mut (dyn FnMut(&[u8]) -> io::Result<()> + Send);

/// Does what steps need from outside.
pub trait StepRunner: Sync {
    /// Runs it, hands over its output as it comes, and returns how it ended. Once `cancel` is cancelled it is killed.
    fn run(
        &self,
        spec: ContainerSpec,
        output: &mut dyn FnMut(&[u8]),
        cancel: &CancellationToken,
    ) -> Result<ExitStatus, RunnerError>;

    /// Fetches a file by its address. `authorization` is the value of that header.
    fn download(
        &self,
        address: &str,
        authorization: Option<&str>,
        write: Write<'_>,
    ) -> Result<Downloaded, DownloadError>;
}

/// The container could not be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RunnerError {
    /// What and why, for people.
    pub message: String,
    /// 126 = found but not executable, 127 = program not found, 125 = anything else.
    pub code: i32,
}
