//! Streams that want out, or want too much.

use super::*;

/// U1, U26: whatever link was planted, what is written "through" it stays inside.
#[test]
fn planted_links_lead_nowhere_but_inside() {
    for target in [
        "..",
        "../..",
        "/",
        "/..",
        "../../secret",
        "/proc/self/root",
        "../layer/../..",
        "/tmp",
    ] {
        let layer = unpack_bytes(
            &Tape::default()
                .symlink("out", target)
                .file("out/secret", "owned")
                .end(),
        );
        layer.assert_contained();
        // A link that resolves to a directory inside, or to one that is made inside, is followed there.
        assert!(layer.result.is_ok(), "{target}: {:?}", layer.result);
    }
}

#[test]
fn chains_and_loops_of_links_stay_inside() {
    let chain = Tape::default()
        .symlink("a", "b/c")
        .symlink("b", "..")
        .symlink("c", "/../../..")
        .file("a/secret", "owned")
        .end();
    unpack_bytes(&chain).assert_contained();
    let looping = unpack_bytes(
        &Tape::default()
            .symlink("a", "b")
            .symlink("b", "a")
            .file("a/x", "x")
            .end(),
    );
    looping.assert_contained();
    assert!(matches!(
        looping.result,
        Err(UnpackError::Kernel {
            errno: Errno::LOOP,
            ..
        })
    ));
}

/// U1: the last component is never followed.
#[test]
fn a_file_replaces_a_link_instead_of_writing_through_it() {
    let layer = unpack_bytes(
        &Tape::default()
            .symlink("x", "../secret")
            .file("x", "owned")
            .end(),
    );
    layer.assert_contained();
    assert_eq!(layer.read("x"), "owned");
    assert!(layer.stat("x").is_file());
    let layer = unpack_bytes(
        &Tape::default()
            .symlink("x", "../secret")
            .dir("x", 0o777)
            .end(),
    );
    layer.assert_contained();
    assert!(layer.stat("x").is_dir());
}

#[test]
fn attributes_are_set_on_the_link_and_not_on_its_target() {
    let member = Member {
        kind: b'2',
        path: b"x",
        link: b"../secret",
        ..Member::default()
    };
    let layer = unpack_bytes(
        &Tape::default()
            .add(&Member {
                owner: (7, 8),
                mode: 0o7777,
                ..member
            })
            .end(),
    );
    layer.assert_contained();
    assert_eq!((layer.stat("x").uid(), layer.stat("x").gid()), (7, 8));
}

/// U2: names are cleaned; nothing climbs out.
#[test]
fn names_that_climb_stay_at_the_root() {
    let tape = Tape::default()
        .file("../secret", "1")
        .file("/secret2", "2")
        .file("a/../../../secret3", "3")
        .file("./b/./c", "4");
    let layer = unpack_bytes(&tape.end());
    layer.assert_contained();
    for (path, data) in [
        ("secret", "1"),
        ("secret2", "2"),
        ("secret3", "3"),
        ("b/c", "4"),
    ] {
        assert_eq!(layer.read(path), data);
    }
}

/// U11: targets of hard links resolve inside as well.
#[test]
fn hard_links_to_the_outside_find_nothing() {
    for target in ["../secret", "/../secret", "../../secret"] {
        let layer = unpack_bytes(&Tape::default().link("x", target).end());
        layer.assert_contained();
        assert_eq!(layer.report().external_links.len(), 1, "{target}");
        assert!(!layer.exists("x"));
    }
    let through = unpack_bytes(
        &Tape::default()
            .symlink("out", "..")
            .link("x", "out/secret")
            .end(),
    );
    through.assert_contained();
    assert_eq!(through.report().external_links.len(), 1);
}

/// U3: a file that is linked elsewhere is not written through its other name.
#[test]
fn replacing_one_name_of_a_hard_link_leaves_the_other() {
    let tape = Tape::default()
        .file("a", "old")
        .link("b", "a")
        .file("b", "new");
    let layer = unpack_bytes(&tape.end());
    assert_eq!(
        (layer.read("a"), layer.read("b")),
        ("old".to_owned(), "new".to_owned())
    );
}

/// U15: forged marks of overlayfs are dropped, other attributes are kept.
#[test]
fn forged_marks_of_overlayfs_are_dropped() {
    let pax: Vec<(&[u8], &[u8])> = vec![
        (b"SCHILY.xattr.trusted.overlay.opaque", b"y"),
        (b"SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        (b"SCHILY.xattr.trusted.overlay.metacopy", b""),
        (b"SCHILY.xattr.user.overlay.opaque", b"y"),
        (b"LIBARCHIVE.xattr.trusted.overlay.redirect", b"L2V0Yw=="),
        (b"LIBARCHIVE.xattr.trusted.overlay%2eorigin", b"L2V0Yw=="),
        (b"SCHILY.xattr.user.kept", b"value"),
    ];
    let dir = Member {
        kind: b'5',
        path: b"d",
        mode: 0o755,
        pax: pax.clone(),
        ..Member::default()
    };
    let file = Member {
        path: b"f",
        pax,
        ..Member::default()
    };
    let layer = unpack_bytes(&Tape::default().add(&dir).add(&file).end());
    for name in ["d", "f"] {
        for forged in [
            "trusted.overlay.opaque",
            "trusted.overlay.redirect",
            "trusted.overlay.metacopy",
            "trusted.overlay.origin",
            "user.overlay.opaque",
        ] {
            assert_eq!(xattr(&layer.path(name), forged), None, "{forged} of {name}");
        }
        assert_eq!(xattr(&layer.path(name), "user.kept").unwrap(), b"value");
    }
}

/// U17: a whiteout is said by name only.
#[test]
fn a_forged_whiteout_device_is_refused() {
    let device = Member {
        kind: b'3',
        path: b"x",
        ..Member::default()
    };
    let layer = unpack_bytes(&Tape::default().add(&device).end());
    assert!(matches!(&layer.result, Err(UnpackError::Refused { entry, .. }) if entry == "x"));
    let link = unpack_bytes(&Tape::default().file(".wh.gone", "").link("x", "gone").end());
    assert!(matches!(link.result, Err(UnpackError::Refused { .. })));
}

/// U23: ceilings.
#[test]
fn too_much_of_anything_is_refused() {
    let tape = (0..5)
        .fold(Tape::default(), |tape, n| {
            tape.file(&format!("f{n}"), "12345678")
        })
        .end();
    let limited = |limits: Limits| unpack_limited(&tape, &limits).result;
    assert!(limited(LIMITS).is_ok());
    assert!(matches!(
        limited(Limits {
            entries: 4,
            ..LIMITS
        }),
        Err(UnpackError::TooMuch {
            what: "entries",
            ..
        })
    ));
    assert!(matches!(
        limited(Limits {
            bytes: 39,
            ..LIMITS
        }),
        Err(UnpackError::TooMuch { what: "bytes", .. })
    ));
    let deep = Tape::default().file(&"d/".repeat(45), "x").end();
    assert!(
        unpack_limited(
            &deep,
            &Limits {
                depth: 44,
                ..LIMITS
            }
        )
        .result
        .is_err()
    );
    let huge = Member {
        kind: b'x',
        path: b"p",
        ..Member::default()
    };
    let mut header = block(&huge);
    header[124..136].copy_from_slice(b"77777777777\0");
    seal(&mut header);
    assert!(matches!(
        unpack_bytes(&header).result,
        Err(UnpackError::Tar(TarError::Field(_)))
    ));
}

/// U22: names are bytes; one that the file system refuses is named.
#[test]
fn strange_names_are_kept_and_long_ones_named() {
    let name = b"caf\xe9-\x01-\xff";
    let layer = unpack_bytes(
        &Tape::default()
            .add(&Member {
                path: name,
                data: b"x",
                ..Member::default()
            })
            .end(),
    );
    let path = layer.root().join(std::ffi::OsStr::from_bytes(name));
    assert_eq!(fs_err::read(path).unwrap(), b"x");
    let long = "n".repeat(256);
    let member = Member {
        path: b"short",
        pax: vec![(b"path", long.as_bytes())],
        ..Member::default()
    };
    let layer = unpack_bytes(&Tape::default().add(&member).end());
    assert!(
        matches!(&layer.result, Err(UnpackError::Kernel { entry, errno: Errno::NAMETOOLONG, .. }) if *entry == long)
    );
    let nul = Member {
        path: b"x",
        pax: vec![(b"path", b"a\0b")],
        ..Member::default()
    };
    assert!(matches!(
        unpack_bytes(&Tape::default().add(&nul).end()).result,
        Err(UnpackError::Refused { .. })
    ));
}

/// A stream may end or be damaged anywhere: an error, never a panic, and never anything outside.
#[test]
fn cut_and_damaged_streams_are_errors_or_harmless() {
    let good = Tape::default()
        .dir("d", 0o755)
        .file("d/f", &"data ".repeat(300))
        .symlink("d/l", "../../secret")
        .link("h", "d/f")
        .file(".wh.x", "")
        .end();
    assert!(unpack_bytes(&good).result.is_ok());
    for length in (0..good.len()).step_by(97) {
        let layer = unpack_bytes(&good[..length]);
        layer.assert_contained();
        // Only at a header's place is the end of the stream the end of the archive.
        let clean =
            [0, 512, 2560, 3072, 3584, 4096].contains(&length) || length >= good.len() - 512;
        assert!(
            clean || layer.result.is_err() || length % 512 == 0,
            "cut at {length}"
        );
    }
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for _round in 0..300 {
        let mut damaged = good.clone();
        for _byte in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = usize::try_from(random % good.len() as u64).unwrap();
            damaged[at] = random.to_le_bytes()[7];
            // Half of the time the header stays plausible.
            if random & 1 == 0 {
                let start = at / 512 * 512;
                let mut header: [u8; 512] = damaged[start..start + 512].try_into().unwrap();
                seal(&mut header);
                damaged[start..start + 512].copy_from_slice(&header);
            }
        }
        unpack_bytes(&damaged).assert_contained();
    }
}

#[test]
fn an_archive_that_is_no_layer_cannot_remove_files() {
    let unpack_plain = |tape: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        let opened = fs_err::File::open(directory.path()).unwrap();
        unpack_archive(tape, opened.as_fd(), 1024).map_err(|error| error.to_string())
    };
    let plain = Tape::default().file("dir/file", "x").end();
    assert!(is_archive(&plain[..]));
    assert_eq!(unpack_plain(&plain), Ok(()));
    for name in [".wh.file", "dir/.wh..wh..opq", ".wh.dir/file"] {
        let refused = unpack_plain(&Tape::default().file(name, "").end());
        assert_eq!(
            refused,
            Err(format!(
                "entry `{name}`: it would remove files of the image"
            ))
        );
    }
    for none in [&b""[..], b"text", &[0; 1024], b"\x1f\x8b\x08broken"] {
        assert!(!is_archive(none));
    }
}
