//! What ordinary layers contain.

use super::*;

#[test]
fn a_directory_without_an_entry_is_as_old_as_what_lies_in_it() {
    let entry = |path: &'static [u8], mtime| Member {
        path,
        mtime,
        ..Member::default()
    };
    let stream = Tape::default()
        .add(&entry(b"a/b/old", 1_000_000_000))
        .add(&entry(b"a/b/new", 1_500_000_000))
        .add(&entry(b"a/c/file", 1_200_000_000))
        .add(&entry(b"removed/.wh.file", 1_300_000_000))
        .end();
    let layer = unpack_bytes(&stream);
    for (path, time) in [
        ("a/b", 1_500_000_000),
        ("a/c", 1_200_000_000),
        ("a", 1_500_000_000),
        ("removed", 0),
        ("", 1_500_000_000),
    ] {
        let stat = layer.stat(path);
        assert_eq!((stat.mtime(), stat.mtime_nsec()), (time, 0), "{path}");
    }
}

/// U4: directories merge, everything else replaces.
#[test]
fn kinds_replace_each_other_and_directories_merge() {
    let merged = Tape::default()
        .dir("d", 0o700)
        .file("d/kept", "1")
        .dir("d", 0o711)
        .file("d/new", "2");
    let layer = unpack_bytes(&merged.end());
    assert_eq!(layer.stat("d").mode() & 0o7777, 0o711);
    assert_eq!(
        (layer.read("d/kept"), layer.read("d/new")),
        ("1".to_owned(), "2".to_owned())
    );
    let replaced = Tape::default()
        .dir("x", 0o755)
        .file("x/a/b", "1")
        .file("x", "file")
        .file("y", "1")
        .dir("y", 0o755)
        .file("y/z", "2");
    let layer = unpack_bytes(&replaced.end());
    assert_eq!(
        (layer.read("x"), layer.read("y/z")),
        ("file".to_owned(), "2".to_owned())
    );
}

/// A directory that is replaced is not remembered as open.
#[test]
fn what_follows_a_replaced_directory_goes_into_the_new_one() {
    let tape = Tape::default()
        .file("a/b/one", "1")
        .file("a", "file")
        .dir("a", 0o755)
        .file("a/b/two", "2");
    let layer = unpack_bytes(&tape.end());
    assert_eq!(layer.read("a/b/two"), "2");
    assert!(!layer.exists("a/b/one"));
}

/// U5: the last of several entries wins.
#[test]
fn the_last_entry_of_a_name_wins() {
    let layer = unpack_bytes(
        &Tape::default()
            .file("x", "1")
            .symlink("x", "y")
            .file("x", "333")
            .end(),
    );
    assert_eq!(layer.read("x"), "333");
}

/// U6: a whiteout hides lower layers only.
#[test]
fn whiteouts_hide_what_is_below_and_not_what_is_here() {
    let tape = Tape::default()
        .file("d/.wh.gone", "")
        .file("kept", "1")
        .file(".wh.kept", "")
        .file(".wh.later", "")
        .file("later", "2");
    let layer = unpack_bytes(&tape.end());
    assert!(layer.is_whiteout("d/gone"));
    assert_eq!(
        (layer.read("kept"), layer.read("later")),
        ("1".to_owned(), "2".to_owned())
    );
}

/// U6: a directory that takes the place of a removed one shows nothing of it.
#[test]
fn a_directory_written_beside_its_whiteout_is_opaque() {
    for tape in [
        Tape::default()
            .file(".wh.d", "")
            .dir("d", 0o755)
            .file("d/f", "1"),
        Tape::default()
            .dir("d", 0o755)
            .file("d/f", "1")
            .file(".wh.d", ""),
        Tape::default().file(".wh.d", "").file("d/f", "1"),
        Tape::default().file("d/f", "1").file(".wh.d", ""),
    ] {
        let layer = unpack_bytes(&tape.end());
        assert_eq!(layer.read("d/f"), "1");
        assert!(layer.is_opaque("d"));
    }
}

/// U7: whiteouts that name nothing.
#[test]
fn whiteouts_of_nothing_are_refused() {
    for name in [".wh.", "d/.wh.", ".wh..", ".wh...", ".wh.x/y"] {
        let layer = unpack_bytes(&Tape::default().file(name, "").end());
        assert!(
            matches!(layer.result, Err(UnpackError::Refused { .. })),
            "{name}"
        );
    }
}

/// U8: opaque marks, in any order; aufs' bookkeeping is left out.
#[test]
fn opaque_marks_are_set_in_any_order() {
    for tape in [
        Tape::default()
            .dir("d", 0o755)
            .file("d/.wh..wh..opq", "")
            .file("d/f", "1"),
        Tape::default().file("d/f", "1").file("d/.wh..wh..opq", ""),
        Tape::default()
            .file("d/.wh..wh..opq", "")
            .dir("d", 0o755)
            .file("d/f", "1"),
    ] {
        let layer = unpack_bytes(
            &tape
                .file(".wh..wh.plnk/1.2", "x")
                .file(".wh..wh.aufs", "")
                .end(),
        );
        assert!(layer.is_opaque("d"));
        assert_eq!(layer.read("d/f"), "1");
        assert_eq!(fs_err::read_dir(layer.root()).unwrap().count(), 1);
        assert!(!layer.report().opaque_root);
    }
    let root = unpack_bytes(&Tape::default().file(".wh..wh..opq", "").end());
    assert!(root.report().opaque_root);
}

/// U11: hard links, to links and devices too.
#[test]
fn hard_links_share_the_inode_of_any_kind() {
    let device = Member {
        kind: b'3',
        path: b"null",
        device: (1, 3),
        mode: 0o666,
        ..Member::default()
    };
    let tape = Tape::default()
        .file("f", "1")
        .link("d/f2", "f")
        .link("f3", "./d/../f")
        .symlink("l", "f")
        .link("l2", "/l")
        .add(&device)
        .link("null2", "null");
    let layer = unpack_bytes(&tape.end());
    for (a, b) in [("f", "d/f2"), ("f", "f3"), ("l", "l2"), ("null", "null2")] {
        assert_eq!(layer.stat(a).ino(), layer.stat(b).ino(), "{a} {b}");
    }
    assert!(layer.stat("l2").is_symlink());
    assert_eq!(layer.stat("null").rdev(), rustix::fs::makedev(1, 3));
    for (path, target) in [("x", "x"), ("x", "."), ("d/y", "d")] {
        let refused = unpack_bytes(&Tape::default().dir("d", 0o755).link(path, target).end());
        assert!(
            matches!(refused.result, Err(UnpackError::Refused { .. })),
            "{path} {target}"
        );
    }
}

/// U11: a target that is not in the layer is left to the layers below, and a later entry of the name wins.
#[test]
fn links_to_lower_layers_are_reported() {
    let layer = unpack_bytes(
        &Tape::default()
            .link("a/x", "lower/y")
            .link("b", "other")
            .file("b", "here")
            .end(),
    );
    let link = ExternalLink {
        path: b"a/x".to_vec(),
        target: b"lower/y".to_vec(),
    };
    assert_eq!(layer.report().external_links, [link]);
    assert_eq!(layer.read("b"), "here");
}

/// U12, U13: owner, then mode; set-id bits and sticky survive, whatever the umask.
#[test]
fn owners_and_modes_are_exact() {
    let member = Member {
        owner: (1000, 2000),
        ..Member::default()
    };
    let tape = Tape::default()
        .add(&Member {
            path: b"suid",
            mode: 0o6755,
            data: b"x",
            ..member.clone()
        })
        .add(&Member {
            path: b"dir",
            kind: b'5',
            mode: 0o1777,
            ..member.clone()
        })
        .add(&Member {
            path: b"none",
            mode: 0,
            ..member.clone()
        })
        .add(&Member {
            path: b"typed",
            mode: 0o100_640,
            ..member
        });
    let layer = unpack_bytes(&tape.end());
    for (path, mode) in [
        ("suid", 0o6755),
        ("dir", 0o1777),
        ("none", 0),
        ("typed", 0o640),
    ] {
        let stat = layer.stat(path);
        assert_eq!(
            (stat.mode() & 0o7777, stat.uid(), stat.gid()),
            (mode, 1000, 2000),
            "{path}"
        );
    }
}

/// U12: file capabilities come after the owner; directories get their time last.
#[test]
fn capabilities_and_times_of_directories_survive() {
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let file = Member {
        path: b"d/ping",
        data: b"x",
        owner: (5, 5),
        pax: vec![(b"SCHILY.xattr.security.capability", capability)],
        ..Member::default()
    };
    let dir = Member {
        kind: b'5',
        path: b"d",
        mtime: 1_000_000_000,
        mode: 0o755,
        ..Member::default()
    };
    let root = Member {
        kind: b'5',
        path: b"./",
        mtime: 900_000_000,
        mode: 0o751,
        owner: (3, 4),
        ..Member::default()
    };
    let layer = unpack_bytes(&Tape::default().add(&root).add(&dir).add(&file).end());
    assert_eq!(
        xattr(&layer.path("d/ping"), "security.capability").unwrap(),
        capability
    );
    assert_eq!(layer.stat("d").mtime(), 1_000_000_000);
    assert_eq!(layer.stat("d/ping").mtime(), 1_600_000_000);
    let root = layer.stat(".");
    assert_eq!(
        (root.mtime(), root.mode() & 0o7777, root.uid(), root.gid()),
        (900_000_000, 0o751, 3, 4)
    );
    assert!(layer.report().implied.is_empty());
}

/// U14: attributes that the host refuses are noted, capabilities that it refuses are an error.
#[test]
fn refused_attributes_are_noted() {
    let member = |name: &'static [u8]| Member {
        path: b"f",
        pax: vec![(name, b"x")],
        ..Member::default()
    };
    let layer = unpack_bytes(
        &Tape::default()
            .add(&member(b"SCHILY.xattr.unknown.space"))
            .end(),
    );
    assert!(
        layer.report().notes[0].contains("unknown.space"),
        "{:?}",
        layer.result
    );
    let broken = unpack_bytes(
        &Tape::default()
            .add(&member(b"SCHILY.xattr.security.capability"))
            .end(),
    );
    assert!(matches!(
        broken.result,
        Err(UnpackError::Kernel {
            step: "set its file capabilities",
            ..
        })
    ));
}

/// U16, U18: devices and fifos.
#[test]
fn devices_and_fifos_are_made() {
    let device = |kind, path, device| Member {
        kind,
        path,
        device,
        mode: 0o640,
        ..Member::default()
    };
    let tape = Tape::default()
        .add(&device(b'4', b"disk", (259, 1_000_000)))
        .add(&device(b'6', b"pipe", (0, 0)));
    let layer = unpack_bytes(&tape.end());
    assert_eq!(
        layer.stat("disk").rdev(),
        rustix::fs::makedev(259, 1_000_000)
    );
    assert_eq!(layer.stat("disk").mode(), 0o060_640);
    assert_eq!(layer.stat("pipe").mode(), 0o010_640);
    assert_eq!(layer.stat("pipe").mtime(), 1_600_000_000);
}

/// Directories without an entry are made, reported, and forgotten once they have one.
#[test]
fn implied_directories_are_reported() {
    let layer = unpack_bytes(
        &Tape::default()
            .file("a/b/c", "1")
            .dir("a", 0o700)
            .file(".wh.z/../d/.wh.x", "")
            .end(),
    );
    assert_eq!(
        layer.report().implied,
        [b"".to_vec(), b"a/b".to_vec(), b"d".to_vec()]
    );
    assert_eq!(layer.stat("a/b").mode() & 0o7777, 0o755);
}

/// A link to a directory that comes later leads to where that directory will be.
#[test]
fn entries_below_a_dangling_link_go_to_its_target() {
    let tape = Tape::default()
        .symlink("lib", "usr/lib")
        .file("lib/x", "1")
        .dir("usr", 0o755)
        .dir("usr/lib", 0o755);
    let layer = unpack_bytes(&tape.end());
    assert!(layer.stat("lib").is_symlink());
    assert_eq!(layer.read("usr/lib/x"), "1");
}

/// U25: the stream is read to its end, behind the end mark too.
#[test]
fn bytes_behind_the_end_mark_are_read() {
    let mut bytes = Tape::default().file("x", "1").end();
    bytes.extend([7; 5000]);
    let mut source = &bytes[..];
    let directory = tempfile::tempdir().unwrap();
    let root = fs_err::File::open(directory.path()).unwrap();
    unpack(&mut source, root.as_fd(), &LIMITS, None).unwrap();
    assert!(source.is_empty());
}
