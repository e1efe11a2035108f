//! Puts a finished tree in the place of a volume's data, at once: whoever looks sees the old data or the new, never a part.

use std::{os::fd::AsFd, path::Path};

use fs_err as fs;
use rustix::{
    fs::{CWD, Mode, OFlags, RenameFlags, open, renameat_with},
    io::Errno,
};

use super::{
    VolumeError,
    local::{Volumes, check_name},
    merged::Directory,
    tree,
};
use crate::{
    model::{Backing, VolumeRecord},
    store::{remove_tree, write_json},
};

impl Volumes {
    /// Copies the data of a volume into a directory that does not exist yet, and waits until it is on the disk.
    pub(super) fn copy_data(&self, name: &str, target: &Path) -> Result<(), VolumeError> {
        let copying = |path: &Path, operation, errno: Errno| VolumeError::Read {
            name: name.to_owned(),
            path: path.to_owned(),
            operation,
            source: errno.into(),
        };
        let root = Path::new("/");
        let source =
            Directory::plain(&self.data_dir(name)).map_err(|errno| copying(root, "open", errno))?;
        fs::create_dir(target).map_err(|source| placing("copy", name, source))?;
        let made = open(target, DIRECTORY, Mode::empty())
            .map_err(|errno| copying(target, "open", errno))?;
        tree::copy(&source, made.as_fd(), root)
            .map_err(|error| copying(&error.path, error.operation, error.errno))?;
        rustix::fs::syncfs(&made).map_err(|errno| copying(target, "sync", errno))
    }

    /// Makes a volume of a tree, which leaves its place. The caller keeps others from making volumes meanwhile.
    pub(super) fn adopt(&self, record: &VolumeRecord, tree: &Path) -> Result<(), VolumeError> {
        check_name(&record.name)?;
        let name = &record.name;
        if self.find(name)?.is_some() {
            return Err(VolumeError::Exists { name: name.clone() });
        }
        let io_error = |source| placing("make", name, source);
        check_tree(name, tree)?;
        let store_error = |source| self.store_error("make", name, source);
        // A directory without a record is what a making that was cut off has left.
        remove_tree(&self.volume_dir(name)).map_err(store_error)?;
        let made = self.unfinished().map_err(io_error)?;
        fs::rename(tree, made.path().join("_data")).map_err(io_error)?;
        write_json(&made.path().join("volume.json"), record).map_err(store_error)?;
        fs::create_dir_all(self.directory()).map_err(io_error)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(made.path(), mode).map_err(io_error)?;
        fs::rename(made.path(), self.volume_dir(name)).map_err(io_error)?;
        let _renamed_away = made.keep();
        sync(self.directory()).map_err(|errno| io_error(errno.into()))
    }

    /// Exchanges the data of a volume with a tree, which then holds the old data.
    pub(super) fn exchange(&self, name: &str, tree: &Path) -> Result<(), VolumeError> {
        let record = self.known(name)?;
        let _lock = self.lock_now(name, "replace")?;
        if record.wanted.as_ref().map(Backing::of) != Some(Ok(Backing::Local))
            && record.wanted.is_some()
        {
            return Err(VolumeError::Elsewhere {
                name: name.to_owned(),
            });
        }
        check_tree(name, tree)?;
        let data = self.data_dir(name);
        let swapped = renameat_with(CWD, tree, CWD, &data, RenameFlags::EXCHANGE);
        swapped
            .and_then(|()| sync(&self.volume_dir(name)))
            .map_err(|errno| placing("replace", name, errno.into()))
    }

    /// Makes a directory for what is not finished; it goes when it is dropped.
    pub(super) fn unfinished(&self) -> std::io::Result<tempfile::TempDir> {
        fs::create_dir_all(self.tmp())?;
        tempfile::Builder::new()
            .prefix(super::UNFINISHED_PREFIX)
            .tempdir_in(self.tmp())
    }
}

/// A tree out of an archive may be anything; a link in the place of a volume's data would lead out of it.
fn check_tree(name: &str, tree: &Path) -> Result<(), VolumeError> {
    let metadata = fs::symlink_metadata(tree).map_err(|source| placing("make", name, source))?;
    if metadata.is_dir() {
        return Ok(());
    }
    Err(placing("make", name, Errno::NOTDIR.into()))
}

fn placing(intent: &'static str, name: &str, source: std::io::Error) -> VolumeError {
    VolumeError::Io {
        intent,
        name: name.to_owned(),
        source,
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn sync(directory: &Path) -> Result<(), Errno> {
    rustix::fs::fsync(open(directory, DIRECTORY, Mode::empty())?)
}
