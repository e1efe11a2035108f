//! Trees go into an archive and come out of it as they were; archives that are not ours, or not whole, change nothing.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, symlink},
    },
    process::Command,
};

use fs_err as fs;
use proptest::prelude::*;
use rustix::fs::{
    AtFlags, CWD, FileType, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr, lsetxattr,
    mknodat, utimensat,
};

use super::*;
use crate::model::Timestamp;

/// Everything about a file that a backup keeps. Files of one inode have the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    device: u64,
    inode: usize,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    content: Vec<u8>,
}

/// Returns what a directory holds, by path; `.` is itself.
fn seen(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut found = BTreeMap::new();
    let mut inodes = Vec::new();
    let mut waiting = vec![PathBuf::from(".")];
    while let Some(path) = waiting.pop() {
        let full = root.join(&path);
        let metadata = fs::symlink_metadata(&full).unwrap();
        let key = (metadata.dev(), metadata.ino());
        let inode = inodes.iter().position(|known| *known == key);
        let inode = inode.unwrap_or_else(|| {
            inodes.push(key);
            inodes.len() - 1
        });
        let content = if metadata.is_file() {
            fs::read(&full).unwrap()
        } else if metadata.is_symlink() {
            let target = fs::read_link(&full).unwrap();
            target.as_os_str().as_bytes().to_vec()
        } else {
            Vec::new()
        };
        if metadata.is_dir() {
            let mut names: Vec<_> = fs::read_dir(&full).unwrap().map(Result::unwrap).collect();
            names.sort_by_key(fs::DirEntry::file_name);
            waiting.extend(names.iter().rev().map(|entry| path.join(entry.file_name())));
        }
        let is_device = FileType::from_raw_mode(metadata.mode()).is_char_device();
        let seen = Seen {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            device: if is_device { metadata.rdev() } else { 0 },
            inode,
            xattrs: xattrs(&full),
            content,
        };
        found.insert(path, seen);
    }
    found
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut list = vec![0; 4096];
    let length = llistxattr(path, &mut list[..]).unwrap();
    let names = list[..length].split(|byte| *byte == 0);
    let read = names.filter(|name| !name.is_empty()).map(|name| {
        let mut value = vec![0; 4096];
        let length = lgetxattr(path, name, &mut value[..]).unwrap();
        (name.to_vec(), value[..length].to_vec())
    });
    let mut found: Vec<_> = read.collect();
    found.sort();
    found
}

/// A root with a volume `shop_data` of project `shop`.
struct Bed {
    directory: tempfile::TempDir,
    root: Root,
}

impl Bed {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path().join("state"));
        let bed = Self { directory, root };
        bed.volume("shop_data");
        bed
    }

    fn volume(&self, name: &str) {
        let mut record = restored(&BackedUpVolume::from(&bare(name)), None);
        record.project = Some("shop".parse().unwrap());
        record.key = Some("data".to_owned());
        record.wanted.as_mut().unwrap().labels = [("team".to_owned(), "a".to_owned())].into();
        volume::ensure(&self.root, &record).unwrap();
    }

    fn data(&self, name: &str) -> PathBuf {
        volume::data_dir(&self.root, name)
    }

    /// Writes an archive of volumes and returns its path.
    fn archive(&self, names: &[&str]) -> PathBuf {
        let records = names.iter().map(|name| {
            let record = volume::find(&self.root, name).unwrap().unwrap();
            BackedUpVolume::from(&record)
        });
        let head = BackupHead {
            format: BackupHead::FORMAT,
            stack: "test".to_owned(),
            created: Timestamp(1),
            frozen: Vec::new(),
            running: Vec::new(),
            volumes: records.collect(),
        };
        let path = self.directory.path().join("backup.tar.zst");
        let file = fs::File::create(&path).unwrap();
        volume::archive(&self.root, &head, file, &mut |_| {}).unwrap();
        path
    }

    fn restore(&self, request: &Restore) -> Result<Vec<String>, BackupError> {
        let restored = restore_now(&self.root, request);
        let left = fs::read_dir(self.root.tmp()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "nothing unfinished is left");
        restored.map(|(names, notes)| {
            assert_eq!(notes, [""; 0]);
            names
        })
    }
}

fn bare(name: &str) -> VolumeRecord {
    VolumeRecord {
        version: VolumeRecord::VERSION,
        name: name.to_owned(),
        project: None,
        key: None,
        wanted: None,
        created: Timestamp(1),
        protected: false,
    }
}

fn request(path: &Path) -> Restore {
    Restore {
        path: path.to_owned(),
        is_pipe: false,
        names: Vec::new(),
        rename: None,
        replace: false,
    }
}

fn renamed(path: &Path, name: &str) -> Restore {
    Restore {
        rename: Some(name.to_owned()),
        ..request(path)
    }
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Makes a tree with one of everything.
fn plant(data: &Path) {
    let set = |name: &str, key: &str, value: &[u8]| {
        lsetxattr(data.join(name), key, value, XattrFlags::empty()).unwrap();
    };
    fs::create_dir_all(data.join("deep/er")).unwrap();
    fs::write(data.join("deep/er/file"), "content").unwrap();
    fs::hard_link(data.join("deep/er/file"), data.join("again")).unwrap();
    std::os::unix::fs::chown(data.join("again"), Some(1234), Some(3_000_000_000)).unwrap();
    symlink("../../../etc/passwd", data.join("deep/link")).unwrap();
    fs::hard_link(data.join("deep/link"), data.join("link again")).unwrap();
    std::os::unix::fs::lchown(data.join("deep/link"), Some(7), Some(8)).unwrap();
    let odd = OsStr::from_bytes(b"odd \xff\n name");
    fs::write(data.join(odd), vec![7; 600_000]).unwrap();
    fs::write(data.join("long".repeat(60)), "").unwrap();
    fs::create_dir(data.join("a".repeat(120))).unwrap();
    fs::write(
        data.join(format!("{}/{}", "a".repeat(120), "b".repeat(200))),
        "x",
    )
    .unwrap();
    // What would be whiteouts in a layer are names and nodes here.
    fs::write(data.join(".wh.file"), "no whiteout").unwrap();
    fs::write(data.join(".wh..wh..opq"), "").unwrap();
    let mode = Mode::from_raw_mode(0o640);
    let node = |name: &str, kind, device| {
        mknodat(CWD, data.join(name), kind, mode, device).unwrap();
    };
    node("hidden", FileType::CharacterDevice, 0);
    node("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    node("fifo", FileType::Fifo, 0);
    set("deep", "trusted.overlay.opaque", b"y");
    set("again", "user.note", b"kept\0=\n");
    // cap_net_bind_service=ep, as setcap(8) writes it.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    fs::write(data.join("server"), "binary").unwrap();
    set("server", "security.capability", &capability);
    // user::rw- user:1234:r-- group::r-- mask::r-- other::---, as setfacl(1) writes it.
    let entry = |tag: u16, bits: u16, id: u32| {
        [
            &tag.to_le_bytes()[..],
            &bits.to_le_bytes(),
            &id.to_le_bytes(),
        ]
        .concat()
    };
    let none = u32::MAX;
    let list = [
        2_u32.to_le_bytes().to_vec(),
        entry(1, 6, none),
        entry(2, 4, 1234),
        entry(4, 4, none),
        entry(0x10, 4, none),
        entry(0x20, 0, none),
    ]
    .concat();
    fs::write(data.join("listed"), "").unwrap();
    set("listed", "system.posix_acl_access", &list);
    let set_id = std::os::unix::fs::PermissionsExt::from_mode(0o6755);
    fs::write(data.join("suid"), "").unwrap();
    fs::set_permissions(data.join("suid"), set_id).unwrap();
    let sticky = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    fs::set_permissions(data, sticky).unwrap();
    std::os::unix::fs::chown(data, Some(70), Some(71)).unwrap();
    for (name, seconds, nanos) in [
        ("again", 1_700_000_000, 123_456_789),
        ("deep/link", 1_600_000_000, 1),
        ("null", -2, 750_000_000),
        ("suid", 1, 0),
        ("deep/er", 1_500_000_000, 999_999_999),
        ("deep", 1_400_000_000, 5),
        (".", 1_300_000_000, 6),
    ] {
        set_time(&data.join(name), seconds, nanos);
    }
}

fn plant_holes(data: &Path) {
    use std::os::unix::fs::FileExt;
    for (name, size, parts) in [
        ("end", 2_u64 << 30, &[(0, 5)][..]),
        ("all", 1 << 26, &[]),
        ("start", 1 << 26, &[((1 << 26) - 4096, 4096)]),
        (
            "many",
            1 << 26,
            &[(1 << 20, 4096), (1 << 22, 70_000), (5 << 22, 1)],
        ),
    ] {
        let file = fs::File::create(data.join(name)).unwrap();
        file.set_len(size).unwrap();
        for (offset, length) in parts {
            let bytes = vec![b'x'; *length];
            file.file().write_all_at(&bytes, *offset).unwrap();
        }
    }
}

#[test]
fn a_tree_comes_out_as_it_went_in() {
    let bed = Bed::new();
    plant(&bed.data("shop_data"));
    let archive = bed.archive(&["shop_data"]);
    assert_eq!(bed.restore(&renamed(&archive, "copy")).unwrap(), ["copy"]);
    let (old, new) = (seen(&bed.data("shop_data")), seen(&bed.data("copy")));
    for (path, seen) in &old {
        assert_eq!(Some(seen), new.get(path), "{}", path.display());
    }
    assert_eq!(old.len(), new.len());
    let record = volume::find(&bed.root, "copy").unwrap().unwrap();
    assert_eq!((&record.project, &record.key), (&None, &None));
    assert_eq!(record.all_labels()["team"], "a");
}

#[test]
fn a_copy_of_a_volume_is_as_the_volume() {
    let bed = Bed::new();
    plant(&bed.data("shop_data"));
    plant_holes(&bed.data("shop_data"));
    fs::remove_file(bed.data("shop_data").join("end")).unwrap();
    let unfinished = volume::unfinished(&bed.root).unwrap();
    let tree = unfinished.path().join("data");
    volume::copy_data(&bed.root, "shop_data", &tree).unwrap();
    let (old, new) = (seen(&bed.data("shop_data")), seen(&tree));
    for (path, seen) in &old {
        assert!(Some(seen) == new.get(path), "{}", path.display());
    }
    let blocks = fs::metadata(tree.join("all")).unwrap().blocks();
    assert!(blocks < 100, "a hole became {blocks} blocks");
}

#[test]
fn holes_stay_holes() {
    let bed = Bed::new();
    plant_holes(&bed.data("shop_data"));
    let archive = bed.archive(&["shop_data"]);
    let size = fs::metadata(&archive).unwrap().len();
    assert!(size < 100_000, "2 GB of holes take {size} bytes");
    bed.restore(&renamed(&archive, "copy")).unwrap();
    for entry in fs::read_dir(bed.data("shop_data")).unwrap() {
        let entry = entry.unwrap();
        let (old, new) = (
            entry.metadata().unwrap(),
            fs::metadata(bed.data("copy").join(entry.file_name())).unwrap(),
        );
        let name = entry.file_name();
        assert_eq!(old.len(), new.len(), "{name:?}");
        assert!(
            new.blocks() <= old.blocks() + 64,
            "{name:?} {}",
            new.blocks()
        );
    }
    for name in ["many", "start"] {
        let old = fs::read(bed.data("shop_data").join(name)).unwrap();
        assert!(
            old == fs::read(bed.data("copy").join(name)).unwrap(),
            "{name}"
        );
    }
}

/// The archive is no secret of stack's: tar(1) reads it.
#[test]
#[expect(clippy::disallowed_methods, reason = "tar is the oracle")]
fn tar_unpacks_it_too() {
    let bed = Bed::new();
    plant(&bed.data("shop_data"));
    plant_holes(&bed.data("shop_data"));
    let archive = bed.archive(&["shop_data"]);
    let target = bed.directory.path().join("by tar");
    fs::create_dir(&target).unwrap();
    let status = Command::new("tar")
        .args([
            "--zstd",
            "--numeric-owner",
            "--xattrs",
            "--xattrs-include=*",
            "-xpf",
        ])
        .arg(&archive)
        .arg("-C")
        .arg(&target)
        .status()
        .expect("tar and zstd; ./tests/run installs them");
    assert!(status.success());
    for name in ["end", "all"] {
        for data in [bed.data("shop_data"), target.join("volumes/shop_data")] {
            let metadata = fs::metadata(data.join(name)).unwrap();
            assert!(metadata.len() >= 1 << 26 && metadata.blocks() < 100);
            fs::remove_file(data.join(name)).unwrap();
        }
    }
    let (old, new) = (
        seen(&bed.data("shop_data")),
        seen(&target.join("volumes/shop_data")),
    );
    for (path, seen) in old.iter().filter(|(path, _)| *path != Path::new(".")) {
        assert!(Some(seen) == new.get(path), "{}", path.display());
    }
    assert!(target.join(BackupHead::MEMBER).exists());
}

#[test]
fn an_own_name_belongs_to_its_project_again_and_an_existing_one_is_left() {
    let bed = Bed::new();
    fs::write(bed.data("shop_data").join("file"), "old").unwrap();
    let archive = bed.archive(&["shop_data"]);
    fs::write(bed.data("shop_data").join("file"), "new").unwrap();
    let refused = bed.restore(&request(&archive)).unwrap_err();
    assert!(matches!(&refused, BackupError::Exists(name) if name == "shop_data"));
    assert_eq!(
        fs::read(bed.data("shop_data").join("file")).unwrap(),
        b"new"
    );
    volume::set_protected(&bed.root, "shop_data", true).unwrap();
    let replace = Restore {
        replace: true,
        ..request(&archive)
    };
    let refused = bed.restore(&replace).unwrap_err();
    assert!(refused.to_string().contains("is protected"), "{refused}");
    assert_eq!(
        fs::read(bed.data("shop_data").join("file")).unwrap(),
        b"new"
    );
    volume::set_protected(&bed.root, "shop_data", false).unwrap();
    bed.restore(&replace).unwrap();
    assert_eq!(
        fs::read(bed.data("shop_data").join("file")).unwrap(),
        b"old"
    );
    volume::remove(&bed.root, "shop_data").unwrap();
    bed.restore(&request(&archive)).unwrap();
    let record = volume::find(&bed.root, "shop_data").unwrap().unwrap();
    assert_eq!(record.project.unwrap().as_str(), "shop");
    assert_eq!(record.key.as_deref(), Some("data"));
}

#[test]
fn one_of_several_is_restored_or_all() {
    let bed = Bed::new();
    bed.volume("other");
    for name in ["shop_data", "other"] {
        fs::write(bed.data(name).join("file"), name).unwrap();
    }
    let archive = bed.archive(&["other", "shop_data"]);
    let several = bed.restore(&renamed(&archive, "x")).unwrap_err();
    assert!(matches!(several, BackupError::Several(2)));
    let one = Restore {
        names: vec!["other".to_owned()],
        ..renamed(&archive, "x1")
    };
    assert_eq!(bed.restore(&one).unwrap(), ["x1"]);
    assert_eq!(fs::read(bed.data("x1").join("file")).unwrap(), b"other");
    let missing = Restore {
        names: vec!["third".to_owned()],
        ..request(&archive)
    };
    let missing = bed.restore(&missing).unwrap_err().to_string();
    assert!(missing.contains("it has other, shop_data"), "{missing}");
    // One of them exists: none is made.
    volume::remove(&bed.root, "other").unwrap();
    assert!(bed.restore(&request(&archive)).is_err());
    assert_eq!(volume::find(&bed.root, "other").unwrap(), None);
}

/// Archives that are cut off, changed, of others or hostile change nothing.
#[test]
fn what_is_not_whole_or_not_ours_is_refused() {
    let bed = Bed::new();
    fs::write(bed.data("shop_data").join("file"), vec![b'x'; 10_000]).unwrap();
    let archive = fs::read(bed.archive(&["shop_data"])).unwrap();
    let plain = zstd::stream::decode_all(&archive[..]).unwrap();
    let path = bed.directory.path().join("bad.tar");
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = bed.restore(&renamed(&path, "copy")).unwrap_err();
        assert_eq!(volume::find(&bed.root, "copy").unwrap(), None);
        crate::model::chain(&error).join(": ")
    };
    for length in [0, 1, 100, archive.len() / 2, archive.len() - 1] {
        refused(&archive[..length]);
    }
    for length in [512, 5000, plain.len() / 2 / 512 * 512, plain.len() - 2048] {
        refused(&plain[..length]);
    }
    let mut changed = plain.clone();
    let at = changed.iter().rposition(|byte| *byte == b'x').unwrap();
    changed[at] = b'y';
    assert!(refused(&changed).contains("is damaged"));
    let mut longer = plain[..plain.len() - 1024].to_vec();
    longer.extend(crate::store::TarMember::default().header());
    assert!(refused(&longer).contains("after its end"));
    assert!(refused(&[b'x'; 4096]).contains("tar archive"));
    let mut foreign = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    foreign.append_data(&mut header, "file", &b"x"[..]).unwrap();
    assert!(refused(&foreign.into_inner().unwrap()).contains("does not begin"));
}

/// Makes an archive that is sealed as ours is, of members that an enemy chose.
fn forged(members: &[crate::store::TarMember<'_>]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let member = |name: &str, text: &[u8]| {
        let header = crate::store::TarMember {
            path: name.as_bytes(),
            kind: b'0',
            size: text.len() as u64,
            ..crate::store::TarMember::default()
        };
        let mut bytes = header.header();
        bytes.extend(text);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    };
    let head = BackupHead {
        format: 1,
        stack: String::new(),
        created: Timestamp(0),
        frozen: Vec::new(),
        running: Vec::new(),
        volumes: vec![BackedUpVolume::from(&bare("data"))],
    };
    let mut bytes = member(BackupHead::MEMBER, &serde_json::to_vec(&head).unwrap());
    for member in members {
        bytes.extend(member.header());
    }
    let summary = BackupSummary {
        volumes: Vec::new(),
        digest: crate::model::Digest::from_sha256(&Sha256::digest(&bytes).into()),
    };
    bytes.extend(member(
        BackupSummary::MEMBER,
        &serde_json::to_vec(&summary).unwrap(),
    ));
    bytes.extend([0; 1024]);
    bytes
}

#[test]
fn links_in_the_place_of_a_volume_lead_nowhere() {
    let bed = Bed::new();
    let secret = bed.directory.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("file"), "secret").unwrap();
    let target = secret.to_str().unwrap().as_bytes();
    let member = |path, kind, link| crate::store::TarMember {
        path,
        kind,
        link,
        mode: 0o755,
        ..crate::store::TarMember::default()
    };
    let path = bed.directory.path().join("forged.tar");
    for members in [
        vec![
            member(b"volumes/", b'5', b""),
            member(b"volumes/data", b'2', target),
        ],
        vec![member(b"volumes", b'2', target)],
        vec![
            member(b"volumes/data/", b'5', b""),
            member(b"volumes/data/out", b'2', target),
            member(b"volumes/data/out/made", b'0', b""),
            member(b"../../../../../../../../tmp/stack-made", b'0', b""),
            member(b"volumes/data/../data", b'2', target),
        ],
        vec![member(b"volumes/data/x", b'1', b"/etc/passwd")],
        vec![],
    ] {
        fs::write(&path, forged(&members)).unwrap();
        let error = bed.restore(&request(&path)).unwrap_err();
        assert_eq!(volume::find(&bed.root, "data").unwrap(), None, "{error}");
        assert_eq!(fs::read_dir(&secret).unwrap().count(), 1);
    }
    assert!(!Path::new("/tmp/stack-made").exists());
    // Whole and honest, it is taken: the refusals above are not for another reason.
    fs::write(&path, forged(&[member(b"volumes/data/", b'5', b"")])).unwrap();
    assert_eq!(bed.restore(&request(&path)).unwrap(), ["data"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever bytes are turned over, nothing is made of a damaged archive, and nothing is left of it.
    #[test]
    fn any_damage_is_noticed(at in 0.0..1.0_f64, bit in 0..8_u32, is_plain: bool) {
        let bed = Bed::new();
        fs::write(bed.data("shop_data").join("file"), "some content").unwrap();
        let mut bytes = fs::read(bed.archive(&["shop_data"])).unwrap();
        if is_plain {
            bytes = zstd::stream::decode_all(&bytes[..]).unwrap();
            // What follows the end of an archive says nothing.
            bytes.truncate(bytes.len() - 1024);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "any place will do")]
        let at = (at * bytes.len() as f64) as usize;
        bytes[at] ^= 1 << bit;
        let path = bed.directory.path().join("damaged");
        fs::write(&path, &bytes).unwrap();
        if let Ok(names) = bed.restore(&renamed(&path, "copy")) {
            // The summary itself is not in the digest: of its counts one digit more or less changes nothing.
            prop_assert_eq!(names, ["copy"]);
            let old = seen(&bed.data("shop_data"));
            prop_assert_eq!(old, seen(&bed.data("copy")));
        } else {
            prop_assert_eq!(volume::find(&bed.root, "copy").unwrap(), None);
        }
    }
}
