//! Where a new container's things lie on the host, and whose namespaces it joins.

use std::{collections::BTreeMap, path::PathBuf};

use compose_spec::model::{Namespace, ServiceName};
use runtime::spec;

use super::{ApplyError, Context, Job, container::find};
use crate::{
    container,
    model::{ContainerId, ContainerRecord, ContainerRole, ImageRecord},
    plan::{
        ContainerRef, NamespaceOwner, NewContainer,
        lower::{JoinedPlaces, Places, TakenMounts, takeable},
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
        ContainerRole::Init { entry, replica } => format!("{replica}-pre-start-{entry}"),
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

/// Finds anew the namespaces of processes that a container joins: their owners may have been started again since it was made. Returns whether
/// they are others than before.
pub(super) fn rejoin(context: &Context, record: &mut ContainerRecord) -> Result<bool, ApplyError> {
    let wanted = [("pid", &record.wanted.pid), ("ipc", &record.wanted.ipc)];
    let owners = wanted.map(|(kind, namespace)| match namespace {
        Namespace::Service(owner) => Some((kind, Err(owner.clone()))),
        Namespace::Container(name) => Some((kind, Ok(name.clone()))),
        Namespace::Private | Namespace::Shareable | Namespace::Host => None,
    });
    let mut is_other = false;
    for (kind, owner) in owners.into_iter().flatten() {
        let owner = match owner {
            Ok(name) => by_name(context, &name)?,
            Err(service) => first_replica(context, record, &service)?,
        };
        let path = process_namespace(context, owner, kind)?;
        let namespaces = &mut record.spec.namespaces;
        let joined = match kind {
            "pid" => &mut namespaces.pid,
            _ => &mut namespaces.ipc,
        };
        let found = spec::Namespace::Join(path);
        is_other |= *joined != found;
        *joined = found;
    }
    Ok(is_other)
}

fn records(context: &Context, name: &str) -> Result<Vec<ContainerRecord>, ApplyError> {
    container::read_all(&context.root).map_err(|source| ApplyError::Container {
        name: name.to_owned(),
        source,
    })
}

fn by_name(context: &Context, name: &str) -> Result<ContainerRecord, ApplyError> {
    let mut records = records(context, name)?.into_iter();
    records
        .find(|record| record.name == *name || record.id.as_str().starts_with(name))
        .ok_or_else(|| ApplyError::OwnerMissing {
            name: name.to_owned(),
        })
}

fn first_replica(
    context: &Context,
    record: &ContainerRecord,
    service: &ServiceName,
) -> Result<ContainerRecord, ApplyError> {
    let is_replica = |other: &ContainerRecord| {
        other.project == record.project
            && other.service == *service
            && matches!(other.role, ContainerRole::Replica(_))
    };
    let replicas = records(context, &record.name)?;
    replicas
        .into_iter()
        .filter(is_replica)
        .min_by_key(|replica| replica.role.clone())
        .ok_or_else(|| ApplyError::OwnerMissing {
            name: service.to_string(),
        })
}

fn process_namespace(
    context: &Context,
    owner: ContainerRecord,
    namespace: &str,
) -> Result<PathBuf, ApplyError> {
    let (state, _) = container::read_state(&context.root, &owner.id).map_err(|source| {
        ApplyError::Container {
            name: owner.name.clone(),
            source,
        }
    })?;
    let pid = state
        .pid()
        .ok_or(ApplyError::NotRunning { name: owner.name })?;
    Ok(PathBuf::from(format!("/proc/{pid}/ns/{namespace}")))
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
            NamespaceOwner::Named(name) => by_name(context, name),
        }
    };
    let process = |record, namespace| process_namespace(context, record, namespace);
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
    for (from, read_only) in &new.joins.mounts {
        let record = owner(from)?;
        places.mounts.push(TakenMounts {
            mounts: takeable(&record),
            from: record.id,
            read_only: *read_only,
        });
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
