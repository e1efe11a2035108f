//! The canonical tar stream of a layer's directory: the same files give the same bytes, wherever and whenever.
//!
//! Names are sorted, times are whole seconds, PAX records appear only where the old header cannot hold a value, and
//! nothing of this machine (user names, device and inode numbers, access times) gets in. What overlayfs means by
//! character devices 0:0 and `trusted.overlay.opaque` becomes `.wh.` entries. The digest of the stream is the diff id.

use std::{
    collections::HashMap,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, Stat, lremovexattr, major, minor, open, openat,
        readlinkat, statat,
    },
    io::Errno,
};

use super::ImageError;
use crate::{
    image::unpack::{display, is_opaque, read_xattrs},
    store::{TAR_BLOCK, TarMember, tar_padding},
};

/// Bytes copied at a time.
const CHUNK: usize = 128 << 10;
/// What overlayfs leaves on files of an upper directory; nothing of it means anything in a lower one.
const OVERLAY_MARKS: [&str; 7] = [
    "impure", "origin", "nlink", "redirect", "metacopy", "uuid", "upper",
];

/// What went into a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// Writes the stream of a directory, and takes overlayfs' bookkeeping off its files on the way.
pub(super) fn write_stream(directory: &Path, out: &mut dyn Write) -> Result<Written, ImageError> {
    stream(directory, out, true)
}

/// Writes the stream of a committed layer, which is only read.
pub(super) fn read_stream(directory: &Path, out: &mut dyn Write) -> Result<Written, ImageError> {
    stream(directory, out, false)
}

fn stream(directory: &Path, out: &mut dyn Write, strips: bool) -> Result<Written, ImageError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = open(directory, flags, Mode::empty()).map_err(failed)?;
    let mut stream = Stream::new(out, strips);
    let stat = statat(&root, ".", AtFlags::empty()).map_err(failed)?;
    stream.entry(&root, b".", b"./", &stat)?;
    stream.directory(&root, b"")?;
    stream.end()?;
    Ok(stream.written)
}

pub(super) struct Stream<'a> {
    out: &'a mut dyn Write,
    /// Whether overlayfs' bookkeeping is removed from the files.
    strips: bool,
    /// First path of a file with several names.
    links: HashMap<(u64, u64), Vec<u8>>,
    written: Written,
}

impl<'a> Stream<'a> {
    pub(super) fn new(out: &'a mut dyn Write, strips: bool) -> Self {
        Self {
            out,
            strips,
            links: HashMap::new(),
            written: Written::default(),
        }
    }

    /// Writes the end mark.
    pub(super) fn end(&mut self) -> Result<(), ImageError> {
        self.write(&[0; 2 * TAR_BLOCK])
    }

    fn directory(&mut self, directory: &OwnedFd, path: &[u8]) -> Result<(), ImageError> {
        if is_opaque(directory.as_fd()) {
            self.whiteout(&[path, b".wh..wh..opq"].concat())?;
        }
        let mut names: Vec<Vec<u8>> = Vec::new();
        for entry in Dir::read_from(directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort();
        for name in names {
            let path = [path, &name].concat();
            let stat = statat(directory, &*name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind.is_char_device() && stat.st_rdev == 0 {
                let parent = &path[..path.len() - name.len()];
                self.whiteout(&[parent, b".wh.", &name].concat())?;
                continue;
            }
            if name.starts_with(b".wh.") {
                return Err(ImageError::WhiteoutName(display(&path)));
            }
            if kind.is_dir() {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let inner = openat(directory, &*name, flags, Mode::empty()).map_err(failed)?;
                let path = [&path[..], b"/"].concat();
                self.entry(directory, &name, &path, &stat)?;
                self.directory(&inner, &path)?;
            } else if !kind.is_socket() {
                self.entry(directory, &name, &path, &stat)?;
            }
        }
        Ok(())
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<(), ImageError> {
        self.header(&TarMember {
            path,
            kind: b'0',
            mode: 0,
            ..TarMember::default()
        })
    }

    pub(super) fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
    ) -> Result<(), ImageError> {
        if self.strips {
            strip_marks(directory, name);
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut fields = TarMember {
            path,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: stat.st_mtime,
            ..TarMember::default()
        };
        let target;
        if stat.st_nlink > 1 && !kind.is_dir() {
            let first = self.links.entry((stat.st_dev, stat.st_ino));
            match first {
                std::collections::hash_map::Entry::Occupied(first) => {
                    let link = first.get().clone();
                    return self.header(&TarMember {
                        kind: b'1',
                        link: &link,
                        ..fields
                    });
                }
                std::collections::hash_map::Entry::Vacant(first) => {
                    first.insert(path.to_vec());
                }
            }
        }
        fields.xattrs = read_xattrs(directory.as_fd(), name).map_err(failed)?;
        match kind {
            FileType::RegularFile => return self.file(directory, name, stat, &fields),
            FileType::Directory => fields.kind = b'5',
            FileType::Symlink => {
                target = readlinkat(directory, name, Vec::new()).map_err(failed)?;
                fields.kind = b'2';
                fields.link = target.as_bytes();
            }
            FileType::CharacterDevice => fields.kind = b'3',
            FileType::BlockDevice => fields.kind = b'4',
            _ => fields.kind = b'6',
        }
        if matches!(fields.kind, b'3' | b'4') {
            fields.device = (major(stat.st_rdev), minor(stat.st_rdev));
        }
        self.header(&fields)
    }

    fn file(
        &mut self,
        directory: &OwnedFd,
        name: &[u8],
        stat: &Stat,
        fields: &TarMember<'_>,
    ) -> Result<(), ImageError> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(directory, name, flags, Mode::empty()).map_err(failed)?;
        self.header(&TarMember {
            kind: b'0',
            size,
            ..fields.clone()
        })?;
        let mut file = std::fs::File::from(file);
        let mut buffer = vec![0; CHUNK];
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            let count = io::Read::read(&mut file, &mut buffer[..most])
                .map_err(ImageError::io("read a file of a layer"))?;
            if count == 0 {
                let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(ImageError::io(
                    "read a file of a layer, which became shorter",
                )(cut));
            }
            self.write(&buffer[..count])?;
            left -= count as u64;
        }
        self.written.bytes += size;
        self.pad(size)
    }

    fn header(&mut self, fields: &TarMember<'_>) -> Result<(), ImageError> {
        self.written.entries += 1;
        self.write(&fields.header())
    }

    fn pad(&mut self, size: u64) -> Result<(), ImageError> {
        self.write(&[0; TAR_BLOCK][..tar_padding(size)])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.out
            .write_all(bytes)
            .map_err(ImageError::io("write a layer"))
    }
}

/// Returns the header of a file in an archive of ours, or of a directory when the name ends in a slash. All times are 0.
pub(crate) fn member_header(name: &str, size: u64) -> Vec<u8> {
    let is_directory = name.ends_with('/');
    let member = TarMember {
        path: name.as_bytes(),
        kind: if is_directory { b'5' } else { b'0' },
        mode: if is_directory { 0o755 } else { 0o644 },
        size,
        ..TarMember::default()
    };
    member.header()
}

fn strip_marks(directory: &OwnedFd, name: &[u8]) {
    let path = crate::image::unpack::through(directory.as_fd(), name);
    for mark in OVERLAY_MARKS {
        // Absent nearly always; what cannot be removed does no harm in a lower layer mounted without index and metacopy.
        if let Err(errno) = lremovexattr(&path, format!("trusted.overlay.{mark}"))
            && errno != Errno::NODATA
            && errno != Errno::OPNOTSUPP
        {
            let path = path.display();
            tracing::debug!(%path, mark, %errno, "kept a mark of overlayfs");
        }
    }
}

pub(super) fn failed(errno: Errno) -> ImageError {
    ImageError::io("read a layer")(errno.into())
}
