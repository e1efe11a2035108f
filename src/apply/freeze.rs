//! Containers that are frozen for as long as something of theirs is read.
//!
//! Who is frozen stands in a file (`<run>/frozen/<random>.json`) before anybody is, and the file is locked while its owner lives: the
//! supervisor that follows a killed one thaws them ([`thaw_forgotten`]), and two who need the same container frozen wait for each other.

use std::path::{Path, PathBuf};

use fs_err as fs;
use runtime::{monitor::protocol::Request, spec::ContainerState};
use tracing::{info, warn};

use super::{Context, random_slug};
use crate::{
    container::{self, ContainerError, LinkError},
    model::{ContainerId, ContainerRecord},
    store::{self, Lock, Root, StoreError},
};

/// Containers could not be frozen or thawed.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// A container could not be frozen.
    #[error("freeze container `{name}`")]
    Freeze {
        /// Its name.
        name: String,
        /// What happened.
        #[source]
        source: LinkError,
    },
    /// A container could not be thawed.
    #[error("container `{name}` stays frozen: `stack unpause` thaws it")]
    Thaw {
        /// Its name.
        name: String,
        /// What happened.
        #[source]
        source: LinkError,
    },
    /// It is not known what a container does.
    #[error("look at container `{name}`")]
    State {
        /// Its name.
        name: String,
        /// What happened.
        #[source]
        source: ContainerError,
    },
    /// Who is frozen could not be written down.
    #[error("note which containers are frozen")]
    Note(#[source] StoreError),
}

/// Containers that are frozen until [`Frozen::thaw`].
#[derive(Debug)]
pub(super) struct Frozen {
    /// Those that ran before.
    pub(super) containers: Vec<ContainerRecord>,
    /// The note of them; `None` = nobody had to be frozen.
    note: Option<(PathBuf, Lock)>,
}

/// Freezes those of the containers that run. Nobody is frozen when it fails.
pub(super) async fn freeze(
    context: &Context,
    containers: Vec<ContainerRecord>,
) -> Result<Frozen, FreezeError> {
    let ids: Vec<ContainerId> = containers.iter().map(|record| record.id.clone()).collect();
    let root = context.root.clone();
    let alone = tokio::task::spawn_blocking(move || wait_for_others(&root, &ids))
        .await
        .expect("waiting for a lock does not panic")
        .map_err(FreezeError::Note)?;
    let mut frozen = Frozen {
        containers: Vec::new(),
        note: None,
    };
    let mut running = Vec::new();
    for record in containers {
        if is_running(&context.root, &record)? {
            running.push(record);
        }
    }
    if running.is_empty() {
        return Ok(frozen);
    }
    frozen.note = Some(note(&context.root, &running).map_err(FreezeError::Note)?);
    drop(alone);
    for record in running {
        let paused = context.live.call(&record.id, &Request::Pause, &[]).await;
        match paused {
            Ok(()) => frozen.containers.push(record),
            // It ended by itself in between.
            Err(_) if !is_running(&context.root, &record)? => {}
            Err(source) => {
                let name = record.name;
                if let Err(error) = frozen.thaw(context).await {
                    warn!(%error, "thaw");
                }
                return Err(FreezeError::Freeze { name, source });
            }
        }
    }
    Ok(frozen)
}

impl Frozen {
    /// Lets them go on. Every one is tried; the first failure is returned.
    pub(super) async fn thaw(self, context: &Context) -> Result<(), FreezeError> {
        let mut result = Ok(());
        for record in &self.containers {
            if let Err(error) = thaw(context, record).await {
                result = result.and(Err(error));
            }
        }
        if let Some((path, _lock)) = self.note
            && result.is_ok()
            && let Err(error) = fs::remove_file(&path)
        {
            warn!(%error, "remove the note of frozen containers");
        }
        result
    }

    /// Returns the names of those who were frozen.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.containers.iter().map(|record| record.name.clone());
        names.collect()
    }
}

/// Thaws what a supervisor that was killed has left frozen.
pub async fn thaw_forgotten(context: &Context) {
    for (path, ids) in notes(&context.root) {
        // Its owner is this process or one that lives: no supervisor was killed.
        if !matches!(store::try_lock(&path), Ok(Some(_))) {
            continue;
        }
        for id in ids {
            match container::read_record(&context.root, &id) {
                Ok(Some(record)) => match thaw(context, &record).await {
                    Ok(()) => info!(container = record.name, "thawed"),
                    Err(error) => warn!(container = record.name, %error, "not thawed"),
                },
                Ok(None) => {}
                Err(error) => warn!(container = %id, %error, "not thawed"),
            }
        }
        if let Err(error) = fs::remove_file(&path) {
            warn!(%error, "remove the note of frozen containers");
        }
    }
}

async fn thaw(context: &Context, record: &ContainerRecord) -> Result<(), FreezeError> {
    let resumed = context.live.call(&record.id, &Request::Resume, &[]).await;
    match resumed {
        Ok(()) => Ok(()),
        // Somebody thawed, killed or removed it meanwhile.
        Err(_) if !is_paused(&context.root, record)? => Ok(()),
        Err(source) => Err(FreezeError::Thaw {
            name: record.name.clone(),
            source,
        }),
    }
}

/// Tells whether a container has a process that is not frozen.
pub(super) fn is_running(root: &Root, record: &ContainerRecord) -> Result<bool, FreezeError> {
    state(root, record).map(|state| matches!(state, ContainerState::Running { .. }))
}

/// Tells whether a container has a process, or will have one again by its policy.
pub(super) fn is_live(root: &Root, record: &ContainerRecord) -> Result<bool, FreezeError> {
    state(root, record).map(|state| state.is_live())
}

fn is_paused(root: &Root, record: &ContainerRecord) -> Result<bool, FreezeError> {
    state(root, record).map(|state| matches!(state, ContainerState::Paused { .. }))
}

fn state(root: &Root, record: &ContainerRecord) -> Result<ContainerState, FreezeError> {
    container::read_state(root, &record.id)
        .map(|(state, _)| state)
        .map_err(|source| FreezeError::State {
            name: record.name.clone(),
            source,
        })
}

/// Waits until nobody else has one of the containers frozen; while the lock is held nobody begins to. Blocks.
fn wait_for_others(root: &Root, wanted: &[ContainerId]) -> Result<Lock, StoreError> {
    loop {
        let alone = store::lock(&directory(root).join(".lock"))?;
        let busy = notes(root).into_iter().find(|(path, ids)| {
            let is_shared = ids.iter().any(|id| wanted.contains(id));
            is_shared && store::is_locked(path).unwrap_or(false)
        });
        let Some((path, _)) = busy else {
            return Ok(alone);
        };
        drop(alone);
        drop(store::lock_shared(&path)?);
    }
}

fn note(root: &Root, containers: &[ContainerRecord]) -> Result<(PathBuf, Lock), StoreError> {
    let path = directory(root).join(format!("{}.json", random_slug()));
    let ids: Vec<&ContainerId> = containers.iter().map(|record| &record.id).collect();
    store::write_json(&path, &ids)?;
    let lock = store::lock(&path)?;
    Ok((path, lock))
}

/// Returns all notes. One that cannot be read is of no use to anybody.
fn notes(root: &Root) -> Vec<(PathBuf, Vec<ContainerId>)> {
    let Ok(entries) = fs::read_dir(directory(root)) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let is_note = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
    paths
        .filter(is_note)
        .filter_map(|path| {
            let ids = read(&path)?;
            Some((path, ids))
        })
        .collect()
}

fn read(path: &Path) -> Option<Vec<ContainerId>> {
    store::read_json(path).unwrap_or_else(|error| {
        warn!(%error, "read the note of frozen containers");
        None
    })
}

fn directory(root: &Root) -> PathBuf {
    root.run().join("frozen")
}
