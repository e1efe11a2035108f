//! Archives of plain files that say of themselves what they are and end in a digest of all before it.
//!
//! The stream is as hostile as a layer: the same writer confines it. Names mean what they say here: nothing is a whiteout.

use std::{
    io::{self, Read},
    os::fd::BorrowedFd,
};

use sha2::{Digest as _, Sha256};

use super::{
    Limits, TarError, UnpackError, Whiteouts, clean,
    header::BLOCK,
    reader::{Kind, TarReader},
    writer::Writer,
};
use crate::{image::decode::Decoder, model::Digest};

/// Names of the members by which an archive is known.
#[derive(Debug, Clone, Copy)]
pub struct Seal<'a> {
    /// The first member.
    pub first: &'a str,
    /// The last member, which holds the digest of the stream up to its header.
    pub last: &'a str,
}

/// What was unpacked.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// SHA-256 of the uncompressed stream up to the last member. The caller compares it.
    pub digest: Digest,
    /// What this host would not keep, one sentence each.
    pub notes: Vec<String>,
}

/// Unpacks an archive, compressed or not, into an empty directory. Whose digest is wrong is there in full: the caller throws it away.
///
/// Its size has no ceiling but the disk, for it is the user's own data; memory is bounded as for layers.
///
/// # Errors
///
/// As for layers; and when the first or the last member is another one, or a hard link leads to a file that is not in the archive.
pub fn unpack_sealed(
    source: impl Read,
    directory: BorrowedFd<'_>,
    seal: Seal<'_>,
) -> Result<Sealed, UnpackError> {
    let decoder = Decoder::new(source).map_err(TarError::Read)?;
    let mut reader = TarReader::new(Trailing::new(decoder));
    let mut writer = Writer::new(directory, limits(), None);
    let mut digest = None;
    let mut is_first = true;
    while let Some(entry) = next(&mut reader, is_first)? {
        let name = clean(&entry.path);
        let is_file = entry.kind == Kind::File;
        if is_first && !(is_file && name.0 == seal.first.as_bytes()) {
            return Err(UnpackError::Unsealed(
                "it does not begin with the description that an archive of this kind has",
            ));
        }
        is_first = false;
        if digest.is_some() {
            return Err(UnpackError::Unsealed("it goes on after its end"));
        }
        if is_file && name.0 == seal.last.as_bytes() {
            digest = Some(reader.source().digest());
        }
        writer.apply(&entry, &mut reader)?;
    }
    let unpacked = writer.finish()?;
    if let Some(link) = unpacked.external_links.first() {
        return Err(UnpackError::Refused {
            entry: super::display(&link.path),
            rule: "a hard link to a file that is not in the archive",
        });
    }
    let Some(digest) = digest else {
        return Err(UnpackError::Unsealed("its end is missing"));
    };
    Ok(Sealed {
        digest,
        notes: unpacked.notes,
    })
}

/// What cannot be read as a tar stream from its first block on is something else.
fn next<R: Read>(
    reader: &mut TarReader<'_, R>,
    is_first: bool,
) -> Result<Option<super::reader::Entry>, UnpackError> {
    match reader.next_entry() {
        Err(TarError::Field(_) | TarError::Type(_)) if is_first => Err(TarError::NoArchive.into()),
        next => Ok(next?),
    }
}

fn limits() -> Limits {
    Limits {
        entries: u64::MAX,
        bytes: u64::MAX,
        whiteouts: Whiteouts::Plain,
        ..Limits::for_compressed(0)
    }
}

/// Hashes what was read except for the newest block: when a member's header has been read, the digest is that of all before it.
struct Trailing<R> {
    inner: R,
    hasher: Sha256,
    /// The newest bytes, at most a block.
    newest: Vec<u8>,
}

impl<R> Trailing<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            newest: Vec::with_capacity(BLOCK),
        }
    }

    fn digest(&self) -> Digest {
        Digest::from_sha256(&self.hasher.clone().finalize().into())
    }

    fn add(&mut self, bytes: &[u8]) {
        if bytes.len() >= BLOCK {
            self.hasher.update(&self.newest);
            self.newest.clear();
            let (old, new) = bytes.split_at(bytes.len() - BLOCK);
            self.hasher.update(old);
            self.newest.extend_from_slice(new);
            return;
        }
        let surplus = (self.newest.len() + bytes.len()).saturating_sub(BLOCK);
        self.hasher.update(&self.newest[..surplus]);
        self.newest.drain(..surplus);
        self.newest.extend_from_slice(bytes);
    }
}

impl<R: Read> Read for Trailing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.add(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_block_is_not_hashed_however_it_came() {
        let bytes: Vec<u8> = (0..251).cycle().take(5 * BLOCK + 7).collect();
        let expected = Sha256::digest(&bytes[..bytes.len() - BLOCK]);
        for step in [1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, bytes.len()] {
            let mut trailing = Trailing::new(&bytes[..]);
            let mut buffer = vec![0; step];
            while trailing.read(&mut buffer).unwrap() > 0 {}
            let digest = Digest::from_sha256(&expected.into());
            assert_eq!(trailing.digest(), digest, "{step}");
        }
    }
}
