//! Removing images, and sweeping what then belongs to nobody.

use std::{collections::HashSet, io, os::fd::AsFd, time::Duration};

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};

use super::{
    ImageError, ImageStore, Workspace,
    index::{ImageEntry, Index},
    ingest::TEMPORARY,
    resolve,
};
use crate::{
    image::{config, reference::Reference},
    model::{Digest, ImageId, PruneFilter},
    store::Meter,
};

/// Age at which a blob without its name has no writer any more.
const UNFINISHED_AGE: Duration = Duration::from_secs(3600);

/// What removing images must leave.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kept<'a> {
    /// Images of containers.
    pub images: &'a [ImageId],
    /// Layers that the build cache refers to.
    pub layers: &'a [Digest],
}

impl ImageStore {
    /// Removes a name, or an image with all its names; returns the names removed and the ids of images that went.
    ///
    /// An image whose last name goes is removed with the layers that nothing else needs, unless a container uses it:
    /// that is refused, and with `force` the image stays without a name. An id with several names needs `force`.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        kept: &Kept<'_>,
    ) -> Result<Vec<String>, ImageError> {
        let lock = self.lock_index()?;
        let mut index = self.index()?;
        let id = resolve(&index, name)?.ok_or_else(|| ImageError::NotFound(name.to_owned()))?;
        let all = index.references_of(&id);
        let full = name
            .parse::<Reference>()
            .map(|reference| reference.to_string())
            .ok();
        let gone = match full.filter(|full| all.contains(full)) {
            Some(full) => vec![full],
            None if all.len() > 1 && !force => {
                return Err(ImageError::ManyNames {
                    id: name.to_owned(),
                    references: all,
                });
            }
            None => all.clone(),
        };
        let last = gone.len() == all.len();
        let used = kept.images.contains(&id);
        let stays_unnamed = force && !gone.is_empty();
        if last && used && !stays_unnamed {
            return Err(ImageError::InUse(name.to_owned()));
        }
        let mut others = Vec::new();
        for reference in &gone {
            let entry = index.references.remove(reference);
            others.extend(entry.into_iter().flat_map(|entry| entry.platforms));
        }
        let mut removed = gone;
        // What was built along for other platforms goes with the last name that stands for it.
        for other in others {
            let is_free = !index.is_named(&other) && !kept.images.contains(&other);
            if is_free && index.images.contains_key(&other) {
                forget(&mut index, &other);
                removed.push(other.to_string());
            }
        }
        if last && !used {
            forget(&mut index, &id);
            removed.push(id.to_string());
        }
        index.write(&self.index_path())?;
        let trash = self.sweep(&mut index, kept.layers)?;
        drop(lock);
        drop(trash);
        Ok(removed)
    }

    /// Removes images that no container uses: those without a name, or all that the filter takes; and everything in the
    /// store that no image needs. Returns what went, and the bytes of the disk that were given back.
    ///
    /// Layers of unfinished builds are among it: the builder holds a lease while it needs them, and looks again later. Layers of the build cache stay:
    /// it has a prune of its own.
    pub fn prune(
        &self,
        filter: &PruneFilter,
        kept: &Kept<'_>,
    ) -> Result<(Vec<String>, u64), ImageError> {
        let lock = self.lock_index()?;
        let mut index = self.index()?;
        let unwanted: Vec<ImageId> = index
            .images
            .iter()
            .filter(|(id, _)| !kept.images.contains(id))
            .filter(|(id, _)| filter.all || !index.is_named(id))
            .filter(|(id, entry)| self.is_taken(id, entry, filter))
            .map(|(id, _)| id.clone())
            .collect();
        let mut removed = Vec::new();
        for id in unwanted {
            for reference in index.references_of(&id) {
                index.references.remove(&reference);
                removed.push(reference);
            }
            forget(&mut index, &id);
            removed.push(id.to_string());
        }
        self.clear_unfinished()?;
        for entry in list(&self.layers())? {
            index.orphans.insert(entry);
        }
        let hex = |name: String| format!("sha256:{name}").parse::<Digest>().ok();
        let stored = list(&self.blobs())?;
        index
            .orphan_blobs
            .extend(stored.into_iter().filter_map(hex));
        index.write(&self.index_path())?;
        let trash = self.sweep(&mut index, kept.layers)?;
        drop(lock);
        let freed = match &trash {
            Some(trash) => {
                let mut meter = Meter::default();
                list(trash.path())?
                    .iter()
                    .map(|name| meter.add(&trash.path().join(name)))
                    .sum()
            }
            None => Ok(0),
        };
        drop(trash);
        Ok((
            removed,
            freed.map_err(ImageError::io("measure what was removed"))?,
        ))
    }

    /// Removes files that a killed process had not given their names yet. The caller has the index's lock, under which
    /// alone the index is written; blobs have temporary names only on file systems without `O_TMPFILE`.
    fn clear_unfinished(&self) -> Result<(), ImageError> {
        let state = self.root.state();
        for directory in [state.to_owned(), self.blobs()] {
            for name in list(&directory)? {
                let path = directory.join(&name);
                let is_old = || {
                    let modified = fs::metadata(&path).ok()?.modified().ok()?;
                    Some(modified.elapsed().ok()? > UNFINISHED_AGE)
                };
                let is_ours = directory == state || is_old().unwrap_or(false);
                if name.starts_with(TEMPORARY) && is_ours {
                    match fs::remove_file(&path) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            return Err(ImageError::io("remove litter")(error));
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn is_taken(&self, id: &ImageId, entry: &ImageEntry, filter: &PruneFilter) -> bool {
        if !filter.takes_time(entry.created) {
            return false;
        }
        if filter.labels.is_empty() {
            return true;
        }
        // An image whose config is gone has no labels.
        let bytes = self.read_blob(id).ok().flatten().unwrap_or_default();
        let labels = config::parse(&bytes).map(|parsed| parsed.config.labels);
        filter.takes_labels(&labels.unwrap_or_default())
    }

    /// Puts orphaned layers and blobs aside if nobody uses the store right now; otherwise the next sweep does it.
    ///
    /// Renaming is quick and frees the names; the slow unlinking comes when the returned workspace is dropped.
    pub(super) fn sweep(
        &self,
        index: &mut Index,
        cached: &[Digest],
    ) -> Result<Option<Workspace>, ImageError> {
        if index.orphans.is_empty() && index.orphan_blobs.is_empty() {
            return Ok(None);
        }
        let lease = self.open_lease()?;
        match flock(lease.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(ImageError::io("lock the image store")(errno.into())),
        }
        let trash = Workspace::create(&self.root.tmp(), None)?;
        let of_images = index.images.values().flat_map(|image| &image.layers);
        let of_cache = cached.iter().map(|layer| layer.hex().to_owned());
        let layers: HashSet<String> = of_images.cloned().chain(of_cache).collect();
        for name in index.orphans.iter().filter(|name| !layers.contains(*name)) {
            // Its blob goes with it, unless an image or another layer needs that.
            index.orphan_blobs.extend(self.blob_of(name));
            aside(&self.layers().join(name), &trash.path().join(name))?;
        }
        let of_images = index.images.values().flat_map(|image| &image.blobs);
        let of_layers = layers.iter().filter_map(|name| self.blob_of(name));
        let blobs: HashSet<Digest> = of_images.cloned().chain(of_layers).collect();
        for blob in &index.orphan_blobs {
            if !blobs.contains(blob) {
                let to = trash.path().join(format!("blob-{}", blob.hex()));
                aside(&self.blob(blob), &to)?;
            }
        }
        index.orphans.clear();
        index.orphan_blobs.clear();
        index.write(&self.index_path())?;
        Ok(Some(trash))
    }

    /// Returns the blob that a layer's stream is decoded from. One whose record cannot be read has none.
    fn blob_of(&self, layer: &str) -> Option<Digest> {
        self.meta(layer).ok().flatten()?.blob
    }
}

/// Takes an image out of the index; its layers and blobs become orphans.
fn forget(index: &mut Index, id: &ImageId) {
    if let Some(entry) = index.images.remove(id) {
        index.orphans.extend(entry.layers);
        index.orphan_blobs.extend(entry.blobs);
    }
}

pub(super) fn aside(from: &std::path::Path, to: &std::path::Path) -> Result<(), ImageError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(ImageError::io("remove from the image store")),
    }
}

pub(super) fn list(directory: &std::path::Path) -> Result<Vec<String>, ImageError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(ImageError::io("list the image store"))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(ImageError::io("list the image store"))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}
