//! The table `Packages` of a SQLite database, read from its pages (the file format is documented at sqlite.org/fileformat2).
//!
//! ```text
//! page 1: header of 100 bytes, then the b-tree of sqlite_schema, which names the root page of every table
//! table b-tree: interior pages (5) lead to leaves (13); a row that does not fit goes on in a chain of overflow pages
//! ```

use super::HEADER_BYTES_MAX;
use crate::inventory::{ReadAt, ReadError, source::Fields};

const MAGIC: &[u8] = b"SQLite format 3\0";
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;

/// Gives the second column of every row of `Packages`.
pub(super) fn headers(file: &dyn ReadAt, each: &mut dyn FnMut(Vec<u8>)) -> Result<(), ReadError> {
    let database = Database::open(file)?;
    let mut root = None;
    database.rows(1, &mut |row| {
        if let Some(page) = root_of_packages(&row)? {
            root = Some(page);
        }
        Ok(())
    })?;
    let root = root.ok_or(ReadError::Form("a database without the table `Packages`"))?;
    database.rows(root, &mut |row| {
        let columns = columns(&row)?;
        match columns.get(1) {
            Some(Value::Bytes(blob)) => each(blob.to_vec()),
            _ => return Err(ReadError::Form("a row without a header")),
        }
        Ok(())
    })
}

fn root_of_packages(row: &[u8]) -> Result<Option<u32>, ReadError> {
    Ok(match columns(row)?[..] {
        [
            Value::Bytes(b"table"),
            Value::Bytes(b"Packages"),
            _,
            Value::Number(page),
            ..,
        ] => u32::try_from(page).ok(),
        _ => None,
    })
}

struct Database<'a> {
    file: &'a dyn ReadAt,
    page_bytes: usize,
    /// Bytes of a page that are used.
    usable: usize,
    pages: u64,
}

impl<'a> Database<'a> {
    fn open(file: &'a dyn ReadAt) -> Result<Self, ReadError> {
        let header = file.bytes(0, 100)?;
        if !header.starts_with(MAGIC) {
            return Err(ReadError::Form("not a SQLite database"));
        }
        let fields = Fields::big(&header);
        let page_bytes = match fields.u16(16)? {
            1 => 65536,
            size if size >= 512 && size.is_power_of_two() => usize::from(size),
            _ => return Err(ReadError::Form("a size of pages that SQLite does not have")),
        };
        let usable = page_bytes - usize::from(fields.u8(20)?);
        if usable < 480 {
            return Err(ReadError::Form("pages that are almost all reserved"));
        }
        Ok(Self {
            file,
            page_bytes,
            usable,
            pages: file.size() / page_bytes as u64,
        })
    }

    fn page(&self, number: u32) -> Result<Vec<u8>, ReadError> {
        let Some(index) = number.checked_sub(1) else {
            return Err(ReadError::Form("a page with the number 0"));
        };
        let size = self.page_bytes as u64;
        self.file.bytes(u64::from(index) * size, size)
    }

    /// Gives every row of a table. Pages that lead in circles are an error, because no tree has more pages than the file.
    fn rows(
        &self,
        root: u32,
        each: &mut dyn FnMut(Vec<u8>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let mut waiting = vec![root];
        let mut seen: u64 = 0;
        while let Some(number) = waiting.pop() {
            seen += 1;
            if seen > self.pages {
                return Err(ReadError::Form("pages that lead in circles"));
            }
            let page = self.page(number)?;
            let fields = Fields::big(&page);
            let start = if number == 1 { 100 } else { 0 };
            let kind = fields.u8(start)?;
            let cells = usize::from(fields.u16(start + 3)?);
            match kind {
                INTERIOR => {
                    waiting.push(fields.u32(start + 8)?);
                    for cell in 0..cells {
                        let at = usize::from(fields.u16(start + 12 + cell * 2)?);
                        waiting.push(fields.u32(at)?);
                    }
                }
                LEAF => {
                    for cell in 0..cells {
                        let at = usize::from(fields.u16(start + 8 + cell * 2)?);
                        each(self.payload(&page, at)?)?;
                    }
                }
                _ => return Err(ReadError::Form("a page that is of no table")),
            }
        }
        Ok(())
    }

    fn payload(&self, page: &[u8], at: usize) -> Result<Vec<u8>, ReadError> {
        let (length, at) = varint(page, at)?;
        let (_row, at) = varint(page, at)?;
        if length > HEADER_BYTES_MAX {
            return Err(ReadError::TooBig {
                bytes: length,
                most: HEADER_BYTES_MAX,
            });
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let local = self.local(length);
        let mut payload = Fields::big(page).part(at, local)?.to_vec();
        let mut next = 0;
        if local < length {
            next = Fields::big(page).u32(at + local)?;
        }
        while payload.len() < length {
            let page = self.page(next)?;
            let part = (length - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(Fields::big(&page).part(4, part)?);
            next = Fields::big(&page).u32(0)?;
        }
        Ok(payload)
    }

    /// How many bytes of a row are in the leaf itself.
    fn local(&self, length: usize) -> usize {
        let most = self.usable - 35;
        if length <= most {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let local = least + (length - least) % (self.usable - 4);
        if local <= most { local } else { least }
    }
}

enum Value<'a> {
    Number(i64),
    Bytes(&'a [u8]),
    Other,
}

/// Splits a row into its columns: a header with the type of each, then their values.
fn columns(row: &[u8]) -> Result<Vec<Value<'_>>, ReadError> {
    let (length, mut at) = varint(row, 0)?;
    let header_end = usize::try_from(length).unwrap_or(usize::MAX);
    let mut value_at = header_end;
    let mut values = Vec::new();
    let fields = Fields::big(row);
    while at < header_end {
        let (kind, next) = varint(row, at)?;
        at = next;
        let bytes = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return Err(ReadError::Form("a value of a reserved type")),
            kind => (kind - 12) / 2,
        };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let part = fields.part(value_at, bytes)?;
        values.push(match kind {
            1..=6 => Value::Number(number(part)),
            8 => Value::Number(0),
            9 => Value::Number(1),
            0 | 7 => Value::Other,
            _ => Value::Bytes(part),
        });
        value_at += bytes;
    }
    Ok(values)
}

fn number(bytes: &[u8]) -> i64 {
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if is_negative { -1 } else { 0 };
    bytes
        .iter()
        .fold(start, |number, byte| number << 8 | i64::from(*byte))
}

/// Reads a number of one to nine bytes, seven bits each, eight in the ninth.
fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize), ReadError> {
    let fields = Fields::big(bytes);
    let mut value = 0;
    for index in 0..8 {
        let byte = fields.u8(at.saturating_add(index))?;
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok((value, at + index + 1));
        }
    }
    let last = fields.u8(at.saturating_add(8))?;
    Ok((value << 8 | u64::from(last), at + 9))
}
