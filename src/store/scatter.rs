//! Where on the disk unrelated trees lie.

use std::path::Path;

use rustix::fs::{CWD, IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags, openat};

/// Makes a directory and tells ext2, ext3 and ext4 that the trees made in it have nothing to do with each other (`T` of chattr(1)), so that each
/// gets a part of the disk of its own. Other filesystems have no such flag.
///
/// ext4 does not give an inode again within five seconds of its removal, and to make one it walks over all those of the block group. Without the
/// flag containers share one block group, and to make them again after `down` takes time that grows with the square of their number.
///
/// A hint only: what fails here works as well, more slowly.
pub fn scatter(directory: &Path) {
    if let Err(error) = set_flag(directory) {
        tracing::debug!(directory = %directory.display(), %error, "no hint for the block allocator");
    }
}

fn set_flag(directory: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(directory)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = openat(CWD, directory, flags, Mode::empty())?;
    let has = ioctl_getflags(&opened)?;
    if !has.contains(IFlags::TOPDIR) {
        ioctl_setflags(&opened, has | IFlags::TOPDIR)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::fs::statfs;

    use super::*;

    #[test]
    fn the_flag_is_set_where_the_filesystem_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let tmp = directory.path().join("state/tmp");
        scatter(&tmp);
        scatter(&tmp);
        assert!(tmp.is_dir());
        let opened = openat(CWD, &tmp, OFlags::RDONLY, Mode::empty()).unwrap();
        // ext2, ext3 and ext4 (statfs(2)).
        if statfs(&tmp).unwrap().f_type == 0xef53 {
            assert!(ioctl_getflags(&opened).unwrap().contains(IFlags::TOPDIR));
        }
    }
}
