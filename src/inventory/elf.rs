//! Sections and segments of ELF files, as far as finding what compilers recorded in them takes (elf(5)).

use super::{ReadAt, ReadError, source::Fields};

/// Sections looked at: the kernel's own limit of a plain header.
const SECTIONS_MAX: u16 = 0xff00;

/// Largest table of names of sections.
const NAMES_BYTES_MAX: u64 = 4 << 20;

/// An ELF file.
pub(super) struct Elf<'a> {
    pub(super) file: &'a dyn ReadAt,
    pub(super) is_big_endian: bool,
    pub(super) is_64: bool,
    sections: Vec<Section>,
    segments: Vec<Segment>,
}

/// A section by its name.
struct Section {
    name: Vec<u8>,
    offset: u64,
    size: u64,
}

/// A segment that is loaded.
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) is_writable: bool,
}

impl<'a> Elf<'a> {
    /// Reads the tables of a file.
    pub(super) fn open(file: &'a dyn ReadAt) -> Result<Self, ReadError> {
        let head = file.bytes(0, file.size().min(64))?;
        let ident = Fields::little(&head);
        if ident.part(0, 4)? != b"\x7fELF" {
            return Err(ReadError::Form("not an ELF file"));
        }
        let mut elf = Self {
            file,
            is_64: ident.u8(4)? == 2,
            is_big_endian: ident.u8(5)? == 2,
            sections: Vec::new(),
            segments: Vec::new(),
        };
        elf.read_segments(&head)?;
        elf.read_sections(&head)?;
        Ok(elf)
    }

    /// Returns the content of a section, if there is one of this name and at most `most` bytes.
    pub(super) fn section(&self, name: &[u8], most: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let Some((offset, size)) = self.place(name) else {
            return Ok(None);
        };
        if size > most {
            return Err(ReadError::TooBig { bytes: size, most });
        }
        self.file.bytes(offset, size).map(Some)
    }

    /// Returns where a section is in the file and how many bytes it has.
    pub(super) fn place(&self, name: &[u8]) -> Option<(u64, u64)> {
        let mut sections = self.sections.iter();
        let section = sections.find(|section| section.name == name)?;
        Some((section.offset, section.size))
    }

    /// Returns the segments that are loaded.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Reads what is at an address when the program runs.
    pub(super) fn at_address(&self, address: u64, length: u64) -> Result<Vec<u8>, ReadError> {
        let inside = |segment: &&Segment| {
            address
                .checked_sub(segment.address)
                .is_some_and(|at| at < segment.size)
        };
        let segment = self.segments.iter().find(inside);
        let segment = segment.ok_or(ReadError::Form("an address outside of the program"))?;
        let at = segment.offset.checked_add(address - segment.address);
        let at = at.ok_or(ReadError::Form("an address outside of the program"))?;
        self.file.bytes(at, length)
    }

    /// Returns the numbers in bytes of this file.
    pub(super) fn fields<'b>(&self, bytes: &'b [u8]) -> Fields<'b> {
        if self.is_big_endian {
            Fields::big(bytes)
        } else {
            Fields::little(bytes)
        }
    }

    fn word(&self, fields: Fields<'_>, at64: usize, at32: usize) -> Result<u64, ReadError> {
        if self.is_64 {
            fields.u64(at64)
        } else {
            Ok(u64::from(fields.u32(at32)?))
        }
    }

    fn pick<T>(&self, of64: T, of32: T) -> T {
        if self.is_64 { of64 } else { of32 }
    }

    fn read_segments(&mut self, head: &[u8]) -> Result<(), ReadError> {
        let fields = self.fields(head);
        let start = self.word(fields, 32, 28)?;
        let size = u64::from(fields.u16(self.pick(54, 42))?);
        let count = fields.u16(self.pick(56, 44))?;
        if size < self.pick(56, 32) {
            // An object file has none.
            return Ok(());
        }
        let table = self.file.bytes(start, size * u64::from(count))?;
        for entry in table.chunks_exact(usize::try_from(size).unwrap_or(usize::MAX)) {
            let fields = self.fields(entry);
            let is_loaded = fields.u32(0)? == 1;
            if is_loaded {
                self.segments.push(Segment {
                    offset: self.word(fields, 8, 4)?,
                    address: self.word(fields, 16, 8)?,
                    size: self.word(fields, 32, 16)?,
                    is_writable: fields.u32(self.pick(4, 24))? & 2 != 0,
                });
            }
        }
        Ok(())
    }

    fn read_sections(&mut self, head: &[u8]) -> Result<(), ReadError> {
        let fields = self.fields(head);
        let start = self.word(fields, 40, 32)?;
        let size = u64::from(fields.u16(self.pick(58, 46))?);
        let count = fields.u16(self.pick(60, 48))?;
        let names = fields.u16(self.pick(62, 50))?;
        if start == 0 || size < self.pick(64, 40) || count > SECTIONS_MAX || names >= count {
            // Stripped of its sections, which is allowed.
            return Ok(());
        }
        let table = self.file.bytes(start, size * u64::from(count))?;
        let mut places = Vec::new();
        for entry in table.chunks_exact(usize::try_from(size).unwrap_or(usize::MAX)) {
            let fields = self.fields(entry);
            let place = (
                fields.u32(0)? as usize,
                self.word(fields, 24, 16)?,
                self.word(fields, 32, 20)?,
            );
            places.push(place);
        }
        let (_, offset, bytes) = places[usize::from(names)];
        let names = self.file.bytes(offset, bytes.min(NAMES_BYTES_MAX))?;
        for (name, offset, size) in places {
            let name = names.get(name..).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            self.sections.push(Section {
                name: name.to_vec(),
                offset,
                size,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
