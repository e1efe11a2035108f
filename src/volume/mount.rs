//! File systems of volumes whose driver options name one: `tmpfs`, `nfs`, a block device's; and directories of the host that are bound
//! with options (`o: bind,ro`).
//!
//! Mounted on `_data` when the first container is made or started with the volume, unmounted when the last one has ended. The kernel's
//! mount table is the only memory: it survives the supervisor, and a reboot empties it.

use std::{
    ffi::OsString,
    io,
    net::IpAddr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
};

use fs_err as fs;
use runtime::sys::mount::{Change, change_mount};
use rustix::{
    fs::CWD,
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
        fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
        open_tree, unmount,
    },
};

use super::{VolumeError, local::Volumes};
use crate::{
    model::{Backing, IDLE_OPTIONS, VolumeMount},
    store::try_lock,
};

/// Messages of the kernel about one mount that are shown.
const MESSAGES_MAX: usize = 4;

impl Volumes {
    pub(super) fn mount(&self, name: &str, server: Option<IpAddr>) -> Result<(), VolumeError> {
        let Some(record) = self.find(name)? else {
            return Ok(());
        };
        let Some(Ok(Backing::Mount(wanted))) = record.wanted.as_ref().map(Backing::of) else {
            return Ok(());
        };
        // Who reads a mounted volume holds its lock for long, and need not be waited for.
        if self.is_mounted(name)? {
            return Ok(());
        }
        let _lock = self.lock(name, "mount")?;
        if self.is_mounted(name)? {
            return Ok(());
        }
        let data = self.data_dir(name);
        if wanted.is_bind() && !Path::new(&wanted.device).is_dir() {
            return Err(VolumeError::DeviceMissing {
                name: name.to_owned(),
                path: wanted.device.into(),
            });
        }
        let made = if wanted.is_bind() {
            attach_bind(&wanted, &data).map_err(|errno| (errno, String::new()))
        } else {
            attach(&wanted, server, &data)
        };
        made.map_err(|(errno, complaint)| match errno {
            Errno::NODEV => VolumeError::NoFilesystem {
                name: name.to_owned(),
                filesystem: wanted.filesystem.clone(),
                device: wanted.device.clone(),
            },
            errno => VolumeError::Mount {
                name: name.to_owned(),
                filesystem: wanted.filesystem.clone(),
                device: wanted.device.clone(),
                complaint,
                source: errno.into(),
            },
        })
    }

    pub(super) fn mounted(&self) -> Result<Vec<String>, VolumeError> {
        let table = fs::read("/proc/self/mountinfo").map_err(VolumeError::Mounts)?;
        // The table has no symbolic links in its paths.
        let directory = match fs::canonicalize(self.directory()) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(VolumeError::Mounts(error)),
        };
        let mut names: Vec<String> = mount_points(&table)
            .filter_map(|path| volume_of(&path, &directory))
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    pub(super) fn unmount(&self, name: &str) -> Result<(), VolumeError> {
        let path = self.volume_dir(name).join(".lock");
        let lock = try_lock(&path).map_err(|source| self.store_error("unmount", name, source))?;
        match lock {
            Some(_lock) => self.unmount_locked(name),
            None => Ok(()),
        }
    }

    /// Unmounts whatever is mounted on a volume's data; the caller has its lock.
    pub(super) fn unmount_locked(&self, name: &str) -> Result<(), VolumeError> {
        while self.is_mounted(name)? {
            unmount(self.data_dir(name), UnmountFlags::NOFOLLOW).map_err(|errno| {
                VolumeError::Unmount {
                    name: name.to_owned(),
                    source: errno.into(),
                }
            })?;
        }
        Ok(())
    }

    pub(super) fn is_mounted(&self, name: &str) -> Result<bool, VolumeError> {
        Ok(self.mounted()?.iter().any(|mounted| mounted == name))
    }
}

/// Mounts a directory of the host a second time, with the attributes that its options name, which it has before anybody sees it. Mounts
/// below it that come or go on the host do so here as well.
fn attach_bind(wanted: &VolumeMount, target: &Path) -> Result<(), Errno> {
    let recursive = wanted.filesystem == "rbind";
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(CWD, &*wanted.device, flags)?;
    let mut change = Change {
        recursive,
        propagation: libc::MS_SLAVE,
        ..Change::NONE
    };
    for (name, _) in &wanted.options {
        if let Some(Attribute::Set(flag)) = attribute(name) {
            change.set |= flag;
        }
    }
    if change.set.intersects(ACCESS_TIMES) {
        // The kinds of access time are one field, which must be named whole.
        change.clear = MountAttrFlags::MOUNT_ATTR__ATIME;
    }
    change_mount(tree.as_fd(), &change)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(tree.as_fd(), "", CWD, target, flags)
}

/// Flags that exclude each other.
const ACCESS_TIMES: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOATIME.union(MountAttrFlags::MOUNT_ATTR_STRICTATIME);

/// Makes a file system and puts it on a directory. An error comes with what the kernel says about it.
fn attach(
    wanted: &VolumeMount,
    server: Option<IpAddr>,
    target: &Path,
) -> Result<(), (Errno, String)> {
    let plain = |errno| (errno, String::new());
    let context = fsopen(&*wanted.filesystem, FsOpenFlags::FSOPEN_CLOEXEC).map_err(plain)?;
    let complain = |errno| (errno, complaint(&context));
    let (settings, attributes) = settings(wanted, server);
    for (name, value) in &settings {
        let set = match value {
            Some(value) => fsconfig_set_string(context.as_fd(), &**name, &**value),
            None => fsconfig_set_flag(context.as_fd(), &**name),
        };
        set.map_err(|errno| {
            let (errno, text) = complain(errno);
            let text = if text.is_empty() {
                format!(": option `{name}`")
            } else {
                text
            };
            (errno, text)
        })?;
    }
    fsconfig_create(context.as_fd()).map_err(complain)?;
    let made = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes);
    let made = made.map_err(complain)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(made.as_fd(), "", CWD, target, flags).map_err(plain)
}

/// What fsconfig(2) is told, in this order: a name, and its text unless it is a flag.
type Settings = Vec<(String, Option<String>)>;

/// Sorts the options of a file system: what the file system is told, and what the mount is.
///
/// Docker tells mount(2) the same in one text, the server's name replaced by its address as well (`addr=`): the kernel asks no DNS. CIFS
/// calls that `ip`, as mount.cifs(8) does.
fn settings(wanted: &VolumeMount, server: Option<IpAddr>) -> (Settings, MountAttrFlags) {
    let mut settings = vec![("source".to_owned(), Some(wanted.device.clone()))];
    if let Some(server) = server {
        let is_nfs = wanted.filesystem.starts_with("nfs");
        let key = if is_nfs { "addr" } else { "ip" };
        settings.push((key.to_owned(), Some(server.to_string())));
    }
    let mut attributes = MountAttrFlags::empty();
    for (name, value) in &wanted.options {
        match (attribute(name), value) {
            (Some(Attribute::Set(flag)), None) => {
                attributes |= flag;
                // A file system that is read-only all through does not even write its journal.
                if name == "ro" {
                    settings.push((name.clone(), None));
                }
            }
            (Some(Attribute::Default), None) => {}
            (_, value) => settings.push((name.clone(), value.clone())),
        }
    }
    (settings, attributes)
}

/// What an option says about the mount, not about the file system (mount(8)).
enum Attribute {
    Set(MountAttrFlags),
    /// It says what is so anyway, or is for mount(8) itself.
    Default,
}

fn attribute(option: &str) -> Option<Attribute> {
    Some(Attribute::Set(match option {
        "ro" => MountAttrFlags::MOUNT_ATTR_RDONLY,
        "nosuid" => MountAttrFlags::MOUNT_ATTR_NOSUID,
        "nodev" => MountAttrFlags::MOUNT_ATTR_NODEV,
        "noexec" => MountAttrFlags::MOUNT_ATTR_NOEXEC,
        "noatime" => MountAttrFlags::MOUNT_ATTR_NOATIME,
        "strictatime" => MountAttrFlags::MOUNT_ATTR_STRICTATIME,
        "nodiratime" => MountAttrFlags::MOUNT_ATTR_NODIRATIME,
        option if IDLE_OPTIONS.contains(&option) => return Some(Attribute::Default),
        _ => return None,
    }))
}

/// Returns the errors that the kernel wrote into a context, each after `: `.
fn complaint(context: &OwnedFd) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    for _ in 0..MESSAGES_MAX {
        let Ok(length) = rustix::io::read(context, &mut buffer[..]) else {
            break;
        };
        let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
        // `e` error, `w` warning, `i` information; then a blank.
        if let Some(message) = message.strip_prefix("e ") {
            text.push_str(": ");
            text.push_str(message.trim_end());
        }
    }
    text
}

/// Returns the mount points of a mount table (proc_pid_mountinfo(5)).
fn mount_points(table: &[u8]) -> impl Iterator<Item = PathBuf> + '_ {
    let lines = table.split(|byte| *byte == b'\n');
    lines.filter_map(|line| {
        let field = line.split(|byte| *byte == b' ').nth(4)?;
        Some(OsString::from_vec(unescaped(field)).into())
    })
}

/// Blanks, tabs, line ends and backslashes are three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

/// Returns the volume whose data directory a path is.
fn volume_of(path: &Path, directory: &Path) -> Option<String> {
    let rest = path.strip_prefix(directory).ok()?;
    let mut parts = rest.iter();
    let (name, data) = (parts.next()?, parts.next()?);
    (data == "_data" && parts.next().is_none()).then(|| name.to_str().map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use compose_spec::model::Volume;
    use indexmap::IndexMap;

    use super::*;

    fn volume(kind: &str, o: &str, device: &str) -> Volume {
        let options = [("type", kind), ("o", o), ("device", device)];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Volume {
            name: "far".to_owned(),
            external: false,
            driver: None,
            driver_opts: options.into_iter().collect(),
            labels: IndexMap::new(),
            extensions: IndexMap::new(),
        }
    }

    #[test]
    fn every_option_of_a_bound_volume_is_an_attribute() {
        for option in crate::model::BIND_OPTIONS {
            assert!(
                matches!(attribute(option), Some(Attribute::Set(_))),
                "{option}"
            );
        }
    }

    /// The same as strace(1) sees Docker 20.10 tell mount(2), which calls the server of a CIFS share `addr`; the kernel takes both.
    #[test]
    fn the_kernel_is_told_of_a_server_what_docker_tells_it() {
        let nosuid = MountAttrFlags::MOUNT_ATTR_NOSUID;
        let readonly = MountAttrFlags::MOUNT_ATTR_RDONLY;
        let none = MountAttrFlags::empty();
        for (kind, o, device, told, attributes) in [
            (
                "nfs",
                "addr=nas.lan,rw,nfsvers=4.2,soft,timeo=30,port=2050,nolock",
                ":/export",
                "source=:/export addr=192.0.2.7 nfsvers=4.2 soft timeo=30 port=2050 nolock",
                none,
            ),
            (
                "nfs4",
                "ro,nosuid",
                "nas.lan:/export/a b",
                "source=nas.lan:/export/a b addr=192.0.2.7 ro",
                readonly | nosuid,
            ),
            (
                "cifs",
                "addr=nas.lan,username=me,password=a=b,vers=3.1.1,uid=1000",
                "//nas.lan/share",
                "source=//nas.lan/share ip=192.0.2.7 username=me password=a=b vers=3.1.1 uid=1000",
                none,
            ),
        ] {
            let volume = volume(kind, o, device);
            let Ok(Backing::Mount(wanted)) = Backing::of(&volume) else {
                panic!("{kind} {o}");
            };
            assert_eq!(wanted.server.as_deref(), Some("nas.lan"));
            let (settings, set) = settings(&wanted, Some("192.0.2.7".parse().unwrap()));
            let words: Vec<String> = (settings.into_iter())
                .map(|(name, value)| match value {
                    Some(value) => format!("{name}={value}"),
                    None => name,
                })
                .collect();
            assert_eq!((words.join(" ").as_str(), set), (told, attributes));
        }
    }

    #[test]
    fn volumes_are_found_in_the_mount_table() {
        let table = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            30 22 0:41 / /var/lib/my\\040stack/volumes/a/_data rw,nosuid shared:4 - tmpfs tmpfs rw\n\
            31 22 0:42 / /var/lib/my\\040stack/volumes/a/_data/inner rw - tmpfs tmpfs rw\n\
            32 22 0:43 / /var/lib/other/volumes/b/_data rw - tmpfs tmpfs rw\n\n";
        let directory = Path::new("/var/lib/my stack/volumes");
        let found: Vec<String> = mount_points(table)
            .filter_map(|path| volume_of(&path, directory))
            .collect();
        assert_eq!(found, ["a"]);
        assert_eq!(unescaped(br"a\134\011b\12\"), b"a\\\tb\\12\\");
    }
}
