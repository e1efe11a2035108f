//! What lies below watched paths, and what has changed of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fs::Metadata,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};

use super::{Rule, TreeError};

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
pub(super) struct Stamp {
    inode: (u64, u64),
    mode: u32,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What lay at a path at the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Entry {
    /// Of what counts.
    stamp: Option<Stamp>,
    /// Device and inode of a directory that is looked into.
    directory: Option<(u64, u64)>,
}

/// What may be other than at the last look.
#[derive(Debug)]
enum Doubt {
    Everything,
    Paths(BTreeSet<PathBuf>),
}

/// The files below watched paths as they were at the last look.
#[derive(Debug)]
pub struct Tree {
    inotify: OwnedFd,
    /// Watched directories by the kernel's number for them. One that was moved has its new path once that was looked at, which its old and its
    /// new parent call for.
    watched: HashMap<i32, PathBuf>,
    /// The watched paths that lie below no other.
    roots: BTreeMap<PathBuf, Entry>,
    /// What is in each directory that is looked into, if it is one or counts.
    directories: BTreeMap<PathBuf, BTreeMap<OsString, Entry>>,
    doubt: Doubt,
    /// Directories that are watched no more, although another one may be there now, even with the same inode.
    lost: BTreeSet<PathBuf>,
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
            watched: HashMap::new(),
            roots: BTreeMap::new(),
            directories: BTreeMap::new(),
            doubt: Doubt::Everything,
            lost: BTreeSet::new(),
        };
        tree.changes(rules)?;
        Ok(tree)
    }

    /// Lists the files that there were at the last look.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.stamps().into_keys()
    }

    /// Takes the notices that have come; returns whether there were any.
    ///
    /// # Errors
    /// [`TreeError::Io`]
    pub fn drain(&mut self) -> Result<bool, TreeError> {
        let mut buffer = [MaybeUninit::uninit(); NOTICES_BYTES];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut any = false;
        loop {
            let notice = match reader.next() {
                Ok(notice) => notice,
                Err(Errno::AGAIN) => return Ok(any),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(TreeError::of(Path::new("files"))(errno.into())),
            };
            any = true;
            if notice.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                self.doubt = Doubt::Everything;
            } else if notice.events().contains(ReadFlags::IGNORED) {
                self.lost.extend(self.watched.remove(&notice.wd()));
            } else if let (Doubt::Paths(paths), Some(directory)) =
                (&mut self.doubt, self.watched.get(&notice.wd()))
            {
                paths.insert(match notice.file_name() {
                    Some(name) => directory.join(OsStr::from_bytes(name.to_bytes())),
                    None => directory.clone(),
                });
            }
        }
    }

    /// Looks again at what may have changed and returns what is other than at the last look, parents before what is in them.
    ///
    /// # Errors
    /// [`TreeError`]; then everything is looked at the next time.
    pub fn changes(&mut self, rules: &[Rule]) -> Result<BTreeMap<PathBuf, Change>, TreeError> {
        match std::mem::replace(&mut self.doubt, Doubt::Everything) {
            Doubt::Everything => {
                let before = self.stamps();
                self.look_at_everything(rules)?;
                self.lost.clear();
                self.doubt = Doubt::Paths(BTreeSet::new());
                Ok(differences(&before, &self.stamps()))
            }
            Doubt::Paths(mut paths) => {
                let mut changes = BTreeMap::new();
                paths.extend(self.lost.iter().cloned());
                for path in paths {
                    self.look_again(&path, rules, &mut changes)?;
                }
                self.lost.clear();
                self.doubt = Doubt::Paths(BTreeSet::new());
                Ok(changes)
            }
        }
    }

    fn look_at_everything(&mut self, rules: &[Rule]) -> Result<(), TreeError> {
        self.directories.clear();
        let paths: BTreeSet<&Path> = rules.iter().map(|rule| rule.path.as_path()).collect();
        // What lies below another watched path is found on the way.
        let lies_below = |path: &Path| path.ancestors().skip(1).any(|above| paths.contains(above));
        let roots = paths.iter().filter(|path| !lies_below(path));
        self.roots = roots
            .map(|path| (path.to_path_buf(), Entry::default()))
            .collect();
        for root in self.roots.keys().cloned().collect::<Vec<_>>() {
            self.look_at_root(&root, rules, &mut BTreeMap::new())?;
        }
        Ok(())
    }

    /// Looks at a path in doubt, and at the watched paths that it is above of.
    fn look_again(
        &mut self,
        path: &Path,
        rules: &[Rule],
        changes: &mut BTreeMap<PathBuf, Change>,
    ) -> Result<(), TreeError> {
        let roots: Vec<PathBuf> = (self.roots.keys())
            .filter(|root| root.starts_with(path))
            .cloned()
            .collect();
        for root in roots {
            self.look_at_root(&root, rules, changes)?;
        }
        let is_known = |parent: &Path| self.directories.contains_key(parent);
        if path.parent().is_some_and(is_known) {
            self.look(path, rules, changes)?;
        }
        Ok(())
    }

    /// Looks at a watched path. Its directory is watched too: the path may appear, or be replaced.
    fn look_at_root(
        &mut self,
        root: &Path,
        rules: &[Rule],
        changes: &mut BTreeMap<PathBuf, Change>,
    ) -> Result<(), TreeError> {
        // A single file is seen through its directory.
        let events = if root.is_dir() {
            NAMES
        } else {
            NAMES | CONTENT
        };
        let nearest = || root.ancestors().skip(1).find(|above| above.is_dir());
        for _deeper in root.components() {
            let above = nearest();
            if let Some(above) = above {
                self.watch(above, events)?;
            }
            // What is made before it was watched is not told.
            if nearest() == above {
                break;
            }
        }
        self.look(root, rules, changes)
    }

    /// Looks at a path and, if another directory is there now, at all that is in it.
    fn look(
        &mut self,
        path: &Path,
        rules: &[Rule],
        changes: &mut BTreeMap<PathBuf, Change>,
    ) -> Result<(), TreeError> {
        let now = match fs_err::symlink_metadata(path) {
            Ok(metadata) => self.judge(path, &metadata, rules),
            Err(error) if is_gone(&error) => Entry::default(),
            Err(error) => return Err(TreeError::of(path)(error)),
        };
        let before = self.put(path, now);
        let is_same = before.directory == now.directory && !self.lost.remove(path);
        if !is_same {
            self.forget(path, changes);
        }
        if now.stamp != before.stamp {
            let change = now.stamp.map_or(Change::Gone, |_| Change::Other);
            changes.insert(path.to_owned(), change);
        }
        if !is_same && now.directory.is_some() {
            self.enter(path, rules, changes)?;
        }
        Ok(())
    }

    fn judge(&self, path: &Path, metadata: &Metadata, rules: &[Rule]) -> Entry {
        let counts = rules.iter().any(|rule| rule.place_of(path).is_some());
        let is_deep = || {
            let root = self.roots.keys().find(|root| path.starts_with(root));
            let depth = |path: &Path| path.components().count();
            root.is_some_and(|root| depth(path) - depth(root) >= DEPTH_MAX)
        };
        let is_entered =
            metadata.is_dir() && rules.iter().any(|rule| rule.enters(path)) && !is_deep();
        Entry {
            stamp: counts.then(|| stamp(metadata)),
            directory: is_entered.then(|| (metadata.dev(), metadata.ino())),
        }
    }

    /// Notes what is at a path now, and returns what was there.
    fn put(&mut self, path: &Path, now: Entry) -> Entry {
        if let Some(root) = self.roots.get_mut(path) {
            return std::mem::replace(root, now);
        }
        let listing = path
            .parent()
            .and_then(|parent| self.directories.get_mut(parent));
        let (Some(listing), Some(name)) = (listing, path.file_name()) else {
            return Entry::default();
        };
        let before = if now == Entry::default() {
            listing.remove(name)
        } else {
            listing.insert(name.to_owned(), now)
        };
        before.unwrap_or_default()
    }

    /// Counts what was in a directory as gone.
    fn forget(&mut self, directory: &Path, changes: &mut BTreeMap<PathBuf, Change>) {
        for (name, entry) in self.directories.remove(directory).unwrap_or_default() {
            let path = directory.join(name);
            if entry.directory.is_some() {
                self.forget(&path, changes);
            }
            if entry.stamp.is_some() {
                changes.insert(path, Change::Gone);
            }
        }
    }

    fn enter(
        &mut self,
        directory: &Path,
        rules: &[Rule],
        changes: &mut BTreeMap<PathBuf, Change>,
    ) -> Result<(), TreeError> {
        // Watched first and read then: what comes in between is found by one of the two.
        self.watch(directory, NAMES | CONTENT)?;
        self.directories
            .insert(directory.to_owned(), BTreeMap::new());
        let entries = match fs_err::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(TreeError::of(directory)(error)),
        };
        for entry in entries {
            match entry {
                Ok(entry) => self.look(&entry.path(), rules, changes)?,
                Err(error) if is_gone(&error) => return Ok(()),
                Err(error) => return Err(TreeError::of(directory)(error)),
            }
        }
        Ok(())
    }

    /// Watches a directory, unless it is gone. One that is watched already stays so.
    fn watch(&mut self, directory: &Path, events: WatchFlags) -> Result<(), TreeError> {
        let flags = WatchFlags::ONLYDIR | WatchFlags::EXCL_UNLINK | WatchFlags::MASK_ADD;
        match inotify::add_watch(&self.inotify, directory, events | flags) {
            Ok(number) => drop(self.watched.insert(number, directory.to_owned())),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(TreeError::of(directory)(errno.into())),
        }
        Ok(())
    }

    pub(super) fn stamps(&self) -> BTreeMap<PathBuf, Stamp> {
        let roots = self.roots.iter().map(|(path, entry)| (path.clone(), entry));
        let others = self.directories.iter().flat_map(|(directory, listing)| {
            (listing.iter()).map(move |(name, entry)| (directory.join(name), entry))
        });
        let all = roots.chain(others);
        all.filter_map(|(path, entry)| Some((path, entry.stamp?)))
            .collect()
    }
}

impl AsFd for Tree {
    /// Is readable when something may have changed.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

pub(super) fn differences(
    before: &BTreeMap<PathBuf, Stamp>,
    now: &BTreeMap<PathBuf, Stamp>,
) -> BTreeMap<PathBuf, Change> {
    let gone = before.keys().filter(|path| !now.contains_key(*path));
    let gone = gone.map(|path| (path.clone(), Change::Gone));
    let others = now
        .iter()
        .filter(|(path, stamp)| before.get(*path) != Some(*stamp));
    gone.chain(others.map(|(path, _)| (path.clone(), Change::Other)))
        .collect()
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Of a directory only its being there counts: what is in it stands for itself.
fn stamp(metadata: &Metadata) -> Stamp {
    let of_file = |value: i64| if metadata.is_dir() { 0 } else { value };
    Stamp {
        inode: (metadata.dev(), metadata.ino()),
        mode: metadata.mode(),
        size: if metadata.is_dir() {
            0
        } else {
            metadata.size()
        },
        modified: (of_file(metadata.mtime()), of_file(metadata.mtime_nsec())),
        changed: (of_file(metadata.ctime()), of_file(metadata.ctime_nsec())),
    }
}
