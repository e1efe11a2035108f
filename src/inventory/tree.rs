//! The layers of an image as the one tree that they make, and which layer each file is of.
//!
//! It merges as overlayfs does: a character device 0:0 hides what is below (a whiteout), a directory with the attribute
//! `trusted.overlay.opaque=y` hides the directories below. Other views of layers hold a descriptor for each directory on the
//! way; this one walks whole images, so it opens every directory by its path below the layer, with `openat2(2)` and
//! `RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH` (Linux 5.6), and holds as many descriptors as there are layers, however deep it goes.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, VecDeque},
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, open, openat2, statat},
    io::Errno,
};

use super::{
    InventoryError, LayerFiles, StoredFile,
    path::{join, parent, parts, shown},
};

/// Symbolic links followed in one path, as many as the kernel follows.
const LINKS_MAX: usize = 40;

/// Directories whose layers are remembered.
const REMEMBERED_MAX: usize = 100_000;

/// Names in one directory; what is beyond is not seen, and said so.
const NAMES_MAX: usize = 1_000_000;

/// Entries of a whole image; what is beyond is not seen, and said so.
const ENTRIES_MAX: u64 = 20_000_000;

/// The merged tree.
#[derive(Debug)]
pub(super) struct Tree {
    /// Layers, the topmost first.
    levels: Vec<Level>,
    /// Which levels make up a directory, by its path.
    remembered: RefCell<HashMap<Vec<u8>, Option<Levels>>>,
}

type Levels = Rc<[usize]>;

/// Takes a path and what is there.
pub(super) type Visit<'a> = dyn FnMut(&[u8], Node) -> Result<(), InventoryError> + 'a;

#[derive(Debug)]
struct Level {
    root: OwnedFd,
    layer: usize,
}

/// Something in the tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// Position among the levels.
    level: usize,
    /// Number of its layer, the lowest is 0.
    pub(super) layer: usize,
    /// What it is.
    pub(super) kind: FileType,
    /// Its permission bits.
    pub(super) mode: u32,
    /// Bytes of a regular file.
    pub(super) size: u64,
}

impl Tree {
    /// Opens the directories of layers, the topmost first.
    pub(super) fn open(layers: &[LayerFiles]) -> Result<Self, InventoryError> {
        let mut levels = Vec::new();
        for layer in layers {
            let failed = |errno: Errno| InventoryError::Layer {
                path: layer.directory.clone(),
                source: errno.into(),
            };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = open(&layer.directory, flags, Mode::empty()).map_err(failed)?;
            let is_last = is_opaque(&root).map_err(failed)?;
            levels.push(Level {
                root,
                layer: layer.number,
            });
            if is_last {
                break;
            }
        }
        Ok(Self {
            levels,
            remembered: RefCell::default(),
        })
    }

    /// Finds what a path leads to, all links followed inside the tree, and the path without links.
    pub(super) fn resolve(&self, path: &[u8]) -> Result<Option<(Vec<u8>, Node)>, InventoryError> {
        let mut left: VecDeque<Vec<u8>> = parts(path).map(<[u8]>::to_vec).collect();
        let mut done: Vec<u8> = Vec::new();
        let mut node = None;
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            if part == b".." {
                parent(&mut done);
                node = None;
                continue;
            }
            let Some(found) = self.entry(&done, &part)? else {
                return Ok(None);
            };
            if found.kind.is_symlink() {
                links += 1;
                if links > LINKS_MAX {
                    return Ok(None);
                }
                let target = self.link(&join(&done, &part), found)?;
                if target.starts_with(b"/") {
                    done.clear();
                }
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    left.push_front(part.to_vec());
                }
                node = None;
                continue;
            }
            done = join(&done, &part);
            node = Some(found);
        }
        if node.is_none() {
            node = self.exact(&done)?;
        }
        Ok(node.map(|node| (done, node)))
    }

    /// Finds a regular file by a path, links followed.
    pub(super) fn file(&self, path: &[u8]) -> Result<Option<(Vec<u8>, Node)>, InventoryError> {
        let found = self.resolve(path)?;
        Ok(found.filter(|(_, node)| node.kind.is_file()))
    }

    /// Opens a regular file by its path without links.
    pub(super) fn open_file(&self, path: &[u8], node: &Node) -> Result<StoredFile, InventoryError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self
            .open_at(node.level, path, flags)
            .map_err(|errno| failed(path, errno))?;
        Ok(StoredFile::new(fd.into(), node.size))
    }

    /// Opens every layer's own copy of a regular file, the lowest layer's first.
    pub(super) fn copies(&self, path: &[u8]) -> Result<Vec<(usize, StoredFile)>, InventoryError> {
        let mut copies = Vec::new();
        for (number, level) in self.levels.iter().enumerate().rev() {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
            let fd = match self.open_at(number, path, flags) {
                Ok(fd) => fd,
                // Not here, a link, or a whiteout (a device that nothing drives).
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => continue,
                Err(errno) => return Err(failed(path, errno)),
            };
            let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(path, errno))?;
            if FileType::from_raw_mode(stat.st_mode).is_file() {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                copies.push((level.layer, StoredFile::new(fd.into(), size)));
            }
        }
        Ok(copies)
    }

    /// Returns what is in a directory, by its path without links; nothing where there is no directory.
    pub(super) fn list(&self, path: &[u8]) -> Result<Vec<(Vec<u8>, Node)>, InventoryError> {
        match self.levels_of(path)? {
            Some(levels) => Ok(self.merge(path, &levels)?.0.into_iter().collect()),
            None => Ok(Vec::new()),
        }
    }

    /// Visits everything but directories, in a fixed order. Returns what it did not see, with the reason.
    pub(super) fn walk(
        &self,
        visit: &mut Visit<'_>,
    ) -> Result<Vec<(Vec<u8>, &'static str)>, InventoryError> {
        let all: Levels = (0..self.levels.len()).collect();
        let mut waiting = vec![(Vec::new(), all)];
        let mut unseen = Vec::new();
        let mut entries: u64 = 0;
        while let Some((path, levels)) = waiting.pop() {
            let (names, is_whole) = self.merge(&path, &levels)?;
            if !is_whole {
                unseen.push((path.clone(), "too many names in one directory"));
            }
            for (name, node) in names {
                entries += 1;
                let path = join(&path, &name);
                if !node.kind.is_dir() {
                    visit(&path, node)?;
                    continue;
                }
                match self.below(&path, &levels[..], node.level) {
                    Ok(levels) => waiting.push((path, levels)),
                    Err(Errno::NAMETOOLONG) => {
                        unseen.push((path, "its path is longer than 4096 bytes"));
                    }
                    Err(errno) => return Err(failed(&path, errno)),
                }
            }
            if entries > ENTRIES_MAX {
                unseen.push((path, "the image has more than 20 million files"));
                break;
            }
        }
        Ok(unseen)
    }

    /// Merges a directory of some levels; the flag tells whether all of it was seen.
    fn merge(
        &self,
        path: &[u8],
        levels: &[usize],
    ) -> Result<(BTreeMap<Vec<u8>, Node>, bool), InventoryError> {
        let mut names: BTreeMap<Vec<u8>, Option<Node>> = BTreeMap::new();
        let mut is_whole = true;
        for level in levels {
            let directory = self.open_at(*level, path, DIRECTORY);
            let directory = directory.map_err(|errno| failed(path, errno))?;
            for entry in Dir::read_from(&directory).map_err(|errno| failed(path, errno))? {
                let entry = entry.map_err(|errno| failed(path, errno))?;
                let name = entry.file_name().to_bytes();
                if name == b"." || name == b".." || names.contains_key(name) {
                    continue;
                }
                if names.len() >= NAMES_MAX {
                    is_whole = false;
                    break;
                }
                let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| failed(&join(path, name), errno))?;
                names.insert(name.to_vec(), self.node(*level, &stat));
            }
        }
        let seen = names.into_iter();
        let seen = seen.filter_map(|(name, node)| Some((name, node?)));
        Ok((seen.collect(), is_whole))
    }

    /// Makes a node; `None` for a whiteout.
    fn node(&self, level: usize, stat: &Stat) -> Option<Node> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        (!(kind.is_char_device() && stat.st_rdev == 0)).then(|| Node {
            level,
            layer: self.levels[level].layer,
            kind,
            mode: stat.st_mode & 0o7777,
            size: u64::try_from(stat.st_size).unwrap_or(0),
        })
    }

    /// Returns the levels that show through each other in a directory, given those of its parent and the topmost that has it.
    fn below(&self, path: &[u8], levels: &[usize], top: usize) -> Result<Levels, Errno> {
        let mut found = Vec::new();
        for level in levels.iter().copied().filter(|level| *level >= top) {
            match self.open_at(level, path, DIRECTORY) {
                Ok(directory) => {
                    found.push(level);
                    if is_opaque(&directory)? {
                        break;
                    }
                }
                Err(Errno::NOENT) => {}
                // A file or a whiteout: what lies below it does not show.
                Err(Errno::NOTDIR | Errno::LOOP) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(found.into())
    }

    fn levels_of(&self, path: &[u8]) -> Result<Option<Levels>, InventoryError> {
        if path.is_empty() {
            return Ok(Some((0..self.levels.len()).collect()));
        }
        if let Some(levels) = self.remembered.borrow().get(path) {
            return Ok(levels.clone());
        }
        let mut above = path.to_vec();
        parent(&mut above);
        let levels = match (self.levels_of(&above)?, self.exact(path)?) {
            (Some(levels), Some(node)) if node.kind.is_dir() => {
                let below = self.below(path, &levels, node.level);
                Some(below.map_err(|errno| failed(path, errno))?)
            }
            _ => None,
        };
        let mut remembered = self.remembered.borrow_mut();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(path.to_vec(), levels.clone());
        Ok(levels)
    }

    fn exact(&self, path: &[u8]) -> Result<Option<Node>, InventoryError> {
        let mut above = path.to_vec();
        let name = parent(&mut above);
        if name.is_empty() {
            let root = self.levels.first();
            let stat = root.map(|level| rustix::fs::fstat(&level.root)).transpose();
            let stat = stat.map_err(|errno| failed(path, errno))?;
            return Ok(stat.and_then(|stat| self.node(0, &stat)));
        }
        self.entry(&above, &name)
    }

    /// Finds a name in a directory, by the directory's path without links.
    fn entry(&self, directory: &[u8], name: &[u8]) -> Result<Option<Node>, InventoryError> {
        let Some(levels) = self.levels_of(directory)? else {
            return Ok(None);
        };
        let path = join(directory, name);
        for level in levels.iter().copied() {
            match self.open_at(level, &path, OFlags::PATH | OFlags::NOFOLLOW) {
                Ok(fd) => {
                    let stat = rustix::fs::fstat(&fd).map_err(|errno| failed(&path, errno))?;
                    return Ok(self.node(level, &stat));
                }
                Err(Errno::NOENT) => {}
                // Names that no filesystem has: the databases of an image can say anything.
                Err(Errno::NAMETOOLONG | Errno::INVAL) => return Ok(None),
                Err(errno) => return Err(failed(&path, errno)),
            }
        }
        Ok(None)
    }

    fn link(&self, path: &[u8], node: Node) -> Result<Vec<u8>, InventoryError> {
        let fd = self.open_at(node.level, path, OFlags::PATH | OFlags::NOFOLLOW);
        let target = fd.and_then(|fd| rustix::fs::readlinkat(&fd, c"", Vec::new()));
        let target = target.map_err(|errno| failed(path, errno))?;
        Ok(target.into_bytes())
    }

    fn open_at(&self, level: usize, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        openat2(
            self.levels[level].root.as_fd(),
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        )
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

fn is_opaque(directory: &OwnedFd) -> Result<bool, Errno> {
    let mut value = [0; 1];
    match rustix::fs::fgetxattr(directory, c"trusted.overlay.opaque", &mut value[..]) {
        Ok(length) => Ok(length == 1 && value[0] == b'y'),
        // Longer than `y`: not a mark.
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn failed(path: &[u8], errno: Errno) -> InventoryError {
    InventoryError::File {
        path: shown(path),
        source: errno.into(),
    }
}
