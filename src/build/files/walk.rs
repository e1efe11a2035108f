//! Walks a directory that COPY selects, asking the rules about each entry.

use std::{
    ffi::OsString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use runtime::Step;
use rustix::fs::{Mode, OFlags};

use super::{
    select::{DEPTH_MAX, Entry, EntryKind, SelectError, Selector},
    tree::ITSELF,
};
use crate::build::ignore::{Ignore, Inherited};

/// What the rules said about a directory.
pub(super) struct Below {
    pub(super) ignored: Inherited,
    pub(super) excluded: Inherited,
    pub(super) included: Inherited,
}

/// A walk below one source.
pub(super) struct Walk<'a, 'b> {
    pub(super) selector: &'a Selector<'a>,
    pub(super) base: &'a Path,
    pub(super) include: Option<&'a Ignore>,
    pub(super) entries: &'b mut Vec<Entry>,
}

impl Walk<'_, '_> {
    pub(super) fn directory(
        &mut self,
        fd: BorrowedFd<'_>,
        path: &Path,
        above: &Below,
        depth: usize,
    ) -> Result<(), SelectError> {
        if depth > DEPTH_MAX {
            return Err(SelectError::Depth(path.display().to_string()));
        }
        let tree = self.selector.tree;
        for name in self.names(fd, path)? {
            let relative = path.join(&name);
            let whole = self.base.join(&relative);
            let (ignored, ignored_below) = self.selector.ignore.judge(&whole, &above.ignored);
            let (excluded, excluded_below) =
                self.selector.exclude.judge(&relative, &above.excluded);
            let (included, included_below) = match self.include {
                None => (true, Inherited::default()),
                Some(include) => include.judge(&relative, &above.included),
            };
            let hidden = ignored || excluded;
            let dead = (ignored && self.selector.ignore.prunes(&whole))
                || (excluded && self.selector.exclude.prunes(&relative));
            if dead {
                continue;
            }
            let stat = match rustix::fs::statat(fd, name.as_os_str(), ITSELF) {
                Ok(stat) => stat,
                // Removed since it was listed.
                Err(rustix::io::Errno::NOENT) => continue,
                Err(errno) => {
                    return Err(tree.error(Step::Read, &whole, errno.raw_os_error()).into());
                }
            };
            let Some(entry) = self.selector.entry(relative.clone(), &stat) else {
                continue;
            };
            let visible = !hidden && included;
            if entry.kind != EntryKind::Directory {
                if visible {
                    self.entries.push(entry);
                }
                continue;
            }
            let start = self.entries.len();
            self.entries.push(entry);
            let below = Below {
                ignored: ignored_below,
                excluded: excluded_below,
                included: included_below,
            };
            let child = self.open(fd, &name, &whole)?;
            self.directory(child.as_fd(), &relative, &below, depth + 1)?;
            if !visible && self.entries.len() == start + 1 {
                self.entries.pop();
            }
        }
        Ok(())
    }

    fn names(&self, fd: BorrowedFd<'_>, path: &Path) -> Result<Vec<OsString>, SelectError> {
        super::tree::names(fd).map_err(|errno| {
            let whole = self.base.join(path);
            let tree = self.selector.tree;
            tree.error(Step::Read, &whole, errno.raw_os_error()).into()
        })
    }

    fn open(
        &self,
        fd: BorrowedFd<'_>,
        name: &OsString,
        whole: &Path,
    ) -> Result<OwnedFd, SelectError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(fd, name.as_os_str(), flags, Mode::empty()).map_err(|errno| {
            let tree = self.selector.tree;
            tree.error(Step::Open, whole, errno.raw_os_error()).into()
        })
    }
}
