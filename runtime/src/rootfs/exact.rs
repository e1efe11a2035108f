//! Mounts to the letter: flags by the names of mount(8), any filesystem type.

use std::borrow::Cow;
use std::ffi::CString;
use std::os::fd::AsFd;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::binds::kernel_propagation;
use super::confine::Entry;
use super::mounts::{Source, clone_tree, is_directory, settings};
use crate::error::{Error, Step};
use crate::spec::{ExactMount, ExactSource};
use crate::sys::mount::{Attributes, Change, change_mount};

/// Flags that mount_setattr(2) knows, by the names of mount(8).
const FLAGS: [(&str, Attributes); 8] = [
    ("noatime", Attributes::MOUNT_ATTR_NOATIME),
    ("nodev", Attributes::MOUNT_ATTR_NODEV),
    ("nodiratime", Attributes::MOUNT_ATTR_NODIRATIME),
    ("noexec", Attributes::MOUNT_ATTR_NOEXEC),
    ("nosuid", Attributes::MOUNT_ATTR_NOSUID),
    ("nosymfollow", Attributes::MOUNT_ATTR_NOSYMFOLLOW),
    ("ro", Attributes::MOUNT_ATTR_RDONLY),
    ("strictatime", Attributes::MOUNT_ATTR_STRICTATIME),
];

/// Returns the flags with these names, or the first name that is none.
pub fn flags(names: &[String]) -> Result<Attributes, &str> {
    let mut flags = Attributes::empty();
    for name in names {
        let (_, flag) = FLAGS
            .iter()
            .find(|(known, _)| known == name)
            .ok_or(name.as_str())?;
        flags |= *flag;
    }
    Ok(flags)
}

/// Parent: opens or describes the source. Returns it with what its target has to be and what to say of it.
pub(crate) fn prepare(
    mount: &ExactMount,
    target: &str,
) -> Result<(Source, Entry, Step, String), Error> {
    let flags = |names| flags(names).or(Err(Errno::INVAL));
    match &mount.source {
        ExactSource::Bind { path, recursive } => {
            let text = format!("{} on {target}", path.display());
            let detach = || {
                let open = OFlags::PATH | OFlags::CLOEXEC;
                let place = rustix::fs::openat(CWD, path, open, Mode::empty())?;
                let tree = clone_tree(place.as_fd(), *recursive)?;
                let (propagation, below) = mount
                    .propagation
                    .map_or((libc::MS_PRIVATE, true), kernel_propagation);
                let change = |set, clear, propagation, recursive| {
                    let change = Change {
                        set,
                        clear,
                        propagation,
                        recursive,
                    };
                    change_mount(tree.as_fd(), &change)
                };
                let none = Attributes::empty();
                change(none, none, propagation, below)?;
                let (set, mut clear) = (flags(&mount.set)?, flags(&mount.cleared)?);
                let times = Attributes::MOUNT_ATTR_NOATIME | Attributes::MOUNT_ATTR_STRICTATIME;
                if (set | clear).intersects(times) {
                    // The kinds of access time are one field, which must be named whole.
                    clear = (clear - times) | Attributes::MOUNT_ATTR__ATIME;
                }
                change(set, clear, 0, false)?;
                change(flags(&mount.set_below)?, none, 0, true)?;
                let entry = if is_directory(tree.as_fd())? {
                    Entry::Directory
                } else {
                    Entry::File
                };
                Ok((tree, entry))
            };
            let (tree, entry) =
                detach().map_err(|errno: Errno| Error::new(Step::Bind, &text, errno))?;
            Ok((Source::Detached(tree), entry, Step::Bind, text))
        }
        ExactSource::Filesystem {
            kind,
            source,
            options,
        } => {
            let text = format!("{kind} on {target}");
            let describe = || {
                let mut pairs = vec![("source", source.clone())];
                pairs.retain(|(_, source)| !source.is_empty());
                pairs.extend(
                    options
                        .iter()
                        .map(|(key, value)| (key.as_str(), value.clone())),
                );
                Ok(Source::New {
                    filesystem: Cow::Owned(CString::new(kind.as_str()).or(Err(Errno::INVAL))?),
                    settings: settings(&pairs)?,
                    attributes: flags(&mount.set)? | flags(&mount.set_below)?,
                })
            };
            let source =
                describe().map_err(|errno: Errno| Error::new(Step::Mount, &text, errno))?;
            Ok((source, Entry::Directory, Step::Mount, text))
        }
    }
}

/// The propagation that a new filesystem gets once it is attached; a bind mount has it already.
pub(crate) fn late_propagation(mount: &ExactMount) -> u64 {
    match (&mount.source, mount.propagation) {
        (ExactSource::Filesystem { .. }, Some(propagation)) => kernel_propagation(propagation).0,
        _ => 0,
    }
}
