//! What a layer removes: `.wh.<name>` and `.wh..wh..opq`, turned into what overlayfs wants.

use std::os::fd::AsFd;

use rustix::{
    fs::{AtFlags, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat, statat},
    io::Errno,
};

use super::{
    UnpackError,
    attributes::{self, OPAQUE},
    kernel, kernel_at,
    reader::Entry,
    refuse,
    writer::Writer,
};

impl Writer<'_> {
    /// Hides `parent`'s entry `hidden`, or everything below `parent`.
    pub(super) fn apply_whiteout(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        hidden: &[u8],
    ) -> Result<(), UnpackError> {
        if hidden == b".wh..opq" {
            self.parents
                .ensure(parent)
                .map_err(kernel(entry, "open its directory"))?;
            if parent.is_empty() {
                self.unpacked.opaque_root = true;
            }
            return self.make_opaque(parent);
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(refuse(entry, "a whiteout must name what it hides"));
        }
        let directory = self
            .parents
            .ensure(parent)
            .map_err(kernel(entry, "open its directory"))?;
        match statat(&*directory, hidden, AtFlags::SYMLINK_NOFOLLOW) {
            // It hides lower layers only: what this layer wrote stays, and hides them itself.
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => {
                let path = if parent.is_empty() {
                    hidden.to_vec()
                } else {
                    [parent, b"/", hidden].concat()
                };
                self.make_opaque(&path)
            }
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => mknodat(
                &*directory,
                hidden,
                FileType::CharacterDevice,
                Mode::empty(),
                makedev(0, 0),
            )
            .map_err(kernel(entry, "make a whiteout")),
            Err(errno) => Err(kernel(entry, "look at what it hides")(errno)),
        }
    }

    pub(super) fn make_opaque(&mut self, path: &[u8]) -> Result<(), UnpackError> {
        let directory = match self.parents.open(path) {
            Ok(directory) => directory,
            // Replaced by a file since, which hides what is below without a mark.
            Err(Errno::NOTDIR | Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(kernel_at(path, "open a directory")(errno)),
        };
        let target = attributes::through(directory.as_fd(), b".");
        lsetxattr(&target, OPAQUE, b"y", XattrFlags::empty())
            .map_err(kernel_at(path, "mark a directory as opaque"))
    }
}
