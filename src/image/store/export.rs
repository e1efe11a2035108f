//! The files of a container as one tar stream: what overlayfs shows of its directories, read without mounting them.

use std::{
    collections::BTreeMap,
    io::Write,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, open, openat, statat};

use super::{
    ImageError,
    diff::{Stream, failed},
};
use crate::image::unpack::is_opaque;

/// Writes the merged view of directories, the topmost first, in the canonical form; whiteouts hide and are not written.
///
/// The directories may be in use: what changes meanwhile is read before or after its change, and a file that becomes
/// shorter while it is read is an error, since its size was written already.
pub fn export(directories: &[PathBuf], out: &mut dyn Write) -> Result<(), ImageError> {
    let mut roots = Vec::new();
    for directory in directories {
        let root = open(directory, flags(), Mode::empty()).map_err(failed)?;
        let is_last = is_opaque(root.as_fd());
        roots.push(root);
        if is_last {
            break;
        }
    }
    let Some(top) = roots.first() else {
        return Ok(());
    };
    let stat = statat(top, ".", AtFlags::empty()).map_err(failed)?;
    let mut stream = Stream::new(out, false);
    stream.entry(top, b".", b"./", &stat)?;
    merged(&mut stream, &roots, b"")?;
    stream.end()
}

/// Writes what shows of directories that lie on top of each other.
fn merged(stream: &mut Stream<'_>, levels: &[OwnedFd], path: &[u8]) -> Result<(), ImageError> {
    // Where each name is seen first, and what it is there.
    let mut names: BTreeMap<Vec<u8>, (usize, Stat)> = BTreeMap::new();
    for (number, level) in levels.iter().enumerate() {
        for entry in Dir::read_from(level).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
            if name == b"." || name == b".." || names.contains_key(&name) {
                continue;
            }
            match statat(level, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => drop(names.insert(name, (number, stat))),
                // Removed since the directory was listed.
                Err(rustix::io::Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
    }
    for (name, (number, stat)) in names {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let path = [path, &name].concat();
        if (kind.is_char_device() && stat.st_rdev == 0) || kind.is_socket() {
            continue;
        }
        if !kind.is_dir() {
            stream.entry(&levels[number], &name, &path, &stat)?;
            continue;
        }
        let path = [&path[..], b"/"].concat();
        stream.entry(&levels[number], &name, &path, &stat)?;
        merged(stream, &below(&levels[number..], &name)?, &path)?;
    }
    Ok(())
}

/// Opens the directories of one name that show through each other: down to the first that hides the rest.
fn below(levels: &[OwnedFd], name: &[u8]) -> Result<Vec<OwnedFd>, ImageError> {
    let mut found = Vec::new();
    for level in levels {
        match openat(level, name, flags(), Mode::empty()) {
            Ok(directory) => {
                let hides = is_opaque(directory.as_fd());
                found.push(directory);
                if hides {
                    break;
                }
            }
            Err(rustix::io::Errno::NOENT) => {}
            // A file or a whiteout: what lies below it does not show.
            Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => break,
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(found)
}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}
