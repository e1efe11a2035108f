//! Hostile bytes with a size, read at positions: files of an image, and archives inside of archives.

use std::{io, os::unix::fs::FileExt};

/// Why something in an image could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Larger than what is read at once.
    #[error("{bytes} bytes; at most {most} are read")]
    TooBig {
        /// Its size.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// Bytes that do not have their form.
    #[error("{0}")]
    Form(&'static str),
}

/// Bytes that can be read at any position.
pub(crate) trait ReadAt {
    /// Returns how many there are.
    fn size(&self) -> u64;

    /// Fills the buffer with what is at `offset`; fails where there is less.
    fn fill(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError>;

    /// Reads `length` bytes, which must all be there, so that a forged length allocates nothing.
    fn bytes(&self, offset: u64, length: u64) -> Result<Vec<u8>, ReadError> {
        let end = offset.checked_add(length);
        if end.is_none_or(|end| end > self.size()) {
            return Err(ReadError::Form("a place beyond the end of the file"));
        }
        let length = usize::try_from(length).map_err(|_large| TOO_LARGE)?;
        let mut buffer = vec![0; length];
        self.fill(offset, &mut buffer)?;
        Ok(buffer)
    }

    /// Reads everything, if that is at most `most` bytes.
    fn all(&self, most: u64) -> Result<Vec<u8>, ReadError> {
        if self.size() > most {
            return Err(ReadError::TooBig {
                bytes: self.size(),
                most,
            });
        }
        self.bytes(0, self.size())
    }
}

const TOO_LARGE: ReadError = ReadError::Form("a length beyond what this machine can address");

/// A regular file.
#[derive(Debug)]
pub(crate) struct StoredFile {
    file: std::fs::File,
    size: u64,
}

impl StoredFile {
    /// Takes an open file of a known size.
    pub(crate) fn new(file: std::fs::File, size: u64) -> Self {
        Self { file, size }
    }
}

impl ReadAt for StoredFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn fill(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        Ok(self.file.read_exact_at(buffer, offset)?)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn fill(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let part = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..buffer.len()));
        buffer.copy_from_slice(part.ok_or(ReadError::Form("a place beyond the end"))?);
        Ok(())
    }
}

/// Numbers of either byte order at places of a buffer; a place beyond its end is an error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
}

impl<'a> Fields<'a> {
    pub(crate) fn little(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            is_big_endian: false,
        }
    }

    pub(crate) fn big(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            is_big_endian: true,
        }
    }

    pub(crate) fn part(self, at: usize, length: usize) -> Result<&'a [u8], ReadError> {
        let part = self.bytes.get(at..).and_then(|rest| rest.get(..length));
        part.ok_or(ReadError::Form("it ends too early"))
    }

    fn number(self, at: usize, length: usize) -> Result<u64, ReadError> {
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let part = self.part(at, length)?;
        Ok(if self.is_big_endian {
            part.iter().fold(0, join)
        } else {
            part.iter().rev().fold(0, join)
        })
    }

    pub(crate) fn u8(self, at: usize) -> Result<u8, ReadError> {
        Ok(self.part(at, 1)?[0])
    }

    pub(crate) fn u16(self, at: usize) -> Result<u16, ReadError> {
        Ok(u16::try_from(self.number(at, 2)?).expect("two bytes"))
    }

    pub(crate) fn u32(self, at: usize) -> Result<u32, ReadError> {
        Ok(u32::try_from(self.number(at, 4)?).expect("four bytes"))
    }

    pub(crate) fn u64(self, at: usize) -> Result<u64, ReadError> {
        self.number(at, 8)
    }
}
