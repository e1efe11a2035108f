//! What the user wants of a project, and how an `up` changes it.

use std::collections::BTreeSet;

use compose_spec::model::{Project, ServiceName};
use serde::{Deserialize, Serialize};

use super::{Stopped, UpOptions};

/// What is wanted of a project: `projects/<name>/desired.json`, written before anything is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// Schema version.
    pub version: u32,
    /// The project as last given to `up` (or `run`), scale applied.
    pub project: Project,
    /// Services that `up` brought up; others of the file are left alone.
    pub active: BTreeSet<ServiceName>,
    /// What the user stopped: the loop leaves it alone until `start` or `up`.
    pub stopped: Stopped,
    /// The `up` that is being carried out: a supervisor that was killed in between goes on with it. Without one the loop only keeps what there is.
    #[serde(default)]
    pub unfinished: Option<UpOptions>,
    /// The boot in which this was written; another one starts again what a reboot starts again. Empty = not known.
    #[serde(default)]
    pub boot_id: String,
    /// Raised at every change.
    pub generation: u64,
}

impl Desired {
    /// The schema version that this build writes.
    pub const VERSION: u32 = 1;

    /// Returns the desired state of a project that was not known before: nothing is active yet.
    pub fn new(project: Project) -> Self {
        Self {
            version: Self::VERSION,
            project,
            active: BTreeSet::new(),
            stopped: Stopped::default(),
            unfinished: None,
            boot_id: String::new(),
            generation: 0,
        }
    }

    /// Returns what is wanted after an `up`: what was wanted before and what the user names now, with its dependencies.
    pub fn after_up(previous: Option<Self>, project: Project, options: &UpOptions) -> Self {
        let mut desired = Self::new(project);
        if let Some(previous) = previous {
            desired.active = previous.active;
            desired.stopped = previous.stopped;
            desired.generation = previous.generation;
        }
        for (name, count) in &options.scale {
            if let Some(service) = desired.project.services.get_mut(name) {
                service.replicas = *count;
            }
        }
        let named: BTreeSet<ServiceName> = if options.services.is_empty() {
            desired.project.services.keys().cloned().collect()
        } else if options.no_deps {
            options.services.iter().cloned().collect()
        } else {
            with_dependencies(&desired.project, &options.services)
        };
        if options.no_start {
            desired.stopped.services.extend(named.iter().cloned());
        } else {
            desired
                .stopped
                .services
                .retain(|service| !named.contains(service));
            desired.stopped.containers.clear();
        }
        desired.active.extend(named);
        desired
            .active
            .retain(|service| desired.project.services.contains_key(service));
        desired
    }

    /// Returns what the loop keeps. Without a service that `up` brought up that is no service at all; a plan would take no name for all.
    #[must_use]
    pub fn kept(mut self) -> Self {
        if self.active.is_empty() {
            self.project.services.clear();
        }
        self
    }
}

/// Returns the named services and everything that they depend on.
pub fn with_dependencies(project: &Project, named: &[ServiceName]) -> BTreeSet<ServiceName> {
    let mut all = BTreeSet::new();
    let mut waiting = named.to_vec();
    while let Some(name) = waiting.pop() {
        let dependencies = project
            .services
            .get(&name)
            .map(|service| &service.depends_on);
        if all.insert(name) {
            waiting.extend(dependencies.into_iter().flat_map(|all| all.keys().cloned()));
        }
    }
    all
}
