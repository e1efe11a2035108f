//! Real files, so these need root: owners, devices, whiteouts, `trusted.*` attributes.

mod bed;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

use rustix::fs::{CWD, FileType, Timespec, Timestamps, XattrFlags, mknodat, setxattr, utimensat};

use self::bed::{Bed, names, opaque, whiteout};
use super::*;

#[test]
fn an_empty_volume_gets_the_image_content_once() {
    let bed = Bed::new();
    let layer = bed.layer("l", &[("var/lib/db/a", "1"), ("var/lib/db/sub/b", "2")]);
    assert_eq!(
        bed.fill(std::slice::from_ref(&layer), "/var/lib/db"),
        Filled::Copied
    );
    assert_eq!(
        (bed.read("a"), bed.read("sub/b")),
        ("1".to_owned(), "2".to_owned())
    );
    fs::remove_file(bed.data("a")).unwrap();
    assert_eq!(
        bed.fill(std::slice::from_ref(&layer), "/var/lib/db"),
        Filled::NotEmpty
    );
    assert!(!bed.data("a").exists());
    assert_eq!(
        names(&bed.volumes.volume_dir("data")),
        [".lock", "_data", "volume.json"]
    );
    assert_eq!(bed.fill(&[layer], "/nowhere"), Filled::NotEmpty);
}

#[test]
fn a_path_that_the_image_does_not_have_leaves_the_volume_empty() {
    let bed = Bed::new();
    let layer = bed.layer("l", &[("file", "1")]);
    assert_eq!(
        bed.fill(std::slice::from_ref(&layer), "/nowhere"),
        Filled::NothingToCopy
    );
    assert_eq!(bed.fill(&[layer], "/file"), Filled::NothingToCopy);
    assert_eq!(names(&bed.data("")), [""; 0]);
}

#[test]
fn layers_are_merged_as_overlayfs_merges_them() {
    let bed = Bed::new();
    let low = bed.layer(
        "low",
        &[
            ("d/a", "low"),
            ("d/gone", "low"),
            ("d/dir/x", "low"),
            ("d/opaque/x", "low"),
            ("d/f", "low"),
        ],
    );
    let middle = bed.layer(
        "middle",
        &[
            ("d/b", "middle"),
            ("d/dir/y", "middle"),
            ("d/f/now", "a dir"),
        ],
    );
    whiteout(&middle.join("d/gone"));
    let top = bed.layer(
        "top",
        &[("d/a", "top"), ("d/opaque/z", "top"), ("d/dir/", "")],
    );
    opaque(&top.join("d/opaque"));
    whiteout(&top.join("d/dir/x"));
    assert_eq!(bed.fill(&[top, middle, low], "/d"), Filled::Copied);
    assert_eq!(names(&bed.data("")), ["a", "b", "dir", "f", "opaque"]);
    assert_eq!(bed.read("a"), "top");
    assert_eq!(names(&bed.data("dir")), ["y"]);
    assert_eq!(names(&bed.data("opaque")), ["z"]);
    assert_eq!(names(&bed.data("f")), ["now"]);
    let mut value = [0; 4];
    let mark = rustix::fs::getxattr(
        bed.data("opaque"),
        c"trusted.overlay.opaque",
        &mut value[..],
    );
    assert_eq!(mark, Err(Errno::NODATA));
}

#[test]
fn a_whiteout_or_opaque_parent_hides_the_whole_source() {
    let bed = Bed::new();
    let low = bed.layer("low", &[("d/e/a", "low")]);
    let top = bed.layer("top", &[("other", "")]);
    whiteout(&top.join("d"));
    assert_eq!(bed.fill(&[top, low.clone()], "/d/e"), Filled::NothingToCopy);
    let opaque_top = bed.layer("opaque", &[("d/", "")]);
    opaque(&opaque_top.join("d"));
    assert_eq!(bed.fill(&[opaque_top, low], "/d/e"), Filled::NothingToCopy);
}

#[test]
fn links_are_followed_inside_the_image_and_copied_as_they_are() {
    let bed = Bed::new();
    fs::write(bed.directory.path().join("secret"), "host").unwrap();
    let layer = bed.layer("l", &[("run/db/a", "1"), ("var/", "")]);
    symlink("/run", layer.join("var/run")).unwrap();
    symlink("../../../../../../run/db", layer.join("up")).unwrap();
    symlink(bed.directory.path(), layer.join("host")).unwrap();
    symlink("loop", layer.join("loop")).unwrap();
    symlink("/etc/passwd", layer.join("run/db/link")).unwrap();
    let layers = [layer];
    assert_eq!(bed.fill(&layers, "/host"), Filled::NothingToCopy);
    assert!(matches!(
        bed.volumes.copy_up(("data", None), (&layers, "/loop")),
        Err(VolumeError::Copy { .. })
    ));
    assert_eq!(bed.fill(&layers, "/var/run/db"), Filled::Copied);
    assert_eq!(
        fs::read_link(bed.data("link")).unwrap(),
        Path::new("/etc/passwd")
    );
    bed.make("second", &[]);
    let second = bed
        .volumes
        .copy_up(("second", None), (&layers, "/up"))
        .unwrap();
    assert_eq!(second, Filled::Copied);
}

#[test]
fn owners_modes_times_attributes_and_hard_links_are_kept() {
    let bed = Bed::new();
    let layer = bed.layer("l", &[("d/a", "1"), ("d/sub/c", "2")]);
    let d = layer.join("d");
    fs::hard_link(d.join("a"), d.join("sub/b")).unwrap();
    mknodat(
        CWD,
        d.join("pipe"),
        FileType::Fifo,
        Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    mknodat(
        CWD,
        d.join("null"),
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o666),
        rustix::fs::makedev(1, 3),
    )
    .unwrap();
    symlink("a", d.join("link")).unwrap();
    rustix::fs::chownat(
        CWD,
        d.join("link"),
        Some(rustix::fs::Uid::from_raw(7)),
        None,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    std::os::unix::fs::chown(d.join("a"), Some(1000), Some(2000)).unwrap();
    fs::set_permissions(d.join("a"), std::fs::Permissions::from_mode(0o4711)).unwrap();
    // cap_net_bind_service=ep, version 2.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    setxattr(
        d.join("sub/c"),
        c"security.capability",
        &capability,
        XattrFlags::empty(),
    )
    .unwrap();
    setxattr(d.join("sub/c"), c"user.note", b"kept", XattrFlags::empty()).unwrap();
    std::os::unix::fs::chown(&d, Some(999), Some(999)).unwrap();
    fs::set_permissions(&d, std::fs::Permissions::from_mode(0o1750)).unwrap();
    let time = Timespec {
        tv_sec: 1_000_000,
        tv_nsec: 5,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    for path in ["sub/c", "sub", "link", ""] {
        utimensat(
            CWD,
            d.join(path),
            &times,
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
    }

    assert_eq!(bed.fill(&[layer], "/d"), Filled::Copied);
    let of = |path: &str| fs::symlink_metadata(bed.data(path)).unwrap();
    let a = of("a");
    assert_eq!(
        (a.uid(), a.gid(), a.mode() & 0o7777, a.nlink()),
        (1000, 2000, 0o4711, 2)
    );
    assert_eq!(a.ino(), of("sub/b").ino());
    assert!(of("pipe").file_type().is_fifo());
    assert_eq!(of("pipe").mode() & 0o7777, 0o640);
    assert_eq!(of("null").rdev(), rustix::fs::makedev(1, 3));
    assert_eq!(
        (of("link").uid(), fs::read_link(bed.data("link")).unwrap()),
        (7, "a".into())
    );
    let mut value = [0; 32];
    let length =
        rustix::fs::getxattr(bed.data("sub/c"), c"security.capability", &mut value[..]).unwrap();
    assert_eq!(value[..length], capability);
    let length = rustix::fs::getxattr(bed.data("sub/c"), c"user.note", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"kept");
    let root = of("");
    assert_eq!(
        (root.uid(), root.gid(), root.mode() & 0o7777),
        (999, 999, 0o1750)
    );
    for path in ["sub/c", "sub", "link", ""] {
        assert_eq!(
            (of(path).mtime(), of(path).mtime_nsec()),
            (1_000_000, 5),
            "{path}"
        );
    }
}

#[test]
fn a_directory_inside_the_volume_is_filled_by_itself_and_cannot_leave_it() {
    let bed = Bed::new();
    let layers = [bed.layer("l", &[("d/a", "1")])];
    let fill = |subpath| {
        bed.volumes
            .copy_up(("data", Some(subpath)), (&layers, "/d"))
    };
    assert_eq!(fill("x/y").unwrap(), Filled::Copied);
    assert_eq!(bed.read("x/y/a"), "1");
    assert_eq!(fill("x/y").unwrap(), Filled::NotEmpty);
    let outside = bed.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, bed.data("out")).unwrap();
    fill("out").unwrap();
    fill("../../up").unwrap();
    assert_eq!(names(&outside), [""; 0]);
    assert!(bed.data("up/a").exists());
}

#[test]
fn the_directory_stays_the_same_for_those_who_have_it_mounted() {
    let bed = Bed::new();
    let before = fs::metadata(bed.data("")).unwrap().ino();
    assert_eq!(
        bed.fill(&[bed.layer("l", &[("d/a", "1")])], "/d"),
        Filled::Copied
    );
    assert_eq!(fs::metadata(bed.data("")).unwrap().ino(), before);
}

#[test]
fn a_copy_that_was_cut_off_leaves_nothing_and_is_done_again() {
    let bed = Bed::new();
    let layers = [bed.layer("l", &[("d/a", "1"), ("d/b", "2")])];
    let half = bed.volumes.volume_dir("data").join(".fill");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("a"), "half").unwrap();
    assert_eq!(bed.fill(&layers, "/d"), Filled::Copied);
    assert_eq!(
        (bed.read("a"), bed.read("b")),
        ("1".to_owned(), "2".to_owned())
    );
}

#[test]
fn a_move_that_was_cut_off_is_ended() {
    for (moved, with_rest) in [(false, true), (true, true), (true, false)] {
        let bed = Bed::new();
        let layers = [bed.layer("l", &[("d/a", "new image")])];
        let fill = bed.volumes.volume_dir("data").join(".fill");
        if with_rest {
            fs::create_dir(&fill).unwrap();
            fs::write(fill.join("b"), "2").unwrap();
        }
        if moved {
            fs::write(bed.data("a"), "1").unwrap();
        } else {
            fs::write(fill.join("a"), "1").unwrap();
        }
        let ready = Ready {
            version: 1,
            subpath: None,
        };
        write_json(&bed.volumes.volume_dir("data").join(".fill-ready"), &ready).unwrap();
        assert_eq!(bed.fill(&layers, "/d"), Filled::NotEmpty);
        assert_eq!(bed.read("a"), "1");
        assert_eq!(bed.data("b").exists(), with_rest);
        assert_eq!(
            names(&bed.volumes.volume_dir("data")),
            [".lock", "_data", "volume.json"]
        );
    }
}

#[test]
fn a_bound_volume_is_filled_when_it_is_empty_as_with_docker() {
    let bed = Bed::new();
    let device = bed.directory.path().join("device");
    fs::create_dir(&device).unwrap();
    bed.make(
        "bound",
        &[
            ("type", "none"),
            ("o", "bind"),
            ("device", device.to_str().unwrap()),
        ],
    );
    let layers = [bed.layer("l", &[("d/a", "1"), ("e/b", "2")])];
    let fill = |source| {
        let filled = bed.volumes.copy_up(("bound", None), (&layers, source));
        filled.unwrap()
    };
    assert_eq!(fill("/d"), Filled::Copied);
    assert_eq!(names(&device), ["a"]);
    // The user's data is nobody's to mix with an image's.
    assert_eq!(fill("/e"), Filled::NotEmpty);
    assert_eq!(names(&device), ["a"]);
}
