//! How much of the disk trees take.

use std::{
    collections::HashSet,
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    rc::Rc,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat},
    io::Errno,
};

/// Bytes of a block as stat(2) counts them, whatever the file system's own are.
const STAT_BLOCK: u64 = 512;

/// Adds up what trees take of the disk. A file with several names counts once, in whichever tree it comes first.
#[derive(Debug, Default)]
pub struct Meter {
    seen: HashSet<(u64, u64)>,
}

/// A directory that waits for its turn; its path may be longer than the kernel takes in one call.
struct Waiting {
    name: Vec<u8>,
    parent: Option<Rc<Waiting>>,
}

impl Meter {
    /// Returns the bytes on the disk of a file or tree that were not counted before; 0 when it does not exist.
    ///
    /// What is removed meanwhile does not count. Never follows a link and does not leave the file system it starts on
    /// by one either; mounts below the tree are counted as what they show.
    pub fn add(&mut self, path: &Path) -> io::Result<u64> {
        let name = path.as_os_str().as_bytes();
        let stat = match statat(CWD, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(0),
            Err(errno) => return Err(named(path, errno)),
        };
        let mut bytes = self.count(&stat);
        if !FileType::from_raw_mode(stat.st_mode).is_dir() {
            return Ok(bytes);
        }
        let root = openat(CWD, name, directory_flags(), Mode::empty());
        let root = root.map_err(|errno| named(path, errno))?;
        let start = Rc::new(Waiting {
            name: Vec::new(),
            parent: None,
        });
        let mut waiting = vec![start];
        while let Some(directory) = waiting.pop() {
            match self.directory(&root, &directory, &mut waiting) {
                Ok(more) => bytes += more,
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(named(path, errno)),
            }
        }
        Ok(bytes)
    }

    fn directory(
        &mut self,
        root: &OwnedFd,
        directory: &Rc<Waiting>,
        waiting: &mut Vec<Rc<Waiting>>,
    ) -> Result<u64, Errno> {
        let opened = directory.open(root)?;
        let mut bytes = 0;
        for entry in Dir::read_from(&opened)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let stat = match statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            };
            bytes += self.count(&stat);
            if FileType::from_raw_mode(stat.st_mode).is_dir() {
                waiting.push(Rc::new(Waiting {
                    name: name.to_vec(),
                    parent: Some(Rc::clone(directory)),
                }));
            }
        }
        Ok(bytes)
    }

    fn count(&mut self, stat: &rustix::fs::Stat) -> u64 {
        let is_shared = stat.st_nlink > 1 && !FileType::from_raw_mode(stat.st_mode).is_dir();
        if is_shared && !self.seen.insert((stat.st_dev, stat.st_ino)) {
            return 0;
        }
        u64::try_from(stat.st_blocks).unwrap_or(0) * STAT_BLOCK
    }
}

impl Waiting {
    /// Opens it step by step from the root: one descriptor at a time, whatever the depth.
    fn open(&self, root: &OwnedFd) -> Result<OwnedFd, Errno> {
        let mut names = Vec::new();
        let mut at = Some(self);
        while let Some(node) = at {
            names.push(&node.name);
            at = node.parent.as_deref();
        }
        let mut opened = openat(root.as_fd(), ".", directory_flags(), Mode::empty())?;
        for name in names.iter().rev().filter(|name| !name.is_empty()) {
            opened = openat(
                &opened,
                OsStr::from_bytes(name),
                directory_flags(),
                Mode::empty(),
            )?;
        }
        Ok(opened)
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn named(path: &Path, errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    io::Error::new(
        error.kind(),
        format!("measure `{}`: {error}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use fs_err as fs;

    use super::*;

    #[test]
    fn trees_count_by_blocks_and_names_of_one_file_once() {
        let place = tempfile::tempdir().unwrap();
        let (a, b) = (place.path().join("a"), place.path().join("b"));
        for directory in [&a, &b] {
            fs::create_dir_all(directory.join("sub")).unwrap();
        }
        fs::write(a.join("sub/file"), vec![1; 100_000]).unwrap();
        fs::hard_link(a.join("sub/file"), a.join("again")).unwrap();
        fs::hard_link(a.join("sub/file"), b.join("sub/shared")).unwrap();
        let hole = fs::File::create(b.join("hole")).unwrap();
        hole.set_len(1 << 30).unwrap();
        let on_disk = |path: &Path| fs::symlink_metadata(path).unwrap().blocks() * 512;
        let directories = |path: &Path| on_disk(path) + on_disk(&path.join("sub"));
        let mut meter = Meter::default();
        assert_eq!(
            meter.add(&a).unwrap(),
            directories(&a) + on_disk(&a.join("again"))
        );
        assert_eq!(meter.add(&b).unwrap(), directories(&b));
        assert_eq!(meter.add(&place.path().join("none")).unwrap(), 0);
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_measured() {
        let place = tempfile::tempdir().unwrap();
        let mut inner: OwnedFd = fs::File::open(place.path()).unwrap().into_file().into();
        let name = "d".repeat(200);
        for _level in 0..100 {
            rustix::fs::mkdirat(&inner, &name, Mode::from_raw_mode(0o755)).unwrap();
            inner = openat(&inner, &name, directory_flags(), Mode::empty()).unwrap();
        }
        let stat = rustix::fs::fstat(&inner).unwrap();
        let block = u64::try_from(stat.st_blocks).unwrap() * STAT_BLOCK;
        assert!(Meter::default().add(place.path()).unwrap() >= 100 * block);
    }
}
