//! Databases that rpm 4.18 wrote (SQLite; two packages, one of 60 files) and that Berkeley DB's own tools made of the same headers.

use proptest::prelude::*;

use super::*;

/// Decompresses a sample.
fn sample(name: &str) -> Vec<u8> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let packed = fs_err::read(root.join("src/inventory/rpm/tests").join(name)).unwrap();
    let mut bytes = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(&*packed);
    std::io::Read::read_to_end(&mut decoder, &mut bytes).unwrap();
    bytes
}

type Read = fn(&dyn ReadAt, &mut dyn FnMut(Vec<u8>)) -> Result<(), ReadError>;

/// Makes a database of rpm's own form.
fn ndb(headers: &[Vec<u8>]) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut slots = [&b"RpmP"[..], &word(0), &word(1), &word(1), &[0; 16]].concat();
    let mut blobs: Vec<u8> = Vec::new();
    for (number, header) in headers.iter().enumerate() {
        let block = (4096 + blobs.len()) / 16;
        slots.extend([&b"Slot"[..], &word(number + 1), &word(block), &word(1)].concat());
        blobs.extend(
            [
                &b"BlbS"[..],
                &word(number + 1),
                &word(0),
                &word(header.len()),
            ]
            .concat(),
        );
        blobs.extend(header);
        blobs.resize(blobs.len().next_multiple_of(16), 0);
    }
    while slots.len() < 4096 {
        slots.extend([&b"Slot"[..], &[0; 12]].concat());
    }
    [slots, blobs].concat()
}

fn headers(read: Read, bytes: &Vec<u8>) -> Result<Vec<Vec<u8>>, ReadError> {
    let mut found = Vec::new();
    read(bytes, &mut |header| found.push(header))?;
    found.sort_by_key(Vec::len);
    Ok(found)
}

/// The same two packages in every form.
fn samples() -> Vec<(Read, Vec<u8>)> {
    let sqlite = sample("rpmdb.sqlite.gz");
    let own = headers(sqlite::headers, &sqlite).unwrap();
    vec![
        (sqlite::headers as Read, sqlite),
        (bdb::headers, sample("Packages.gz")),
        (bdb::headers, sample("Packages-big-endian.gz")),
        (ndb::headers, ndb(&own)),
    ]
}

#[test]
fn every_form_of_the_database_gives_the_same_packages() {
    for (number, (read, bytes)) in samples().into_iter().enumerate() {
        let found: Vec<Listed> = (headers(read, &bytes).unwrap().iter())
            .map(|bytes| header::parse(bytes).unwrap().unwrap())
            .collect();
        assert_eq!(found.len(), 2, "{number}");
        let demo = &found[0].package;
        assert_eq!((&*demo.name, &*demo.version), ("demo", "2:1.2.3-4"));
        assert_eq!(demo.architecture.as_deref(), Some("x86_64"));
        assert_eq!(demo.licences, ["GPLv2+ and MIT"]);
        assert_eq!(demo.supplier.as_deref(), Some("Demo Vendor"));
        assert_eq!(demo.homepage.as_deref(), Some("https://example.org/demo"));
        let source = demo.source.as_ref().unwrap();
        assert_eq!(
            (&*source.name, source.version.as_deref()),
            ("demo", Some("2:1.2.3-4"))
        );
        assert!(
            found[0].files.contains(&b"/usr/bin/demo".to_vec()),
            "{:?}",
            found[0].files
        );
        assert_eq!(found[1].package.name, "demo-libs");
        let file = b"/usr/lib64/demo/file-with-a-long-name-60".to_vec();
        assert!(found[1].files.contains(&file));
    }
}

#[test]
fn damage_is_told() {
    for (read, bytes) in samples() {
        let cut = bytes[..bytes.len() / 2].to_vec();
        let outcome = headers(read, &cut);
        assert!(matches!(outcome, Err(ReadError::Form(_))), "{outcome:?}");
        assert!(headers(read, &Vec::new()).is_err());
    }
    let sqlite = sample("rpmdb.sqlite.gz");
    // The first page leads to itself.
    let mut circle = sqlite.clone();
    circle[100..112].copy_from_slice(&[5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let outcome = headers(sqlite::headers, &circle);
    assert!(
        matches!(outcome, Err(ReadError::Form("pages that lead in circles"))),
        "{outcome:?}"
    );
    let header = &headers(sqlite::headers, &sqlite).unwrap()[0];
    assert!(header::parse(&header[..header.len() - 1]).is_err());
    let many = [&[0xff; 8][..], &header[8..]].concat();
    assert!(matches!(
        header::parse(&many),
        Err(ReadError::Form("a header with too many entries"))
    ));
}

proptest! {
    #[test]
    fn changed_bytes_are_survived(
        which in 0..4_usize,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (read, mut bytes) = samples().swap_remove(which);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        drop(read(&bytes, &mut |header| drop(header::parse(&header))));
    }
}
