//! Mount points for RUN that the image does not have.
//!
//! A mount needs something to be mounted on. Made in the container's root it would land in the layer, so it is put into a directory that
//! becomes the lowest layer of the container, below the image, and is thrown away.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use runtime::Error;
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::tree::{ITSELF, Resolved, Tree};

/// Mount points that the runtime makes and fills itself.
const BUILT_IN: [&str; 3] = ["/proc", "/dev", "/sys"];

/// Something to mount on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stub {
    /// Path in the image, links followed.
    path: Resolved,
    is_file: bool,
}

/// Makes what is missing of the targets in `directory`. The flag of a target says whether a file will be mounted there.
pub(crate) fn stubs(
    image: &Tree,
    targets: &[(String, bool)],
    directory: &Path,
) -> Result<Vec<Stub>, Error> {
    let built_in = BUILT_IN.map(|target| (target.to_owned(), false));
    let below_built_in = |target: &str| {
        let mut built_in = BUILT_IN.iter();
        built_in.any(|prefix| Path::new(target).starts_with(prefix))
    };
    let wanted = targets
        .iter()
        .filter(|(target, _)| !below_built_in(target))
        .chain(&built_in);
    let mut stubs = Vec::new();
    for (target, is_file) in wanted {
        let path = image.resolve(Path::new(target))?;
        if path == Resolved::root() || image.exists(&path)? {
            continue;
        }
        make(directory, &path, *is_file).map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            image.error(runtime::Step::Create, path.as_path(), errno)
        })?;
        stubs.push(Stub {
            path,
            is_file: *is_file,
        });
    }
    Ok(stubs)
}

fn make(directory: &Path, path: &Resolved, is_file: bool) -> std::io::Result<()> {
    let place = directory.join(path.as_path());
    if !is_file {
        return fs_err::create_dir_all(place);
    }
    if let Some(parent) = place.parent() {
        fs_err::create_dir_all(parent)?;
    }
    fs_err::write(place, [])
}

/// Removes from an upper directory what the runtime had to make there after all, because a layer hides the stub. Only what is still empty
/// goes, and no link is followed.
pub(crate) fn remove_stubs(upper: &Path, stubs: &[Stub]) -> Result<(), Error> {
    for stub in stubs.iter().rev() {
        remove(upper, stub).map_err(|errno| {
            Error::new(
                runtime::Step::Remove,
                upper.join(stub.path.as_path()).display().to_string(),
                runtime::Errno(errno.raw_os_error()),
            )
        })?;
    }
    Ok(())
}

fn remove(upper: &Path, stub: &Stub) -> Result<(), Errno> {
    let (Some(parent), Some(name)) = (stub.path.parent(), stub.path.name()) else {
        return Ok(());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, upper, flags, Mode::empty())?;
    let parent = match open_plain(&root, parent.as_path(), flags) {
        Ok(parent) => parent,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let stat = match rustix::fs::statat(&parent, name, ITSELF) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let kind = FileType::from_raw_mode(stat.st_mode);
    if stub.is_file && kind == FileType::RegularFile && stat.st_size == 0 {
        return rustix::fs::unlinkat(&parent, name, AtFlags::empty());
    }
    if !stub.is_file && kind == FileType::Directory {
        return match rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) => Ok(()),
            outcome => outcome,
        };
    }
    Ok(())
}

fn open_plain(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), resolve)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make files where they need them"
)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn missing_mount_points_are_made_beside_the_image_and_links_are_followed() {
        let image = tempfile::tempdir().unwrap();
        let stub_directory = tempfile::tempdir().unwrap();
        fs::create_dir(image.path().join("etc")).unwrap();
        fs::write(image.path().join("etc/hosts"), "x").unwrap();
        symlink(
            "../run/resolve/stub.conf",
            image.path().join("etc/resolv.conf"),
        )
        .unwrap();
        let tree = Tree::open(image.path()).unwrap();
        let targets = [
            ("/etc/hosts".to_owned(), true),
            ("/etc/resolv.conf".to_owned(), true),
            ("/dev/pipes".to_owned(), false),
            ("/cache".to_owned(), false),
        ];
        let made = stubs(&tree, &targets, stub_directory.path()).unwrap();
        let at = |path: &str| stub_directory.path().join(path);
        assert!(at("run/resolve/stub.conf").is_file());
        assert!(at("cache").is_dir() && at("proc").is_dir() && at("dev").is_dir());
        assert!(!at("etc").exists() && !at("dev/pipes").exists());
        assert_eq!(made.len(), 5);
    }

    #[test]
    fn only_empty_stubs_are_removed_and_no_link_is_followed() {
        let upper = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("empty"), "").unwrap();
        symlink(outside.path(), upper.path().join("link")).unwrap();
        fs::create_dir_all(upper.path().join("full/x")).unwrap();
        fs::create_dir_all(upper.path().join("bare")).unwrap();
        fs::write(upper.path().join("file"), "").unwrap();
        fs::write(upper.path().join("text"), "x").unwrap();
        let stub = |path: &str, is_file| Stub {
            path: Resolved::root().entry(path),
            is_file,
        };
        let stubs = [
            stub("link/empty", true),
            stub("full", false),
            stub("bare", false),
            stub("file", true),
            stub("text", true),
            stub("absent/x", true),
        ];
        remove_stubs(upper.path(), &stubs).unwrap();
        assert!(outside.path().join("empty").exists());
        assert!(upper.path().join("full/x").exists() && upper.path().join("text").exists());
        assert!(!upper.path().join("bare").exists() && !upper.path().join("file").exists());
    }
}
