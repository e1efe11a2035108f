//! What a layer removes: `.wh.<name>` and `.wh..wh..opq`, turned into what overlayfs wants.

use std::os::fd::AsFd;

use rustix::{
    fs::{AtFlags, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat, statat},
    io::Errno,
};

use super::{
    UnpackError, Whiteouts,
    attributes::{self, OPAQUE},
    kernel, kernel_at,
    parents::Path,
    reader::{Entry, Kind},
    refuse,
    writer::Writer,
};

impl Writer<'_> {
    /// Does what a name beginning with `.wh.` says; `false` = the entry is a file like any other.
    pub(super) fn is_mark(
        &mut self,
        entry: &Entry,
        path: &Path,
        (parent, name): (&[u8], &[u8]),
    ) -> Result<bool, UnpackError> {
        let is_mark = |part: &[u8]| part.starts_with(b".wh.");
        let mut parts = path.0.split(|b| *b == b'/');
        if self.limits.whiteouts == Whiteouts::Refused {
            let device = entry.kind == Kind::CharDevice && entry.device == (0, 0);
            if device || parts.any(is_mark) {
                return Err(refuse(entry, "it would remove files of the image"));
            }
            return Ok(false);
        }
        // Bookkeeping of aufs.
        if parts.any(|part| part.starts_with(b".wh..wh.") && part != b".wh..wh..opq") {
            return Ok(true);
        }
        if parent.split(|b| *b == b'/').any(is_mark) {
            return Err(refuse(entry, "a whiteout cannot hold entries"));
        }
        match name.strip_prefix(b".wh.") {
            Some(hidden) => self.apply_whiteout(entry, parent, hidden).map(|()| true),
            None => Ok(false),
        }
    }

    /// Hides `parent`'s entry `hidden`, or everything below `parent`.
    fn apply_whiteout(
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
