//! The index of a context directory: which content its files have, told by their stat data, so that an unchanged context is recognised
//! without reading it.
//!
//! As git's index does: a file whose device, inode, size, times, mode and owner are those of the record has the content of the record. A file
//! that was changed just before it was read could change again without another time (the "racy" case), so nothing is remembered of it until
//! it is older than the clock's tick. Builders may use an index at the same time: it is read once and replaced as a whole, and every entry
//! proves itself, so a lost update costs only reading.
//!
//! Clocks of network file systems are believed: a server whose clock is behind by more than [`TICK_COARSE`] can hide a change that is made
//! within the same tick as the read.

mod record;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fs_err as fs;
use sha2::{Digest as _, Sha256};

pub(crate) use record::Stamp;
use record::{Owner, Record, Stored, compare, write};

use crate::model::Digest;

/// Entries of one index; what comes after is read each time.
const ENTRIES_MAX: usize = 2_000_000;
/// Saves that a file survives without being seen.
const AGE_MAX: u8 = 8;
/// Largest file that is read: [`ENTRIES_MAX`] entries of usual length.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// Time in which a file can change without a new time, where times have nanoseconds (1/100 s is the slowest tick).
const TICK: Duration = Duration::from_millis(20);
/// The same where times have whole seconds.
const TICK_COARSE: Duration = Duration::from_secs(2);
/// Names that an explanation gives.
const NAMES_MAX: usize = 3;
/// Entries that were not seen and are looked up to tell which file went away.
const GONE_LOOKUPS_MAX: usize = 4096;
/// Indexes that are kept, and for how long after their last use.
const INDEXES_MAX: usize = 256;
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

/// The index of one directory while a build uses it.
#[derive(Debug)]
pub(crate) struct ContextIndex {
    file: PathBuf,
    root: PathBuf,
    owner: Owner,
    stored: Stored,
    /// Entries of `stored` that were seen as they are.
    seen: Vec<AtomicBool>,
    fresh: Mutex<BTreeMap<Sorted, Fresh>>,
    /// Where the next look-up will probably be.
    near: AtomicUsize,
    now_ms: u64,
}

/// A path in the order of the walk.
#[derive(Debug, PartialEq, Eq)]
struct Sorted(Vec<u8>);

impl Ord for Sorted {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for Sorted {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A file that was read in this build.
#[derive(Debug)]
struct Fresh {
    record: Record,
    /// Its content is another than that of the record before, or there was none.
    changed: bool,
}

impl ContextIndex {
    /// Opens the index of a directory; a damaged, foreign or absent file is an empty index.
    pub(crate) fn open(directory: &Path, root: &Path) -> Self {
        let root = fs::canonicalize(root).unwrap_or_else(|_absent| root.to_owned());
        let (dev, ino) = fs::metadata(&root).map_or((0, 0), |found| (found.dev(), found.ino()));
        let path = root.as_os_str().as_bytes().to_vec();
        let name = Digest::from_sha256(&Sha256::digest(&path).into());
        let file = directory.join(format!("{}.index", name.hex()));
        let owner = Owner { dev, ino, path };
        let stored = read(&file)
            .and_then(|bytes| Stored::parse(bytes, &owner))
            .unwrap_or_default();
        let seen = (0..stored.len()).map(|_| AtomicBool::new(false)).collect();
        Self {
            file,
            root,
            owner,
            stored,
            seen,
            fresh: Mutex::default(),
            near: AtomicUsize::new(0),
            now_ms: now_ms(),
        }
    }

    /// Returns the digest of a file's content if its stat data is that of the record.
    pub(crate) fn find(&self, path: &[u8], stamp: &Stamp) -> Option<[u8; 32]> {
        let index = self.stored.find(path, self.near.load(Ordering::Relaxed))?;
        self.near.store(index + 1, Ordering::Relaxed);
        let record = self.stored.record(index);
        if !record.is_of(stamp) {
            return None;
        }
        self.seen[index].store(true, Ordering::Relaxed);
        Some(record.digest)
    }

    /// Remembers what was read. `began` is [`clock`] before the file was opened; the stat data must be that after reading.
    pub(crate) fn put(&self, path: &[u8], stamp: &Stamp, digest: [u8; 32], began: Duration) {
        let before = self
            .stored
            .find(path, self.near.load(Ordering::Relaxed))
            .map(|index| self.stored.record(index));
        let same = before.filter(|record| record.digest == digest);
        let since = same.as_ref().map_or(self.now_ms, |record| record.since_ms);
        let changed = same.is_none();
        let record = if is_racy(stamp, began) {
            Record::unproven(since, digest)
        } else {
            Record::new(stamp, since, digest)
        };
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.insert(Sorted(path.to_vec()), Fresh { record, changed });
    }

    /// Names the files below `sources` that changed since a time: at most a few, then how many more; `None` when nobody knows.
    pub(crate) fn changes(&self, sources: &[Vec<u8>], since_ms: u64) -> Option<String> {
        if self.stored.born_ms == 0 || self.stored.born_ms > since_ms {
            return None;
        }
        let is_source = |path: &[u8]| {
            sources.iter().any(|source| {
                source.is_empty()
                    || path == &source[..]
                    || (path.starts_with(source) && path[source.len()] == b'/')
            })
        };
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<String> = fresh
            .iter()
            .filter(|(path, fresh)| fresh.changed && is_source(&path.0))
            .map(|(path, _)| text(&path.0))
            .collect();
        let mut lookups = 0;
        for index in 0..self.stored.len() {
            let path = self.stored.path(index);
            if !is_source(path) {
                continue;
            }
            if self.seen[index].load(Ordering::Relaxed) {
                if self.stored.record(index).since_ms > since_ms {
                    names.push(text(path));
                }
            } else if lookups < GONE_LOOKUPS_MAX {
                lookups += 1;
                let whole = self.root.join(std::ffi::OsStr::from_bytes(path));
                if fs::symlink_metadata(whole).is_err() {
                    names.push(format!("{} (removed)", text(path)));
                }
            }
        }
        drop(fresh);
        names.retain(|name| !name.is_empty());
        // A directory changes with its entries; they say more.
        let whole = names.clone();
        names.retain(|name| {
            let below = format!("{name}/");
            !whole.iter().any(|other| other.starts_with(&below))
        });
        let more = names.len().saturating_sub(NAMES_MAX);
        names.truncate(NAMES_MAX);
        match (names.is_empty(), more) {
            (true, _) => None,
            (false, 0) => Some(names.join(", ")),
            (false, more) => Some(format!("{} and {more} more", names.join(", "))),
        }
    }

    /// Writes the index if anything was learnt. Not synchronised: a file that a crash tears is recognised and built anew.
    pub(crate) fn save(&self) -> io::Result<()> {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh.is_empty() {
            touch(&self.file);
            return Ok(());
        }
        let fresh = std::mem::take(&mut *fresh);
        let mut new = fresh
            .iter()
            .map(|(path, fresh)| (&path.0[..], fresh.record.clone()))
            .peekable();
        let mut entries: Vec<(&[u8], Record)> = Vec::with_capacity(self.stored.len());
        for index in 0..self.stored.len() {
            let path = self.stored.path(index);
            while let Some(next) = new.next_if(|(next, _)| compare(next, path).is_lt()) {
                entries.push(next);
            }
            if let Some(next) = new.next_if(|(next, _)| *next == path) {
                entries.push(next);
                continue;
            }
            let mut record = self.stored.record(index);
            record.age = if self.seen[index].load(Ordering::Relaxed) {
                0
            } else {
                record.age.saturating_add(1)
            };
            if record.age <= AGE_MAX {
                entries.push((path, record));
            }
        }
        entries.extend(new);
        entries.truncate(ENTRIES_MAX);
        let born = match self.stored.born_ms {
            0 => self.now_ms,
            born => born,
        };
        let bytes = write(&self.owner, born, entries.into_iter());
        if let Some(directory) = self.file.parent() {
            prune(directory, KEEP)?;
        }
        replace(&self.file, &bytes)
    }
}

/// Returns the directory that an index file is of.
pub(super) fn directory_of(file: &Path) -> Option<String> {
    record::path_of(&read(file)?).map(|path| text(&path))
}

/// Returns the coarse clock, which is the one that files' times are taken from.
pub(crate) fn clock() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Removes indexes that nobody used for long, and the least used beyond a number; `keep` = how long.
pub(super) fn prune(directory: &Path, keep: Duration) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        outcome => outcome?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    let surplus = files.len().saturating_sub(INDEXES_MAX);
    for (number, (used, path)) in files.iter().enumerate() {
        let age = SystemTime::now().duration_since(*used).unwrap_or_default();
        if number < surplus || age >= keep {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether a file may have changed after it was read without another time.
fn is_racy(stamp: &Stamp, began: Duration) -> bool {
    [stamp.mtime, stamp.ctime]
        .into_iter()
        .any(|(seconds, nanos)| {
            let tick = if nanos == 0 { TICK_COARSE } else { TICK };
            let time = Duration::new(u64::try_from(seconds).unwrap_or(0), nanos);
            time + tick >= began
        })
}

fn read(file: &Path) -> Option<Vec<u8>> {
    let metadata = fs::metadata(file).ok()?;
    if metadata.len() > FILE_BYTES_MAX {
        return None;
    }
    fs::read(file).ok()
}

/// Replaces a file as a whole, without waiting for the disk: for what a crash may tear or lose.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = file.parent().unwrap_or_else(|| Path::new("/"));
    fs::create_dir_all(directory)?;
    let mut temporary = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(directory)?;
    temporary.write_all(bytes)?;
    temporary.persist(file)?;
    Ok(())
}

/// Sets the time of last use. Nothing depends on it but what is pruned first.
pub(super) fn touch(path: &Path) {
    let now = rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_NOW,
    };
    let times = rustix::fs::Timestamps {
        last_access: now,
        last_modification: now,
    };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    if let Err(errno) = rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags)
        && errno != rustix::io::Errno::NOENT
    {
        tracing::debug!(path = %path.display(), %errno, "the time of last use was not noted");
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
