//! Volumes on disk: made, filled from images, listed and removed.
//!
//! ```text
//! <root>/volumes/<name>/
//!   volume.json     the record; a directory without one is no volume yet
//!   _data           the data; a symlink to the host directory of a bound volume (`driver_opts: {type: none, o: bind}`)
//!   .lock           held while the volume is made, filled or removed
//!   .fill           content of an image on its way into an empty volume
//!   .fill-ready     `.fill` is complete: what was moved already stays, the rest follows (names the directory inside the volume)
//! ```
//!
//! Blocking; callers run it where blocking is allowed. It never decides which volumes there should be.

mod bind;
mod copy_up;
mod error;
mod local;
mod merged;
mod tree;

use std::path::PathBuf;

use self::{copy_up::Filled, local::Volumes};
use crate::{model::VolumeRecord, store::Root};

pub use bind::bind_source;
pub use error::VolumeError;

/// Makes a volume. One that exists keeps its data and its record.
pub fn ensure(root: &Root, record: &VolumeRecord) -> Result<(), VolumeError> {
    Volumes::open(root).ensure(record)
}

/// Removes a volume and its data; of a bound one only what is ours. One that does not exist counts as removed.
pub fn remove(root: &Root, name: &str) -> Result<(), VolumeError> {
    Volumes::open(root).remove(name)
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
