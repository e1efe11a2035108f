//! rpm's own database, `Packages.db`: little-endian pages of slots, each of which leads to a blob.
//!
//! ```text
//! 0       "RpmP" version generation pages …        32 bytes, the place of two slots
//! 32      slots: "Slot" package block blocks       16 bytes each; package 0 = free
//! 16*block  "BlbS" package checksum length, then the header of the package
//! ```

use super::HEADER_BYTES_MAX;
use crate::inventory::{ReadAt, ReadError, source::Fields};

const MAGIC: &[u8] = b"RpmP";
const SLOT: &[u8] = b"Slot";
const BLOB: &[u8] = b"BlbS";
const UNIT: u64 = 16;
const PAGE: u64 = 4096;

/// Pages of slots: half a million packages.
const PAGES_MAX: u32 = 2048;

/// Gives the header of every package.
pub(super) fn headers(file: &dyn ReadAt, each: &mut dyn FnMut(Vec<u8>)) -> Result<(), ReadError> {
    let header = file.bytes(0, 32)?;
    let fields = Fields::little(&header);
    if fields.part(0, 4)? != MAGIC {
        return Err(ReadError::Form("not a database of rpm (ndb)"));
    }
    if fields.u32(4)? != 0 {
        return Err(ReadError::Form("a version of ndb that is not known"));
    }
    let pages = fields.u32(12)?;
    if pages > PAGES_MAX {
        return Err(ReadError::Form("too many pages of slots"));
    }
    for page in 0..u64::from(pages) {
        let slots = file.bytes(page * PAGE, PAGE)?;
        let skipped = if page == 0 { 2 } else { 0 };
        for slot in slots.chunks_exact(16).skip(skipped) {
            let slot = Fields::little(slot);
            if slot.part(0, 4)? != SLOT {
                return Err(ReadError::Form("a slot without its mark"));
            }
            let package = slot.u32(4)?;
            if package != 0 {
                each(blob(file, package, slot.u32(8)?)?);
            }
        }
    }
    Ok(())
}

fn blob(file: &dyn ReadAt, package: u32, block: u32) -> Result<Vec<u8>, ReadError> {
    let at = u64::from(block) * UNIT;
    let head = file.bytes(at, UNIT)?;
    let fields = Fields::little(&head);
    if fields.part(0, 4)? != BLOB || fields.u32(4)? != package {
        return Err(ReadError::Form("a slot that leads to no package"));
    }
    let length = u64::from(fields.u32(12)?);
    if length > HEADER_BYTES_MAX {
        return Err(ReadError::TooBig {
            bytes: length,
            most: HEADER_BYTES_MAX,
        });
    }
    file.bytes(at + UNIT, length)
}
