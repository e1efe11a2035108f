//! What the Go linker records in every program: the compiler and the modules (`debug/buildinfo`).
//!
//! ```text
//! "\xff Go buildinf:"  pointer size, flags   16 bytes, aligned to 16, in `.go.buildinfo` or the first writable segment
//! flags & 2            two strings follow at 32: varint length, bytes      (Go 1.18 and later)
//! otherwise            two addresses of strings (address, length) follow at 16
//! ```
//! The first string is the compiler's version, the second lists modules, between two marks of 16 bytes.

use super::{
    Kind, Package, ReadError,
    elf::{Elf, Segment},
};

const MAGIC: &[u8] = b"\xff Go buildinf:";
const SECTION: &[u8] = b".go.buildinfo";

/// The version of what was built from a checkout: not known.
const DEVELOPMENT: &str = "(devel)";

/// How much of a segment is searched, as Go's own reader does.
const SEARCH_BYTES_MAX: u64 = 1 << 20;

/// Largest list of modules: that of Kubernetes has 30 kB.
const LIST_BYTES_MAX: u64 = 4 << 20;

/// Returns the modules of a program: none when it is not one of Go.
pub(super) fn read(elf: &Elf<'_>) -> Result<Vec<Package>, ReadError> {
    let Some(at) = find(elf)? else {
        return Ok(Vec::new());
    };
    let head = elf.file.bytes(at, 32)?;
    let (compiler, list) = if head[15] & 2 != 0 {
        let (compiler, next) = inline(elf, at + 32)?;
        (compiler, inline(elf, next)?.0)
    } else {
        (pointed(elf, &head, 0)?, pointed(elf, &head, 1)?)
    };
    Ok(packages(&compiler, &list))
}

fn find(elf: &Elf<'_>) -> Result<Option<u64>, ReadError> {
    let place = elf.place(SECTION).or_else(|| {
        let data = elf
            .segments()
            .iter()
            .find(|segment: &&Segment| segment.is_writable)?;
        Some((data.offset, data.size))
    });
    let Some((start, size)) = place else {
        return Ok(None);
    };
    let size = size
        .min(SEARCH_BYTES_MAX)
        .min(elf.file.size().saturating_sub(start));
    let bytes = elf.file.bytes(start, size)?;
    let found = bytes
        .chunks(16)
        .position(|chunk| chunk.starts_with(MAGIC) && chunk.len() == 16);
    Ok(found.map(|number| start + number as u64 * 16))
}

fn inline(elf: &Elf<'_>, at: u64) -> Result<(Vec<u8>, u64), ReadError> {
    let most = elf.file.size().saturating_sub(at).min(10);
    let mut length: u64 = 0;
    for (index, byte) in elf.file.bytes(at, most)?.into_iter().enumerate() {
        length |= u64::from(byte & 0x7f)
            .checked_shl(u32::try_from(index * 7).unwrap_or(64))
            .unwrap_or(0);
        if byte & 0x80 == 0 {
            let start = at + index as u64 + 1;
            return Ok((text(elf, start, length)?, start + length));
        }
    }
    Err(ReadError::Form("build information of Go that breaks off"))
}

fn text(elf: &Elf<'_>, at: u64, length: u64) -> Result<Vec<u8>, ReadError> {
    if length > LIST_BYTES_MAX {
        return Err(ReadError::TooBig {
            bytes: length,
            most: LIST_BYTES_MAX,
        });
    }
    elf.file.bytes(at, length)
}

fn pointed(elf: &Elf<'_>, head: &[u8], number: usize) -> Result<Vec<u8>, ReadError> {
    let width = match head[14] {
        4 => 4,
        8 => 8,
        _ => return Err(ReadError::Form("build information of Go with odd pointers")),
    };
    let number_at = |bytes: &[u8], at: usize| {
        let fields = elf.fields(bytes);
        if width == 8 {
            fields.u64(at)
        } else {
            Ok(u64::from(fields.u32(at)?))
        }
    };
    let address = number_at(head, 16 + number * width)?;
    if address == 0 {
        return Ok(Vec::new());
    }
    let string = elf.at_address(address, width as u64 * 2)?;
    let (start, length) = (number_at(&string, 0)?, number_at(&string, width)?);
    if length > LIST_BYTES_MAX {
        return Err(ReadError::TooBig {
            bytes: length,
            most: LIST_BYTES_MAX,
        });
    }
    elf.at_address(start, length)
}

/// Reads `mod`, `dep` and `=>` lines: path, version, checksum. A replacement takes the place of the line before it.
fn packages(compiler: &[u8], list: &[u8]) -> Vec<Package> {
    let mut modules: Vec<(String, String)> = Vec::new();
    let compiler = String::from_utf8_lossy(compiler).into_owned();
    // `go1.22.1 X:nocoverageredesign`: experiments follow.
    let version = compiler.split_ascii_whitespace().next().unwrap_or_default();
    if let Some(version) = version.strip_prefix("go") {
        modules.push(("stdlib".to_owned(), version.to_owned()));
    }
    let list = list
        .get(16..list.len().saturating_sub(16))
        .unwrap_or_default();
    for line in String::from_utf8_lossy(list).lines() {
        let mut words = line.split('\t');
        let (Some(word), Some(path)) = (words.next(), words.next()) else {
            continue;
        };
        let version = words.next().unwrap_or_default();
        match word {
            "mod" | "dep" => modules.push((path.to_owned(), version.to_owned())),
            // A directory in place of a module has no version: the module's own name says more.
            "=>" if !version.is_empty() && version != DEVELOPMENT => {
                drop(modules.pop());
                modules.push((path.to_owned(), version.to_owned()));
            }
            _ => {}
        }
    }
    let named = modules.into_iter().filter(|(path, _)| !path.is_empty());
    named
        .map(|(path, version)| {
            let version = if version == DEVELOPMENT {
                String::new()
            } else {
                version
            };
            Package::new(Kind::Golang, path, version)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_replacements_are_read() {
        let list = "0123456789abcdefpath\texample.org/x\nmod\texample.org/x\t(devel)\t\ndep\tgithub.com/a/b\tv1.2.3\th1:x=\ndep\tgithub.com/c/d\tv1.0.0\n=>\tgithub.com/e/d\tv1.0.1\th1:y=\ndep\texample.org/f\tv0.1.0\n=>\t./f\t(devel)\nbuild\t-compiler=gc\n0123456789abcdef";
        let found: Vec<String> = packages(b"go1.22.1 X:rangefunc", list.as_bytes())
            .into_iter()
            .map(|package| format!("{}@{}", package.name, package.version))
            .collect();
        assert_eq!(
            found,
            [
                "stdlib@1.22.1",
                "example.org/x@",
                "github.com/a/b@v1.2.3",
                "github.com/e/d@v1.0.1",
                "example.org/f@v0.1.0"
            ]
        );
        assert!(packages(b"", b"short").is_empty());
    }
}
