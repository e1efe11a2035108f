//! The builder's way to containers.

use runtime::spec::{ContainerSpec, ExitStatus};

use tokio_util::sync::CancellationToken;

use super::Context;
use crate::{
    build::{RunnerError, StepRunner},
    container::{SpawnError, Steps, StepsError},
    model::chain,
};

/// Runs RUN steps as containers.
pub(super) struct StepContainers(Steps);

impl StepContainers {
    pub(super) fn new(context: &Context) -> Self {
        Self(context.steps.clone())
    }
}

impl StepRunner for StepContainers {
    fn run(
        &self,
        spec: ContainerSpec,
        output: &mut dyn FnMut(&[u8]),
        cancel: &CancellationToken,
    ) -> Result<ExitStatus, RunnerError> {
        self.0.run(spec, output, cancel).map_err(|error| {
            let code = match &error {
                StepsError::Spawn(SpawnError::Refused { code, .. })
                | StepsError::Refused { code, .. } => *code,
                _ => 125,
            };
            let message = chain(&error).join(": ");
            RunnerError { message, code }
        })
    }
}
