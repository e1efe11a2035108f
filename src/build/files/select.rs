//! What COPY selects: patterns become paths, directories become lists of entries, hidden things are left out. Reads names and attributes
//! only, never contents.

use std::{
    ffi::OsString,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Stat};

use super::{
    tree::{Resolved, Tree},
    walk::{Below, Walk},
};
use crate::build::{
    context::Stamp,
    dockerfile::PathPattern,
    ignore::{Ignore, Inherited},
    path,
};

/// How deep a tree may be: a limit against loops of bind mounts.
pub(super) const DEPTH_MAX: usize = 1024;

/// What to look for and what to leave out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selector<'a> {
    pub(crate) tree: &'a Tree,
    /// `.dockerignore`, relative to the tree.
    pub(crate) ignore: &'a Ignore,
    /// `--exclude`, relative to each source.
    pub(crate) exclude: &'a Ignore,
    /// Entries belong to root whatever the disk says: contexts carry no owners.
    pub(crate) ownerless: bool,
    /// `--parents`: sources keep their directories.
    pub(crate) parents: bool,
}

/// One selected source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its name in a destination directory.
    pub(crate) name: OsString,
    /// Where it is.
    pub(crate) source: Resolved,
    /// The source itself (empty path) and what is below it, each directory before its entries, sorted.
    pub(crate) entries: Vec<Entry>,
}

impl Item {
    pub(crate) fn is_directory(&self) -> bool {
        self.entries
            .first()
            .is_some_and(|entry| entry.kind == EntryKind::Directory)
    }
}

/// A file of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative to the item.
    pub(crate) path: PathBuf,
    pub(crate) kind: EntryKind,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, i64),
    pub(crate) size: u64,
    /// Device number of a device.
    pub(crate) device: u64,
    /// Identity of the file when it has more than one name.
    pub(crate) shared: Option<(u64, u64)>,
    /// What tells whether it changed.
    pub(crate) stamp: Stamp,
}

impl Entry {
    pub(crate) fn is_regular_file(&self) -> bool {
        self.kind == EntryKind::File
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Directory,
    File,
    Link,
    CharacterDevice,
    BlockDevice,
    Fifo,
}

/// Nothing could be selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// There is no such path.
    #[error("`{0}` does not exist")]
    NotFound(String),
    /// There is, but `.dockerignore` hides it.
    #[error("`{0}` is hidden by .dockerignore")]
    Hidden(String),
    /// Not a pattern.
    #[error("`{0}` is not a valid pattern")]
    Pattern(String),
    /// Directories nest without end.
    #[error("`{0}`: directories nest deeper than {DEPTH_MAX}")]
    Depth(String),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] runtime::Error),
}

impl Selector<'_> {
    /// Selects the files that one source of COPY names. A pattern may match nothing; a plain path must exist.
    pub(crate) fn select(&self, source: &str) -> Result<Vec<Item>, SelectError> {
        if self.parents {
            return self.with_parents(source);
        }
        let cleaned = path::below_root(source);
        let Some((fixed, pattern)) = split_wildcards(&cleaned) else {
            let resolved = self.tree.resolve(Path::new(&cleaned))?;
            return Ok(vec![self.item(
                source,
                path::base(&cleaned).into(),
                resolved,
            )?]);
        };
        let matched = self.matches(&fixed, &pattern)?;
        matched
            .into_iter()
            .map(|found| {
                let resolved = self.tree.resolve(found.as_path())?;
                let name = found.name().unwrap_or_default().to_owned();
                self.item(source, name, resolved)
            })
            .collect()
    }

    /// Selects one file of the root by its name, in which nothing is a wildcard.
    pub(crate) fn select_exact(&self, name: &str) -> Result<Vec<Item>, SelectError> {
        let source = Resolved::root().entry(name);
        Ok(vec![self.item(name, name.into(), source)?])
    }

    /// `--parents`: what is before `/./` is cut off, the rest is kept as directories.
    fn with_parents(&self, source: &str) -> Result<Vec<Item>, SelectError> {
        let (base, pattern) = source.split_once("/./").unwrap_or(("", source));
        let base = path::below_root(base);
        let pattern = path::below_root(pattern);
        let plain = !has_wildcard(&base) && !has_wildcard(&pattern);
        let include = Ignore::of_patterns([pattern.as_str()]).map_err(SelectError::Pattern)?;
        let bases = match split_wildcards(&base) {
            None => vec![self.tree.resolve(Path::new(&base))?],
            Some((fixed, pattern)) => self.matches(&fixed, &pattern)?,
        };
        let mut items = Vec::new();
        for base in bases {
            let base = self.tree.resolve(base.as_path())?;
            if !self.is_directory(&base)? {
                continue;
            }
            let include = (!include.is_empty()).then_some(&include);
            let item = self.filtered(OsString::new(), base, include)?;
            // Nothing but the base itself was selected.
            if item.entries.len() > 1 || include.is_none() {
                items.push(item);
            }
        }
        if items.is_empty() && plain {
            return Err(SelectError::NotFound(source.to_owned()));
        }
        Ok(items)
    }

    fn item(&self, written: &str, name: OsString, source: Resolved) -> Result<Item, SelectError> {
        if !self.tree.exists(&source)? {
            return Err(SelectError::NotFound(written.to_owned()));
        }
        let item = self.filtered(name, source, None)?;
        if item.entries.is_empty() && self.ignore.hides(item.source.as_path()) {
            return Err(SelectError::Hidden(written.to_owned()));
        }
        Ok(item)
    }

    fn is_directory(&self, path: &Resolved) -> Result<bool, SelectError> {
        Ok(self
            .tree
            .stat(path)?
            .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
    }

    /// Lists a source with all that is below it.
    fn filtered(
        &self,
        name: OsString,
        source: Resolved,
        include: Option<&Ignore>,
    ) -> Result<Item, SelectError> {
        let mut item = Item {
            name,
            source,
            entries: Vec::new(),
        };
        let Some(stat) = self.tree.stat(&item.source)? else {
            return Ok(item);
        };
        let (mut hidden, inherited) = inherit(self.ignore, item.source.as_path());
        let Some(entry) = self.entry(PathBuf::new(), &stat) else {
            return Ok(item);
        };
        if entry.kind != EntryKind::Directory {
            hidden |= self.exclude.hides(Path::new(&item.name));
            if !hidden {
                item.entries.push(entry);
            }
            return Ok(item);
        }
        let root = self.tree.directory(&item.source)?;
        let walk = Walk::new(self, item.source.as_path(), include);
        let below = Below {
            ignored: inherited,
            excluded: Inherited::default(),
            included: Inherited::default(),
        };
        let mut entries = vec![entry];
        walk.below(root.as_fd(), &below, &mut entries)?;
        // A hidden directory counts only when something below came back.
        if !hidden || entries.len() > 1 {
            item.entries = entries;
        }
        Ok(item)
    }

    pub(super) fn entry(&self, path: PathBuf, stat: &Stat) -> Option<Entry> {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => EntryKind::Directory,
            FileType::RegularFile => EntryKind::File,
            FileType::Symlink => EntryKind::Link,
            FileType::CharacterDevice => EntryKind::CharacterDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Fifo => EntryKind::Fifo,
            // Sockets mean nothing without the process that listens.
            _ => return None,
        };
        let owner = |id: u32| if self.ownerless { 0 } else { id };
        Some(Entry {
            path,
            kind,
            mode: stat.st_mode & 0o7777,
            uid: owner(stat.st_uid),
            gid: owner(stat.st_gid),
            mtime: (stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
            size: if kind == EntryKind::File {
                stat.st_size.unsigned_abs()
            } else {
                0
            },
            device: match kind {
                EntryKind::CharacterDevice | EntryKind::BlockDevice => stat.st_rdev,
                _ => 0,
            },
            shared: (kind != EntryKind::Directory && stat.st_nlink > 1)
                .then_some((stat.st_dev, stat.st_ino)),
            stamp: Stamp::of(stat),
        })
    }

    /// Finds the visible paths below a fixed directory that match a pattern; a matching directory is not entered.
    fn matches(&self, fixed: &str, pattern: &str) -> Result<Vec<Resolved>, SelectError> {
        let compiled = PathPattern::file_match(pattern)
            .map_err(|_bad| SelectError::Pattern(pattern.to_owned()))?;
        let base = self.tree.resolve(Path::new(fixed))?;
        let mut found = Vec::new();
        if self.is_directory(&base)? {
            let (_, inherited) = inherit(self.ignore, base.as_path());
            self.glob(&compiled, &base, Path::new(""), &inherited, &mut found)?;
        }
        Ok(found)
    }

    fn glob(
        &self,
        pattern: &PathPattern,
        base: &Resolved,
        below: &Path,
        inherited: &Inherited,
        found: &mut Vec<Resolved>,
    ) -> Result<(), SelectError> {
        if below.components().count() > DEPTH_MAX {
            return Err(SelectError::Depth(below.display().to_string()));
        }
        for name in self.tree.names(&base.entry(below))? {
            let relative = below.join(name);
            let candidate = base.entry(&relative);
            let (hidden, inherited) = self.ignore.judge(candidate.as_path(), inherited);
            if hidden && self.ignore.prunes(candidate.as_path()) {
                continue;
            }
            let text = relative.to_string_lossy();
            if pattern.matches(&text) {
                // A hidden directory is selected only if something below is visible.
                if !hidden
                    || !self
                        .filtered("".into(), candidate.clone(), None)?
                        .entries
                        .is_empty()
                {
                    found.push(candidate);
                }
            } else if pattern.may_match_below(&text) && self.is_directory(&candidate)? {
                self.glob(pattern, base, &relative, &inherited, found)?;
            }
        }
        Ok(())
    }
}

/// Judges a path with its parents: whether it is hidden, and what is below it inherits.
fn inherit(ignore: &Ignore, path: &Path) -> (bool, Inherited) {
    let mut state = (false, Inherited::default());
    let mut whole = PathBuf::new();
    for component in path.components() {
        whole.push(component);
        state = ignore.judge(&whole, &state.1);
    }
    state
}

fn has_wildcard(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// Splits a path before its first component with a wildcard; `None` = it has none.
fn split_wildcards(path: &str) -> Option<(String, String)> {
    let mut parts = path.split('/');
    let fixed: Vec<&str> = parts
        .by_ref()
        .take_while(|part| !has_wildcard(part))
        .collect();
    let at = fixed.iter().map(|part| part.len() + 1).sum::<usize>();
    has_wildcard(path).then(|| (fixed.join("/"), path[at..].to_owned()))
}
