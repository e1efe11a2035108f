//! What every plan is made of: the wanted project, what is there, and what the user asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use compose_spec::model::{Project, ProjectName, PullPolicy, RestartPolicy, ServiceName};
use serde::{Deserialize, Serialize};

pub use crate::model::{LifecycleAction, Recreate, RemoveImages};
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

/// What `up` was asked for, and the loop after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpOptions {
    /// Whether the project is being changed or kept.
    pub mode: Mode,
    /// When the call was made. A container that ended before it is started again, one that ended after it had its run;
    /// a forced recreate is done once a container is newer. So the same options can be planned again until nothing is left.
    pub since: Timestamp,
    /// Services that the call is about; empty = all. Their dependencies come too unless `no_deps`. In the loop (`Enforce`): services
    /// whose missing containers are made; empty = none. Containers that exist are cared for in any case.
    pub services: Vec<ServiceName>,
    /// Leave dependencies alone.
    pub no_deps: bool,
    /// Build before starting even when the image exists.
    pub build: bool,
    /// Never build.
    pub no_build: bool,
    /// Overrides every service's policy.
    pub pull: Option<PullPolicy>,
    /// When to recreate containers.
    pub recreate: Recreate,
    /// Let `recreate: Force` reach dependencies too.
    pub always_recreate_deps: bool,
    /// Do not carry anonymous volumes over.
    pub renew_anonymous_volumes: bool,
    /// Remove containers of services that the project no longer has.
    pub remove_orphans: bool,
    /// Services of the Compose file that are switched off by profiles: their containers are no orphans.
    pub inactive_services: Vec<ServiceName>,
    /// Replica counts by service (`--scale`).
    pub scale: BTreeMap<ServiceName, u32>,
    /// Create but do not start.
    pub no_start: bool,
    /// Wait at the end until every service is ready.
    pub wait: bool,
    /// Grace of stops in milliseconds, in place of each service's.
    pub grace_ms: Option<u64>,
    /// What to do with a volume whose definition changed.
    pub changed_volumes: ChangedVolumes,
}

/// Whether a plan changes the project or keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// `up`: make containers as the project says. Plan so until a plan is empty, then go on with `Enforce`.
    #[default]
    Up,
    /// Between calls: what is missing, lost or broken is made good. Nothing is recreated because it differs, no image is asked
    /// for again, and what ended by itself stays as its restart policy says.
    Enforce,
}

/// What `up` does with an existing volume whose driver or options differ from the Compose file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangedVolumes {
    /// Use it as it is, and say so.
    #[default]
    Keep,
    /// Make it anew; its data is lost, so the plan asks for confirmation.
    Recreate,
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

/// What of the host matters to planning and lowering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// MTU of the default route's link: a larger one inside would hang transfers.
    pub uplink_mtu: u32,
    /// Number of CPUs: a higher limit has no effect.
    pub cpus: u32,
    /// The host's name, which containers on its network have; empty = they have their own.
    pub hostname: String,
    /// Ranges from which subnets of new networks are cut, in this order.
    pub pools: Vec<(Ipv4Addr, u8)>,
    /// Prefix length of new networks.
    pub subnet_prefix: u8,
}

impl Default for HostFacts {
    fn default() -> Self {
        Self {
            uplink_mtu: 1500,
            cpus: 1,
            hostname: String::new(),
            pools: vec![
                (Ipv4Addr::new(10, 201, 0, 0), 16),
                (Ipv4Addr::new(172, 16, 0, 0), 12),
            ],
            subnet_prefix: 24,
        }
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

/// What `down` was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownOptions {
    /// Services named by the user; empty = everything, networks included.
    pub services: Vec<ServiceName>,
    /// Services of the Compose file, to tell orphans; empty when there is no file (then nothing is an orphan).
    pub known_services: Vec<ServiceName>,
    /// Remove volumes: named ones and anonymous ones.
    pub volumes: bool,
    /// Remove images.
    pub images: RemoveImages,
    /// Remove one-off containers and those of services that the project does not have.
    pub remove_orphans: bool,
    /// Grace of stops in milliseconds.
    pub grace_ms: Option<u64>,
}

/// Everything that [`super::lifecycle`] looks at. It needs no Compose file: the order comes from the containers' records.
#[derive(Debug, Clone, Copy)]
pub struct LifecycleInputs<'a> {
    /// What is there.
    pub observed: &'a Observed,
    /// Services named by the user; empty = all.
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
