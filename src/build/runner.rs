//! Who runs the process of a RUN.

use runtime::spec::{ContainerSpec, ExitStatus};
use tokio_util::sync::CancellationToken;

/// Runs one container to its end.
pub trait StepRunner: Sync {
    /// Runs it, hands over its output as it comes, and returns how it ended. Once `cancel` is cancelled it is killed.
    fn run(
        &self,
        spec: ContainerSpec,
        output: &mut dyn FnMut(&[u8]),
        cancel: &CancellationToken,
    ) -> Result<ExitStatus, RunnerError>;
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
