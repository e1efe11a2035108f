//! Files with holes, in the four forms that GNU tar has written over the years.

use std::io::Read;

use super::{
    TarError,
    header::{self, BLOCK, Header},
    reader::{Entry, TarReader},
};

/// Most data segments of a sparse file.
const SEGMENTS_MAX: usize = 1 << 20;

/// `GNU.sparse.*` of PAX: 0.0 repeats offset and length, 0.1 has a map, 1.0 has the map in front of the data.
#[derive(Default)]
pub(super) struct SparseRecords {
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) major: Option<u64>,
    pub(super) numbers: Vec<u64>,
}

impl<R: Read> TarReader<'_, R> {
    /// Reads the map of a sparse file, if the entry is one.
    pub(super) fn read_sparse(
        &mut self,
        header: &Header<'_>,
        records: SparseRecords,
        entry: &mut Entry,
    ) -> Result<(), TarError> {
        let (segments, size) = if header.kind() == b'S' {
            let (mut pairs, mut more, real) = header.sparse()?;
            while more {
                let block = self.read_block()?.ok_or(TarError::Truncated)?;
                pairs.extend(header::sparse_pairs(&block[..504])?);
                more = block[504] != 0;
                if pairs.len() > SEGMENTS_MAX {
                    return Err(TarError::Field("sparse map"));
                }
            }
            (pairs, real)
        } else if let Some(real) = records.size {
            let numbers = if records.major == Some(1) {
                self.read_sparse_map()?
            } else {
                records.numbers
            };
            if numbers.len() % 2 != 0 {
                return Err(TarError::Field("sparse map"));
            }
            (
                numbers
                    .chunks_exact(2)
                    .map(|pair| (pair[0], pair[1]))
                    .collect(),
                real,
            )
        } else {
            return Ok(());
        };
        check_segments(&segments, self.left, size)?;
        if let Some(name) = records.name {
            entry.path = name;
        }
        entry.size = size;
        entry.segments = Some(segments);
        Ok(())
    }

    /// Reads the map of PAX sparse 1.0: decimal lines (count, then offsets and lengths), padded to a block.
    fn read_sparse_map(&mut self) -> Result<Vec<u64>, TarError> {
        let mut numbers = Vec::new();
        let mut wanted = 1;
        let mut digits = Vec::new();
        while numbers.len() < wanted {
            let mut block = [0; BLOCK];
            let mut filled = 0;
            while filled < BLOCK {
                match self.read_data(&mut block[filled..])? {
                    0 => return Err(TarError::Field("sparse map")),
                    count => filled += count,
                }
            }
            for byte in block {
                if numbers.len() == wanted {
                    break;
                }
                if byte != b'\n' {
                    digits.push(byte);
                    continue;
                }
                let number = header::decimal(&digits).ok_or(TarError::Field("sparse map"))?;
                digits.clear();
                if numbers.is_empty() {
                    let count = usize::try_from(number).unwrap_or(usize::MAX);
                    if count > SEGMENTS_MAX {
                        return Err(TarError::Field("sparse map"));
                    }
                    wanted = 1 + 2 * count;
                }
                numbers.push(number);
            }
        }
        numbers.remove(0);
        Ok(numbers)
    }
}

/// Segments must ascend without overlap, end within the file, and use exactly the data that follows.
fn check_segments(segments: &[(u64, u64)], data: u64, size: u64) -> Result<(), TarError> {
    let mut end = 0_u64;
    let mut total = 0_u64;
    for (offset, length) in segments {
        let next = offset
            .checked_add(*length)
            .filter(|next| *offset >= end && *next <= size);
        end = next.ok_or(TarError::Field("sparse map"))?;
        total += length;
    }
    if total == data {
        Ok(())
    } else {
        Err(TarError::Field("sparse map"))
    }
}
