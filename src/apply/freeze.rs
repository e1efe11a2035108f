//! Containers that stand still for as long as something of theirs is read.
//!
//! Their monitors freeze them for a connection and thaw them when it closes: whoever is killed meanwhile, nobody stays frozen.

use runtime::spec::ContainerState;

use super::Context;
use crate::{
    container::{self, ContainerError, LinkError},
    model::ContainerRecord,
    store::Root,
};

/// Containers could not be frozen.
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
    /// It is not known what a container does.
    #[error("look at container `{name}`")]
    State {
        /// Its name.
        name: String,
        /// What happened.
        #[source]
        source: ContainerError,
    },
}

/// Containers that stand still until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Frozen {
    held: Vec<container::Frozen>,
    /// Name and first process of each.
    stood: Vec<(String, Option<i32>)>,
}

/// Freezes those of the containers that have processes. Nobody is frozen when it fails.
pub(super) async fn freeze(
    context: &Context,
    containers: &[ContainerRecord],
) -> Result<Frozen, FreezeError> {
    let mut frozen = Frozen::default();
    for record in containers {
        let Some(pid) = pid(&context.root, record)? else {
            continue;
        };
        match context.live.freeze(&record.id).await {
            Ok(held) => {
                frozen.held.push(held);
                frozen.stood.push((record.name.clone(), Some(pid)));
            }
            // It ended by itself in between.
            Err(_) if self::pid(&context.root, record)?.is_none() => {}
            Err(source) => {
                let name = record.name.clone();
                return Err(FreezeError::Freeze { name, source });
            }
        }
    }
    Ok(frozen)
}

impl Frozen {
    /// Returns the names of those who stand still.
    pub(super) fn names(&self) -> Vec<String> {
        self.stood.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Returns the names of those of the containers that do not stand still as they did: started since, stopped or restarted, which thaws.
    pub(super) fn moved(
        &self,
        root: &Root,
        containers: &[ContainerRecord],
    ) -> Result<Vec<String>, FreezeError> {
        let mut moved = Vec::new();
        for record in containers {
            let now = pid(root, record)?;
            let before = self.stood.iter().find(|(name, _)| *name == record.name);
            if now != before.and_then(|(_, pid)| *pid) {
                moved.push(record.name.clone());
            }
        }
        Ok(moved)
    }
}

/// Tells whether a container has a process.
pub(super) fn is_running(root: &Root, record: &ContainerRecord) -> Result<bool, FreezeError> {
    pid(root, record).map(|pid| pid.is_some())
}

/// Tells whether a container has a process, or will have one again by its policy.
pub(super) fn is_live(root: &Root, record: &ContainerRecord) -> Result<bool, FreezeError> {
    state(root, record).map(|state| state.is_live())
}

fn pid(root: &Root, record: &ContainerRecord) -> Result<Option<i32>, FreezeError> {
    state(root, record).map(|state| state.pid())
}

fn state(root: &Root, record: &ContainerRecord) -> Result<ContainerState, FreezeError> {
    container::read_state(root, &record.id)
        .map(|(state, _)| state)
        .map_err(|source| FreezeError::State {
            name: record.name.clone(),
            source,
        })
}
