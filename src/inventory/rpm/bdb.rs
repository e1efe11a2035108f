//! The hash table `Packages` of Berkeley DB, as rpm wrote it until 4.16.
//!
//! ```text
//! page 0      magic 0x061561 at 12, size of pages at 20, last page at 32; in the byte order of the machine that wrote it
//! hash pages  (type 2 or 13) at 26 an index of items, key and value in turn; a value of a package is off the page:
//!             kind 3, first page at 4, length at 8
//! overflow    (type 7) next page at 16, bytes used at 22, content from 26 on
//! ```

use super::HEADER_BYTES_MAX;
use crate::inventory::{ReadAt, ReadError, source::Fields};

const MAGIC: u32 = 0x0006_1561;
const HASH_UNSORTED: u8 = 2;
const HASH: u8 = 13;
const OVERFLOW: u8 = 7;
const OFF_PAGE: u8 = 3;
const PAGE_HEADER: usize = 26;

/// Gives the header of every package.
pub(super) fn headers(file: &dyn ReadAt, each: &mut dyn FnMut(Vec<u8>)) -> Result<(), ReadError> {
    let database = Database::open(file)?;
    for number in 1..=database.last {
        let page = database.page(number)?;
        let fields = database.fields(&page);
        if !matches!(fields.u8(25)?, HASH_UNSORTED | HASH) {
            continue;
        }
        let items = usize::from(fields.u16(20)?);
        for item in (1..items).step_by(2) {
            let at = usize::from(fields.u16(PAGE_HEADER + item * 2)?);
            // The value of key 0, the number of the next package, is on the page itself.
            if fields.u8(at)? == OFF_PAGE {
                each(database.chain(fields.u32(at + 4)?, fields.u32(at + 8)?)?);
            }
        }
    }
    Ok(())
}

struct Database<'a> {
    file: &'a dyn ReadAt,
    is_big_endian: bool,
    page_bytes: u64,
    last: u32,
}

impl<'a> Database<'a> {
    fn open(file: &'a dyn ReadAt) -> Result<Self, ReadError> {
        let head = file.bytes(0, 512)?;
        let is_big_endian = Fields::big(&head).u32(12)? == MAGIC;
        let fields = if is_big_endian {
            Fields::big(&head)
        } else {
            Fields::little(&head)
        };
        if fields.u32(12)? != MAGIC {
            return Err(ReadError::Form("not a hash table of Berkeley DB"));
        }
        let size = fields.u32(20)?;
        if !(512..=65536).contains(&size) || !size.is_power_of_two() {
            return Err(ReadError::Form(
                "a size of pages that Berkeley DB does not have",
            ));
        }
        Ok(Self {
            file,
            is_big_endian,
            page_bytes: u64::from(size),
            last: fields.u32(32)?,
        })
    }

    fn fields<'b>(&self, bytes: &'b [u8]) -> Fields<'b> {
        if self.is_big_endian {
            Fields::big(bytes)
        } else {
            Fields::little(bytes)
        }
    }

    fn page(&self, number: u32) -> Result<Vec<u8>, ReadError> {
        let at = u64::from(number) * self.page_bytes;
        self.file.bytes(at, self.page_bytes)
    }

    fn chain(&self, first: u32, length: u32) -> Result<Vec<u8>, ReadError> {
        let length = u64::from(length);
        if length > HEADER_BYTES_MAX {
            return Err(ReadError::TooBig {
                bytes: length,
                most: HEADER_BYTES_MAX,
            });
        }
        let mut value = Vec::new();
        let mut number = first;
        while (value.len() as u64) < length {
            let page = self.page(number)?;
            let fields = self.fields(&page);
            let used = usize::from(fields.u16(22)?);
            // An empty page would let a circle go on for ever.
            if number == 0 || fields.u8(25)? != OVERFLOW || used == 0 {
                return Err(ReadError::Form("a value that breaks off"));
            }
            value.extend_from_slice(fields.part(PAGE_HEADER, used)?);
            number = fields.u32(16)?;
        }
        value.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(value)
    }
}
