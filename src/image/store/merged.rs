//! The view that overlayfs would give of a stack of layers, for the few questions that are asked without mounting it.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, open, openat, readlinkat, statat},
    io::Errno,
};

use crate::image::unpack::{is_opaque, is_whiteout};

/// Links followed before a path counts as a loop, as in the kernel.
const LINKS_MAX: usize = 40;

/// Layers, the topmost first.
pub(super) struct Merged {
    layers: Vec<OwnedFd>,
}

/// Where something visible really lies.
pub(super) struct Found {
    /// The directory that holds it.
    pub(super) parent: OwnedFd,
    /// Its name there; `.` for the root.
    pub(super) name: Vec<u8>,
    /// What it is.
    pub(super) kind: FileType,
    /// Its path with all links but the last component's resolved.
    pub(super) path: Vec<u8>,
}

impl Found {
    /// Returns the directory and the name in it.
    pub(super) fn at(&self) -> (BorrowedFd<'_>, &[u8]) {
        (self.parent.as_fd(), &self.name)
    }
}

impl Merged {
    pub(super) fn open(layers: &[PathBuf]) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let layers = layers.iter().map(|layer| open(layer, flags, Mode::empty()));
        Ok(Self {
            layers: layers.collect::<Result<_, _>>()?,
        })
    }

    /// Finds a path, following links in all components but the last.
    pub(super) fn find(&self, path: &[u8]) -> Result<Option<Found>, Errno> {
        let mut left: VecDeque<Vec<u8>> = parts(path).map(<[u8]>::to_vec).collect();
        let mut done: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            if part == b".." {
                drop(done.pop());
                continue;
            }
            done.push(part);
            let Some(found) = self.find_exact(&done)? else {
                return Ok(None);
            };
            if left.is_empty() {
                return Ok(Some(found));
            }
            if found.kind.is_symlink() {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                let target = readlinkat(&found.parent, &*found.name, Vec::new())?;
                let target = target.as_bytes();
                if target.starts_with(b"/") {
                    done.clear();
                } else {
                    drop(done.pop());
                }
                for part in parts(target).collect::<Vec<_>>().into_iter().rev() {
                    left.push_front(part.to_vec());
                }
            } else if !found.kind.is_dir() {
                return Ok(None);
            }
        }
        self.find_exact(&done)
    }

    /// Finds a path without links in the topmost layer that has it, unless something above hides it.
    fn find_exact(&self, path: &[Vec<u8>]) -> Result<Option<Found>, Errno> {
        for layer in &self.layers {
            match look(layer, path)? {
                Look::Here(found) => return Ok(Some(found)),
                Look::Hidden => return Ok(None),
                Look::Absent => {}
            }
        }
        Ok(None)
    }
}

enum Look {
    Here(Found),
    /// Not here, and nothing below shows through.
    Hidden,
    Absent,
}

fn look(layer: &OwnedFd, path: &[Vec<u8>]) -> Result<Look, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut directory = openat(layer, ".", flags, Mode::empty())?;
    let Some((last, parents)) = path.split_last() else {
        return Ok(Look::Here(Found {
            parent: directory,
            name: b".".to_vec(),
            kind: FileType::Directory,
            path: Vec::new(),
        }));
    };
    let mut opaque = false;
    for part in parents {
        match kind_at(&directory, part)? {
            Some(kind) if kind.is_dir() => {}
            Some(_) => return Ok(Look::Hidden),
            None if opaque => return Ok(Look::Hidden),
            None => return Ok(Look::Absent),
        }
        directory = openat(&directory, &**part, flags, Mode::empty())?;
        opaque |= is_opaque(directory.as_fd());
    }
    match kind_at(&directory, last)? {
        Some(_) if is_whiteout(directory.as_fd(), last)? => Ok(Look::Hidden),
        Some(kind) => Ok(Look::Here(Found {
            parent: directory,
            name: last.clone(),
            kind,
            path: path.join(&b'/'),
        })),
        None if opaque => Ok(Look::Hidden),
        None => Ok(Look::Absent),
    }
}

fn kind_at(directory: &OwnedFd, name: &[u8]) -> Result<Option<FileType>, Errno> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}
