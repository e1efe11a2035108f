use std::io::Write;

use proptest::prelude::*;

use super::*;

/// Writes an archive; every second entry is compressed.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let mut directory: Vec<u8> = Vec::new();
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let half = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
    for (number, (name, content)) in files.iter().enumerate() {
        let at = out.len();
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let method = if number % 2 == 0 { 8 } else { 0 };
        let packed = if method == 8 {
            let mut encoder =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        } else {
            content.to_vec()
        };
        let common = [
            &half(20)[..],
            &half(0),
            &half(method),
            &word(0),
            &crc.sum().to_le_bytes(),
            &word(packed.len()),
            &word(content.len()),
            &half(name.len()),
            &half(0),
        ]
        .concat();
        out.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), &packed].concat());
        let rest = [&half(0)[..], &half(0), &half(0), &word(0), &word(at)].concat();
        directory.extend(
            [
                &b"PK\x01\x02"[..],
                &half(20),
                &common,
                &rest,
                name.as_bytes(),
            ]
            .concat(),
        );
    }
    let at = out.len();
    out.extend(&directory);
    let end = [
        &half(0)[..],
        &half(0),
        &half(files.len()),
        &half(files.len()),
        &word(directory.len()),
        &word(at),
        &half(0),
    ]
    .concat();
    out.extend([&b"PK\x05\x06"[..], &end].concat());
    out
}

fn read_all(bytes: &Vec<u8>) -> Result<Vec<(String, Vec<u8>)>, ReadError> {
    let archive = Archive::open(bytes)?;
    let mut found = Vec::new();
    for entry in archive.entries() {
        let entry = entry?;
        let name = String::from_utf8_lossy(&entry.name).into_owned();
        found.push((name, archive.read(&entry, 1 << 20)?));
    }
    Ok(found)
}

const FILES: [(&str, &[u8]); 3] = [
    ("a", b"aaaaaaaaaaaaaaaaaaaa"),
    ("d/b", b"bcd"),
    ("empty", b""),
];

#[test]
fn entries_are_read_also_behind_a_program() {
    let expected = FILES.map(|(name, content)| (name.to_owned(), content.to_vec()));
    let plain = archive(&FILES);
    assert_eq!(read_all(&plain).unwrap(), expected);
    let behind = [&b"#!/bin/sh\nexec java -jar $0\n"[..], &plain].concat();
    assert_eq!(read_all(&behind).unwrap(), expected);
    assert_eq!(read_all(&archive(&[])).unwrap(), []);
}

#[test]
fn damage_and_large_entries_are_told() {
    let plain = archive(&FILES);
    for cut in [0, 10, plain.len() / 2, plain.len() - 3] {
        assert!(read_all(&plain[..cut].to_vec()).is_err(), "{cut}");
    }
    let mut changed = plain.clone();
    let at = changed
        .windows(3)
        .position(|window| window == b"bcd")
        .unwrap();
    changed[at] = b'x';
    assert!(matches!(read_all(&changed), Err(ReadError::Form(_))));
    let archive = Archive::open(&plain).unwrap();
    let entry = archive.entries().next().unwrap().unwrap();
    assert!(matches!(
        archive.read(&entry, 5),
        Err(ReadError::TooBig { bytes: 20, most: 5 })
    ));
}

proptest! {
    #[test]
    fn changed_bytes_are_survived(changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = archive(&FILES);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        drop(read_all(&bytes));
    }
}
