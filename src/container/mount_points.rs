//! The lowest layer of every container: what the runtime mounts on `/proc`, `/etc/hosts` and so on needs a place, which few images have whole.
//!
//! Made in the writable layer of each container, such a place costs an inode and a copy-up on every start and turns up in `commit`. So one
//! layer has them all, empty, below the image: what an image has of its own at these places hides them.

use std::{io, os::unix::fs::PermissionsExt};

use fs_err as fs;

use crate::store::Root;

/// Directories, parents first.
const DIRECTORIES: [&str; 4] = ["dev", "etc", "proc", "sys"];
/// Files that a container gets.
const FILES: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// Makes the layer unless it is there. Old or new, never half-made; safe to call from several processes.
pub(super) fn ensure(root: &Root) -> io::Result<()> {
    let place = root.mount_points();
    if fs::symlink_metadata(&place).is_ok() {
        return Ok(());
    }
    let unfinished = tempfile::Builder::new()
        .prefix("mount-points-")
        .tempdir_in(root.tmp())?;
    let path = unfinished.path();
    for directory in DIRECTORIES {
        fs::create_dir(path.join(directory))?;
        set_mode(&path.join(directory), 0o755)?;
    }
    for file in FILES {
        fs::write(path.join(file), [])?;
        set_mode(&path.join(file), 0o644)?;
    }
    set_mode(path, 0o755)?;
    match fs::rename(path, &place) {
        Ok(()) => {
            let _renamed_away = unfinished.keep();
            Ok(())
        }
        // Somebody else was faster.
        Err(_) if fs::symlink_metadata(&place).is_ok() => Ok(()),
        Err(error) => Err(error),
    }
}

fn set_mode(path: &std::path::Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layer_is_made_once_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path());
        fs::create_dir(root.tmp()).unwrap();
        ensure(&root).unwrap();
        for path in DIRECTORIES {
            let mode = fs::metadata(root.mount_points().join(path)).unwrap();
            assert_eq!(mode.permissions().mode() & 0o7777, 0o755, "{path}");
        }
        for path in FILES {
            let file = fs::metadata(root.mount_points().join(path)).unwrap();
            assert_eq!(
                (file.len(), file.permissions().mode() & 0o7777),
                (0, 0o644),
                "{path}"
            );
        }
        ensure(&root).unwrap();
        assert_eq!(fs::read_dir(root.tmp()).unwrap().count(), 0);
    }
}
