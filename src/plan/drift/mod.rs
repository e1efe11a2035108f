//! Tells whether a container is still what is wanted, and what differs.
//!
//! A container is compared with its own record, field by field, not by a hash: so the user can be told what changed, and a new
//! version of stack, which would compute another hash, recreates nothing.

mod change;
mod compare;

use compose_spec::model::{MountOwner, Namespace, NetworkMode, Service};
use runtime::spec;

use super::{ContainerRef, Joins, NamespaceOwner};
use crate::model::{ContainerRecord, ImageId, ObservedContainer};

pub use change::Change;
pub(super) use compare::{comparable, differences};

/// Whether a container can stay as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// It is as wanted, or differs only in what is not part of the container.
    Keep,
    /// It must be made anew; these are the reasons, at least one.
    Recreate(Vec<Change>),
}

/// What a container is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The service.
    pub service: &'a Service,
    /// The image that its reference means now; `None` = the store has none, so that the container's own counts.
    pub image: Option<&'a ImageId>,
    /// The reference of the image.
    pub image_reference: &'a str,
    /// The images that it mounts, by reference, as far as the store has them.
    pub mounted: &'a [(&'a str, &'a ImageId)],
    /// Digest of the content of its secrets and configs; `None` = not known.
    pub files_digest: Option<&'a str>,
    /// Full names of its networks, eth0 first.
    pub networks: &'a [String],
    /// Full names of its named volumes in the order of its mounts, each once.
    pub volumes: &'a [String],
}

/// Compares a container with what is wanted.
pub fn drift(record: &ContainerRecord, wanted: &Wanted<'_>) -> Drift {
    let mut changes = differences(&record.wanted, wanted.service);
    if record.image_reference != wanted.image_reference {
        changes.push(Change::between(
            "image",
            &record.image_reference,
            wanted.image_reference,
        ));
    } else if let Some(image) = wanted.image
        && *image != record.image
    {
        let text = format!(
            "image changed (sha256:{} -> sha256:{})",
            record.image.short(),
            image.short()
        );
        changes.push(Change::new("image", text));
    }
    // A record of before they were kept says nothing of them.
    let is_known = !record.mounted_images.is_empty();
    for (reference, image) in wanted.mounted.iter().filter(|_| is_known) {
        if !record.mounted_images.contains(image) && !mounts_change(&changes) {
            let text = format!(
                "mounted image {reference} changed (sha256:{})",
                image.short()
            );
            changes.push(Change::new("image", text));
        }
    }
    if let Some(digest) = wanted.files_digest
        && digest != record.files_digest
    {
        let text = "content of secrets or configs changed".to_owned();
        changes.push(Change::new("files", text));
    }
    let networks: Vec<&str> = record
        .endpoints
        .iter()
        .map(|e| e.network.as_str())
        .collect();
    // What the service says of it is told already.
    let told =
        |changes: &[Change], field| changes.iter().any(|change| change.path.starts_with(field));
    if networks != wanted.networks && !told(&changes, "network") {
        changes.push(Change::between(
            "networks",
            &networks.join(", "),
            &wanted.networks.join(", "),
        ));
    }
    if record.volumes != wanted.volumes && !told(&changes, "mounts") {
        changes.push(Change::between(
            "volumes",
            &record.volumes.join(", "),
            &wanted.volumes.join(", "),
        ));
    }
    if changes.is_empty() {
        Drift::Keep
    } else {
        Drift::Recreate(changes)
    }
}

/// Tells whether the mounts themselves differ, which says it all.
fn mounts_change(changes: &[Change]) -> bool {
    changes
        .iter()
        .any(|change| change.path.starts_with("mounts"))
}

/// Tells which namespace of a container is no longer that of its owner: the owner was made anew or runs in another process.
pub(super) fn stale_join(
    record: &ContainerRecord,
    joins: &Joins,
    owners: &[ObservedContainer],
) -> Option<Change> {
    let namespaces = &record.spec.namespaces;
    let find = |owner: &Option<NamespaceOwner>| match owner {
        Some(NamespaceOwner::Container(ContainerRef::Existing(id))) => {
            owners.iter().find(|container| container.record.id == *id)
        }
        _ => None,
    };
    if let (Some(owner), spec::Namespace::Join(path)) = (find(&joins.network), &namespaces.net) {
        // The pin of a network namespace is named after its container.
        if path.file_name().and_then(|name| name.to_str()) != Some(owner.record.id.as_str()) {
            return Some(stale("network_mode", owner));
        }
    }
    for (shared, (owner, _)) in record.shared_mounts.iter().zip(&joins.mounts) {
        if let NamespaceOwner::Container(ContainerRef::Existing(id)) = owner
            && *id != shared.from
        {
            let owner = owners.iter().find(|container| container.record.id == *id);
            return owner.map(|owner| stale("volumes_from", owner));
        }
    }
    for (field, owner, namespace) in [
        ("pid", &joins.pid, &namespaces.pid),
        ("ipc", &joins.ipc, &namespaces.ipc),
    ] {
        let (Some(owner), spec::Namespace::Join(path)) = (find(owner), namespace) else {
            continue;
        };
        let (spec::ContainerState::Running { pid, .. } | spec::ContainerState::Paused { pid, .. }) =
            owner.state
        else {
            continue;
        };
        let expected = format!("/proc/{pid}/ns/{field}");
        if path.as_os_str() != expected.as_str() {
            return Some(stale(field, owner));
        }
    }
    None
}

fn stale(field: &str, owner: &ObservedContainer) -> Change {
    let text = format!("{field}: container {} was replaced", owner.record.name);
    Change::new(field, text)
}

/// Returns the services whose mounts a service takes over.
pub(super) fn mount_owners(
    service: &Service,
) -> impl Iterator<Item = &compose_spec::model::ServiceName> {
    service
        .volumes_from
        .iter()
        .filter_map(|entry| match &entry.from {
            MountOwner::Service(owner) => Some(owner),
            MountOwner::Container(_) => None,
        })
}

/// Returns the services whose namespaces a service joins, with the field that says so.
pub(super) fn namespace_owners(
    service: &Service,
) -> impl Iterator<Item = (&'static str, &compose_spec::model::ServiceName)> {
    let network = match &service.network {
        NetworkMode::Service(owner) => Some(("network_mode", owner)),
        _ => None,
    };
    let others = [("pid", &service.pid), ("ipc", &service.ipc)];
    let others = others
        .into_iter()
        .filter_map(|(field, namespace)| match namespace {
            Namespace::Service(owner) => Some((field, owner)),
            _ => None,
        });
    network.into_iter().chain(others)
}

#[cfg(test)]
mod tests;
