//! `volumes_from`: the mounts that a container has because another one has them.

use runtime::spec::{Mount, MountKind};

use super::{
    LowerInput,
    mounts::{Mounts, clean},
};
use crate::model::{ContainerRecord, SharedMounts};

impl Mounts {
    /// Takes over the mounts of other containers, as Docker does: what the service mounts itself on the same place hides them, and so does a later
    /// entry an earlier one.
    pub(super) fn add_taken(&mut self, input: &LowerInput<'_>) {
        for taken in input.places.joined.mounts.iter().rev() {
            let mut shared = SharedMounts {
                from: taken.from.clone(),
                targets: Vec::new(),
                volumes: Vec::new(),
            };
            for mount in &taken.mounts {
                if self.has(&mount.target) {
                    continue;
                }
                shared.targets.push(mount.target.clone());
                shared.volumes.extend(volume_of(input, mount));
                self.all.push(Mount {
                    read_only: mount.read_only || taken.read_only,
                    ..mount.clone()
                });
            }
            self.shared.insert(0, shared);
        }
    }
}

/// The volume that a mount is of, by where that lies.
fn volume_of(input: &LowerInput<'_>, mount: &Mount) -> Option<String> {
    let MountKind::Bind { source, .. } = &mount.kind else {
        return None;
    };
    let below = source.strip_prefix(&input.places.volumes).ok()?;
    let name = below.components().next()?;
    Some(name.as_os_str().to_str()?.to_owned())
}

/// Returns the mounts of a container that `volumes_from` gives to others: binds, volumes and images, those that it took over itself too. Not the files
/// that every container has of its own, its secrets and configs, nor a tmpfs, which is nobody else's.
pub fn takeable(record: &ContainerRecord) -> Vec<Mount> {
    let wanted = record.wanted.mounts.iter();
    let targets: Vec<String> = wanted
        .map(|mount| clean(&mount.target))
        .chain(record.anonymous_volumes.keys().cloned())
        .chain(
            record
                .shared_mounts
                .iter()
                .flat_map(|mounts| mounts.targets.iter().cloned()),
        )
        .collect();
    let mounts = record.spec.mounts.iter();
    mounts
        .filter(|mount| matches!(mount.kind, MountKind::Bind { .. } | MountKind::Image { .. }))
        .filter(|mount| targets.contains(&mount.target))
        .cloned()
        .collect()
}
