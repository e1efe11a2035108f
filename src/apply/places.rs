//! Where a new container's things lie on the host, and whose namespaces it joins.

use std::{collections::BTreeMap, path::PathBuf};

use super::{ApplyError, Context, Job, container::find};
use crate::{
    container,
    model::{ContainerId, ContainerRecord, ContainerRole, ImageRecord},
    plan::{
        ContainerRef, NamespaceOwner, NewContainer,
        lower::{JoinedPlaces, Places},
        mounted_references,
    },
};

/// Control group below which all containers lie.
const CGROUP_PARENT: &str = "stack";

/// Returns the places of a container that is about to be made.
pub(super) fn places(
    context: &Context,
    job: &Job,
    new: &NewContainer,
    id: &ContainerId,
    joined: JoinedPlaces,
) -> Places {
    let suffix = match &new.role {
        ContainerRole::Replica(index) => index.to_string(),
        ContainerRole::OneOff { slug, .. } => format!("run-{slug}"),
    };
    let directory = context.root.container(id);
    Places {
        files: directory.join("files"),
        container: directory,
        mount_points: context.root.mount_points(),
        volumes: context.root.volumes(),
        netns: context.root.netns().join(id.as_str()),
        log: context
            .root
            .logs(&job.project().name, &new.service.name, &suffix),
        cgroup_parent: CGROUP_PARENT.to_owned(),
        joined,
    }
}

/// Finds the namespaces of the containers that a new one joins.
pub(super) fn join(
    context: &Context,
    new: &NewContainer,
    resolve: impl Fn(&ContainerRef) -> ContainerId,
) -> Result<JoinedPlaces, ApplyError> {
    let owner = |owner: &NamespaceOwner| -> Result<ContainerRecord, ApplyError> {
        match owner {
            NamespaceOwner::Container(reference) => find(context, &resolve(reference)),
            NamespaceOwner::Named(name) => container::read_all(&context.root)
                .map_err(|source| ApplyError::Container {
                    name: name.clone(),
                    source,
                })?
                .into_iter()
                .find(|record| record.name == *name || record.id.as_str().starts_with(name))
                .ok_or_else(|| ApplyError::Vanished { id: name.clone() }),
        }
    };
    let process = |record: ContainerRecord, namespace: &str| -> Result<PathBuf, ApplyError> {
        let (state, _) = container::read_state(&context.root, &record.id).map_err(|source| {
            ApplyError::Container {
                name: record.name.clone(),
                source,
            }
        })?;
        let pid = state
            .pid()
            .ok_or(ApplyError::NotRunning { name: record.name })?;
        Ok(PathBuf::from(format!("/proc/{pid}/ns/{namespace}")))
    };
    let mut places = JoinedPlaces::default();
    if let Some(network) = &new.joins.network {
        let record = owner(network)?;
        places.network = Some(context.root.netns().join(record.id.as_str()));
        places.network_files = Some(context.root.container(&record.id).join("files"));
    }
    if let Some(pid) = &new.joins.pid {
        places.pid = Some(process(owner(pid)?, "pid")?);
    }
    if let Some(ipc) = &new.joins.ipc {
        places.ipc = Some(process(owner(ipc)?, "ipc")?);
    }
    Ok(places)
}

/// Finds the images that a container mounts, by reference.
pub(super) fn mounted_images(
    context: &Context,
    new: &NewContainer,
) -> Result<BTreeMap<String, ImageRecord>, ApplyError> {
    let mut found = BTreeMap::new();
    for reference in mounted_references(&new.service) {
        let image = context.images.find(reference).map_err(ApplyError::Image)?;
        let missing = || ApplyError::ImageMissing {
            reference: reference.to_owned(),
        };
        found.insert(reference.to_owned(), image.ok_or_else(missing)?);
    }
    Ok(found)
}
