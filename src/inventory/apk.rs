//! apk: `/lib/apk/db/installed`, lines of one letter and a value, blank lines between packages (apk-package(5)).

use super::{
    InventoryError, Kind, Package, ReadAt, ReadError, SourcePackage, StoredFile,
    files::Collector,
    origin::{Listed, read_list},
};

/// The list; since apk 3 it is below `/usr`, where systems with a merged `/usr` have it anyway.
const LISTS: [&[u8]; 2] = [b"lib/apk/db/installed", b"usr/lib/apk/db/installed"];

/// Largest list: one of thousand packages has 3 MB.
const LIST_BYTES_MAX: u64 = 128 << 20;

/// Adds the packages of apk.
pub(super) fn read(collector: &mut Collector<'_>) -> Result<(), InventoryError> {
    for list in LISTS {
        if read_list(collector, list, |file: &StoredFile| {
            Ok::<_, ReadError>(parse(&file.all(LIST_BYTES_MAX)?))
        })? {
            break;
        }
    }
    Ok(())
}

fn parse(bytes: &[u8]) -> Vec<Listed> {
    let mut found = Vec::new();
    let mut fields = Fields::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        match line {
            [] => found.extend(std::mem::take(&mut fields).end()),
            [letter, b':', value @ ..] => fields.take(*letter, value),
            _ => {}
        }
    }
    found.extend(fields.end());
    found
}

#[derive(Default)]
struct Fields {
    name: String,
    version: String,
    architecture: Option<String>,
    origin: Option<String>,
    licence: Option<String>,
    maintainer: Option<String>,
    homepage: Option<String>,
    directory: Vec<u8>,
    files: Vec<Vec<u8>>,
}

impl Fields {
    fn take(&mut self, letter: u8, value: &[u8]) {
        let text = || String::from_utf8_lossy(value).into_owned();
        let stated = || Some(text()).filter(|text| !text.is_empty());
        match letter {
            b'P' => self.name = text(),
            b'V' => self.version = text(),
            b'A' => self.architecture = stated(),
            b'o' => self.origin = stated(),
            b'L' => self.licence = stated(),
            b'm' => self.maintainer = stated(),
            b'U' => self.homepage = stated(),
            b'F' => self.directory = value.to_vec(),
            b'R' => self.files.push(super::path::join(&self.directory, value)),
            _ => {}
        }
    }

    fn end(self) -> Option<Listed> {
        if self.name.is_empty() || self.version.is_empty() {
            return None;
        }
        let source = SourcePackage {
            name: self.origin.unwrap_or_else(|| self.name.clone()),
            version: Some(self.version.clone()),
        };
        Some(Listed {
            package: Package {
                architecture: self.architecture,
                source: Some(source),
                licences: self.licence.into_iter().collect(),
                supplier: self.maintainer,
                homepage: self.homepage,
                ..Package::new(Kind::Apk, self.name, self.version)
            },
            files: self.files,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packages_have_their_origin_and_files() {
        let text = b"C:Q1abc=\nP:libcrypto3\nV:3.1.4-r5\nA:x86_64\no:openssl\nL:Apache-2.0\nm:A B <a@b>\nU:https://x\nF:lib\nR:libcrypto.so.3\na:0:0:755\nF:usr/lib\nR:libcrypto.so\n\nP:no-version\n\nP:musl\nV:1.2.4-r2\n";
        let found = parse(text);
        assert_eq!(found.len(), 2);
        let package = &found[0].package;
        assert_eq!(
            (&*package.name, &*package.version),
            ("libcrypto3", "3.1.4-r5")
        );
        assert_eq!(package.source.as_ref().unwrap().name, "openssl");
        assert_eq!(package.licences, ["Apache-2.0"]);
        assert_eq!(
            found[0].files,
            [&b"lib/libcrypto.so.3"[..], b"usr/lib/libcrypto.so"]
        );
        assert_eq!(found[1].package.source.as_ref().unwrap().name, "musl");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(parse(&bytes));
        }
    }
}
