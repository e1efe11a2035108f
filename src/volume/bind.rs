//! Sources of bind mounts: they exist, or are made where the short form asks for it.

use std::{
    io,
    path::{Path, PathBuf},
};

use fs_err as fs;

use super::VolumeError;

/// Who owns directories that are made for bind mounts: the user who asked, not root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindOwner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Makes sure that the source of a bind mount exists. `create`: a missing one becomes a directory (with those above it), owned by
/// `owner`; otherwise it is an error, as with Docker's long form.
pub fn prepare_bind(
    source: &Path,
    create: bool,
    owner: Option<BindOwner>,
) -> Result<(), VolumeError> {
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
            Ok(()) => {}
            // Another container of the project makes it at the same time.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(VolumeError::BindSource(error)),
        }
        if let Some(owner) = owner {
            let uid = rustix::fs::Uid::from_raw(owner.uid);
            let gid = rustix::fs::Gid::from_raw(owner.gid);
            rustix::fs::chown(directory, Some(uid), Some(gid))
                .map_err(|errno| VolumeError::BindSource(errno.into()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_missing_source_is_made_for_its_user_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("a/b");
        assert!(matches!(
            prepare_bind(&source, false, None),
            Err(VolumeError::BindSourceMissing { .. })
        ));
        let owner = BindOwner { uid: 1234, gid: 77 };
        prepare_bind(&source, true, Some(owner)).unwrap();
        for path in [source.as_path(), source.parent().unwrap()] {
            let metadata = fs::metadata(path).unwrap();
            assert!(metadata.is_dir());
            assert_eq!((metadata.uid(), metadata.gid()), (1234, 77));
        }
        // What exists is never changed.
        prepare_bind(&source, true, Some(BindOwner { uid: 1, gid: 1 })).unwrap();
        assert_eq!(fs::metadata(&source).unwrap().uid(), 1234);
    }

    #[test]
    fn a_dangling_symlink_is_not_made_whole() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        fs::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(matches!(
            prepare_bind(&link, true, None),
            Err(VolumeError::BindSourceMissing { .. })
        ));
        assert!(!directory.path().join("nowhere").exists());
    }
}
