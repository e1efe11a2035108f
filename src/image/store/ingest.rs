//! Blobs: downloads that can go on where they stopped, and the finished, immutable files.

use std::{
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use fs_err as fs;
use rustix::{
    fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, linkat},
    io::Errno,
};

use super::{ImageError, ImageStore, unsynced::Named};
use crate::{image::digest, model::Digest};

/// How temporary names of blobs begin.
pub(super) const TEMPORARY: &str = ".new-";
/// Age at which a partial download is given up.
const PART_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Exclusive right to fetch a blob, among threads and processes. Its lock file goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Ingest {
    digest: Digest,
    lock_path: PathBuf,
    _lock: fs::File,
    part: PathBuf,
    blob: PathBuf,
}

impl Ingest {
    /// Waits until nobody else fetches the blob. Blocks the thread.
    pub(crate) fn begin(store: &ImageStore, digest: &Digest) -> Result<Self, ImageError> {
        let directory = store.ingest();
        fs::create_dir_all(&directory).map_err(ImageError::io("make the download directory"))?;
        let lock_path = directory.join(format!("{}.lock", digest.hex()));
        let part = directory.join(format!("{}.part", digest.hex()));
        loop {
            let file = (fs::OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true))
            .open(&lock_path)
            .map_err(ImageError::io("open the lock of a download"))?;
            lock_waiting(&file).map_err(ImageError::io("lock a download"))?;
            // Whoever had it before has removed the file: then the lock that we got guards nothing.
            let held = file
                .metadata()
                .map_err(ImageError::io("look at the lock of a download"))?;
            let there = fs::symlink_metadata(&lock_path).ok();
            if there.is_some_and(|there| there.ino() == held.ino()) {
                return Ok(Self {
                    digest: digest.clone(),
                    lock_path,
                    _lock: file,
                    part,
                    blob: store.blob(digest),
                });
            }
        }
    }

    /// Returns the file that grows while the blob is fetched.
    pub(crate) fn part(&self) -> &Path {
        &self.part
    }

    /// Returns the finished file.
    pub(crate) fn blob(&self) -> &Path {
        &self.blob
    }

    /// Returns the blob's digest.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Throws away what was fetched, finished or not.
    pub(crate) fn discard(&self) -> Result<(), ImageError> {
        self.discard_part()?;
        remove_file(&self.blob)
    }

    /// Throws away an unfinished download.
    fn discard_part(&self) -> Result<(), ImageError> {
        remove_file(&self.part)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // A download that got nothing leaves nothing.
        if fs::metadata(&self.part).is_ok_and(|part| part.len() == 0)
            && let Err(error) = self.discard_part()
        {
            tracing::debug!(%error, "left an empty download behind");
        }
        if let Err(error) = fs::remove_file(&self.lock_path) {
            tracing::debug!(%error, "left a lock file behind");
        }
    }
}

impl ImageStore {
    /// Reads a blob that must be small; `None` when it is not there. A damaged one counts as absent.
    pub(crate) fn read_blob(&self, wanted: &Digest) -> Result<Option<Vec<u8>>, ImageError> {
        match fs::read(self.blob(wanted)) {
            Ok(bytes) if digest::of(&bytes) == *wanted => Ok(Some(bytes)),
            Ok(_) => {
                tracing::warn!(digest = %wanted, "a blob is damaged and counts as absent");
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ImageError::io("read a blob")(error)),
        }
    }

    /// Stores a small blob and returns its digest.
    pub(crate) fn write_blob(&self, bytes: &[u8]) -> Result<Digest, ImageError> {
        let digest = digest::of(bytes);
        let path = self.blob(&digest);
        if self.read_blob(&digest)?.is_some() {
            return Ok(digest);
        }
        let directory = path.parent().unwrap_or(&path);
        self.prepare()?;
        let io_error = || ImageError::io("write a blob");
        let unnamed = Unnamed::write(directory, bytes).map_err(io_error())?;
        self.mark(&[Named::Blob(&digest)])?;
        unnamed.give(&path, bytes).map_err(io_error())?;
        Ok(digest)
    }

    /// Makes a fetched and verified file a blob, unless it is one.
    pub(crate) fn commit_blob(&self, fetched: &Ingest) -> Result<(), ImageError> {
        if !fetched.part.exists() && fetched.blob.exists() {
            return Ok(());
        }
        self.publish(&fetched.part, &fetched.digest)
    }

    /// Makes a verified file a blob, unless it is one.
    pub(crate) fn adopt_blob(&self, file: &Path, digest: &Digest) -> Result<(), ImageError> {
        if self.has_blob(digest) {
            return Ok(());
        }
        self.publish(file, digest)
    }

    /// Gives a finished file its final, read-only name; what lies there is replaced.
    pub(super) fn publish(&self, from: &Path, digest: &Digest) -> Result<(), ImageError> {
        let to = self.blob(digest);
        self.mark(&[Named::Blob(digest)])?;
        let publish = || -> io::Result<()> {
            fs::set_permissions(from, std::fs::Permissions::from_mode(0o444))?;
            fs::rename(from, &to)
        };
        publish().map_err(ImageError::io("store a blob"))
    }

    /// Tells whether a blob is there, whatever its content.
    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.blob(digest).exists()
    }

    /// Removes partial downloads that nobody has touched for a week.
    pub(super) fn sweep_parts(&self) -> Result<(), ImageError> {
        let entries = match fs::read_dir(self.ingest()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result.map_err(ImageError::io("look for old downloads"))?,
        };
        for entry in entries {
            let entry = entry.map_err(ImageError::io("look for old downloads"))?;
            let path = entry.path();
            let age = |file: std::fs::Metadata| {
                SystemTime::now().duration_since(file.modified().ok()?).ok()
            };
            let old = entry
                .metadata()
                .ok()
                .and_then(age)
                .is_some_and(|age| age > PART_AGE_MAX);
            let digest = path.file_stem().and_then(|stem| stem.to_str());
            let digest = digest.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            if let (true, Some(digest)) = (old, digest) {
                Ingest::begin(self, &digest)?.discard_part()?;
            }
        }
        Ok(())
    }
}

fn remove_file(path: &Path) -> Result<(), ImageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ImageError::io("remove a download")(error))
        }
        _ => Ok(()),
    }
}

/// A complete file without a name, so that a killed process leaves nothing.
enum Unnamed {
    Without(std::fs::File),
    /// On file systems without `O_TMPFILE` (open(2)): a temporary name, which the sweep knows.
    Temporary(tempfile::NamedTempFile),
}

impl Unnamed {
    fn write(directory: &Path, bytes: &[u8]) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mut file = match rustix::fs::open(directory, flags, Mode::from_raw_mode(0o444)) {
            Ok(file) => Self::Without(file.into()),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let file = tempfile::Builder::new()
                    .prefix(TEMPORARY)
                    .tempfile_in(directory);
                Self::Temporary(file?)
            }
            Err(errno) => return Err(errno.into()),
        };
        let inner = match &mut file {
            Self::Without(file) => file,
            Self::Temporary(file) => file.as_file_mut(),
        };
        inner.write_all(bytes)?;
        inner.set_permissions(std::fs::Permissions::from_mode(0o444))?;
        Ok(file)
    }

    /// Gives it its name; what lies there is replaced, unless it is the same `bytes`.
    fn give(self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = match self {
            Self::Without(file) => file,
            Self::Temporary(file) => {
                file.persist(path).map_err(|error| error.error)?;
                return Ok(());
            }
        };
        let source = format!("/proc/self/fd/{}", file.as_raw_fd());
        let link = || linkat(CWD, &*source, CWD, path, AtFlags::SYMLINK_FOLLOW);
        match link() {
            // Another process was quicker, or what lies there was found to be damaged.
            Err(Errno::EXIST) => {
                if fs::read(path).is_ok_and(|there| there == bytes) {
                    return Ok(());
                }
                fs::remove_file(path)?;
                link()?;
            }
            result => result?,
        }
        Ok(())
    }
}

/// Takes the lock of a file or directory, waiting for it.
pub(super) fn lock_waiting(file: &fs::File) -> io::Result<()> {
    loop {
        match flock(file.as_fd(), FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            result => return result.map_err(io::Error::from),
        }
    }
}
