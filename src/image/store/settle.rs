//! What an unpacked layer still needs from the layers below it.
//!
//! Layers are unpacked all at once and kept by diff id, independent of what lies below. Two things cannot be so:
//! a hard link to a file of a lower layer, which is copied up here, and directories that the stream does not
//! describe, which have the owner, mode and attributes of the ones below them. A layer that needed either is kept
//! by its chain id instead (`layers/chain-<hex>`), since with other layers below it would be another directory.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, XattrFlags, linkat, mkdirat, open, openat, statat,
        unlinkat,
    },
    io::Errno,
};

use super::{layer::LayerMeta, merged::Merged};
use crate::image::unpack::{
    ExternalLink, OPAQUE, UnpackError, clean, copy_attributes, copy_file, display, is_opaque,
    is_whiteout, open_directory, read_xattrs, set_time_of,
};

/// Tells whether a layer that is kept by diff id may lie on these layers: what it implies must be equal below.
pub(super) fn fits(fs: &Path, meta: &LayerMeta, below: &Merged) -> Result<bool, Errno> {
    let root = open_root(fs)?;
    for path in meta.implied_paths() {
        let Some(found) = below.find(&path)? else {
            continue;
        };
        if found.kind.is_dir() && !is_alike(root.as_fd(), &path, found.at())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Completes a layer's directory from the layers below it; returns whether that was needed.
pub(super) fn settle(
    fs: &Path,
    meta: &LayerMeta,
    links: &[ExternalLink],
    below: &Merged,
) -> Result<bool, UnpackError> {
    let root = open_root(fs).map_err(|errno| kernel(b"", "open the layer", errno))?;
    let mut changed = false;
    for path in meta.implied_paths() {
        let at = |errno| kernel(&path, "take over the directory below", errno);
        let Some(found) = below.find(&path).map_err(at)? else {
            continue;
        };
        if found.kind.is_dir() && !is_alike(root.as_fd(), &path, found.at()).map_err(at)? {
            let directory = open_directory(root.as_fd(), &path).map_err(at)?;
            copy_attributes(found.at(), (directory.as_fd(), b".")).map_err(at)?;
            changed = true;
        }
    }
    for link in links {
        make_link(root.as_fd(), link, below)?;
        changed = true;
    }
    Ok(changed)
}

/// Copies a layer's tree with hard links for everything but directories: it costs names, not data.
pub(super) fn clone_tree(from: &Path, to: &Path) -> Result<(), Errno> {
    let source = open_root(from)?;
    rustix::fs::mkdir(to, Mode::from_raw_mode(0o700))?;
    let target = open_root(to)?;
    clone_directory(&source, &target)
}

fn clone_directory(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            mkdirat(to, name, Mode::from_raw_mode(0o700))?;
            let inner = (
                openat(from, name, flags, Mode::empty())?,
                openat(to, name, flags, Mode::empty())?,
            );
            clone_directory(&inner.0, &inner.1)?;
        } else {
            linkat(from, name, to, name, AtFlags::empty())?;
        }
    }
    if is_opaque(from.as_fd()) {
        rustix::fs::fsetxattr(to, OPAQUE, b"y", XattrFlags::empty())?;
    }
    copy_attributes((from.as_fd(), b"."), (to.as_fd(), b"."))
}

fn make_link(root: BorrowedFd<'_>, link: &ExternalLink, below: &Merged) -> Result<(), UnpackError> {
    let at = |step| move |errno| kernel(&link.path, step, errno);
    let target = clean(&link.target);
    let path = clean(&link.path);
    let (Some((target_parent, target_name)), Some((parent, name))) = (target.split(), path.split())
    else {
        return Err(refused(link, "a hard link to the root"));
    };
    let here = open_directory(root, target_parent)
        .and_then(|directory| statat(&directory, target_name, AtFlags::SYMLINK_NOFOLLOW));
    let target = match here {
        Ok(_) => target.clone(),
        Err(_) => clean(&copy_up(root, link, below)?),
    };
    let (target_parent, target_name) = target.split().unwrap_or_default();
    let source =
        open_directory(root, target_parent).map_err(at("open the directory of its target"))?;
    let directory = open_directory(root, parent).map_err(at("open its directory"))?;
    keeping_time(directory.as_fd(), || {
        if is_whiteout(directory.as_fd(), name).unwrap_or(false) {
            unlinkat(&directory, name, AtFlags::empty())?;
        }
        linkat(&source, target_name, &directory, name, AtFlags::empty())
    })
    .map_err(at("make a hard link"))
}

/// Puts something into a directory whose time the stream has said, or the layers below.
fn keeping_time<T>(
    directory: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    let stat = statat(directory, ".", AtFlags::empty())?;
    let done = work()?;
    set_time_of(directory, &stat)?;
    Ok(done)
}

/// Brings the target of a link into this layer, with the directories that lead to it; returns where it lies.
fn copy_up(
    root: BorrowedFd<'_>,
    link: &ExternalLink,
    below: &Merged,
) -> Result<Vec<u8>, UnpackError> {
    let at = |errno| kernel(&link.target, "copy the target of a hard link", errno);
    let found = below.find(&link.target).map_err(at)?;
    let Some(found) = found.filter(|found| !found.kind.is_dir()) else {
        return Err(refused(link, "a hard link to a file that is in no layer"));
    };
    let mut done: Vec<u8> = Vec::new();
    let path = clean(&found.path);
    let (parents, _) = path.split().unwrap_or_default();
    for part in parents
        .split(|b| *b == b'/')
        .filter(|part| !part.is_empty())
    {
        let parent = open_directory(root, &done).map_err(at)?;
        if !done.is_empty() {
            done.push(b'/');
        }
        done.extend_from_slice(part);
        let make = || mkdirat(&parent, part, Mode::from_raw_mode(0o700));
        match keeping_time(parent.as_fd(), make) {
            Ok(()) => {
                if let Some(lower) = below.find(&done).map_err(at)? {
                    copy_attributes(lower.at(), (parent.as_fd(), part)).map_err(at)?;
                }
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(at(errno)),
        }
    }
    let parent = open_directory(root, &done).map_err(at)?;
    if statat(&parent, &*found.name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        // An earlier link brought it here.
        return Ok(found.path);
    }
    let to = (parent.as_fd(), &*found.name);
    let copy = || {
        if found.kind.is_file() {
            return copy_file(found.at(), to);
        }
        let text = rustix::fs::readlinkat(&found.parent, to.1, Vec::new())?;
        rustix::fs::symlinkat(&*text, &parent, to.1)?;
        copy_attributes(found.at(), to)
    };
    if !found.kind.is_file() && !found.kind.is_symlink() {
        let rule = "a hard link to a special file of a lower layer";
        return Err(refused(link, rule));
    }
    keeping_time(parent.as_fd(), copy).map_err(at)?;
    Ok(found.path)
}

fn is_alike(
    root: BorrowedFd<'_>,
    path: &[u8],
    below: (BorrowedFd<'_>, &[u8]),
) -> Result<bool, Errno> {
    let directory = open_directory(root, path)?;
    let ours = statat(&directory, ".", AtFlags::SYMLINK_NOFOLLOW)?;
    let theirs = statat(below.0, below.1, AtFlags::SYMLINK_NOFOLLOW)?;
    let same = |stat: &rustix::fs::Stat| (stat.st_mode, stat.st_uid, stat.st_gid);
    Ok(same(&ours) == same(&theirs)
        && read_xattrs(directory.as_fd(), b".")? == read_xattrs(below.0, below.1)?)
}

fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn kernel(path: &[u8], step: &'static str, errno: Errno) -> UnpackError {
    UnpackError::Kernel {
        entry: display(path),
        step,
        errno,
    }
}

fn refused(link: &ExternalLink, rule: &'static str) -> UnpackError {
    UnpackError::Refused {
        entry: display(&link.path),
        rule,
    }
}
