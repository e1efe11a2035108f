//! Crates that cargo-auditable recorded in a program: zlib-compressed JSON in the section `.dep-v0`.

use std::io::Read;

use serde::Deserialize;

use super::{Kind, Package, ReadError, elf::Elf};

const SECTION: &[u8] = b".dep-v0";

/// Largest section, and largest JSON in it: cargo-auditable's own reader takes 8 MB.
const BYTES_MAX: u64 = 8 << 20;

#[derive(Deserialize)]
struct Record {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    #[serde(default)]
    source: String,
    /// Absent = of the program itself.
    kind: Option<String>,
}

/// Returns the crates of a program: none when nobody recorded them.
pub(super) fn read(elf: &Elf<'_>) -> Result<Vec<Package>, ReadError> {
    let Some(section) = elf.section(SECTION, BYTES_MAX)? else {
        return Ok(Vec::new());
    };
    let mut json = Vec::new();
    let mut decoder = flate2::read::ZlibDecoder::new(&*section).take(BYTES_MAX + 1);
    decoder
        .read_to_end(&mut json)
        .map_err(|_broken| ReadError::Form("a list of crates that cannot be decompressed"))?;
    if json.len() as u64 > BYTES_MAX {
        return Err(ReadError::Form("a list of crates that is too large"));
    }
    let record: Record = serde_json::from_slice(&json)
        .map_err(|_malformed| ReadError::Form("a list of crates that is no JSON of its form"))?;
    // Crates that only ran at build time are not in the program, and advisories are about those of crates.io.
    let linked = record.packages.into_iter();
    let linked = linked.filter(|found| found.kind.as_deref() != Some("build"));
    let linked = linked.filter(|found| !found.source.is_empty());
    Ok(linked
        .map(|found| Package::new(Kind::Cargo, found.name, found.version))
        .collect())
}
