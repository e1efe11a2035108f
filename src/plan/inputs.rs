//! What every plan is made of: the wanted project, what is there, and what the user asked for.

use std::collections::{BTreeMap, BTreeSet};

use compose_spec::model::{Project, ProjectName, RestartPolicy, ServiceName};
use serde::{Deserialize, Serialize};

pub use crate::model::{
    ChangedVolumes, DownOptions, HostFacts, LifecycleAction, Mode, Recreate, RemoveImages,
    UpOptions,
};
use crate::model::{Observed, Timestamp};

/// Everything that [`super::plan`] looks at.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What is wanted.
    pub project: &'a Project,
    /// What is there.
    pub observed: &'a Observed,
    /// How the user wants it.
    pub options: &'a UpOptions,
    /// What the user stopped: it is neither started nor made again. `up` clears the services that it names before it plans.
    pub stopped: &'a Stopped,
    /// References that this call has already pulled or built: they are not fetched again.
    pub fetched: &'a BTreeSet<String>,
    /// Digest of the content of each service's secrets and configs; a service without any may be absent.
    pub files: &'a BTreeMap<ServiceName, String>,
    /// What of the host matters.
    pub host: &'a HostFacts,
    /// The time, for new records.
    pub now: Timestamp,
}

/// What the user stopped (or killed, or removed) and did not start again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Whole services.
    pub services: BTreeSet<ServiceName>,
    /// Single containers by name.
    pub containers: BTreeSet<String>,
}

impl Stopped {
    /// Forgets what a reboot starts again: `restart: always` comes back even when the user had stopped it, `unless-stopped` does not.
    pub fn forget_after_reboot(&mut self, project: &Project) {
        self.services.retain(|name| {
            project
                .services
                .get(name)
                .is_none_or(|service| service.restart != RestartPolicy::Always)
        });
    }

    pub(super) fn covers(&self, service: &ServiceName, container: &str) -> bool {
        self.services.contains(service) || self.containers.contains(container)
    }
}

/// Everything that [`super::down`] looks at. It needs no Compose file.
#[derive(Debug, Clone, Copy)]
pub struct DownInputs<'a> {
    /// The project.
    pub project: &'a ProjectName,
    /// What is there.
    pub observed: &'a Observed,
    /// How the user wants it.
    pub options: &'a DownOptions,
}

/// Everything that [`super::lifecycle`] looks at. It needs no Compose file: the order comes from the containers' records.
#[derive(Debug, Clone, Copy)]
pub struct LifecycleInputs<'a> {
    /// What is there.
    pub observed: &'a Observed,
    /// Services named by the user, for a `start` with what [`super::start_scope`] adds; empty = all.
    pub services: &'a [ServiceName],
    /// What to do.
    pub action: &'a LifecycleAction,
}

/// Everything that [`super::run`] looks at.
#[derive(Debug, Clone, Copy)]
pub struct RunInputs<'a> {
    /// As for `up`; `options.no_deps` leaves dependencies alone, `options.services` is not looked at.
    pub up: Inputs<'a>,
    /// The service; its entry in the project is already changed as the flags say.
    pub service: &'a ServiceName,
    /// 12 random hexadecimal digits.
    pub slug: &'a str,
    /// Name in place of `<project>-<service>-run-<slug>`.
    pub name: Option<&'a str>,
    /// Remove the container when it has ended.
    pub remove: bool,
    /// Give it the service's DNS names and fixed addresses.
    pub use_aliases: bool,
}
