//! Mounts of memory: options of the short form, checked.

use compose_spec::model::TmpfsOptions;
use runtime::spec::{Mount, MountKind};

use super::error::{Checks, Refusal};

/// Mode of a tmpfs without one: as /tmp.
const TMPFS_MODE: u32 = 0o1777;
/// Flags of a tmpfs. Without any it is `noexec,nosuid,nodev`, as Docker's, which is the runtime's to say.
const TMPFS_FLAGS: [&str; 10] = [
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "noatime",
    "nodiratime",
    "relatime",
    "strictatime",
];
/// Settings of a tmpfs, tmpfs(5).
const TMPFS_KEYS: [&str; 7] = [
    "gid",
    "huge",
    "mode",
    "nr_blocks",
    "nr_inodes",
    "size",
    "uid",
];

/// Lowers a tmpfs.
pub(super) fn lower(
    target: String,
    read_only: bool,
    wanted: &TmpfsOptions,
    (path, checks): (&str, &mut Checks<'_>),
) -> Mount {
    let mut read_only = read_only;
    let mut options = Vec::new();
    for option in &wanted.options {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let known = match value {
            "" => TMPFS_FLAGS.contains(&name),
            value => {
                TMPFS_KEYS.contains(&name)
                    && value
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || c == '%' || c == '_')
            }
        };
        match name {
            "ro" => read_only = true,
            "rw" | "defaults" | "" => {}
            _ if known => options.push(option.clone()),
            _ => {
                let kind = "tmpfs option";
                let name = option.clone();
                checks.refuse(path, Refusal::Unknown { kind, name });
            }
        }
    }
    if wanted.mode.is_some_and(|mode| mode > 0o7777) {
        checks.invalid(
            path,
            "mode",
            format!("{:o}", wanted.mode.unwrap_or(0)),
            "at most 7777",
        );
    }
    Mount {
        target,
        kind: MountKind::Tmpfs {
            size_bytes: wanted.size_bytes.filter(|bytes| *bytes > 0),
            mode: wanted.mode.unwrap_or(TMPFS_MODE),
            options,
        },
        read_only,
    }
}
