//! What lies below watched paths, and what has changed of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{self, CreateFlags, Reader, WatchFlags},
    io::Errno,
};

use super::Rule;

/// Deepest nesting that is looked at.
const DEPTH_MAX: usize = 128;
/// Bytes of notices that are read at a time.
const NOTICES_BYTES: usize = 16 << 10;

/// Names of a directory come and go.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::MOVE_SELF);
/// Its files change. Not that one was opened or read.
const CONTENT: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CLOSE_WRITE);

/// Files cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The kernel watches no more for this user.
    #[error(
        "watch {}: this user watches as many directories as the kernel allows: raise fs.inotify.max_user_watches or max_user_instances, or ignore directories that do not matter (`develop.watch[].ignore`)",
        path.display()
    )]
    Limit {
        /// The directory.
        path: PathBuf,
    },
    /// Something else went wrong.
    #[error("watch {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl TreeError {
    fn of(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |source| {
            let path = path.to_owned();
            match Errno::from_io_error(&source) {
                Some(Errno::NOSPC | Errno::MFILE) => Self::Limit { path },
                _ => Self::Io { path, source },
            }
        }
    }
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is gone.
    Gone,
    /// It is new, or other than before.
    Other,
}

/// What tells two states of a file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    mode: u32,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The files below watched paths as they were at the last look.
#[derive(Debug)]
pub struct Tree {
    inotify: OwnedFd,
    seen: BTreeMap<PathBuf, Stamp>,
}

impl Tree {
    /// Begins to watch what the rules name, and takes a first look, which finds no changes. Files that are not there yet are waited for.
    ///
    /// # Errors
    /// [`TreeError`]
    pub fn open(rules: &[Rule]) -> Result<Self, TreeError> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|errno| TreeError::of(Path::new("files"))(errno.into()))?;
        let mut tree = Self {
            inotify,
            seen: BTreeMap::new(),
        };
        tree.changes(rules)?;
        Ok(tree)
    }

    /// Lists the files that there were at the last look.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.seen.keys().map(PathBuf::as_path)
    }

    /// Forgets the notices that have come; returns whether there were any.
    ///
    /// # Errors
    /// [`TreeError::Io`]
    pub fn drain(&self) -> Result<bool, TreeError> {
        let mut buffer = [MaybeUninit::uninit(); NOTICES_BYTES];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut any = false;
        loop {
            match reader.next() {
                Ok(_) => any = true,
                Err(Errno::AGAIN) => return Ok(any),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(TreeError::of(Path::new("files"))(errno.into())),
            }
        }
    }

    /// Looks again and returns what is other than at the last look, parents before what is in them.
    ///
    /// # Errors
    /// [`TreeError`]
    pub fn changes(&mut self, rules: &[Rule]) -> Result<BTreeMap<PathBuf, Change>, TreeError> {
        let mut look = Look {
            inotify: &self.inotify,
            rules,
            found: BTreeMap::new(),
        };
        let paths: BTreeSet<&Path> = rules.iter().map(|rule| rule.path.as_path()).collect();
        for path in &paths {
            // What lies below another watched path is found on the way.
            if !path.ancestors().skip(1).any(|above| paths.contains(above)) {
                look.root(path)?;
            }
        }
        let found = look.found;
        let gone = self.seen.keys().filter(|path| !found.contains_key(*path));
        let mut changes: BTreeMap<PathBuf, Change> =
            gone.map(|path| (path.clone(), Change::Gone)).collect();
        for (path, stamp) in &found {
            if self.seen.get(path) != Some(stamp) {
                changes.insert(path.clone(), Change::Other);
            }
        }
        self.seen = found;
        Ok(changes)
    }
}

impl AsFd for Tree {
    /// Is readable when something may have changed.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// One look at everything.
struct Look<'a> {
    inotify: &'a OwnedFd,
    rules: &'a [Rule],
    found: BTreeMap<PathBuf, Stamp>,
}

impl Look<'_> {
    /// Looks at a watched path. Its directory is watched too: the path may appear, or be replaced.
    fn root(&mut self, path: &Path) -> Result<(), TreeError> {
        // A single file is seen through its directory.
        let events = if path.is_dir() {
            NAMES
        } else {
            NAMES | CONTENT
        };
        for above in path.ancestors().skip(1) {
            if self.watch(above, events)? {
                break;
            }
        }
        self.entry(path, 0)
    }

    fn entry(&mut self, path: &Path, depth: usize) -> Result<(), TreeError> {
        let metadata = match fs_err::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(TreeError::of(path)(error)),
        };
        let is_directory = metadata.is_dir();
        if self.rules.iter().any(|rule| rule.place_of(path).is_some()) {
            self.found
                .insert(path.to_owned(), stamp(&metadata, is_directory));
        }
        if is_directory && depth < DEPTH_MAX && self.rules.iter().any(|rule| rule.enters(path)) {
            // Watched first and read then: what comes in between is found by one of the two.
            self.watch(path, NAMES | CONTENT)?;
            self.directory(path, depth)?;
        }
        Ok(())
    }

    fn directory(&mut self, path: &Path, depth: usize) -> Result<(), TreeError> {
        let entries = match fs_err::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(TreeError::of(path)(error)),
        };
        for entry in entries {
            match entry {
                Ok(entry) => self.entry(&entry.path(), depth + 1)?,
                Err(error) if is_gone(&error) => return Ok(()),
                Err(error) => return Err(TreeError::of(path)(error)),
            }
        }
        Ok(())
    }

    /// Watches a directory; false when it is gone. One that is watched already stays so.
    fn watch(&self, directory: &Path, events: WatchFlags) -> Result<bool, TreeError> {
        let flags = WatchFlags::ONLYDIR | WatchFlags::EXCL_UNLINK | WatchFlags::MASK_ADD;
        match inotify::add_watch(self.inotify, directory, events | flags) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(TreeError::of(directory)(errno.into())),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Of a directory only its being there counts: what is in it stands for itself.
fn stamp(metadata: &std::fs::Metadata, is_directory: bool) -> Stamp {
    let of_file = |value: i64| if is_directory { 0 } else { value };
    Stamp {
        inode: (metadata.dev(), metadata.ino()),
        mode: metadata.mode(),
        size: if is_directory { 0 } else { metadata.size() },
        modified: (of_file(metadata.mtime()), of_file(metadata.mtime_nsec())),
        changed: (of_file(metadata.ctime()), of_file(metadata.ctime_nsec())),
    }
}
