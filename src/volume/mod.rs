//! Volumes on disk: made, filled from images, listed and removed.
//!
//! ```text
//! <root>/volumes/<name>/
//!   volume.json     the record; a directory without one is no volume yet
//!   _data           the data; a symlink to the host directory of a bound volume (`driver_opts: {type: none, o: bind}`)
//!   .lock           held while the volume is made, filled or removed
//!   .fill           content of an image on its way into an empty volume
//!   .fill-ready     `.fill` is complete: what was moved already stays, the rest follows (names the directory inside the volume)
//! <run>/volume-uses.lock    shared while a container is made with its volumes, exclusive while somebody looks who uses one
//! ```
//!
//! Blocking; callers run it where blocking is allowed. It never decides which volumes there should be.

mod bind;
mod change;
mod copy_up;
mod error;
mod local;
mod merged;
mod tree;

use std::path::PathBuf;

use self::{copy_up::Filled, local::Volumes};
use crate::{
    model::VolumeRecord,
    store::{self, Root},
};

pub use bind::bind_source;
pub use error::VolumeError;

/// A state of uses that does not change in the other way while it is held.
#[derive(Debug)]
pub struct Uses {
    _lock: store::Lock,
}

/// Keeps every volume in place until the container that is being made with it is on record.
///
/// Held from before its volumes are made until its record is written; never together with [`freeze_uses`].
pub fn hold_uses(root: &Root) -> Result<Uses, VolumeError> {
    let lock = store::lock_shared(&uses_path(root));
    lock.map(|lock| Uses { _lock: lock })
        .map_err(VolumeError::Uses)
}

/// Waits until no container is being made, and keeps it so: who uses a volume is then on record.
pub fn freeze_uses(root: &Root) -> Result<Uses, VolumeError> {
    let lock = store::lock(&uses_path(root));
    lock.map(|lock| Uses { _lock: lock })
        .map_err(VolumeError::Uses)
}

fn uses_path(root: &Root) -> PathBuf {
    root.run().join("volume-uses.lock")
}

/// Makes a volume. One that exists keeps its data and its record.
pub fn ensure(root: &Root, record: &VolumeRecord) -> Result<(), VolumeError> {
    Volumes::open(root).ensure(record)
}

/// Removes a volume and its data; of a bound one only what is ours. One that does not exist counts as removed.
pub fn remove(root: &Root, name: &str) -> Result<(), VolumeError> {
    Volumes::open(root).remove(name)
}

/// Allows the removal of a volume, or forbids it.
pub fn set_protected(root: &Root, name: &str, protected: bool) -> Result<(), VolumeError> {
    Volumes::open(root).set_protected(name, protected)
}

/// Gives a volume that nobody uses another name.
pub fn rename(root: &Root, from: &str, to: &str) -> Result<(), VolumeError> {
    Volumes::open(root).rename(from, to)
}

/// Finds a volume.
pub fn find(root: &Root, name: &str) -> Result<Option<VolumeRecord>, VolumeError> {
    Volumes::open(root).find(name)
}

/// Returns all volumes by name.
pub fn list(root: &Root) -> Result<Vec<VolumeRecord>, VolumeError> {
    Volumes::open(root).list()
}

/// Returns the directory that holds a volume's data.
pub fn data_dir(root: &Root, name: &str) -> PathBuf {
    Volumes::open(root).data_dir(name)
}

/// Fills an empty volume from `source` of an image. `layers`: the image's directories, the topmost first. A volume with data, a bound
/// one, and a path that the image does not have are left as they are.
pub fn copy_up(
    root: &Root,
    name: &str,
    layers: &[PathBuf],
    source: &str,
) -> Result<(), VolumeError> {
    copy_up_below(root, (name, None), layers, source)
}

/// As [`copy_up`], for a directory inside the volume, which is made when missing.
pub fn copy_up_below(
    root: &Root,
    place: (&str, Option<&str>),
    layers: &[PathBuf],
    source: &str,
) -> Result<(), VolumeError> {
    let filled: Filled = Volumes::open(root).copy_up(place, (layers, source))?;
    tracing::debug!(volume = place.0, ?filled, "filled from its image");
    Ok(())
}

/// Makes a directory inside a volume, for mounts with a subpath that are not filled from the image.
pub fn ensure_subpath(root: &Root, name: &str, subpath: &str) -> Result<(), VolumeError> {
    Volumes::open(root).ensure_subpath(name, subpath)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_looks_for_users_while_a_container_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path());
        let (first, second) = (hold_uses(&root).unwrap(), hold_uses(&root).unwrap());
        drop(first);
        assert!(store::try_lock(&uses_path(&root)).unwrap().is_none());
        drop(second);
        let frozen = freeze_uses(&root).unwrap();
        assert!(store::is_locked(&uses_path(&root)).unwrap());
        drop(frozen);
        assert!(!store::is_locked(&uses_path(&root)).unwrap());
    }
}
