//! The builder's way to containers.

use std::sync::Arc;

use runtime::spec::{ContainerSpec, ExitStatus};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{Context, build_network::Seats};
use crate::{
    build::{RunnerError, StepNetwork, StepNetworkError, StepRunner, Write},
    container::{SpawnError, Steps, StepsError},
    image::{DownloadError, Downloaded, Registries, download},
    model::chain,
};

/// Runs RUN steps as containers, and fetches what ADD names.
pub(super) struct StepContainers {
    steps: Steps,
    seats: Arc<Seats>,
    registries: Arc<Registries>,
    handle: Handle,
}

impl StepContainers {
    /// Makes a runner for one build. Certificates and proxies for ADD are those of registries.
    pub(super) fn new(context: &Context, registries: Arc<Registries>, handle: Handle) -> Self {
        Self {
            steps: context.steps.clone(),
            seats: Seats::new(context.build_network.clone(), handle.clone()),
            registries,
            handle,
        }
    }
}

impl StepRunner for StepContainers {
    fn network(&self, insecure: bool) -> Result<StepNetwork, StepNetworkError> {
        self.seats.lend(insecure)
    }

    fn run(
        &self,
        spec: ContainerSpec,
        output: &mut dyn FnMut(&[u8]),
        cancel: &CancellationToken,
    ) -> Result<ExitStatus, RunnerError> {
        self.steps.run(spec, output, cancel).map_err(|error| {
            let code = match &error {
                StepsError::Spawn(SpawnError::Refused { code, .. })
                | StepsError::Refused { code, .. } => *code,
                _ => 125,
            };
            let message = chain(&error).join(": ");
            RunnerError { message, code }
        })
    }

    fn download(
        &self,
        address: &str,
        authorization: Option<&str>,
        write: Write<'_>,
    ) -> Result<Downloaded, DownloadError> {
        let fetched = download(&self.registries, address, authorization, write);
        self.handle.block_on(fetched)
    }
}
