//! ZIP archives, read at positions: Java archives in images, and `all.zip` as OSV publishes its records (APPNOTE.TXT of PKWARE).
//!
//! ```text
//! entries … central directory … [zip64 end, its locator] end of central directory [comment]
//! ```
//! Only the central directory is believed; where a program stands in front of the archive, all places are moved by its length.

use std::io::Read;

use super::{ReadAt, ReadError, source::Fields};

/// Bytes of an end record, and of the longest comment behind it.
const END: u64 = 22;
const COMMENT_MAX: u64 = 65535;

/// Largest central directory: that of a million records.
const DIRECTORY_BYTES_MAX: u64 = 256 << 20;

/// How an entry is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Stored,
    Deflated,
    /// A method that is not read.
    Other(u16),
}

/// A file of an archive.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) method: Method,
    is_encrypted: bool,
    crc: u32,
    packed: u64,
    pub(crate) size: u64,
    at: u64,
}

/// An archive.
pub(crate) struct Archive<'a> {
    file: &'a dyn ReadAt,
    directory: Vec<u8>,
    /// Bytes in front of the archive.
    shift: u64,
}

impl<'a> Archive<'a> {
    /// Finds the central directory and reads it.
    pub(crate) fn open(file: &'a dyn ReadAt) -> Result<Self, ReadError> {
        let tail = file.size().min(END + COMMENT_MAX);
        let start = file.size() - tail;
        let bytes = file.bytes(start, tail)?;
        let found = bytes.windows(4).rposition(|window| window == b"PK\x05\x06");
        let found = found.ok_or(ReadError::Form("not a ZIP archive"))?;
        let fields = Fields::little(&bytes);
        let mut size = u64::from(fields.u32(found + 12)?);
        let mut offset = u64::from(fields.u32(found + 16)?);
        let mut end = start + found as u64;
        if let Some((at, large)) = zip64(file, end)? {
            let fields = Fields::little(&large);
            size = fields.u64(40)?;
            offset = fields.u64(48)?;
            end = at;
        }
        if size > DIRECTORY_BYTES_MAX {
            return Err(ReadError::TooBig {
                bytes: size,
                most: DIRECTORY_BYTES_MAX,
            });
        }
        let at = end.checked_sub(size);
        let shift = at.and_then(|at| at.checked_sub(offset));
        let (Some(at), Some(shift)) = (at, shift) else {
            return Err(ReadError::Form(
                "a ZIP archive whose directory is elsewhere",
            ));
        };
        Ok(Self {
            file,
            directory: file.bytes(at, size)?,
            shift,
        })
    }

    /// Returns the entries in the order of the directory; after an error there are no more.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Result<Entry, ReadError>> {
        let mut at = Some(0);
        std::iter::from_fn(move || {
            let start = at.filter(|at| *at < self.directory.len())?;
            match entry(&self.directory[start..]) {
                Ok((entry, length)) => {
                    at = Some(start + length);
                    Some(Ok(entry))
                }
                Err(error) => {
                    at = None;
                    Some(Err(error))
                }
            }
        })
    }

    /// Reads an entry of at most `most` bytes and checks its sum.
    pub(crate) fn read(&self, entry: &Entry, most: u64) -> Result<Vec<u8>, ReadError> {
        if entry.is_encrypted {
            return Err(ReadError::Form("an encrypted entry of a ZIP archive"));
        }
        if entry.size > most {
            return Err(ReadError::TooBig {
                bytes: entry.size,
                most,
            });
        }
        let at = self.shift.saturating_add(entry.at);
        let head = self.file.bytes(at, 30)?;
        let fields = Fields::little(&head);
        if fields.part(0, 4)? != b"PK\x03\x04" {
            return Err(ReadError::Form(
                "an entry of a ZIP archive that is not there",
            ));
        }
        let skipped = 30 + u64::from(fields.u16(26)?) + u64::from(fields.u16(28)?);
        let packed = self.file.bytes(at + skipped, entry.packed)?;
        let content = match entry.method {
            Method::Stored => packed,
            Method::Deflated => {
                let mut content = Vec::new();
                let mut decoder = flate2::read::DeflateDecoder::new(&*packed).take(entry.size + 1);
                decoder
                    .read_to_end(&mut content)
                    .map_err(|_broken| BROKEN)?;
                content
            }
            Method::Other(_) => {
                return Err(ReadError::Form(
                    "a ZIP archive compressed by neither deflate nor not at all",
                ));
            }
        };
        let mut crc = flate2::Crc::new();
        crc.update(&content);
        if content.len() as u64 != entry.size || crc.sum() != entry.crc {
            return Err(BROKEN);
        }
        Ok(content)
    }
}

const BROKEN: ReadError = ReadError::Form("an entry of a ZIP archive that is damaged");

/// Finds the end record of archives with large numbers, by the locator in front of the plain one.
fn zip64(file: &dyn ReadAt, end: u64) -> Result<Option<(u64, Vec<u8>)>, ReadError> {
    let Some(locator_at) = end.checked_sub(20) else {
        return Ok(None);
    };
    let locator = file.bytes(locator_at, 20)?;
    let fields = Fields::little(&locator);
    if fields.part(0, 4)? != b"PK\x06\x07" {
        return Ok(None);
    }
    // Directly in front of the locator it has its plain length; where a program is in front, its offset is not its place.
    let Some(at) = locator_at.checked_sub(56) else {
        return Ok(None);
    };
    let record = file.bytes(at, 56)?;
    if !record.starts_with(b"PK\x06\x06") {
        return Err(ReadError::Form(
            "a ZIP archive with an end record of another length",
        ));
    }
    Ok(Some((at, record)))
}

/// Reads an entry of the directory and returns it with its length there.
fn entry(bytes: &[u8]) -> Result<(Entry, usize), ReadError> {
    let fields = Fields::little(bytes);
    if fields.part(0, 4)? != b"PK\x01\x02" {
        return Err(ReadError::Form("a ZIP archive whose directory is damaged"));
    }
    let name = usize::from(fields.u16(28)?);
    let extra = usize::from(fields.u16(30)?);
    let comment = usize::from(fields.u16(32)?);
    let mut entry = Entry {
        name: fields.part(46, name)?.to_vec(),
        method: match fields.u16(10)? {
            0 => Method::Stored,
            8 => Method::Deflated,
            other => Method::Other(other),
        },
        is_encrypted: fields.u16(8)? & 1 != 0,
        crc: fields.u32(16)?,
        packed: u64::from(fields.u32(20)?),
        size: u64::from(fields.u32(24)?),
        at: u64::from(fields.u32(42)?),
    };
    large_numbers(&mut entry, fields.part(46 + name, extra)?)?;
    Ok((entry, 46 + name + extra + comment))
}

/// Numbers of 32 bits that are all ones stand in the extra field 1 in 64 bits, in this order.
fn large_numbers(entry: &mut Entry, extra: &[u8]) -> Result<(), ReadError> {
    let fields = Fields::little(extra);
    let mut at = 0;
    while at + 4 <= extra.len() {
        let (kind, length) = (fields.u16(at)?, usize::from(fields.u16(at + 2)?));
        if kind == 1 {
            let mut next = at + 4;
            for number in [&mut entry.size, &mut entry.packed, &mut entry.at] {
                if *number == u64::from(u32::MAX) {
                    *number = fields.u64(next)?;
                    next += 8;
                }
            }
            return Ok(());
        }
        at += 4 + length;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
