//! Files that are either old or new: write to a temporary name, fsync, rename, fsync the directory.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};
use serde::{Serialize, de::DeserializeOwned};

/// A record could not be read, written or removed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed; the source names the path.
    #[error("{intent}")]
    Io {
        /// What it was for.
        intent: &'static str,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A record does not have its form.
    #[error("read `{path}`: it is not a valid record")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads a JSON record; `None` when the file does not exist.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(StoreError::Io {
                intent: "read a record",
                source,
            });
        }
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| StoreError::Malformed {
            path: path.to_owned(),
            source,
        })
}

/// Writes a JSON record durably and atomically; makes its directory when missing.
pub fn write_json<T: Serialize>(path: &Path, record: &T) -> Result<(), StoreError> {
    let io_error = |source| StoreError::Io {
        intent: "write a record",
        source,
    };
    let directory = path.parent().expect("a record's path has a parent");
    fs::create_dir_all(directory).map_err(io_error)?;
    let text = serde_json::to_vec_pretty(record).map_err(|source| StoreError::Malformed {
        path: path.to_owned(),
        source,
    })?;
    let mut temporary = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(directory)
        .map_err(io_error)?;
    temporary.write_all(&text).map_err(io_error)?;
    temporary.as_file().sync_data().map_err(io_error)?;
    temporary
        .persist(path)
        .map_err(|error| io_error(error.error))?;
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error)
}

/// Removes a file or tree; one that does not exist counts as removed.
pub fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError::Io {
            intent: "remove state",
            source,
        }),
        _ => Ok(()),
    }
}

/// A `flock(2)`, released when dropped or when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: fs::File,
}

/// Takes the lock of a file, waiting for it; makes the file when missing.
pub fn lock(path: &Path) -> Result<Lock, StoreError> {
    let file = open_lock(path)?;
    flock(file.as_fd(), FlockOperation::LockExclusive).map_err(|errno| StoreError::Io {
        intent: "lock a file",
        source: errno.into(),
    })?;
    Ok(Lock { _file: file })
}

/// Takes the lock of a file together with others who share it, waiting for whoever has it alone.
pub fn lock_shared(path: &Path) -> Result<Lock, StoreError> {
    let file = open_lock(path)?;
    flock(file.as_fd(), FlockOperation::LockShared).map_err(|errno| StoreError::Io {
        intent: "lock a file",
        source: errno.into(),
    })?;
    Ok(Lock { _file: file })
}

/// Takes the lock of a file if nobody has it; `None` when somebody does.
pub fn try_lock(path: &Path) -> Result<Option<Lock>, StoreError> {
    let file = open_lock(path)?;
    match flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(StoreError::Io {
            intent: "lock a file",
            source: errno.into(),
        }),
    }
}

/// Tells whether somebody has the exclusive lock of a file, without making it or keeping others from taking it for longer than a moment.
pub fn is_locked(path: &Path) -> Result<bool, StoreError> {
    let intent = "look at a lock";
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(StoreError::Io { intent, source }),
    };
    match flock(file.as_fd(), FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(StoreError::Io {
            intent,
            source: errno.into(),
        }),
    }
}

fn open_lock(path: &Path) -> Result<fs::File, StoreError> {
    let io_error = |source| StoreError::Io {
        intent: "open a lock file",
        source,
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(io_error)?;
    }
    fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(io_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_an_absent_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b.json");
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), None);
        write_json(&path, &vec![1, 2]).unwrap();
        assert_eq!(read_json::<Vec<u8>>(&path).unwrap(), Some(vec![1, 2]));
        fs::write(&path, "[1,").unwrap();
        assert!(matches!(
            read_json::<Vec<u8>>(&path),
            Err(StoreError::Malformed { .. })
        ));
    }

    #[test]
    fn a_lock_excludes_a_second_one_until_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = try_lock(&path).unwrap();
        assert!(first.is_some());
        assert!(try_lock(&path).unwrap().is_none());
        assert!(is_locked(&path).unwrap());
        drop(first);
        assert!(!is_locked(&path).unwrap());
        assert!(!is_locked(&directory.path().join("absent")).unwrap());
        assert!(!directory.path().join("absent").exists());
        assert!(try_lock(&path).unwrap().is_some());
    }
}
