//! Reads what is there: records and states of containers. Changes nothing.

use std::{collections::BTreeMap, io};

use compose_spec::model::ProjectName;
use runtime::spec::{ContainerState, StateRecord};

use crate::{
    model::{ContainerRecord, ImageSummary, ObservedContainer},
    store::{self, Root, StoreError},
};

/// The state of the host could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The directory of containers.
    #[error("read the containers")]
    Directory(#[source] io::Error),
    /// A container's record or state.
    #[error("read the containers")]
    Container(#[source] StoreError),
    /// The image store is not part of this build.
    #[error("read the images: this build has no image store")]
    NoImages,
}

/// Returns the containers of a project and what they do, oldest first.
pub fn project(root: &Root, name: &ProjectName) -> Result<Vec<ObservedContainer>, ObserveError> {
    Ok(projects(root)?.remove(name).unwrap_or_default())
}

/// Returns every project that has containers, with what they do.
pub fn projects(
    root: &Root,
) -> Result<BTreeMap<ProjectName, Vec<ObservedContainer>>, ObserveError> {
    let entries = match fs_err::read_dir(root.containers()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.map_err(ObserveError::Directory)?,
    };
    let mut projects = BTreeMap::<_, Vec<ObservedContainer>>::new();
    for entry in entries {
        let directory = entry.map_err(ObserveError::Directory)?.path();
        let record: Option<ContainerRecord> =
            store::read_json(&directory.join("record.json")).map_err(ObserveError::Container)?;
        let state: Option<StateRecord> =
            store::read_json(&directory.join("state.json")).map_err(ObserveError::Container)?;
        let Some(record) = record else { continue };
        projects
            .entry(record.project.clone())
            .or_default()
            .push(ObservedContainer {
                record,
                restarts: state.as_ref().map_or(0, |state| state.restarts),
                state: state.map_or(ContainerState::Created, |state| state.state),
                network_intact: true,
            });
    }
    for containers in projects.values_mut() {
        containers.sort_by_key(|container| container.record.created);
    }
    Ok(projects)
}

/// Returns the images of the store.
pub fn images(_root: &Root) -> Result<Vec<ImageSummary>, ObserveError> {
    Err(ObserveError::NoImages)
}
