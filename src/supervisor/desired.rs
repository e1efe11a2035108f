//! What the user wants of a project: written before anything is done, read back by the next supervisor.

use std::collections::BTreeSet;

use compose_spec::model::{Project, ProjectName, ServiceName};
use serde::{Deserialize, Serialize};

use crate::{
    plan::Stopped,
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
        store::write_json(&root.project(&self.project.name).join("desired.json"), self)
    }

    /// Returns what the loop keeps. Without a service that `up` brought up that is no service at all; a plan would take no name for all.
    pub(super) fn kept(mut self) -> Self {
        if self.active.is_empty() {
            self.project.services.clear();
        }
        self
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
