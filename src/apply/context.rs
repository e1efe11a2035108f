//! What steps work with.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use compose_spec::model::Project;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::BuildNetwork;
use crate::{
    build::Engine,
    container::{Live, Steps, journal::Journal},
    image::ImageStore,
    model::{RegistryAccess, Subject},
    network::Fabric,
    protocol::{Event, Progress, StepState},
    store::Root,
};

/// The hands of the supervisor: everything that effects go through. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    /// The state root.
    pub root: Root,
    /// The image store.
    pub images: ImageStore,
    /// Networks, endpoints, published ports, DNS.
    pub fabric: Fabric,
    /// Connections to monitors.
    pub live: Live,
    /// What happens, for `stack events`.
    pub journal: Journal,
    /// Runs build steps.
    pub steps: Steps,
    /// What builds share.
    pub engine: Engine,
    /// The network of build steps.
    pub build_network: BuildNetwork,
    /// The `stack` program, for monitors.
    pub program: PathBuf,
    /// Command line that starts a supervisor, for monitors.
    pub supervisor: Vec<OsString>,
}

/// One piece of work: whose, who watches it, and whether it still matters.
#[derive(Debug, Clone)]
pub struct Job {
    /// The project; `None` when nothing of it is known but its name, or for images.
    pub project: Option<Arc<Project>>,
    /// Where progress goes.
    pub events: mpsc::Sender<Event>,
    /// Cancelled when a newer call came or the supervisor leaves: waiting stops, other steps finish.
    pub cancel: CancellationToken,
    /// One-off containers start with the first client that attaches, so that it misses no output.
    pub attach_one_offs: bool,
    /// Memory limit of RUN steps in bytes; `None` = none.
    pub build_memory_bytes: Option<u64>,
    /// Images are built for every platform of their section, not only for the one that runs here.
    pub all_platforms: bool,
    /// How whoever asked for it reaches registries; `None` for what the supervisor does on its own.
    pub access: Option<Arc<RegistryAccess>>,
}

impl Job {
    /// Makes a job that starts one-off containers at once.
    pub fn new(
        project: Option<Project>,
        events: &mpsc::Sender<Event>,
        cancel: &CancellationToken,
    ) -> Self {
        Self {
            project: project.map(Arc::new),
            events: events.clone(),
            cancel: cancel.clone(),
            attach_one_offs: false,
            build_memory_bytes: None,
            all_platforms: false,
            access: None,
        }
    }

    /// Returns the project of a job that makes containers.
    pub(super) fn project(&self) -> &Project {
        self.project
            .as_deref()
            .expect("a plan that makes containers comes from a project")
    }

    /// Tells the client where a subject is. A client that went away is no reason to stop.
    pub async fn tell(&self, subject: &Subject, state: StepState, took_ms: Option<u64>) {
        let progress = Progress {
            subject: subject.clone(),
            state,
            took_ms,
        };
        if self.events.send(Event::Step(progress)).await.is_err() {
            debug!(subject = subject.name, "nobody watches");
        }
    }

    /// Tells the client that a subject is in work.
    pub async fn working(&self, subject: &Subject, text: impl Into<String>) {
        let state = StepState::Working {
            text: text.into(),
            current: None,
            total: None,
        };
        self.tell(subject, state, None).await;
    }

    /// Tells the client something that it should know.
    pub async fn warn(&self, text: String) {
        if self.events.send(Event::Warning { text }).await.is_err() {
            debug!("nobody watches");
        }
    }
}
