//! The header of an rpm package as databases keep it: big-endian `count, bytes`, an index of `tag, type, offset, count`, and
//! the data that the index points into.

use std::collections::HashMap;

use crate::inventory::{
    Kind, Package, ReadError, SourcePackage, origin::Listed, path::join, source::Fields,
};

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const VENDOR: u32 = 1011;
const LICENSE: u32 = 1014;
const URL: u32 = 1020;
const ARCH: u32 = 1022;
const SOURCE_RPM: u32 = 1044;
const DIRECTORY_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIRECTORY_NAMES: u32 = 1118;

const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

/// Entries of an index: rpm's own limit.
const ENTRIES_MAX: u32 = 0xffff;

/// Elements of one entry: rpm limits the data of a header to 256 MB, and an element has a byte at least.
const ELEMENTS_MAX: usize = 2 << 20;

/// A key that was imported, not a package.
const KEY: &str = "gpg-pubkey";

/// Reads a header; `None` for what is no package.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Listed>, ReadError> {
    let header = Header::open(bytes)?;
    let text = |tag| header.text(tag);
    let (Some(name), Some(version), Some(release)) = (text(NAME)?, text(VERSION)?, text(RELEASE)?)
    else {
        return Err(ReadError::Form(
            "a package without name, version or release",
        ));
    };
    if name == KEY {
        return Ok(None);
    }
    let epoch = header.numbers(EPOCH)?.first().copied().unwrap_or(0);
    let source = text(SOURCE_RPM)?.and_then(|file| source(&file, epoch));
    let stated = |tag| Ok::<_, ReadError>(header.text(tag)?.filter(|text| !text.is_empty()));
    Ok(Some(Listed {
        package: Package {
            architecture: stated(ARCH)?,
            source,
            licences: stated(LICENSE)?.into_iter().collect(),
            supplier: stated(VENDOR)?.filter(|vendor| vendor != "(none)"),
            homepage: stated(URL)?.filter(|url| url != "(none)"),
            ..Package::new(Kind::Rpm, name, evr(epoch, &version, &release))
        },
        files: header.files()?,
    }))
}

fn evr(epoch: u32, version: &str, release: &str) -> String {
    match epoch {
        0 => format!("{version}-{release}"),
        epoch => format!("{epoch}:{version}-{release}"),
    }
}

/// `openssl-3.0.7-24.el9.src.rpm`; the epoch is that of the binary package, which has its name from the same spec file.
fn source(file: &str, epoch: u32) -> Option<SourcePackage> {
    let stem = file.strip_suffix(".rpm")?;
    let stem = (stem.strip_suffix(".src")).or_else(|| stem.strip_suffix(".nosrc"))?;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some(SourcePackage {
        name: name.to_owned(),
        version: Some(evr(epoch, version, release)),
    })
}

struct Header<'a> {
    entries: HashMap<u32, Entry>,
    data: &'a [u8],
}

struct Entry {
    kind: u32,
    offset: usize,
    count: usize,
}

impl<'a> Header<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let fields = Fields::big(bytes);
        let (count, length) = (fields.u32(0)?, fields.u32(4)?);
        if count > ENTRIES_MAX {
            return Err(ReadError::Form("a header with too many entries"));
        }
        let count = count as usize;
        let mut entries = HashMap::with_capacity(count);
        for number in 0..count {
            let at = 8 + number * 16;
            let entry = Entry {
                kind: fields.u32(at + 4)?,
                offset: fields.u32(at + 8)? as usize,
                count: fields.u32(at + 12)? as usize,
            };
            if entry.count > ELEMENTS_MAX {
                return Err(ReadError::Form("an entry with too many elements"));
            }
            entries.entry(fields.u32(at)?).or_insert(entry);
        }
        Ok(Self {
            entries,
            data: fields.part(8 + count * 16, length as usize)?,
        })
    }

    fn text(&self, tag: u32) -> Result<Option<String>, ReadError> {
        Ok(self.strings(tag)?.first().map(|text| lossy(text)))
    }

    fn strings(&self, tag: u32) -> Result<Vec<&'a [u8]>, ReadError> {
        let Some(entry) = self.entries.get(&tag) else {
            return Ok(Vec::new());
        };
        let count = match entry.kind {
            STRING => 1,
            STRING_ARRAY | I18N_STRING => entry.count,
            _ => return Err(ReadError::Form("a text of another type")),
        };
        let rest = self.data.get(entry.offset..);
        let mut rest = rest.ok_or(ReadError::Form("a text beyond the header"))?;
        let mut found = Vec::new();
        for _ in 0..count {
            let end = rest.iter().position(|byte| *byte == 0);
            let end = end.ok_or(ReadError::Form("a text without an end"))?;
            found.push(&rest[..end]);
            rest = &rest[end + 1..];
        }
        Ok(found)
    }

    fn numbers(&self, tag: u32) -> Result<Vec<u32>, ReadError> {
        let Some(entry) = self.entries.get(&tag) else {
            return Ok(Vec::new());
        };
        if entry.kind != INT32 {
            return Err(ReadError::Form("a number of another type"));
        }
        let part = Fields::big(self.data).part(entry.offset, entry.count * 4)?;
        let fields = Fields::big(part);
        (0..entry.count)
            .map(|number| fields.u32(number * 4))
            .collect()
    }

    fn files(&self) -> Result<Vec<Vec<u8>>, ReadError> {
        let directories = self.strings(DIRECTORY_NAMES)?;
        let indexes = self.numbers(DIRECTORY_INDEXES)?;
        let names = self.strings(BASE_NAMES)?.into_iter();
        let files = names.zip(indexes).filter_map(|(name, index)| {
            let directory = directories.get(index as usize)?;
            Some(join(
                directory.strip_suffix(b"/").unwrap_or(directory),
                name,
            ))
        });
        Ok(files.collect())
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
