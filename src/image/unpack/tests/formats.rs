//! U19 to U21: the formats that tar writers have invented.

use super::*;

#[test]
fn long_names_come_in_three_ways() {
    let long = "very-long-directory-name/".repeat(8) + "file";
    let link = format!("{long}-target");
    let pax = Member {
        path: b"short",
        data: b"1",
        pax: vec![(b"path", long.as_bytes())],
        ..Member::default()
    };
    assert_eq!(
        unpack_bytes(&Tape::default().add(&pax).end()).read(&long),
        "1"
    );

    let gnu = |kind, text: &str| [text.as_bytes(), b"\0"].concat().leak_into(kind);
    let tape = Tape::default()
        .add(&gnu(b'L', &long).member())
        .add(&gnu(b'K', &link).member())
        .add(&Member {
            kind: b'2',
            path: b"cut",
            link: b"cut",
            ..Member::default()
        });
    let layer = unpack_bytes(&tape.end());
    assert_eq!(
        fs_err::read_link(layer.path(&long)).unwrap(),
        Path::new(&link)
    );

    let mut prefixed = block(&Member {
        path: b"name",
        data: b"1",
        ..Member::default()
    });
    prefixed[345..352].copy_from_slice(b"a/deep/");
    prefixed[351] = 0;
    seal(&mut prefixed);
    let bytes = [&prefixed[..], b"1", &[0; 511], &[0; 1024]].concat();
    assert_eq!(unpack_bytes(&bytes).read("a/deep/name"), "1");
}

/// Data of a long-name member.
struct Long(u8, Vec<u8>);

impl Long {
    fn member(&self) -> Member<'_> {
        Member {
            kind: self.0,
            path: b"././@LongLink",
            data: &self.1,
            ..Member::default()
        }
    }
}

trait LeakInto {
    fn leak_into(self, kind: u8) -> Long;
}

impl LeakInto for Vec<u8> {
    fn leak_into(self, kind: u8) -> Long {
        Long(kind, self)
    }
}

#[test]
fn pax_overrides_what_the_block_says() {
    let member = Member {
        path: b"x",
        data: b"",
        pax: vec![
            (b"uid", b"3000000"),
            (b"gid", b"4000000000"),
            (b"mtime", b"-1.25"),
            (b"comment", b"ignored"),
        ],
        ..Member::default()
    };
    let layer = unpack_bytes(&Tape::default().add(&member).end());
    let stat = layer.stat("x");
    assert_eq!((stat.uid(), stat.gid()), (3_000_000, 4_000_000_000));
    // The block size of old file systems may round, but never to the other side of the epoch.
    assert_eq!((stat.mtime(), stat.mtime_nsec()), (-2, 750_000_000));
    let future = Member {
        path: b"y",
        pax: vec![(b"mtime", b"5000000000.5")],
        ..Member::default()
    };
    let layer = unpack_bytes(&Tape::default().add(&future).end());
    assert_eq!(
        (layer.stat("y").mtime(), layer.stat("y").mtime_nsec()),
        (5_000_000_000, 500_000_000)
    );
}

/// The size of PAX wins over the block's: readers that disagree see different archives (RUSTSEC-2026-0068).
#[test]
fn the_size_of_pax_wins() {
    let mut tape = Tape::default();
    let records = pax_record(b"size", b"512");
    tape = tape.add(&Member {
        kind: b'x',
        path: b"p",
        data: &records,
        ..Member::default()
    });
    tape.0.extend(block(&Member {
        path: b"x",
        ..Member::default()
    }));
    tape.0.extend(block(&Member {
        path: b"smuggled",
        ..Member::default()
    }));
    let layer = unpack_bytes(&tape.end());
    assert_eq!(layer.stat("x").len(), 512);
    assert!(!layer.exists("smuggled"));
}

#[test]
fn global_records_and_solaris_extensions_are_skipped() {
    let records = pax_record(b"path", b"wrong");
    let tape = Tape::default()
        .add(&Member {
            kind: b'g',
            path: b"g",
            data: &records,
            ..Member::default()
        })
        .add(&Member {
            kind: b'X',
            path: b"X",
            data: &records,
            ..Member::default()
        })
        .file("right", "1");
    let layer = unpack_bytes(&tape.end());
    assert_eq!(layer.read("right"), "1");
    assert!(!layer.exists("wrong"));
}

/// U21.
#[test]
fn unknown_types_are_errors() {
    for kind in [b'V', b'M', b'D', b'Z'] {
        let layer = unpack_bytes(
            &Tape::default()
                .add(&Member {
                    kind,
                    path: b"x",
                    ..Member::default()
                })
                .end(),
        );
        assert!(
            matches!(layer.result, Err(UnpackError::Tar(TarError::Type(_)))),
            "{}",
            char::from(kind)
        );
    }
}

#[test]
fn the_oldest_format_marks_directories_by_a_slash() {
    let mut header = block(&Member {
        path: b"d/",
        kind: 0,
        mode: 0o755,
        ..Member::default()
    });
    header[257..265].fill(0);
    seal(&mut header);
    let layer = unpack_bytes(&[&header[..], &[0; 1024]].concat());
    assert!(layer.stat("d").is_dir());
}

/// Sizes of links and directories say nothing about data.
#[test]
fn links_have_no_data_whatever_their_size_says() {
    let mut header = block(&Member {
        kind: b'2',
        path: b"l",
        link: b"t",
        ..Member::default()
    });
    header[124..136].copy_from_slice(b"00000001000\0");
    seal(&mut header);
    let rest = Tape::default().file("next", "1").end();
    let layer = unpack_bytes(&[&header[..], &rest].concat());
    assert_eq!(layer.read("next"), "1");
}

fn sparse_content() -> Vec<u8> {
    let mut content = vec![0; 10_000];
    content[1000..1004].copy_from_slice(b"1234");
    content[9000..9003].copy_from_slice(b"567");
    content
}

/// U20: PAX sparse 0.0, 0.1 and 1.0.
#[test]
fn sparse_files_of_pax_have_three_forms() {
    let zero: Vec<(&[u8], &[u8])> = vec![
        (b"GNU.sparse.size", b"10000"),
        (b"GNU.sparse.numblocks", b"2"),
        (b"GNU.sparse.offset", b"1000"),
        (b"GNU.sparse.numbytes", b"4"),
        (b"GNU.sparse.offset", b"9000"),
        (b"GNU.sparse.numbytes", b"3"),
    ];
    let one: Vec<(&[u8], &[u8])> = vec![
        (b"GNU.sparse.size", b"10000"),
        (b"GNU.sparse.name", b"real"),
        (b"GNU.sparse.map", b"1000,4,9000,3"),
    ];
    let two: Vec<(&[u8], &[u8])> = vec![
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"real"),
        (b"GNU.sparse.realsize", b"10000"),
    ];
    let mut mapped = b"2\n1000\n4\n9000\n3\n".to_vec();
    mapped.resize(512, 0);
    mapped.extend(b"1234567");
    for (pax, data, name) in [
        (zero, &b"1234567"[..], "GNUSparse/x"),
        (one, b"1234567", "real"),
        (two, &mapped, "real"),
    ] {
        let member = Member {
            path: b"GNUSparse/x",
            data,
            pax,
            ..Member::default()
        };
        let layer = unpack_bytes(&Tape::default().add(&member).file("next", "1").end());
        assert_eq!(fs_err::read(layer.path(name)).unwrap(), sparse_content());
        assert_eq!(layer.read("next"), "1");
    }
}

/// U20: old GNU sparse, with an extension block.
#[test]
fn sparse_files_of_old_gnu() {
    let pair = |block: &mut [u8], at: usize, offset: u64, length: u64| {
        block[at..at + 12].copy_from_slice(format!("{offset:011o}\0").as_bytes());
        block[at + 12..at + 24].copy_from_slice(format!("{length:011o}\0").as_bytes());
    };
    let mut header = block(&Member {
        kind: b'S',
        path: b"x",
        data: b"1234567",
        ..Member::default()
    });
    header[257..265].copy_from_slice(b"ustar  \0");
    header[345..500].fill(0);
    pair(&mut header, 386, 1000, 4);
    for empty in 1..4_u64 {
        pair(
            &mut header,
            386 + 24 * usize::try_from(empty).unwrap(),
            2000 + empty,
            0,
        );
    }
    header[482] = 1;
    header[483..495].copy_from_slice(b"00000023420\0");
    seal(&mut header);
    let mut extension = [0; 512];
    pair(&mut extension, 0, 9000, 3);
    let mut data = b"1234567".to_vec();
    data.resize(512, 0);
    let layer = unpack_bytes(&[&header[..], &extension, &data, &[0; 1024]].concat());
    assert_eq!(fs_err::read(layer.path("x")).unwrap(), sparse_content());
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    for map in [
        "0,9",
        "5,4,0,3",
        "0,4,3,3",
        "9999,7",
        "0,7,1",
        "18446744073709551615,7",
        "x",
    ] {
        let pax: Vec<(&[u8], &[u8])> = vec![
            (b"GNU.sparse.size", b"10000"),
            (b"GNU.sparse.map", map.as_bytes()),
        ];
        let member = Member {
            path: b"x",
            data: b"1234567",
            pax,
            ..Member::default()
        };
        let layer = unpack_bytes(&Tape::default().add(&member).end());
        assert!(
            matches!(layer.result, Err(UnpackError::Tar(TarError::Field(_)))),
            "{map}: {:?}",
            layer.result
        );
    }
}
