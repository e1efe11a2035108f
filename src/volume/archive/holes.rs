//! Where the data of a file with holes lies (lseek(2), `SEEK_DATA` and `SEEK_HOLE`).

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{SeekFrom, Stat, seek},
    io::Errno,
};

use crate::store::TAR_BLOCK;

/// Most parts of one file: what follows is one part, holes and all.
const PARTS_MAX: usize = 1 << 16;
/// Bytes of a block as stat(2) counts them.
const STAT_BLOCK: u64 = 512;

/// Offset and length of one part.
pub(in crate::volume) type Part = (u64, u64);

/// Returns the parts of a file that have data, in ascending order; `None` = it has no holes.
pub(in crate::volume) fn parts(
    file: BorrowedFd<'_>,
    stat: &Stat,
) -> Result<Option<Vec<Part>>, Errno> {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
    if blocks * STAT_BLOCK >= size {
        return Ok(None);
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start.min(size),
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            // The filesystem knows no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let end = if parts.len() + 1 == PARTS_MAX {
            size
        } else {
            match seek(file, SeekFrom::Hole(start)) {
                Ok(end) => end.min(size),
                // It became shorter.
                Err(Errno::NXIO) => break,
                Err(errno) => return Err(errno),
            }
        };
        if end > start {
            parts.push((start, end - start));
        }
        at = end.max(start + 1);
    }
    Ok(if parts == [(0, size)] {
        None
    } else {
        Some(parts)
    })
}

/// Writes the map that stands before the data (GNU's PAX sparse format 1.0): decimal lines, padded to a block. The last part is empty
/// and lies at the end of the file, so that a reader makes it as long as it was.
pub(super) fn map(parts: &[Part], size: u64) -> Vec<u8> {
    let all = parts.iter().copied().chain([(size, 0)]);
    let lines = all.map(|(offset, length)| format!("{offset}\n{length}\n"));
    let text: Vec<String> = [format!("{}\n", parts.len() + 1)]
        .into_iter()
        .chain(lines)
        .collect();
    let mut map = text.concat().into_bytes();
    map.resize(map.len().next_multiple_of(TAR_BLOCK), 0);
    map
}
