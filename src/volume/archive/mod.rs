//! Writes volumes into one archive, as a stream: nothing is written twice, and no file is held in memory.
//!
//! Kept are owners, modes, times to the nanosecond, extended attributes (access control lists and file capabilities are such), hard
//! links, symbolic links, fifos, devices and holes. Sockets are not: they mean something only while their process lives. What the
//! archive consists of is drawn in [`BackupHead`]'s module.
//!
//! It does not keep others from writing to the volumes meanwhile: a file that gets shorter is filled up with zeros and named in
//! [`Archived::changed`], as tar(1) does it.

mod holes;

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
};

use rustix::{
    fs::{FileType, Stat, fstat, getxattr, listxattr, major, minor},
    io::Errno,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub(super) use holes::parts;

use super::{
    VolumeError,
    local::Volumes,
    merged::{Directory, Entry, Other, link_target, proc_path, reopen},
};
use crate::{
    model::{BackupCount, BackupHead, BackupSummary, Digest},
    store::{Root, TAR_BLOCK, TarMember, tar_padding},
};

/// Compression: at level 3 zstd is faster than most disks and networks take its output.
const LEVEL: i32 = 3;
/// Bytes copied at a time.
const CHUNK: usize = 256 << 10;
/// Deepest nesting that is written: each level holds a descriptor.
const DEPTH_MAX: usize = 512;
/// Largest extended attribute, and list of them (XATTR_SIZE_MAX, XATTR_LIST_MAX).
const XATTR_BYTES_MAX: usize = 64 << 10;
/// Files named in a report; more say nothing new.
const NAMED_MAX: usize = 20;

/// What was written.
#[derive(Debug, Clone)]
pub struct Archived {
    /// As it stands at the end of the archive.
    pub summary: BackupSummary,
    /// Sockets, which are left out.
    pub skipped: Vec<PathBuf>,
    /// Files that got shorter while they were read.
    pub changed: Vec<PathBuf>,
}

/// Writes the volumes that a head names. `progress` is told how many bytes of them have been read.
pub fn archive(
    root: &Root,
    head: &BackupHead,
    out: impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<Archived, VolumeError> {
    let mut encoder = zstd::stream::write::Encoder::new(out, LEVEL).map_err(VolumeError::Write)?;
    encoder.include_checksum(true).map_err(VolumeError::Write)?;
    let mut writer = Writer {
        out: Hashed {
            inner: encoder,
            hasher: Sha256::new(),
        },
        links: HashMap::new(),
        volume: "",
        count: (0, 0),
        told: 0,
        progress,
        buffer: vec![0; CHUNK],
        skipped: Vec::new(),
        changed: Vec::new(),
    };
    writer.document(BackupHead::MEMBER, head)?;
    let mut counts = Vec::new();
    for volume in &head.volumes {
        writer.volume = &volume.name;
        counts.push(writer.whole(&Volumes::open(root))?);
    }
    let summary = BackupSummary {
        volumes: counts,
        digest: Digest::from_sha256(&writer.out.hasher.clone().finalize().into()),
    };
    writer.document(BackupSummary::MEMBER, &summary)?;
    writer.write(&[0; 2 * TAR_BLOCK])?;
    let (skipped, changed) = (writer.skipped, writer.changed);
    let mut out = writer.out.inner.finish().map_err(VolumeError::Write)?;
    out.flush().map_err(VolumeError::Write)?;
    Ok(Archived {
        summary,
        skipped,
        changed,
    })
}

struct Writer<'a, W: Write> {
    out: Hashed<W>,
    /// Files with several names that were written: device and inode -> first name.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// The volume that is being written.
    volume: &'a str,
    /// Entries and bytes of it.
    count: (u64, u64),
    /// Bytes of all volumes that were read.
    told: u64,
    progress: &'a mut dyn FnMut(u64),
    buffer: Vec<u8>,
    skipped: Vec<PathBuf>,
    changed: Vec<PathBuf>,
}

/// Why an entry could not be written.
enum Failed {
    /// It could not be read.
    Read(&'static str, Errno),
    /// Nobody takes the archive.
    Write(VolumeError),
}

impl<W: Write> Writer<'_, W> {
    /// Writes a member that is a JSON document.
    fn document(&mut self, name: &str, document: &impl Serialize) -> Result<(), VolumeError> {
        let mut text = serde_json::to_vec_pretty(document)
            .map_err(|error| VolumeError::Write(error.into()))?;
        text.push(b'\n');
        let member = TarMember {
            path: name.as_bytes(),
            kind: b'0',
            mode: 0o644,
            size: text.len() as u64,
            ..TarMember::default()
        };
        self.write(&member.header())?;
        self.write(&text)?;
        self.pad(text.len() as u64)
    }

    /// Writes all of the current volume.
    fn whole(&mut self, volumes: &Volumes) -> Result<BackupCount, VolumeError> {
        self.links.clear();
        self.count = (0, 0);
        let name = self.volume;
        let path = format!("volumes/{name}/").into_bytes();
        let opened = Directory::plain(&volumes.data_dir(name));
        let directory = opened.map_err(|errno| self.failed(&path, Failed::Read("open", errno)))?;
        self.directory(&directory, &path, 0)?;
        Ok(BackupCount {
            name: name.to_owned(),
            entries: self.count.0,
            bytes: self.count.1,
        })
    }

    /// Writes a directory and what is in it; `path` ends in a slash.
    fn directory(
        &mut self,
        directory: &Directory,
        path: &[u8],
        depth: usize,
    ) -> Result<(), VolumeError> {
        if depth > DEPTH_MAX {
            return Err(self.failed(path, Failed::Read("descend", Errno::LOOP)));
        }
        let read = |errno| Failed::Read("look at", errno);
        let written = fstat(directory.top())
            .map_err(read)
            .and_then(|stat| self.member(&stat, path, directory.top(), b'5'));
        written.map_err(|failed| self.failed(path, failed))?;
        let names = directory
            .names()
            .map_err(|errno| self.failed(path, Failed::Read("list", errno)))?;
        for name in names {
            let mut path = [path, name.as_bytes()].concat();
            match directory.lookup(&name) {
                // It was removed after the directory was listed.
                Ok(None) | Err(Errno::NOENT) => {}
                Ok(Some(Entry::Directory(inner))) => {
                    path.push(b'/');
                    self.directory(&inner, &path, depth + 1)?;
                }
                Ok(Some(Entry::Other(other))) => {
                    let written = self.other(&other, &path);
                    written.map_err(|failed| self.failed(&path, failed))?;
                }
                Err(errno) => return Err(self.failed(&path, Failed::Read("open", errno))),
            }
        }
        Ok(())
    }

    fn other(&mut self, other: &Other, path: &[u8]) -> Result<(), Failed> {
        let stat = &other.stat;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => b'0',
            FileType::Symlink => b'2',
            FileType::CharacterDevice => b'3',
            FileType::BlockDevice => b'4',
            FileType::Fifo => b'6',
            _ => {
                name_one(&mut self.skipped, path);
                return Ok(());
            }
        };
        if stat.st_nlink > 1 {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&inode) {
                let member = TarMember {
                    link: &first.clone(),
                    ..fields(stat, path, b'1')
                };
                self.count.0 += 1;
                return self.write(&member.header()).map_err(Failed::Write);
            }
            self.links.insert(inode, path.to_owned());
        }
        if kind == b'0' {
            return self.file(other, path);
        }
        self.member(stat, path, other.fd.as_fd(), kind)
    }

    /// Writes a member without data.
    fn member(
        &mut self,
        stat: &Stat,
        path: &[u8],
        fd: std::os::fd::BorrowedFd<'_>,
        kind: u8,
    ) -> Result<(), Failed> {
        let target;
        let mut member = fields(stat, path, kind);
        member.xattrs =
            attributes(fd).map_err(|errno| Failed::Read("read attributes of", errno))?;
        match kind {
            b'2' => {
                target = link_target(fd).map_err(|errno| Failed::Read("read the link", errno))?;
                member.link = target.as_bytes();
            }
            b'3' | b'4' => member.device = (major(stat.st_rdev), minor(stat.st_rdev)),
            _ => {}
        }
        self.count.0 += 1;
        self.write(&member.header()).map_err(Failed::Write)
    }

    fn file(&mut self, other: &Other, path: &[u8]) -> Result<(), Failed> {
        let file: OwnedFd =
            reopen(other.fd.as_fd()).map_err(|errno| Failed::Read("open", errno))?;
        // Read again: it may have grown since its directory was read.
        let stat = fstat(&file).map_err(|errno| Failed::Read("look at", errno))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let parts = parts(file.as_fd(), &stat).map_err(|errno| Failed::Read("read", errno))?;
        let mut member = fields(&stat, path, b'0');
        member.xattrs = attributes(other.fd.as_fd())
            .map_err(|errno| Failed::Read("read attributes of", errno))?;
        let map = parts.as_ref().map(|parts| holes::map(parts, size));
        let whole = vec![(0, size)];
        let (map, parts) = match (map, parts) {
            (Some(map), Some(parts)) => {
                member.sparse_size = Some(size);
                (map, parts)
            }
            _ => (Vec::new(), whole),
        };
        member.size = map.len() as u64 + parts.iter().map(|(_, length)| length).sum::<u64>();
        self.count.0 += 1;
        self.count.1 += size;
        let written = self.write(&member.header()).and_then(|()| self.write(&map));
        written.map_err(Failed::Write)?;
        let mut file = File::from(file);
        for (offset, length) in parts {
            self.part(&mut file, path, offset, length)?;
        }
        self.pad(member.size).map_err(Failed::Write)
    }

    /// Writes a part of a file; what it does not have any more is written as zeros.
    fn part(
        &mut self,
        file: &mut File,
        path: &[u8],
        offset: u64,
        length: u64,
    ) -> Result<(), Failed> {
        let reading = |error: io::Error| {
            Failed::Read("read", Errno::from_io_error(&error).unwrap_or(Errno::IO))
        };
        file.seek(SeekFrom::Start(offset)).map_err(reading)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            let mut count = file.read(&mut buffer[..most]).map_err(reading)?;
            if count == 0 {
                name_one(&mut self.changed, path);
                buffer[..most].fill(0);
                count = most;
            }
            self.write(&buffer[..count]).map_err(Failed::Write)?;
            left -= count as u64;
            self.told += count as u64;
            (self.progress)(self.told);
        }
        self.buffer = buffer;
        Ok(())
    }

    fn pad(&mut self, size: u64) -> Result<(), VolumeError> {
        self.write(&[0; TAR_BLOCK][..tar_padding(size)])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), VolumeError> {
        self.out.hasher.update(bytes);
        self.out.inner.write_all(bytes).map_err(VolumeError::Write)
    }

    fn failed(&self, path: &[u8], failed: Failed) -> VolumeError {
        match failed {
            Failed::Write(error) => error,
            Failed::Read(operation, errno) => VolumeError::Read {
                name: self.volume.to_owned(),
                path: OsStr::from_bytes(path).into(),
                operation,
                source: errno.into(),
            },
        }
    }
}

/// The compressor, and the digest of what goes into it.
struct Hashed<W: Write> {
    inner: zstd::stream::write::Encoder<'static, W>,
    hasher: Sha256,
}

/// What stat(2) says of a file as its member says it.
fn fields<'a>(stat: &Stat, path: &'a [u8], kind: u8) -> TarMember<'a> {
    TarMember {
        path,
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: stat.st_mtime,
        mtime_nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        ..TarMember::default()
    }
}

/// Extended attributes: names and values.
type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads all extended attributes of what a descriptor names.
fn attributes(fd: std::os::fd::BorrowedFd<'_>) -> Result<Xattrs, Errno> {
    let path = proc_path(fd);
    let mut names = vec![0; XATTR_BYTES_MAX];
    let length = match listxattr(&path, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    };
    let mut found = Vec::new();
    let all = names[..length].split(|byte| *byte == 0);
    for name in all.filter(|name| !name.is_empty()) {
        let mut value = vec![0; XATTR_BYTES_MAX];
        match getxattr(&path, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                found.push((name.to_owned(), value));
            }
            // Removed meanwhile.
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(found)
}

fn name_one(named: &mut Vec<PathBuf>, path: &[u8]) {
    let path = PathBuf::from(OsStr::from_bytes(path));
    if named.len() < NAMED_MAX && named.last() != Some(&path) {
        named.push(path);
    }
}
