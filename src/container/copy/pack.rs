//! Writes a file tree as a tar stream.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use runtime::spec::UserMap;
use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, fstat, openat,
        readlinkat, statat,
    },
    io::Errno,
};
use tar::{Builder, EntryType, Header};

use super::{CopyError, DEPTH_MAX};

/// Largest extended attribute that is copied (XATTR_SIZE_MAX, limits.h of Linux).
const XATTR_BYTES_MAX: usize = 64 << 10;
/// Largest list of names of extended attributes (XATTR_LIST_MAX).
const XATTR_NAMES_BYTES_MAX: usize = 64 << 10;
/// How PAX headers name extended attributes.
const XATTR_KEY: &str = "SCHILY.xattr.";
/// Files of procfs and sysfs say that they are empty; so much of one is read to find out.
const UNSIZED_BYTES_MAX: u64 = 16 << 20;

/// Who a container sees as the owner of what nobody of its own owns (`overflowuid`, user_namespaces(7)).
const NOBODY: u32 = 65_534;

/// What was written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Files, links and directories.
    pub entries: u64,
    /// Bytes of regular files.
    pub bytes: u64,
    /// Sockets and device nodes, which are not copied.
    pub skipped: Vec<PathBuf>,
}

/// Writes what `source` is, and all below it, as `name`; an empty name stands for the content of a directory. With `users` it belongs to a
/// container whose users are others on the host; the owners that are written are the container's.
pub fn pack(
    source: &OwnedFd,
    name: &Path,
    sink: impl Write,
    users: Option<&UserMap>,
) -> Result<Packed, CopyError> {
    let mut packer = Packer {
        users,
        archive: Builder::new(sink),
        links: HashMap::new(),
        packed: Packed::default(),
    };
    let stat = fstat(source).map_err(CopyError::file("look at", name))?;
    packer.top(source.as_fd(), name, &stat)?;
    packer.archive.finish().map_err(writing)?;
    Ok(packer.packed)
}

struct Packer<'a, W: Write> {
    users: Option<&'a UserMap>,
    archive: Builder<W>,
    /// Files with several names that were written: device and inode -> first name.
    links: HashMap<(u64, u64), PathBuf>,
    packed: Packed,
}

fn writing(source: std::io::Error) -> CopyError {
    CopyError::Stream {
        intent: "write the archive",
        source,
    }
}

impl<W: Write> Packer<'_, W> {
    /// The source is a descriptor that names something without opening it: it is opened through procfs, which cannot lead elsewhere.
    fn top(&mut self, source: BorrowedFd<'_>, name: &Path, stat: &Stat) -> Result<(), CopyError> {
        use std::os::fd::AsRawFd;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target = readlinkat(source, c"", Vec::new())
                    .map_err(CopyError::file("read the link", name))?;
                self.link(name, stat, EntryType::Symlink, target.to_bytes())
            }
            FileType::Directory | FileType::RegularFile => {
                let own = format!("/proc/self/fd/{}", source.as_raw_fd());
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let opened = rustix::fs::open(own, flags, Mode::empty())
                    .map_err(CopyError::file("open", name))?;
                self.opened(opened, name, 0)
            }
            _ => {
                self.packed.skipped.push(name.to_owned());
                Ok(())
            }
        }
    }

    fn opened(&mut self, file: OwnedFd, name: &Path, depth: usize) -> Result<(), CopyError> {
        let stat = fstat(&file).map_err(CopyError::file("look at", name))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.directory(&file, name, &stat, depth),
            FileType::RegularFile => self.file(file, name, &stat),
            _ => {
                self.packed.skipped.push(name.to_owned());
                Ok(())
            }
        }
    }

    fn directory(
        &mut self,
        directory: &OwnedFd,
        name: &Path,
        stat: &Stat,
        depth: usize,
    ) -> Result<(), CopyError> {
        if depth > DEPTH_MAX {
            return Err(CopyError::TooDeep {
                path: name.to_owned(),
            });
        }
        if !name.as_os_str().is_empty() {
            self.attributes(directory, name)?;
            let mut header = self.header(stat, EntryType::Directory);
            self.archive
                .append_data(&mut header, name.join(""), std::io::empty())
                .map_err(writing)?;
            self.packed.entries += 1;
        }
        let mut names = Vec::new();
        let entries = Dir::read_from(directory).map_err(CopyError::file("list", name))?;
        for entry in entries {
            let entry = entry.map_err(CopyError::file("list", name))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort();
        for child in names {
            let path = name.join(std::ffi::OsStr::from_bytes(child.to_bytes()));
            self.entry(directory.as_fd(), &child, &path, depth + 1)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        child: &std::ffi::CStr,
        path: &Path,
        depth: usize,
    ) -> Result<(), CopyError> {
        let stat = match statat(directory, child, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // It was removed after the directory was listed.
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(CopyError::file("look at", path)(errno)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target = readlinkat(directory, child, Vec::new())
                    .map_err(CopyError::file("read the link", path))?;
                self.link(path, &stat, EntryType::Symlink, target.to_bytes())
            }
            FileType::Directory | FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
                match openat(directory, child, flags, Mode::empty()) {
                    Ok(file) => self.opened(file, path, depth),
                    Err(Errno::NOENT) => Ok(()),
                    Err(errno) => Err(CopyError::file("open", path)(errno)),
                }
            }
            FileType::Fifo => {
                let mut header = self.header(&stat, EntryType::Fifo);
                self.packed.entries += 1;
                self.archive
                    .append_data(&mut header, path, std::io::empty())
                    .map_err(writing)
            }
            _ => {
                self.packed.skipped.push(path.to_owned());
                Ok(())
            }
        }
    }

    fn file(&mut self, file: OwnedFd, name: &Path, stat: &Stat) -> Result<(), CopyError> {
        if stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&key) {
                let first = first.clone();
                return self.link(name, stat, EntryType::Link, first.as_os_str().as_bytes());
            }
            self.links.insert(key, name.to_owned());
        }
        self.attributes(&file, name)?;
        let mut header = self.header(stat, EntryType::Regular);
        let mut file = File::from(file);
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        self.packed.entries += 1;
        if size == 0 {
            let mut content = Vec::new();
            file.take(UNSIZED_BYTES_MAX)
                .read_to_end(&mut content)
                .map_err(|source| CopyError::Stream {
                    intent: "read a file",
                    source,
                })?;
            header.set_size(content.len() as u64);
            self.packed.bytes += content.len() as u64;
            return self
                .archive
                .append_data(&mut header, name, &content[..])
                .map_err(writing);
        }
        header.set_size(size);
        self.packed.bytes += size;
        let mut exact = Exact {
            file: &mut file,
            left: size,
            is_short: false,
        };
        let written = self.archive.append_data(&mut header, name, &mut exact);
        if exact.is_short {
            return Err(CopyError::Changed {
                path: name.to_owned(),
            });
        }
        written.map_err(writing)
    }

    fn link(
        &mut self,
        name: &Path,
        stat: &Stat,
        kind: EntryType,
        target: &[u8],
    ) -> Result<(), CopyError> {
        let mut header = self.header(stat, kind);
        let target = PathBuf::from(std::ffi::OsString::from_vec(target.to_vec()));
        self.packed.entries += 1;
        self.archive
            .append_link(&mut header, name, target)
            .map_err(writing)
    }

    fn header(&self, stat: &Stat, kind: EntryType) -> Header {
        let (mut uid, mut gid) = (stat.st_uid, stat.st_gid);
        if let Some(users) = self.users {
            uid = users.uid_inside(uid).unwrap_or(NOBODY);
            gid = users.gid_inside(gid).unwrap_or(NOBODY);
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(stat.st_mode & 0o7777);
        header.set_uid(u64::from(uid));
        header.set_gid(u64::from(gid));
        // A time before 1970 has no place in this header.
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or_default());
        header.set_size(0);
        header
    }

    /// Writes the extended attributes that come before their file: those of users, and the file's capabilities (xattr(7)).
    fn attributes(&mut self, file: &OwnedFd, name: &Path) -> Result<(), CopyError> {
        let mut list = vec![0; XATTR_NAMES_BYTES_MAX];
        let length = match flistxattr(file, &mut list) {
            Ok(length) => length,
            Err(Errno::NOTSUP) => return Ok(()),
            Err(errno) => return Err(CopyError::file("list the attributes of", name)(errno)),
        };
        let mut found = Vec::new();
        for attribute in list[..length].split(|byte| *byte == 0) {
            let Ok(attribute) = str::from_utf8(attribute) else {
                continue;
            };
            if !attribute.starts_with("user.") && attribute != "security.capability" {
                continue;
            }
            let mut value = vec![0; XATTR_BYTES_MAX];
            match fgetxattr(file, attribute, &mut value) {
                Ok(length) => {
                    value.truncate(length);
                    found.push((format!("{XATTR_KEY}{attribute}"), value));
                }
                Err(Errno::NODATA) => {}
                Err(errno) => return Err(CopyError::file("read an attribute of", name)(errno)),
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let pairs = found
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_slice()));
        self.archive.append_pax_extensions(pairs).map_err(writing)
    }
}

/// Reads exactly as many bytes as the header says, also when the file grows meanwhile.
struct Exact<'a> {
    file: &'a mut File,
    left: u64,
    is_short: bool,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let wanted = wanted.min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let length = self.file.read(&mut buffer[..wanted])?;
        if length == 0 {
            self.is_short = true;
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= length as u64;
        Ok(length)
    }
}
