//! Finds the mounted control group hierarchies in the mount table.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::CgroupError;

/// v1 controllers that a container's group is made for. `name=systemd` is among them so that a container does not end with the
/// systemd unit that `stack` was called in.
const V1_USED: [&str; 9] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "memory",
    "name=systemd",
    "pids",
];

/// The mounted hierarchies; a value, so that tests can lie about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// v1 hierarchies, each with its used controllers; co-mounted controllers are one entry.
    pub v1: Vec<V1Mount>,
    /// Mount point of the v2 hierarchy.
    pub v2: Option<PathBuf>,
}

/// One v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V1Mount {
    /// Its controllers (`cpu`, `cpuacct`, `name=systemd`).
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount_point: PathBuf,
}

impl Hierarchies {
    /// Reads the mount table of this process.
    pub fn detect() -> Result<Hierarchies, CgroupError> {
        fs::read_to_string("/proc/self/mountinfo")
            .map(|text| Self::parse(&text))
            .map_err(CgroupError::Mounts)
    }

    /// Reads the text of a mount table (proc_pid_mountinfo(5)).
    ///
    /// A hierarchy may be mounted several times, also in parts (bind mounts of a group, as other runtimes make for containers):
    /// the mount with the shortest root wins, and of equals the last, which hides the earlier ones at the same place.
    pub fn parse(mountinfo: &str) -> Hierarchies {
        let mut v1: Vec<(Vec<String>, Entry)> = Vec::new();
        let mut v2: Option<Entry> = None;
        for entry in mountinfo.lines().filter_map(Entry::parse) {
            if entry.filesystem == "cgroup2" {
                if v2.as_ref().is_none_or(|known| entry.replaces(known)) {
                    v2 = Some(entry);
                }
                continue;
            }
            let controllers = entry.controllers();
            if controllers.is_empty() {
                continue;
            }
            match v1.iter_mut().find(|(known, _)| *known == controllers) {
                Some((_, known)) if entry.replaces(known) => *known = entry,
                Some(_) => {}
                None => v1.push((controllers, entry)),
            }
        }
        Hierarchies {
            v1: v1
                .into_iter()
                .map(|(controllers, entry)| V1Mount {
                    controllers,
                    mount_point: entry.mount_point,
                })
                .collect(),
            v2: v2.map(|entry| entry.mount_point),
        }
    }
}

/// One control group mount of the mount table.
#[derive(Debug)]
struct Entry {
    /// The group that is mounted, seen from this process's cgroup namespace.
    root: String,
    mount_point: PathBuf,
    filesystem: String,
    options: String,
}

impl Entry {
    fn parse(line: &str) -> Option<Entry> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let mut right = right.split(' ');
        let filesystem = right
            .next()
            .filter(|name| matches!(*name, "cgroup" | "cgroup2"))?;
        Some(Entry {
            root: unescape(left.next()?),
            mount_point: Path::new(&unescape(left.next()?)).to_owned(),
            filesystem: filesystem.to_owned(),
            options: right.nth(1)?.to_owned(),
        })
    }

    fn replaces(&self, known: &Entry) -> bool {
        let depth = |entry: &Entry| {
            entry
                .root
                .split('/')
                .filter(|name| !name.is_empty())
                .count()
        };
        depth(self) <= depth(known)
    }

    fn controllers(&self) -> Vec<String> {
        self.options
            .split(',')
            .filter(|option| V1_USED.contains(option))
            .map(str::to_owned)
            .collect()
    }
}

/// Undoes the kernel's escapes of space, tab, newline and backslash (`\040`).
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok())
        {
            Some(code) if code.is_ascii() => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            _ => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v1(controllers: &[&str], mount_point: &str) -> V1Mount {
        V1Mount {
            controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
            mount_point: mount_point.into(),
        }
    }

    #[test]
    fn a_v2_host_has_one_hierarchy() {
        let found = Hierarchies::parse(
            "24 30 0:22 / /proc rw - proc proc rw\n\
             33 24 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
        );
        assert_eq!(found.v1, []);
        assert_eq!(found.v2, Some("/sys/fs/cgroup".into()));
    }

    #[test]
    fn a_hybrid_host_has_v1_controllers_and_unified() {
        let found = Hierarchies::parse(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 - cgroup cgroup rw,cpu,cpuacct\n\
             33 31 0:30 / /sys/fs/cgroup/memory rw shared:1 master:2 - cgroup cgroup rw,memory\n\
             34 31 0:30 / /sys/fs/cgroup/net_cls rw - cgroup cgroup rw,net_cls\n\
             40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        assert_eq!(
            found.v1,
            [
                v1(&["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct"),
                v1(&["memory"], "/sys/fs/cgroup/memory"),
                v1(&["name=systemd"], "/sys/fs/cgroup/systemd"),
            ]
        );
        assert_eq!(found.v2, Some("/sys/fs/cgroup/unified".into()));
    }

    #[test]
    fn of_several_mounts_of_a_hierarchy_the_one_nearest_to_its_root_wins() {
        let found = Hierarchies::parse(
            "1 0 0:1 /docker/abc /mnt/part rw - cgroup cgroup rw,memory\n\
             2 0 0:1 / /mnt/whole rw - cgroup cgroup rw,memory\n\
             3 0 0:1 /other /mnt/late rw - cgroup cgroup rw,memory\n\
             4 0 0:2 /../.. /mnt/outside rw - cgroup2 none rw\n\
             5 0 0:2 / /mnt/with\\040space rw - cgroup2 none rw\n",
        );
        assert_eq!(found.v1, [v1(&["memory"], "/mnt/whole")]);
        assert_eq!(found.v2, Some("/mnt/with space".into()));
    }

    #[test]
    fn nothing_mounted_is_no_hierarchy() {
        assert_eq!(
            Hierarchies::parse("garbage\n\n1 2 3 - \n"),
            Hierarchies::default()
        );
    }
}
