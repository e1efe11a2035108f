//! The digest of a selection: what COPY would put into the image, without modification times, so that `touch` changes nothing.
//!
//! The content of each file is digested by itself, so that the index of a context can stand for reading it.

use std::{
    io::Read,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use runtime::{Error, Step};
use rustix::fs::fstat;
use sha2::{Digest as _, Sha256};

use super::{
    select::{Entry, EntryKind, Item},
    tree::{Resolved, Tree, xattrs},
};
use crate::{
    build::context::{ContextIndex, Stamp, clock},
    model::Digest,
};

/// Bytes read at a time.
const CHUNK: usize = 128 * 1024;
/// Files for which more threads are worth their start.
const PARALLEL_MIN: usize = 32;

/// Digests names, modes, owners, links, devices, extended attributes and contents.
pub(crate) fn digest(
    tree: &Tree,
    items: &[Item],
    index: Option<&ContextIndex>,
) -> Result<Digest, Error> {
    let contents = contents_of_all(tree, items, index)?;
    let mut sum = Sha256::new();
    let mut contents = contents.iter();
    let mut entry_bytes = Vec::new();
    for item in items {
        entry_bytes.clear();
        field(&mut entry_bytes, b"item");
        field(&mut entry_bytes, item.name.as_bytes());
        sum.update(&entry_bytes);
        for entry in &item.entries {
            entry_bytes.clear();
            field(&mut entry_bytes, entry.path.as_os_str().as_bytes());
            entry_bytes.push(match entry.kind {
                EntryKind::Directory => b'd',
                EntryKind::File => b'f',
                EntryKind::Link => b'l',
                EntryKind::CharacterDevice => b'c',
                EntryKind::BlockDevice => b'b',
                EntryKind::Fifo => b'p',
            });
            for number in [entry.mode, entry.uid, entry.gid] {
                entry_bytes.extend(number.to_le_bytes());
            }
            entry_bytes.extend(entry.device.to_le_bytes());
            entry_bytes.extend(contents.next().copied().unwrap_or_default());
            sum.update(&entry_bytes);
        }
    }
    Ok(Digest::from_sha256(&sum.finalize().into()))
}

/// Returns the digest of every entry's content, from the index or by reading, on several threads when there is much to read.
fn contents_of_all(
    tree: &Tree,
    items: &[Item],
    index: Option<&ContextIndex>,
) -> Result<Vec<[u8; 32]>, Error> {
    let mut digests = Vec::with_capacity(items.iter().map(|item| item.entries.len()).sum());
    let mut unread: Vec<(usize, &Item, &Entry)> = Vec::new();
    let mut path = Vec::new();
    for item in items {
        for entry in &item.entries {
            let known = match index {
                Some(index) => {
                    index_path(&mut path, item, entry);
                    index.find(&path, &entry.stamp)
                }
                None => None,
            };
            if known.is_none() && has_content(entry) {
                unread.push((digests.len(), item, entry));
            }
            digests.push(known.unwrap_or_default());
        }
    }
    let results = Mutex::new(Vec::with_capacity(unread.len()));
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut buffer = vec![0; CHUNK];
        let mut path = Vec::new();
        while let Some((at, item, entry)) = unread.get(next.fetch_add(1, Ordering::Relaxed)) {
            let source = item.source.entry(&entry.path);
            let began = clock();
            let outcome = content(tree, &source, entry, &mut buffer);
            if let (Ok((digest, stamp)), Some(index)) = (&outcome, index)
                // It was changed between the walk and the reading: the digest belongs to neither.
                && stamp.as_ref().is_none_or(|stamp| *stamp == entry.stamp)
            {
                index_path(&mut path, item, entry);
                index.put(&path, &entry.stamp, *digest, began);
            }
            let failed = outcome.is_err();
            let result = outcome.map(|(digest, _)| (*at, digest));
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push(result);
            if failed {
                next.store(unread.len(), Ordering::Relaxed);
            }
        }
    };
    let threads = match unread.len() {
        0 => return Ok(digests),
        few if few < PARALLEL_MIN => 1,
        _ => std::thread::available_parallelism().map_or(1, usize::from),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(worker);
        }
        worker();
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    for result in results {
        let (at, digest) = result?;
        digests[at] = digest;
    }
    Ok(digests)
}

fn has_content(entry: &Entry) -> bool {
    matches!(
        entry.kind,
        EntryKind::File | EntryKind::Link | EntryKind::Directory
    )
}

/// Writes the path of an entry in its tree, without allocating.
fn index_path(path: &mut Vec<u8>, item: &Item, entry: &Entry) {
    path.clear();
    path.extend(item.source.as_path().as_os_str().as_bytes());
    let below = entry.path.as_os_str().as_bytes();
    if !path.is_empty() && !below.is_empty() {
        path.push(b'/');
    }
    path.extend(below);
}

/// Digests what an entry holds besides its name, mode and owner; the stamp is that after reading, where it can be had.
fn content(
    tree: &Tree,
    path: &Resolved,
    entry: &Entry,
    buffer: &mut [u8],
) -> Result<([u8; 32], Option<Stamp>), Error> {
    let failed =
        |errno: rustix::io::Errno| tree.error(Step::Read, path.as_path(), errno.raw_os_error());
    let mut sum = Sha256::new();
    let stamp = match entry.kind {
        EntryKind::Link => {
            let target = tree.read_link(path)?;
            sum.update(target.as_os_str().as_bytes());
            None
        }
        EntryKind::File => {
            let mut file = tree.file(path)?;
            attributes(&mut sum, &file).map_err(failed)?;
            contents(&mut sum, &mut file, buffer).map_err(|error| {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                tree.error(Step::Read, path.as_path(), errno)
            })?;
            Some(Stamp::of(&fstat(&file).map_err(failed)?))
        }
        _ => {
            let directory = tree.directory(path)?;
            attributes(&mut sum, &directory).map_err(failed)?;
            Some(Stamp::of(&fstat(&directory).map_err(failed)?))
        }
    };
    Ok((sum.finalize().into(), stamp))
}

/// Adds a field so that it cannot run into the next one.
fn field(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend((field.len() as u64).to_le_bytes());
    bytes.extend(field);
}

fn attributes(sum: &mut Sha256, fd: impl AsFd) -> Result<(), rustix::io::Errno> {
    let attributes = xattrs(fd)?;
    let mut bytes = (attributes.len() as u64).to_le_bytes().to_vec();
    for (name, value) in attributes {
        field(&mut bytes, &name);
        field(&mut bytes, &value);
    }
    sum.update(bytes);
    Ok(())
}

/// Hashes contents, then their length: a file that grows while it is read is still told from another.
fn contents(
    sum: &mut Sha256,
    file: &mut std::fs::File,
    buffer: &mut [u8],
) -> Result<(), std::io::Error> {
    let mut length = 0_u64;
    loop {
        let read = match file.read(buffer) {
            Ok(0) => break,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        };
        sum.update(&buffer[..read]);
        length += read as u64;
    }
    sum.update(length.to_le_bytes());
    Ok(())
}
