//! Control files and directories of the kernel's group filesystems.

use std::{
    io::{self, Write},
    path::Path,
};

use fs_err as fs;

/// Times that making a path is begun anew because another container's end removed an empty parent.
const ATTEMPTS_MAX: u32 = 16;

/// Writes a control file that must exist.
pub(super) fn write(path: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)?
        .write_all(value.as_bytes())
}

/// The words of a control file; none when it cannot be read.
pub(super) fn words(path: &Path) -> Vec<String> {
    fs::read_to_string(path)
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect()
}

/// The value after a key in a control file of `key value` lines.
pub(super) fn keyed(path: &Path, key: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok())?
    })
}

/// The only number of a control file; `None` when there is none (`max`).
pub(super) fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether an error means that this process may not change the hierarchy at all, as in a container with a read-only mount.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EROFS | libc::EACCES | libc::EPERM)
    )
}

/// Makes the last `levels` directories of a path where missing, from the top, and prepares each by a function.
pub(super) fn make_path(
    path: &Path,
    levels: usize,
    prepare: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut attempt = 1;
    loop {
        match make_levels(path, levels, &prepare) {
            // A parent was empty for a moment and somebody removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS_MAX => {
                attempt += 1;
            }
            result => return result,
        }
    }
}

fn make_levels(
    path: &Path,
    levels: usize,
    prepare: &impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let directories = path.ancestors().take(levels).collect::<Vec<_>>();
    for directory in directories.into_iter().rev() {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => prepare(directory)?,
        }
    }
    Ok(())
}

/// Gives a v1 cpuset group the CPUs and memory nodes of its parent where it has none: an empty one takes no process.
pub(super) fn inherit_cpuset(directory: &Path) -> io::Result<()> {
    let parent = directory.parent().unwrap_or(directory);
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if fs::read_to_string(directory.join(file))?.trim().is_empty() {
            write(
                &directory.join(file),
                fs::read_to_string(parent.join(file))?.trim(),
            )?;
        }
    }
    Ok(())
}

/// Makes a v2 path and enables controllers for it at every level above.
///
/// A controller that the kernel does not have, or that cannot be enabled because a parent outside of our control has processes
/// of its own, is left out; the limits that need it tell so.
pub(super) fn make_v2_path(path: &Path, levels: usize, controllers: &[&str]) -> io::Result<()> {
    let enable_above = |directory: &Path| {
        if let Some(parent) = directory.parent() {
            enable(parent, controllers);
        }
        Ok(())
    };
    make_path(path, levels, enable_above)
}

fn enable(directory: &Path, controllers: &[&str]) {
    let available = words(&directory.join("cgroup.controllers"));
    let file = directory.join("cgroup.subtree_control");
    let enabled = words(&file);
    let has = |list: &[String], name: &str| list.iter().any(|known| known == name);
    for name in controllers {
        if has(&available, name) && !has(&enabled, name) {
            // Each for itself: one that cannot be enabled must not keep the others away. Failure shows as its absence in the
            // child's cgroup.controllers.
            drop(write(&file, &format!("+{name}")));
        }
    }
}
