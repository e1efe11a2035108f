//! Programs of a few bytes: an ELF header, one section with content, and the names of sections.

use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::inventory::{Package, cargo, golang};

/// Makes a file of 64 bits with one section.
fn program(name: &str, content: &[u8]) -> Vec<u8> {
    let names = [b"\0", name.as_bytes(), b"\0"].concat();
    let half = |number: u16| number.to_le_bytes();
    let word = |number: u32| number.to_le_bytes();
    let long = |number: usize| (number as u64).to_le_bytes();
    let table = 64 + content.len() + names.len();
    let mut bytes = [&b"\x7fELF\x02\x01\x01"[..], &[0; 9]].concat();
    bytes.extend(
        [
            &half(2)[..],
            &half(62),
            &word(1),
            &long(0),
            &long(0),
            &long(table),
            &word(0),
        ]
        .concat(),
    );
    bytes.extend([half(64), half(56), half(0), half(64), half(3), half(2)].concat());
    bytes.extend(content);
    bytes.extend(&names);
    let section = |name: u32, offset: usize, size: usize| {
        [
            &word(name)[..],
            &word(1),
            &long(0),
            &long(0),
            &long(offset),
            &long(size),
            &[0; 24],
        ]
        .concat()
    };
    bytes.extend([0; 64]);
    bytes.extend(section(1, 64, content.len()));
    bytes.extend(section(0, 64 + content.len(), names.len()));
    bytes
}

fn go_program() -> Vec<u8> {
    let list = "0123456789abcdefpath\tx\ndep\tgithub.com/a/b\tv1.2.3\th1:x=\n0123456789abcdef";
    let mut info = [&b"\xff Go buildinf:\x08\x02"[..], &[0; 16]].concat();
    info.push(8);
    info.extend(b"go1.22.1");
    info.push(u8::try_from(list.len()).unwrap());
    info.extend(list.as_bytes());
    program(".go.buildinfo", &info)
}

fn rust_program() -> Vec<u8> {
    let json = br#"{"packages":[{"name":"serde","version":"1.0.0","source":"crates.io"},
        {"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"},
        {"name":"own","version":"0.1.0","source":"local","root":true}]}"#;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(json).unwrap();
    program(".dep-v0", &encoder.finish().unwrap())
}

fn packages(bytes: &Vec<u8>) -> Result<Vec<Package>, ReadError> {
    let elf = Elf::open(bytes)?;
    let mut found = golang::read(&elf)?;
    found.extend(cargo::read(&elf)?);
    Ok(found)
}

fn names(bytes: &Vec<u8>) -> Vec<String> {
    let found = packages(bytes).unwrap().into_iter();
    found
        .map(|package| format!("{}@{}", package.name, package.version))
        .collect()
}

#[test]
fn what_compilers_recorded_is_read() {
    assert_eq!(
        names(&go_program()),
        ["stdlib@1.22.1", "github.com/a/b@v1.2.3"]
    );
    assert_eq!(names(&rust_program()), ["serde@1.0.0", "own@0.1.0"]);
    assert_eq!(names(&program(".text", b"x")), [""; 0]);
}

#[test]
fn what_breaks_off_is_told() {
    let whole = go_program();
    assert!(packages(&whole[..100].to_vec()).is_err());
    let info = [&b"\xff Go buildinf:\x08\x02"[..], &[0; 16], &[0xff; 12]].concat();
    assert!(packages(&program(".go.buildinfo", &info)).is_err());
    assert!(packages(&program(".dep-v0", b"not zlib")).is_err());
}

proptest! {
    #[test]
    fn changed_bytes_are_survived(
        is_go in any::<bool>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = if is_go { go_program() } else { rust_program() };
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        drop(packages(&bytes));
    }
}
