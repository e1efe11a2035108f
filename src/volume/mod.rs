//! Volumes on disk: made, filled from images, listed and removed.
//!
//! ```text
//! <root>/volumes/<name>/
//!   volume.json     the record; a directory without one is no volume yet
//!   _data           the data; a symlink to the host directory of a bound volume (`driver_opts: {type: none, o: bind}`); of one
//!                   with mount options (`o: "bind,ro"`) or another type the mount point, mounted while a container has it
//!   .lock           held while the volume is made, filled or removed
//!   .fill           content of an image on its way into an empty volume
//!   .fill-ready     `.fill` is complete: what was moved already stays, the rest follows (names the directory inside the volume)
//! <run>/volume-uses.lock    shared while a container is made with its volumes, exclusive while somebody looks who uses one
//! ```
//!
//! Blocking; callers run it where blocking is allowed. It never decides which volumes there should be.

mod archive;
mod bind;
mod change;
mod copy_up;
mod error;
mod local;
mod merged;
mod mount;
mod place;
mod tree;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use self::{copy_up::Filled, local::Volumes};
use crate::{
    model::VolumeRecord,
    store::{self, Root},
};

pub use archive::{Archived, archive};
pub use bind::bind_source;
pub use error::VolumeError;

/// How names of unfinished directories in `tmp/` begin.
pub const UNFINISHED_PREFIX: &str = "volume-";

/// A state of uses that does not change in the other way while it is held.
#[derive(Debug)]
pub struct Uses {
    _lock: store::Lock,
}

/// A volume that nobody fills, replaces or removes while this is held.
#[derive(Debug)]
pub struct Held {
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

/// Keeps a volume from being filled, replaced or removed while its data is read. Waits for whoever does that now.
pub fn hold(root: &Root, name: &str) -> Result<Held, VolumeError> {
    Volumes::open(root).hold(name)
}

/// Makes a directory for what is not finished, on the file system of the volumes. It goes when it is dropped, and when a supervisor
/// finds it after a crash.
pub fn unfinished(root: &Root) -> Result<tempfile::TempDir, VolumeError> {
    let made = Volumes::open(root).unfinished();
    made.map_err(VolumeError::Unfinished)
}

/// Copies the data of a volume, which the caller holds, into a directory that does not exist yet.
pub fn copy_data(root: &Root, name: &str, target: &Path) -> Result<(), VolumeError> {
    Volumes::open(root).copy_data(name, target)
}

/// Makes a volume of a tree on the same file system, which leaves its place. Under [`freeze_uses`].
pub fn adopt(root: &Root, record: &VolumeRecord, tree: &Path) -> Result<(), VolumeError> {
    Volumes::open(root).adopt(record, tree)
}

/// Exchanges the data of a volume with a tree on the same file system, at once. Under [`freeze_uses`], while nobody has it mounted.
pub fn exchange(root: &Root, name: &str, tree: &Path) -> Result<(), VolumeError> {
    Volumes::open(root).exchange(name, tree)
}

/// Mounts the file system of a volume whose driver options name one; one that is mounted, or has none, is left as it is. `server`: the
/// address of its server, where it has one. Under [`hold_uses`], until its user is on record.
pub fn mount(root: &Root, name: &str, server: Option<IpAddr>) -> Result<(), VolumeError> {
    Volumes::open(root).mount(name, server)
}

/// Returns the names of the volumes whose file systems are mounted, without touching those: a server may not answer.
pub fn mounted(root: &Root) -> Result<Vec<String>, VolumeError> {
    Volumes::open(root).mounted()
}

/// Unmounts the file system of a volume, unless somebody reads it now ([`hold`]). Under [`freeze_uses`], while nobody uses it.
pub fn unmount(root: &Root, name: &str) -> Result<(), VolumeError> {
    Volumes::open(root).unmount(name)
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

/// Fills an empty volume from `source` of an image, one that is bound to a directory of the host as well: Docker does. `layers`: the
/// image's directories, the topmost first. A volume with data or without a right to write is left as it is, and so it is when the image
/// does not have the path.
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
