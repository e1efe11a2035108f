//! What the user wants of a project: written before anything is done, read back by the next supervisor.

use std::collections::BTreeSet;

use compose_spec::model::{Project, ProjectName, ServiceName};
use serde::{Deserialize, Serialize};

use crate::{
    container,
    plan::{Stopped, UpOptions},
    store::{self, Root, StoreError},
};

/// `projects/<name>/desired.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Desired {
    /// Schema version.
    pub(super) version: u32,
    /// The project as last given to `up` (or `run`), scale applied.
    pub(super) project: Project,
    /// Services that `up` brought up; others of the file are left alone.
    pub(super) active: BTreeSet<ServiceName>,
    /// What the user stopped: the loop leaves it alone until `start` or `up`.
    pub(super) stopped: Stopped,
    /// The `up` that is being carried out: a supervisor that was killed in between goes on with it. Without one the loop only keeps what there is.
    #[serde(default)]
    pub(super) unfinished: Option<UpOptions>,
    /// The boot in which this was written; another one starts again what a reboot starts again. Empty = not known.
    #[serde(default)]
    pub(super) boot_id: String,
    /// Raised at every change.
    pub(super) generation: u64,
}

impl Desired {
    const VERSION: u32 = 1;

    /// Makes the desired state of a project that was not known before: nothing is active yet.
    pub(super) fn new(project: Project) -> Self {
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

    /// Reads the desired state of a project; `None` when nothing is wanted of it.
    pub(super) fn read(root: &Root, name: &ProjectName) -> Result<Option<Self>, StoreError> {
        store::read_json(&root.project(name).join("desired.json"))
    }

    /// Writes it, one generation on.
    pub(super) fn write(&mut self, root: &Root) -> Result<(), StoreError> {
        self.generation += 1;
        self.boot_id = container::boot_id();
        store::write_json(&root.project(&self.project.name).join("desired.json"), self)
    }

    /// Returns what the loop keeps. Without a service that `up` brought up that is no service at all; a plan would take no name for all.
    pub(super) fn kept(mut self) -> Self {
        if self.active.is_empty() {
            self.project.services.clear();
        }
        self
    }

    /// Notes that an `up` that was cut off has been brought to its end, if there was one.
    pub(super) fn finish(&self, root: &Root) -> Result<(), StoreError> {
        if self.unfinished.is_none() {
            return Ok(());
        }
        // What is on disk, not `self`: [`Self::kept`] may have taken services out.
        match Self::read(root, &self.project.name)? {
            Some(mut desired) => {
                desired.unfinished = None;
                desired.write(root)
            }
            None => Ok(()),
        }
    }

    /// Starts again what a reboot starts again, if there was one since this was written.
    pub(super) fn note_boot(&mut self, root: &Root) -> Result<(), StoreError> {
        if self.boot_id == container::boot_id() {
            return Ok(());
        }
        if !self.boot_id.is_empty() {
            self.stopped.forget_after_reboot(&self.project);
        }
        self.write(root)
    }

    /// Removes the desired state of a project.
    pub(super) fn remove(root: &Root, name: &ProjectName) -> Result<(), StoreError> {
        store::remove_tree(&root.project(name))
    }
}

/// Returns the projects of which something is wanted.
pub(super) fn wanted_projects(root: &Root) -> Result<Vec<ProjectName>, StoreError> {
    let entries = match fs_err::read_dir(root.projects()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(StoreError::Io {
                intent: "list the projects",
                source,
            });
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| StoreError::Io {
            intent: "list the projects",
            source,
        })?;
        names.extend(
            entry
                .file_name()
                .to_string_lossy()
                .parse::<ProjectName>()
                .ok(),
        );
    }
    names.sort();
    Ok(names)
}
