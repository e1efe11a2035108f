//! Finds the directory of an entry without ever leaving the root.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2, readlinkat},
    io::Errno,
};

use super::{attributes::apply_time, pending::Newest};

/// Open directories that are kept. Four layers unpack at once, and the usual limit is 1024 files a process.
const OPEN_MAX: usize = 128;
/// Links followed before a path counts as a loop, as in the kernel.
const LINKS_MAX: usize = 40;

/// A path below the root: components without `.`, `..` and empty ones, joined by `/`. The root is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Path(pub(crate) Vec<u8>);

impl Path {
    /// Splits off the last component; `None` for the root.
    pub(crate) fn split(&self) -> Option<(&[u8], &[u8])> {
        if self.0.is_empty() {
            return None;
        }
        Some(match self.0.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&self.0[..slash], &self.0[slash + 1..]),
            None => (b"", &self.0),
        })
    }
}

/// Cleans a name from a stream: it becomes relative to the root, and `..` cannot climb out.
pub(crate) fn clean(name: &[u8]) -> Path {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Path(parts.join(&b'/'))
}

/// Opens a directory below the root, whatever links lie on the way; `""` is the root itself.
pub(crate) fn open_directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    open_resolving(root, path, ResolveFlags::empty())
}

fn open_resolving(root: BorrowedFd<'_>, path: &[u8], more: ResolveFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    loop {
        let opened = openat2(
            root,
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more,
        );
        match opened {
            // A rename elsewhere on the system raced with the look-up of `..`; the kernel asks to try again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// The directories of one layer, opened or made when something is put into them.
pub(super) struct Parents<'a> {
    root: BorrowedFd<'a>,
    open: HashMap<Vec<u8>, (Rc<OwnedFd>, u64)>,
    uses: u64,
    /// Directories made without an entry of their own.
    pub(super) implied: BTreeSet<Vec<u8>>,
    /// Made in the place of a whiteout of this layer: they hide what is below.
    pub(super) replaced_whiteouts: Vec<Vec<u8>>,
}

impl<'a> Parents<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> Self {
        Self {
            root,
            open: HashMap::new(),
            uses: 0,
            implied: BTreeSet::from([Vec::new()]),
            replaced_whiteouts: Vec::new(),
        }
    }

    /// Forgets every open directory: one of them, or a link on the way to it, was replaced.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    /// Returns the directories without an entry that are directories still: a later entry may have replaced one. Sets their times.
    pub(super) fn take_implied(self, mut newest: Newest) -> Result<Vec<Vec<u8>>, Errno> {
        let mut implied = Vec::new();
        // What lies in a directory comes behind it, and is part of its age.
        for path in self.implied.into_iter().rev() {
            match open_resolving(self.root, &path, ResolveFlags::NO_SYMLINKS) {
                Ok(directory) => {
                    let time = newest.of(&path);
                    apply_time(directory.as_fd(), b".", time)?;
                    let path = Path(path);
                    if let Some((parent, _)) = path.split() {
                        newest.add(parent, time);
                    }
                    implied.push(path.0);
                }
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(errno),
            }
        }
        implied.reverse();
        Ok(implied)
    }

    /// Opens a directory that must exist.
    pub(super) fn open(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        self.uses += 1;
        if let Some((directory, used)) = self.open.get_mut(path) {
            *used = self.uses;
            return Ok(Rc::clone(directory));
        }
        let directory = Rc::new(open_directory(self.root, path)?);
        if self.open.len() >= OPEN_MAX {
            let oldest = self.open.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(path, _)| path.clone()) {
                self.open.remove(&oldest);
            }
        }
        self.open
            .insert(path.to_owned(), (Rc::clone(&directory), self.uses));
        Ok(directory)
    }

    /// Opens a directory, making it and its parents when missing.
    pub(super) fn ensure(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        match self.open(path) {
            // A whiteout on the way is no directory.
            Err(Errno::NOENT | Errno::NOTDIR) => {
                self.make(path)?;
                self.open(path)
            }
            result => result,
        }
    }

    /// Walks down by single components, so that links are resolved even where their target does not exist yet.
    fn make(&mut self, path: &[u8]) -> Result<(), Errno> {
        let mut left: VecDeque<Vec<u8>> = path.split(|b| *b == b'/').map(<[u8]>::to_vec).collect();
        let mut done: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            match &*part {
                b"" | b"." => continue,
                b".." => {
                    let parent = done.iter().rposition(|b| *b == b'/').unwrap_or(0);
                    done.truncate(parent);
                    continue;
                }
                _ => {}
            }
            let parent = self.open(&done)?;
            match readlinkat(&*parent, &*part, Vec::new()) {
                Ok(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    let target = target.as_bytes();
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    for part in target.split(|b| *b == b'/').rev() {
                        left.push_front(part.to_vec());
                    }
                    continue;
                }
                Err(Errno::NOENT | Errno::INVAL) => {}
                Err(errno) => return Err(errno),
            }
            if !done.is_empty() {
                done.push(b'/');
            }
            done.extend_from_slice(&part);
            self.make_one(&parent, &part, &done)?;
        }
        Ok(())
    }

    fn make_one(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), Errno> {
        match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {}
            Err(Errno::EXIST) if super::is_whiteout(parent.as_fd(), name)? => {
                rustix::fs::unlinkat(parent, name, rustix::fs::AtFlags::empty())?;
                mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
                self.replaced_whiteouts.push(path.to_owned());
            }
            Err(Errno::EXIST) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        // The umask of this process is none of the image's business.
        rustix::fs::chmodat(
            parent,
            name,
            Mode::from_raw_mode(0o755),
            rustix::fs::AtFlags::empty(),
        )?;
        self.implied.insert(path.to_owned());
        Ok(())
    }
}
