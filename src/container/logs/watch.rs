//! Wakes up when something changes in directories; what changed, the caller finds out by looking.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};

/// What kinds of changes there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changes {
    /// None.
    None,
    /// Files were written to: there may be new lines, nothing else.
    Writes,
    /// Entries came, went or were renamed: everything may be different.
    Entries,
}

/// An inotify instance. Readable when something changed.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
}

impl Watch {
    /// Makes one that watches nothing.
    pub fn open() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { inotify })
    }

    /// Watches a directory: new, renamed and removed entries, and writes to its files. Watching it again changes nothing; one that does not exist is
    /// left out, as its parent's watch will tell when it comes.
    pub fn add(&self, directory: &Path) -> io::Result<()> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.inotify, directory, flags) {
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes note of the changes so far: it is readable again only after the next one. Returns what there was.
    pub fn drain(&self) -> io::Result<Changes> {
        let mut changes = Changes::None;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match events.next() {
                Ok(event) if event.events() == ReadFlags::MODIFY => {
                    changes = changes.max(Changes::Writes);
                }
                // An overflow of the queue is one of these too.
                Ok(_) => changes = Changes::Entries,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(changes),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
