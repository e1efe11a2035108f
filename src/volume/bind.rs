//! Sources of bind mounts: they exist, or are made where the short form asks for it.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use fs_err as fs;

use super::VolumeError;

/// Makes sure that the source of a bind mount exists. `create`: a missing one becomes a directory (with those above it); otherwise it
/// is an error, as with Docker's long form. What is made belongs to whom the directory above belongs: that of a checkout to its user,
/// not to root.
pub fn bind_source(source: &Path, create: bool) -> Result<(), VolumeError> {
    match fs::metadata(source) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(VolumeError::BindSource(error)),
    }
    // A symlink to nowhere is there, but what it names is not: making that would surprise.
    if !create || fs::symlink_metadata(source).is_ok() {
        return Err(VolumeError::BindSourceMissing {
            path: source.to_owned(),
        });
    }
    let missing: Vec<PathBuf> = source
        .ancestors()
        .take_while(|path| fs::symlink_metadata(path).is_err())
        .map(Path::to_owned)
        .collect();
    for directory in missing.iter().rev() {
        match fs::create_dir(directory) {
            Ok(()) => adopt(directory)?,
            // Another container of the project makes it at the same time.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(VolumeError::BindSource(error)),
        }
    }
    Ok(())
}

/// Gives a directory to the owner of the one above.
fn adopt(directory: &Path) -> Result<(), VolumeError> {
    let above = directory.parent().unwrap_or_else(|| Path::new("/"));
    let owner = fs::metadata(above).map_err(VolumeError::BindSource)?;
    let uid = rustix::fs::Uid::from_raw(owner.uid());
    let gid = rustix::fs::Gid::from_raw(owner.gid());
    rustix::fs::chown(directory, Some(uid), Some(gid))
        .map_err(|errno| VolumeError::BindSource(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_source_is_made_for_its_neighbours_owner_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(directory.path(), Some(1234), Some(77)).unwrap();
        let source = directory.path().join("a/b");
        assert!(matches!(
            bind_source(&source, false),
            Err(VolumeError::BindSourceMissing { .. })
        ));
        bind_source(&source, true).unwrap();
        for path in [source.as_path(), source.parent().unwrap()] {
            let metadata = fs::metadata(path).unwrap();
            assert!(metadata.is_dir());
            assert_eq!((metadata.uid(), metadata.gid()), (1234, 77));
        }
        // What exists is never changed.
        std::os::unix::fs::chown(&source, Some(1), Some(1)).unwrap();
        bind_source(&source, true).unwrap();
        assert_eq!(fs::metadata(&source).unwrap().uid(), 1);
    }

    #[test]
    fn a_dangling_symlink_is_not_made_whole() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        fs::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(matches!(
            bind_source(&link, true),
            Err(VolumeError::BindSourceMissing { .. })
        ));
        assert!(!directory.path().join("nowhere").exists());
    }
}
