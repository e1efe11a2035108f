//! The digest of a selection: what COPY would put into the image, without modification times, so that `touch` changes nothing.

use std::{io::Read, os::unix::ffi::OsStrExt};

use runtime::{Error, Step};
use sha2::{Digest as _, Sha256};

use super::{
    select::{EntryKind, Item},
    tree::{Tree, xattrs},
};
use crate::model::Digest;

/// Digests names, modes, owners, links, devices, extended attributes and contents.
pub(crate) fn digest(tree: &Tree, items: &[Item]) -> Result<Digest, Error> {
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    for item in items {
        field(&mut sum, b"item");
        field(&mut sum, item.name.as_bytes());
        for entry in &item.entries {
            field(&mut sum, entry.path.as_os_str().as_bytes());
            let kind = match entry.kind {
                EntryKind::Directory => b'd',
                EntryKind::File => b'f',
                EntryKind::Link => b'l',
                EntryKind::CharacterDevice => b'c',
                EntryKind::BlockDevice => b'b',
                EntryKind::Fifo => b'p',
            };
            sum.update([kind]);
            for number in [entry.mode, entry.uid, entry.gid] {
                sum.update(number.to_le_bytes());
            }
            sum.update(entry.device.to_le_bytes());
            let path = item.source.entry(&entry.path);
            match entry.kind {
                EntryKind::Link => {
                    field(&mut sum, tree.read_link(&path)?.as_os_str().as_bytes());
                }
                EntryKind::File => {
                    let mut file = tree.file(&path)?;
                    attributes(&mut sum, tree, &path, &file)?;
                    contents(&mut sum, &mut file, &mut buffer).map_err(|error| {
                        let errno = error.raw_os_error().unwrap_or(libc::EIO);
                        tree.error(Step::Read, path.as_path(), errno)
                    })?;
                }
                EntryKind::Directory => {
                    let directory = tree.directory(&path)?;
                    attributes(&mut sum, tree, &path, directory)?;
                }
                _ => {}
            }
        }
    }
    Ok(Digest::from_sha256(&sum.finalize().into()))
}

/// Hashes a field so that it cannot run into the next one.
fn field(sum: &mut Sha256, bytes: &[u8]) {
    sum.update((bytes.len() as u64).to_le_bytes());
    sum.update(bytes);
}

fn attributes(
    sum: &mut Sha256,
    tree: &Tree,
    path: &super::tree::Resolved,
    fd: impl std::os::fd::AsFd,
) -> Result<(), Error> {
    let attributes =
        xattrs(fd).map_err(|errno| tree.error(Step::Read, path.as_path(), errno.raw_os_error()))?;
    sum.update((attributes.len() as u64).to_le_bytes());
    for (name, value) in attributes {
        field(sum, &name);
        field(sum, &value);
    }
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
