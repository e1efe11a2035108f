//! Streams without end, and trees without bottom: bounded memory, few descriptors, an error or nothing outside.

use std::io::Read;

use proptest::prelude::*;

use super::*;

/// A stream that is made while it is read: the same member again and again under other names.
struct Endless {
    next: u64,
    count: u64,
    block: Vec<u8>,
    at: usize,
    make: fn(u64) -> Vec<u8>,
}

impl Endless {
    fn new(count: u64, make: fn(u64) -> Vec<u8>) -> Self {
        Self {
            next: 0,
            count,
            block: Vec::new(),
            at: 0,
            make,
        }
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.block.len() {
            if self.next == self.count {
                return Ok(0);
            }
            self.block = (self.make)(self.next);
            self.next += 1;
            self.at = 0;
        }
        let count = buffer.len().min(self.block.len() - self.at);
        buffer[..count].copy_from_slice(&self.block[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Memory that is ours alone: pages of the program itself come in as they are used.
fn anonymous_bytes() -> u64 {
    let text = fs_err::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: u64 = line.unwrap().trim_end_matches("kB").trim().parse().unwrap();
    kib * 1024
}

/// Unpacks on a file system in memory that is not counted as ours, and returns by how much we grew.
fn growth(source: Endless, limits: &Limits) -> (Result<Unpacked, UnpackError>, u64) {
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = fs_err::File::open(place.path()).unwrap();
    let before = anonymous_bytes();
    let result = unpack(source, root.as_fd(), limits, None);
    (result, anonymous_bytes().saturating_sub(before))
}

const MANY: Limits = Limits {
    entries: 5_000_000,
    bytes: 1 << 30,
    depth: 1024,
    remembered: 1000,
    whiteouts: Whiteouts::Layer,
};
/// Less than 30,000 entries would take if each were remembered by 100 bytes.
const GROWTH_MAX: u64 = 2 << 20;

#[test]
fn empty_files_and_directories_without_end_cost_no_memory() {
    let file = |n| Tape::default().file(&format!("d/{n}"), "").0;
    let (result, bytes) = growth(Endless::new(30_000, file), &MANY);
    assert_eq!(result.unwrap().entries, 30_000);
    assert!(bytes < GROWTH_MAX, "{bytes} bytes for files");
    let directory = |n| Tape::default().dir(&format!("{n}/"), 0o755).0;
    let (result, bytes) = growth(Endless::new(30_000, directory), &MANY);
    assert_eq!(result.unwrap().entries, 30_000);
    assert!(bytes < GROWTH_MAX, "{bytes} bytes for directories");
}

#[test]
fn what_a_record_would_name_is_limited() {
    let limit = MANY.remembered as u64;
    let implied = |n| Tape::default().file(&format!("{n}/x"), "").0;
    let link = |n| Tape::default().link(&format!("l{n}"), "below").0;
    for make in [implied as fn(u64) -> Vec<u8>, link] {
        let (result, _) = growth(Endless::new(limit + 10, make), &MANY);
        assert!(
            matches!(result, Err(UnpackError::TooMuch { .. })),
            "{result:?}"
        );
    }
    let entries = Limits {
        entries: 100,
        ..MANY
    };
    let file = |n| Tape::default().file(&format!("{n}"), "").0;
    let (result, _) = growth(Endless::new(1000, file), &entries);
    assert!(matches!(result, Err(UnpackError::TooMuch { .. })));
}

/// Times are set early where there are too many directories; what is put into one later must not change its time.
#[test]
fn directories_keep_their_times_however_many_there_are() {
    fn make(n: u64) -> Vec<u8> {
        let tape = Tape::default();
        match n {
            0 => tape.dir("first/", 0o755).0,
            n if n == MANY.remembered as u64 + 99 => tape.file("first/late", "x").0,
            n => tape.dir(&format!("first/{n}/"), 0o755).0,
        }
    }
    let many = MANY.remembered as u64 + 100;
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = fs_err::File::open(place.path()).unwrap();
    unpack(Endless::new(many, make), root.as_fd(), &MANY, None).unwrap();
    for path in ["first", "first/1", "first/1050"] {
        let stat = fs_err::symlink_metadata(place.path().join(path)).unwrap();
        assert_eq!(stat.mtime(), 1_600_000_000, "{path}");
    }
}

#[test]
fn paths_longer_than_the_kernel_takes_are_errors_and_can_be_removed() {
    let deep = |depth: usize, name: &str| vec![name; depth].join("/");
    for (path, fits) in [
        (deep(1000, "d"), true),
        (deep(19, &"d".repeat(200)), true),
        (deep(40, &"d".repeat(200)), false),
        (deep(1025, "d"), false),
    ] {
        let member = Member {
            path: b"x",
            data: b"content",
            pax: vec![(b"path", path.as_bytes())],
            ..Member::default()
        };
        let layer = unpack_bytes(&Tape::default().add(&member).end());
        assert_eq!(layer.result.is_ok(), fits, "{:?}", layer.result);
        layer.assert_contained();
        let outer = fs_err::File::open(layer.root().parent().unwrap()).unwrap();
        remove_any(outer.as_fd(), b"layer").unwrap();
        assert!(!layer.root().exists());
        fs_err::create_dir(layer.root()).unwrap();
    }
}

/// A tree deeper than any path, made directory by directory as a container may do it, is removed with few descriptors.
#[test]
fn trees_of_any_depth_are_removed() {
    let place = tempfile::tempdir().unwrap();
    let top = fs_err::File::open(place.path()).unwrap();
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
    let mode = rustix::fs::Mode::from_raw_mode(0o700);
    rustix::fs::mkdirat(&top, "tree", mode).unwrap();
    let mut inner = rustix::fs::openat(&top, "tree", flags, mode).unwrap();
    for level in 0..700 {
        rustix::fs::mkdirat(&inner, "d", mode).unwrap();
        rustix::fs::mkdirat(&inner, ".deep-1", mode).unwrap();
        if level % 100 == 0 {
            rustix::fs::symlinkat("/", &inner, "link").unwrap();
        }
        inner = rustix::fs::openat(&inner, "d", flags, mode).unwrap();
    }
    drop(inner);
    remove_any(top.as_fd(), b"tree").unwrap();
    assert!(!place.path().join("tree").exists());
}

/// Sizes that are negative, gigantic, or of another number system.
#[test]
fn sizes_that_lie_are_errors() {
    for size in [
        &b"77777777777\0"[..],
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"-0000000001\0",
        b"99999999999\0",
    ] {
        let mut bytes = Tape::default().file("f", "content").end();
        bytes[124..136].copy_from_slice(size);
        let mut block: [u8; 512] = bytes[..512].try_into().unwrap();
        seal(&mut block);
        bytes[..512].copy_from_slice(&block);
        let layer = unpack_bytes(&bytes);
        assert!(layer.result.is_err(), "{}", size.escape_ascii());
        layer.assert_contained();
    }
    for size in [
        "-1",
        "18446744073709551616",
        "9223372036854775807",
        "1e3",
        "",
    ] {
        let member = Member {
            path: b"f",
            data: b"content",
            pax: vec![(b"size", size.as_bytes())],
            ..Member::default()
        };
        let layer = unpack_bytes(&Tape::default().add(&member).end());
        assert!(layer.result.is_err(), "PAX size {size}");
        layer.assert_contained();
    }
}

/// File capabilities of both revisions that images carry; v3 names the user namespace's root.
#[test]
fn file_capabilities_of_version_2_and_3_are_kept() {
    let v2: &[u8] = &[
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let v3 = [&[1, 0, 0, 3], &v2[4..], &1000_u32.to_le_bytes()].concat();
    for value in [v2, &v3] {
        let member = Member {
            path: b"ping",
            data: b"x",
            mode: 0o4755,
            owner: (5, 6),
            pax: vec![(b"SCHILY.xattr.security.capability", value)],
            ..Member::default()
        };
        let layer = unpack_bytes(&Tape::default().add(&member).end());
        let found = xattr(&layer.path("ping"), "security.capability").unwrap();
        // The kernel shows v3 to the namespace that its root belongs to in its own terms.
        assert_eq!(found[4..20], value[4..20]);
        assert_eq!(layer.stat("ping").mode() & 0o7777, 0o4755);
    }
    let broken = Member {
        path: b"ping",
        pax: vec![(b"SCHILY.xattr.security.capability", b"nonsense")],
        ..Member::default()
    };
    let layer = unpack_bytes(&Tape::default().add(&broken).end());
    assert!(layer.result.is_err(), "an image does not work without them");
}

/// Members as a hostile writer puts them together: names that climb, plant, hide and repeat.
fn member() -> impl Strategy<Value = (u8, String, String)> {
    let part = proptest::sample::select(vec![
        "a",
        "b",
        "..",
        ".",
        "",
        "/",
        "secret",
        ".wh.a",
        ".wh..wh..opq",
        ".wh.",
        "layer",
        "proc",
        "\u{e4}",
    ]);
    let path = proptest::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"));
    let kind = proptest::sample::select(b"0123456gxLKS7".to_vec());
    (kind, path.clone(), path)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_archive_reaches_outside(members in proptest::collection::vec(member(), 1..12), cut in 0..600_usize, flip in any::<(u16, u8)>()) {
        let mut tape = Tape::default();
        for (kind, path, link) in &members {
            tape = tape.add(&Member {
                kind: *kind,
                path: path.as_bytes(),
                link: link.as_bytes(),
                data: if *kind == b'0' { b"data" } else { b"" },
                device: (1, 3),
                ..Member::default()
            });
        }
        let mut bytes = tape.end();
        let length = bytes.len();
        bytes.truncate(length - cut.min(length));
        if let Some(byte) = bytes.get_mut(usize::from(flip.0)) {
            *byte ^= flip.1 & 1;
        }
        unpack_bytes(&bytes).assert_contained();
    }
}
