//! Walks a directory that COPY selects, asking the rules about each entry. Large directories are shared among threads; the order of the
//! entries is the same anyway.

use std::{
    ffi::OsString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use runtime::Step;
use rustix::fs::{Mode, OFlags};

use super::{
    select::{DEPTH_MAX, Entry, EntryKind, SelectError, Selector},
    tree::ITSELF,
};
use crate::build::ignore::{Ignore, Inherited};

/// Entries seen before more threads are worth their start.
const PARALLEL_AFTER: usize = 512;
/// Threads beside the caller's. A walk of cached inodes is bound by the processor.
const THREADS_MAX: usize = 7;

/// What the rules said about a directory.
#[derive(Debug)]
pub(super) struct Below {
    pub(super) ignored: Inherited,
    pub(super) excluded: Inherited,
    pub(super) included: Inherited,
}

/// A walk below one source.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    selector: &'a Selector<'a>,
    base: &'a Path,
    include: Option<&'a Ignore>,
    seen: AtomicUsize,
    /// Threads that may still be started.
    threads: AtomicUsize,
}

/// A directory in work.
#[derive(Clone, Copy)]
struct Place<'a> {
    fd: BorrowedFd<'a>,
    path: &'a Path,
    above: &'a Below,
    depth: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        selector: &'a Selector<'a>,
        base: &'a Path,
        include: Option<&'a Ignore>,
    ) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            selector,
            base,
            include,
            seen: AtomicUsize::new(0),
            threads: AtomicUsize::new((cpus - 1).min(THREADS_MAX)),
        }
    }

    /// Lists what is below the source, each directory before its entries, sorted.
    pub(super) fn below(
        &self,
        fd: BorrowedFd<'_>,
        above: &Below,
        entries: &mut Vec<Entry>,
    ) -> Result<(), SelectError> {
        let place = Place {
            fd,
            path: Path::new(""),
            above,
            depth: 0,
        };
        self.directory(place, entries)
    }

    fn directory(&self, place: Place<'_>, entries: &mut Vec<Entry>) -> Result<(), SelectError> {
        if place.depth > DEPTH_MAX {
            return Err(SelectError::Depth(place.path.display().to_string()));
        }
        let names = self.names(place.fd, place.path)?;
        self.some(place, &names, entries)
    }

    /// Walks a part of a directory's names, on two threads where that is worth it.
    fn some(
        &self,
        place: Place<'_>,
        names: &[OsString],
        entries: &mut Vec<Entry>,
    ) -> Result<(), SelectError> {
        for (number, name) in names.iter().enumerate() {
            let rest = &names[number..];
            if rest.len() > 1 && self.takes_thread() {
                let (ours, theirs) = rest.split_at(rest.len() / 2);
                let mut later = Vec::new();
                let (first, second) = std::thread::scope(|scope| {
                    let other = scope.spawn(|| self.some(place, theirs, &mut later));
                    let first = self.some(place, ours, entries);
                    (first, other.join())
                });
                self.threads.fetch_add(1, Ordering::Relaxed);
                first?;
                second.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                entries.append(&mut later);
                return Ok(());
            }
            self.one(place, name, entries)?;
        }
        Ok(())
    }

    fn takes_thread(&self) -> bool {
        self.seen.load(Ordering::Relaxed) >= PARALLEL_AFTER
            && self
                .threads
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
                    free.checked_sub(1)
                })
                .is_ok()
    }

    fn one(
        &self,
        place: Place<'_>,
        name: &OsString,
        entries: &mut Vec<Entry>,
    ) -> Result<(), SelectError> {
        self.seen.fetch_add(1, Ordering::Relaxed);
        let (selector, above) = (self.selector, place.above);
        let relative = place.path.join(name);
        let whole = self.base.join(&relative);
        let (ignored, ignored_below) = selector.ignore.judge(&whole, &above.ignored);
        let (excluded, excluded_below) = selector.exclude.judge(&relative, &above.excluded);
        let (included, included_below) = match self.include {
            None => (true, Inherited::default()),
            Some(include) => include.judge(&relative, &above.included),
        };
        let hidden = ignored || excluded;
        let dead = (ignored && selector.ignore.prunes(&whole))
            || (excluded && selector.exclude.prunes(&relative));
        if dead {
            return Ok(());
        }
        let stat = match rustix::fs::statat(place.fd, name.as_os_str(), ITSELF) {
            Ok(stat) => stat,
            // Removed since it was listed.
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(errno) => {
                let error = selector
                    .tree
                    .error(Step::Read, &whole, errno.raw_os_error());
                return Err(error.into());
            }
        };
        let Some(entry) = selector.entry(relative, &stat) else {
            return Ok(());
        };
        let visible = !hidden && included;
        if entry.kind != EntryKind::Directory {
            if visible {
                entries.push(entry);
            }
            return Ok(());
        }
        let start = entries.len();
        let relative = entry.path.clone();
        entries.push(entry);
        let below = Below {
            ignored: ignored_below,
            excluded: excluded_below,
            included: included_below,
        };
        let child = self.open(place.fd, name, &whole)?;
        let inner = Place {
            fd: child.as_fd(),
            path: &relative,
            above: &below,
            depth: place.depth + 1,
        };
        self.directory(inner, entries)?;
        if !visible && entries.len() == start + 1 {
            entries.pop();
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
