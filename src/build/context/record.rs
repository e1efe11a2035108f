//! The file of a context index. Binary, little-endian, one per context directory; it may be lost at any time.
//!
//! ```text
//! 8   magic and version            8   when the index was begun, ms since 1970
//! 8   device of the context        8   inode of the context
//! 4   length of the context's path, then the path
//! 4   number of entries, then each:
//!     8 dev  8 ino  8 size  8+4 mtime s,ns  8+4 ctime s,ns  4 mode  4 uid  4 gid
//!     8 when its content was first seen, ms   32 digest   1 builds since it was seen last   2 length, then path
//! 4   CRC-32 of all before
//! ```
//!
//! Entries are in the order of the walk: each directory before what is below it, names sorted by bytes.

use std::cmp::Ordering;

use rustix::fs::Stat;

/// Changes with the layout and with what the digests mean.
const MAGIC: [u8; 8] = *b"stkctx\0\x01";
/// Bytes of an entry before its path.
const FIXED: usize = 8 * 3 + 12 * 2 + 4 * 3 + 8 + 32 + 1 + 2;
/// Where the path's length is.
const LENGTH_AT: usize = FIXED - 2;
/// Where the stat data ends.
const STAMP_END: usize = 8 * 3 + 12 * 2 + 4 * 3;

/// What `statx(2)` says of a file and what changes with its content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// Seconds and nanoseconds. No call can set it, so it also catches a forged mtime.
    pub(crate) ctime: (i64, u32),
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Stamp {
    pub(crate) fn of(stat: &Stat) -> Self {
        let nanos = |nanos| u32::try_from(nanos).unwrap_or(0);
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: stat.st_size.unsigned_abs(),
            mtime: (stat.st_mtime, nanos(stat.st_mtime_nsec)),
            ctime: (stat.st_ctime, nanos(stat.st_ctime_nsec)),
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
        }
    }

    fn bytes(&self) -> [u8; STAMP_END] {
        let mut bytes = [0; STAMP_END];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&self.dev.to_le_bytes());
        put(&self.ino.to_le_bytes());
        put(&self.size.to_le_bytes());
        for (seconds, nanos) in [self.mtime, self.ctime] {
            put(&seconds.to_le_bytes());
            put(&nanos.to_le_bytes());
        }
        for number in [self.mode, self.uid, self.gid] {
            put(&number.to_le_bytes());
        }
        bytes
    }
}

/// One remembered file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) stamp: [u8; STAMP_END],
    /// When this content was first seen, ms since 1970.
    pub(super) since_ms: u64,
    pub(super) digest: [u8; 32],
    /// Saves since it was seen last.
    pub(super) age: u8,
}

impl Record {
    pub(super) fn new(stamp: &Stamp, since_ms: u64, digest: [u8; 32]) -> Self {
        Self {
            stamp: stamp.bytes(),
            since_ms,
            digest,
            age: 0,
        }
    }

    /// Remembers a digest that no stat data proves: it only tells later what changed.
    pub(super) fn unproven(since_ms: u64, digest: [u8; 32]) -> Self {
        Self {
            stamp: [0; STAMP_END],
            since_ms,
            digest,
            age: 0,
        }
    }

    pub(super) fn is_of(&self, stamp: &Stamp) -> bool {
        self.stamp == stamp.bytes()
    }
}

/// Which directory an index is of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) path: Vec<u8>,
}

/// A file as it was read: entries stay bytes until they are asked for.
#[derive(Debug, Default)]
pub(super) struct Stored {
    bytes: Vec<u8>,
    /// Where each entry begins.
    entries: Vec<u32>,
    /// When the index was begun, ms since 1970; 0 = there is none.
    pub(super) born_ms: u64,
}

impl Stored {
    /// Reads a file; `None` when it is damaged, of another version or of another directory.
    pub(super) fn parse(bytes: Vec<u8>, owner: &Owner) -> Option<Self> {
        let body = bytes.len().checked_sub(4)?;
        let sum = u32::from_le_bytes(bytes[body..].try_into().ok()?);
        if bytes.get(..8)? != MAGIC || crc(&bytes[..body]) != sum {
            return None;
        }
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let short = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let born_ms = number(8)?;
        let length = short(32)? as usize;
        let path = bytes.get(36..36 + length)?;
        if number(16)? != owner.dev || number(24)? != owner.ino || path != owner.path {
            return None;
        }
        let mut at = 36 + length;
        let count = short(at)? as usize;
        at += 4;
        if count > body / FIXED {
            return None;
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let length = bytes.get(at + LENGTH_AT..at + FIXED)?;
            entries.push(u32::try_from(at).ok()?);
            at += FIXED + usize::from(u16::from_le_bytes(length.try_into().ok()?));
        }
        (at == body).then_some(Self {
            bytes,
            entries,
            born_ms,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn path(&self, index: usize) -> &[u8] {
        let at = self.entries[index] as usize;
        let length = [self.bytes[at + LENGTH_AT], self.bytes[at + LENGTH_AT + 1]];
        &self.bytes[at + FIXED..at + FIXED + usize::from(u16::from_le_bytes(length))]
    }

    pub(super) fn record(&self, index: usize) -> Record {
        let at = self.entries[index] as usize;
        let entry = &self.bytes[at..at + FIXED];
        let part = |from: usize| -> [u8; 8] {
            let mut part = [0; 8];
            part.copy_from_slice(&entry[from..from + 8]);
            part
        };
        let mut record = Record {
            stamp: [0; STAMP_END],
            since_ms: u64::from_le_bytes(part(STAMP_END)),
            digest: [0; 32],
            age: entry[STAMP_END + 40],
        };
        record.stamp.copy_from_slice(&entry[..STAMP_END]);
        record
            .digest
            .copy_from_slice(&entry[STAMP_END + 8..STAMP_END + 40]);
        record
    }

    /// Finds a path; `near` is where it probably is.
    pub(super) fn find(&self, path: &[u8], near: usize) -> Option<usize> {
        if near < self.len() && self.path(near) == path {
            return Some(near);
        }
        self.entries
            .binary_search_by(|at| {
                let at = *at as usize;
                let length = [self.bytes[at + LENGTH_AT], self.bytes[at + LENGTH_AT + 1]];
                let length = usize::from(u16::from_le_bytes(length));
                compare(&self.bytes[at + FIXED..at + FIXED + length], path)
            })
            .ok()
    }
}

/// Returns the path of the context in a file that may be any.
pub(super) fn path_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u32::from_le_bytes(bytes.get(32..36)?.try_into().ok()?) as usize;
    let is_ours = bytes.get(..8)? == MAGIC;
    is_ours.then_some(bytes.get(36..36 + length)?.to_vec())
}

/// Writes a file. The entries must be in the order of [`compare`].
pub(super) fn write<'a>(
    owner: &Owner,
    born_ms: u64,
    entries: impl ExactSizeIterator<Item = (&'a [u8], Record)>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + entries.len() * (FIXED + 40));
    out.extend(MAGIC);
    out.extend(born_ms.to_le_bytes());
    out.extend(owner.dev.to_le_bytes());
    out.extend(owner.ino.to_le_bytes());
    out.extend(u32::try_from(owner.path.len()).unwrap_or(0).to_le_bytes());
    out.extend(&owner.path);
    out.extend(u32::try_from(entries.len()).unwrap_or(0).to_le_bytes());
    for (path, record) in entries {
        out.extend(record.stamp);
        out.extend(record.since_ms.to_le_bytes());
        out.extend(record.digest);
        out.push(record.age);
        // Paths of the kernel are shorter than 4096 bytes.
        out.extend(u16::try_from(path.len()).unwrap_or(0).to_le_bytes());
        out.extend(path);
    }
    let sum = crc(&out);
    out.extend(sum.to_le_bytes());
    out
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Compares paths component by component, as a sorted walk meets them.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: &u8| match *byte {
        b'/' => 0,
        byte => u16::from(byte) + 1,
    };
    a.iter().map(rank).cmp(b.iter().map(rank))
}
