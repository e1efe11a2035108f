//! A root with volumes of every kind of file, and what is compared of them.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, symlink},
    },
};

use fs_err as fs;
use rustix::fs::{
    AtFlags, CWD, FileType, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr, lsetxattr,
    mknodat, utimensat,
};

use super::*;

/// Everything about a file that a backup keeps. Files of one inode have the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    device: u64,
    inode: usize,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    content: Vec<u8>,
}

/// Returns what a directory holds, by path; `.` is itself.
pub(super) fn seen(root: &Path) -> BTreeMap<PathBuf, Seen> {
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

pub(super) fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
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
pub(super) struct Bed {
    pub(super) directory: tempfile::TempDir,
    pub(super) root: Root,
}

impl Bed {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path().join("state"));
        let bed = Self { directory, root };
        bed.volume("shop_data");
        bed
    }

    pub(super) fn volume(&self, name: &str) {
        let mut record = restored(&BackedUpVolume::from(&bare(name)), None);
        record.project = Some("shop".parse().unwrap());
        record.key = Some("data".to_owned());
        record.wanted.as_mut().unwrap().labels = [("team".to_owned(), "a".to_owned())].into();
        volume::ensure(&self.root, &record).unwrap();
    }

    pub(super) fn data(&self, name: &str) -> PathBuf {
        volume::data_dir(&self.root, name)
    }

    /// Writes an archive of volumes and returns its path.
    pub(super) fn archive(&self, names: &[&str]) -> PathBuf {
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

    pub(super) fn restore(&self, request: &Restore) -> Result<Vec<String>, BackupError> {
        let restored = restore_now(&self.root, request);
        let left = fs::read_dir(self.root.tmp()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "nothing unfinished is left");
        restored.map(|(names, notes)| {
            assert_eq!(notes, [""; 0]);
            names
        })
    }
}

pub(super) fn bare(name: &str) -> VolumeRecord {
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

pub(super) fn request(path: &Path) -> Restore {
    Restore {
        path: path.to_owned(),
        is_pipe: false,
        names: Vec::new(),
        rename: None,
        replace: false,
    }
}

pub(super) fn renamed(path: &Path, name: &str) -> Restore {
    Restore {
        rename: Some(name.to_owned()),
        ..request(path)
    }
}

pub(super) fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
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
pub(super) fn plant(data: &Path) {
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

pub(super) fn plant_holes(data: &Path) {
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
