//! What the build cache takes of the disk, and removing what is not worth it.
//!
//! A record of a step costs nothing; its layer does, unless an image has the same one. Records go first and layers after them, so a crash in
//! between leaves layers that nobody names: the store's next sweep takes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use fs_err as fs;

use super::{
    cache::{Cache, StepRecord, mount_lock},
    context,
};
use crate::{
    image::{ImageError, ImageStore},
    model::{BuildCacheEntry, BuildCacheKind, BuildCachePrune, Digest, Timestamp},
    store::{Root, StoreError, read_json, remove_tree, try_lock},
};

/// Digits of an id: enough to be unique, short enough for a column.
const ID_DIGITS: usize = 25;
/// Time between two automatic looks at the size of the cache.
const LOOK_INTERVAL: Duration = Duration::from_secs(600);
/// Part of the file system that the cache may take when nobody prunes: a tenth, as Docker's default.
const DISK_PART: u64 = 10;
/// What it may always take.
const KEEP_BYTES_MIN: u64 = 2 << 30;

/// The build cache could not be read or pruned.
#[derive(Debug, thiserror::Error)]
pub enum HousekeepingError {
    /// The image store, which holds the layers.
    #[error("use the image store")]
    Image(#[from] ImageError),
    /// A record.
    #[error("read the build cache")]
    Store(#[from] StoreError),
    /// A directory.
    #[error("read the build cache")]
    Io(#[source] io::Error),
}

/// An entry with where it is.
struct Found {
    entry: BuildCacheEntry,
    path: PathBuf,
    layer: Option<Digest>,
}

/// Lists what the build cache holds, the least recently used first.
pub fn usage(store: &ImageStore, root: &Root) -> Result<Vec<BuildCacheEntry>, HousekeepingError> {
    Ok(find_all(store, root)?
        .into_iter()
        .map(|found| found.entry)
        .collect())
}

/// Returns the size of the build cache and how much of it removing everything would give back, in bytes.
pub fn sizes(entries: &[BuildCacheEntry]) -> (u64, u64) {
    let size = entries.iter().map(|entry| entry.size_bytes).sum();
    let reclaimable = entries.iter().map(BuildCacheEntry::reclaimable_bytes);
    (size, reclaimable.sum())
}

/// Removes what the options say, and returns it. A cache mount that a running step uses stays.
pub fn prune(
    store: &ImageStore,
    root: &Root,
    options: &BuildCachePrune,
) -> Result<Vec<BuildCacheEntry>, HousekeepingError> {
    let all = find_all(store, root)?;
    let mut left: u64 = all.iter().map(|found| found.entry.size_bytes).sum();
    // How many entries name each layer: its bytes come back with the last of them.
    let mut names: BTreeMap<Digest, (usize, u64)> = BTreeMap::new();
    for found in &all {
        if let Some(layer) = &found.layer {
            let (count, bytes) = names.entry(layer.clone()).or_default();
            *count += 1;
            *bytes = (*bytes).max(found.entry.size_bytes);
        }
    }
    let now = crate::store::now().0;
    let mut removed = Vec::new();
    let mut released = Vec::new();
    for mut found in all {
        if options.keep_bytes.is_some_and(|keep| left <= keep) {
            break;
        }
        if !is_wanted(&found.entry, options, now) || !remove(&found)? {
            continue;
        }
        let freed = match &found.layer {
            None => found.entry.size_bytes,
            Some(layer) => {
                let (count, bytes) = names.entry(layer.clone()).or_default();
                *count = count.saturating_sub(1);
                if *count == 0 {
                    released.push(layer.clone());
                    *bytes
                } else {
                    0
                }
            }
        };
        left = left.saturating_sub(freed);
        found.entry.size_bytes = freed;
        removed.push(found.entry);
    }
    // Layers of earlier, interrupted prunes go too.
    store.release_layers(&released, &super::cached_layers(root)?)?;
    Ok(removed)
}

/// Keeps the cache within a tenth of its disk; looks at it only now and then.
pub fn prune_sometimes(store: &ImageStore, root: &Root) -> Result<(), HousekeepingError> {
    let mark = root.state().join("build").join("pruned");
    let age = fs::metadata(&mark)
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok());
    if age.is_some_and(|age| age < LOOK_INTERVAL) {
        return Ok(());
    }
    context::replace(&mark, b"").map_err(HousekeepingError::Io)?;
    let disk =
        rustix::fs::statvfs(root.state()).map_err(|errno| HousekeepingError::Io(errno.into()))?;
    let keep = (disk.f_blocks * disk.f_frsize / DISK_PART).max(KEEP_BYTES_MIN);
    let options = BuildCachePrune {
        keep_bytes: Some(keep),
        ..BuildCachePrune::default()
    };
    let removed = prune(store, root, &options)?;
    if !removed.is_empty() {
        tracing::info!(entries = removed.len(), "the build cache was too large");
    }
    Ok(())
}

fn is_wanted(entry: &BuildCacheEntry, options: &BuildCachePrune, now: u64) -> bool {
    let costs = !entry.shared && entry.kind != BuildCacheKind::Context;
    (options.all || costs)
        && options
            .unused_ms
            .is_none_or(|unused| now.saturating_sub(entry.used.0) >= unused)
        && (options.kinds.is_empty() || options.kinds.contains(&entry.kind))
        && (options.ids.is_empty() || options.ids.iter().any(|id| entry.id.starts_with(id)))
}

/// Removes an entry; `false` when it is in use.
fn remove(found: &Found) -> Result<bool, HousekeepingError> {
    if found.entry.kind != BuildCacheKind::Mount {
        remove_tree(&found.path)?;
        return Ok(true);
    }
    // Steps that use it share this lock.
    let directory = found.path.parent().unwrap_or_else(|| Path::new("/"));
    let name = found.path.file_name().unwrap_or_default().to_string_lossy();
    let Some(lock) = try_lock(&mount_lock(directory, &name))? else {
        return Ok(false);
    };
    let aside = found.path.with_extension("removed");
    remove_tree(&aside)?;
    fs::rename(&found.path, &aside).map_err(HousekeepingError::Io)?;
    remove_tree(&aside)?;
    drop(lock);
    Ok(true)
}

fn find_all(store: &ImageStore, root: &Root) -> Result<Vec<Found>, HousekeepingError> {
    let cache = Cache::open(root);
    let images = store.image_layers()?;
    let mut all = Vec::new();
    let mut counted = BTreeSet::new();
    for path in list(cache.steps())? {
        // One that cannot be read is worth nothing.
        let record = read_json::<StepRecord>(&path).ok().flatten();
        let layer = record.as_ref().and_then(|record| record.layer.clone());
        let stored = layer.as_ref().and_then(|layer| store.layer(layer));
        let is_first = layer
            .as_ref()
            .is_some_and(|layer| counted.insert(layer.clone()));
        let size = match stored {
            Some(stored) if is_first => stored.size_bytes,
            _ => 0,
        };
        let shared = layer.as_ref().is_some_and(|layer| images.contains(layer));
        let created = record.as_ref().map(|record| record.created);
        let description = record.map_or_else(String::new, |record| record.step);
        let mut found = entry(path, BuildCacheKind::Step, description, size)?;
        found.layer = layer;
        found.entry.shared = shared;
        found.entry.created = created.unwrap_or(found.entry.created);
        all.push(found);
    }
    for path in list(cache.mounts())? {
        let id = fs::read_to_string(path.join("id")).unwrap_or_default();
        let size = tree_bytes(&path).map_err(HousekeepingError::Io)?;
        all.push(entry(path, BuildCacheKind::Mount, id, size)?);
    }
    for path in list(cache.contexts())? {
        let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let context = context::directory_of(&path).unwrap_or_default();
        all.push(entry(path, BuildCacheKind::Context, context, size)?);
    }
    all.sort_by(|a, b| (a.entry.used, &a.entry.id).cmp(&(b.entry.used, &b.entry.id)));
    Ok(all)
}

fn entry(
    path: PathBuf,
    kind: BuildCacheKind,
    description: String,
    size_bytes: u64,
) -> Result<Found, HousekeepingError> {
    let used = match fs::metadata(&path) {
        Ok(metadata) => milliseconds(metadata.mtime(), metadata.mtime_nsec()),
        // It went between the listing and now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Timestamp(0),
        Err(error) => return Err(HousekeepingError::Io(error)),
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let id = stem.chars().take(ID_DIGITS).collect();
    Ok(Found {
        entry: BuildCacheEntry {
            id,
            kind,
            description,
            size_bytes,
            shared: false,
            created: used,
            used,
        },
        path,
        layer: None,
    })
}

/// Lists a directory of the cache, without files that are being written.
fn list(directory: &Path) -> Result<Vec<PathBuf>, HousekeepingError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        outcome => outcome.map_err(HousekeepingError::Io)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(HousekeepingError::Io)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && !name.ends_with(".removed") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Sums the bytes that the files of a tree take on the disk; what goes away meanwhile does not count.
fn tree_bytes(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            outcome => outcome?,
        };
        bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            for entry in fs::read_dir(&path)? {
                pending.push(entry?.path());
            }
        }
    }
    Ok(bytes)
}

fn milliseconds(seconds: i64, nanos: i64) -> Timestamp {
    let milliseconds = seconds.saturating_mul(1000) + nanos / 1_000_000;
    Timestamp(u64::try_from(milliseconds).unwrap_or(0))
}
