//! Tests of the rules U1 to U26 of the image reference. They need root: device nodes and `trusted.*` attributes.

mod bounds;
mod formats;
mod hostile;
pub(in crate::image) mod oracle;
mod rules;

use std::{
    fmt::Write,
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use super::*;

/// A tar stream under construction, with none of the care that writers take.
#[derive(Default, Clone)]
pub(in crate::image) struct Tape(pub(super) Vec<u8>);

/// One member.
#[derive(Clone)]
pub(in crate::image) struct Member<'a> {
    pub(in crate::image) kind: u8,
    pub(in crate::image) path: &'a [u8],
    pub(in crate::image) link: &'a [u8],
    pub(in crate::image) data: &'a [u8],
    pub(in crate::image) mode: u32,
    pub(in crate::image) owner: (u32, u32),
    pub(in crate::image) mtime: u64,
    pub(in crate::image) device: (u32, u32),
    pub(in crate::image) pax: Vec<(&'a [u8], &'a [u8])>,
}

impl Default for Member<'_> {
    fn default() -> Self {
        Self {
            kind: b'0',
            path: b"",
            link: b"",
            data: b"",
            mode: 0o644,
            owner: (0, 0),
            mtime: 1_600_000_000,
            device: (0, 0),
            pax: Vec::new(),
        }
    }
}

impl Tape {
    pub(in crate::image) fn add(mut self, member: &Member<'_>) -> Self {
        if !member.pax.is_empty() {
            let records: Vec<u8> = member
                .pax
                .iter()
                .flat_map(|(k, v)| pax_record(k, v))
                .collect();
            let extension = Member {
                kind: b'x',
                path: b"pax",
                data: &records,
                ..Member::default()
            };
            self.0.extend(block(&extension));
            self.data(&records);
        }
        self.0.extend(block(member));
        self.data(member.data);
        self
    }

    pub(in crate::image) fn file(self, path: &str, data: &str) -> Self {
        self.add(&Member {
            path: path.as_bytes(),
            data: data.as_bytes(),
            ..Member::default()
        })
    }

    pub(in crate::image) fn dir(self, path: &str, mode: u32) -> Self {
        self.add(&Member {
            kind: b'5',
            path: path.as_bytes(),
            mode,
            ..Member::default()
        })
    }

    pub(in crate::image) fn symlink(self, path: &str, target: &str) -> Self {
        let member = Member {
            kind: b'2',
            path: path.as_bytes(),
            ..Member::default()
        };
        self.add(&Member {
            link: target.as_bytes(),
            mode: 0o777,
            ..member
        })
    }

    pub(in crate::image) fn link(self, path: &str, target: &str) -> Self {
        let member = Member {
            kind: b'1',
            path: path.as_bytes(),
            ..Member::default()
        };
        self.add(&Member {
            link: target.as_bytes(),
            ..member
        })
    }

    pub(in crate::image) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }

    fn data(&mut self, data: &[u8]) {
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }
}

pub(in crate::image) fn block(member: &Member<'_>) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &member.path[..member.path.len().min(100)]);
    put(100, format!("{:07o}", member.mode).as_bytes());
    put(108, format!("{:07o}", member.owner.0).as_bytes());
    put(116, format!("{:07o}", member.owner.1).as_bytes());
    put(124, format!("{:011o}", member.data.len()).as_bytes());
    put(136, format!("{:011o}", member.mtime).as_bytes());
    put(156, &[member.kind]);
    put(157, &member.link[..member.link.len().min(100)]);
    put(257, b"ustar\x0000");
    put(329, format!("{:07o}", member.device.0).as_bytes());
    put(337, format!("{:07o}", member.device.1).as_bytes());
    seal(&mut block);
    block
}

/// Writes the checksum.
pub(in crate::image) fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

pub(in crate::image) fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..rest + 9)
        .find(|n| *n == rest + n.to_string().len())
        .unwrap();
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

pub(in crate::image) const LIMITS: Limits = Limits {
    entries: 10_000,
    bytes: 1 << 30,
    depth: 1024,
    remembered: 1000,
    whiteouts: Whiteouts::Layer,
};

/// A directory that a stream was unpacked into, beside a secret that must not change.
pub(in crate::image) struct Layer {
    outer: tempfile::TempDir,
    pub(in crate::image) result: Result<Unpacked, UnpackError>,
}

impl Layer {
    pub(in crate::image) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(in crate::image) fn root(&self) -> PathBuf {
        self.outer.path().join("layer")
    }

    pub(in crate::image) fn report(&self) -> &Unpacked {
        self.result.as_ref().unwrap()
    }

    pub(in crate::image) fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.path(path)).unwrap()
    }

    pub(in crate::image) fn stat(&self, path: &str) -> std::fs::Metadata {
        fs_err::symlink_metadata(self.path(path)).unwrap()
    }

    pub(in crate::image) fn exists(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    pub(in crate::image) fn is_whiteout(&self, path: &str) -> bool {
        let stat = self.stat(path);
        stat.mode() & 0o170_000 == 0o020_000 && stat.rdev() == 0
    }

    pub(in crate::image) fn is_opaque(&self, path: &str) -> bool {
        xattr(&self.path(path), OPAQUE).as_deref() == Some(b"y")
    }

    /// Checks that nothing around the layer was touched.
    pub(in crate::image) fn assert_contained(&self) {
        let mut names: Vec<_> = fs_err::read_dir(self.outer.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["layer", "secret"], "something was written outside");
        let secret = self.outer.path().join("secret");
        assert_eq!(fs_err::read_to_string(&secret).unwrap(), "secret");
        let stat = fs_err::metadata(secret).unwrap();
        assert_eq!(
            (stat.mode() & 0o7777, stat.nlink(), stat.uid()),
            (0o600, 1, 0)
        );
    }
}

pub(in crate::image) fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

pub(in crate::image) fn unpack_bytes(bytes: &[u8]) -> Layer {
    unpack_limited(bytes, &LIMITS)
}

pub(in crate::image) fn unpack_limited(bytes: &[u8], limits: &Limits) -> Layer {
    let outer = tempfile::tempdir().unwrap();
    let secret = outer.path().join("secret");
    fs_err::write(&secret, "secret").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs_err::set_permissions(&secret, mode).unwrap();
    let root = outer.path().join("layer");
    fs_err::create_dir(&root).unwrap();
    let directory = fs_err::File::open(&root).unwrap();
    let result = unpack(bytes, directory.as_fd(), limits, None);
    Layer { outer, result }
}

/// Lists everything below a directory: path, kind and mode, owner, size, link target, content, attributes.
pub(in crate::image) fn listing(root: &Path) -> Vec<String> {
    fn walk(root: &Path, at: &Path, lines: &mut Vec<String>) {
        let mut children: Vec<_> = fs_err::read_dir(at)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        children.sort();
        for path in children {
            let stat = path.symlink_metadata().unwrap();
            let mut line = format!(
                "{} mode={:o} owner={}:{} mtime={}.{:09} links={}",
                path.strip_prefix(root)
                    .unwrap()
                    .as_os_str()
                    .as_bytes()
                    .escape_ascii(),
                stat.mode(),
                stat.uid(),
                stat.gid(),
                stat.mtime(),
                stat.mtime_nsec(),
                if stat.is_dir() { 0 } else { stat.nlink() },
            );
            if stat.is_symlink() {
                write!(line, " -> {}", path.read_link().unwrap().display()).unwrap();
            } else if stat.is_file() {
                let digest = crate::image::digest::of(&fs_err::read(&path).unwrap());
                write!(line, " {} {digest}", stat.len()).unwrap();
            } else if stat.rdev() != 0 {
                write!(line, " device={:x}", stat.rdev()).unwrap();
            }
            let mut names = vec![0; 65536];
            let length = rustix::fs::llistxattr(&path, &mut names[..]).unwrap_or(0);
            for name in names[..length]
                .split(|b| *b == 0)
                .filter(|name| !name.is_empty())
            {
                let name = std::str::from_utf8(name).unwrap();
                let value = xattr(&path, name).unwrap();
                write!(line, " {name}={}", value.escape_ascii()).unwrap();
            }
            lines.push(line);
            if stat.is_dir() {
                walk(root, &path, lines);
            }
        }
    }
    let mut lines = Vec::new();
    walk(root, root, &mut lines);
    lines
}
