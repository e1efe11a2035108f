//! The builder's way to containers.

use std::sync::Arc;

use runtime::spec::{ContainerSpec, ExitStatus};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{Context, Job, build_network::Seats};
use crate::{
    build::{RunnerError, StepDevice, StepNetwork, StepNetworkError, StepRunner, Write},
    container::{SpawnError, Steps, StepsError},
    image::{DownloadError, Downloaded, Registries, download},
    model::chain,
    observe,
    plan::lower::named_devices,
};

/// Runs RUN steps as containers, and fetches what ADD names.
pub(super) struct StepContainers {
    steps: Steps,
    seats: Arc<Seats>,
    registries: Arc<Registries>,
    handle: Handle,
    cancel: CancellationToken,
}

impl StepContainers {
    /// Makes a runner for one build. Certificates and proxies for ADD are those of registries.
    ///
    /// Called on a thread of the async runtime.
    pub(super) fn new(context: &Context, job: &Job, registries: Arc<Registries>) -> Self {
        let handle = Handle::current();
        Self {
            steps: context.steps.clone(),
            seats: Seats::new(context.build_network.clone(), handle.clone()),
            registries,
            handle,
            cancel: job.cancel.clone(),
        }
    }
}

impl StepRunner for StepContainers {
    fn network(&self, insecure: bool) -> Result<StepNetwork, StepNetworkError> {
        self.seats.lend(insecure)
    }

    fn device(&self, name: &str) -> Result<StepDevice, String> {
        let found = named_devices(&observe::host_facts().cdi, [name])?;
        if let Some(hook) = found.hooks.first() {
            let program = hook.path.display();
            return Err(format!(
                "device `{name}`: it wants the hook `{program}`, and RUN has no hooks"
            ));
        }
        Ok(StepDevice {
            nodes: found.nodes,
            mounts: found.mounts,
            env: found.env,
            groups: found.groups,
        })
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
        let waited = self.cancel.run_until_cancelled(fetched);
        let interrupted = || DownloadError::Write(std::io::ErrorKind::Interrupted.into());
        self.handle
            .block_on(waited)
            .unwrap_or_else(|| Err(interrupted()))
    }
}
