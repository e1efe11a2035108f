//! mount_setattr(2).

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;
pub use rustix::mount::MountAttrFlags as Attributes;

use super::outcome;

/// No writes.
pub const RDONLY: Attributes = Attributes::MOUNT_ATTR_RDONLY;
/// Set-id bits of programs have no effect.
pub const NOSUID: Attributes = Attributes::MOUNT_ATTR_NOSUID;
/// Device nodes cannot be opened.
pub const NODEV: Attributes = Attributes::MOUNT_ATTR_NODEV;
/// Programs cannot be executed.
pub const NOEXEC: Attributes = Attributes::MOUNT_ATTR_NOEXEC;
/// Access times are not kept.
pub const NOATIME: Attributes = Attributes::MOUNT_ATTR_NOATIME;
/// Access times of directories are not kept.
pub const NODIRATIME: Attributes = Attributes::MOUNT_ATTR_NODIRATIME;
/// Access times are always kept.
pub const STRICTATIME: Attributes = Attributes::MOUNT_ATTR_STRICTATIME;

/// What to change of a mount.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// Flags to set.
    pub set: Attributes,
    /// Flags to clear.
    pub clear: Attributes,
    /// `MS_PRIVATE`, `MS_SLAVE` or `MS_SHARED`; 0 = as it is.
    pub propagation: u64,
    /// Also of the mounts below.
    pub recursive: bool,
}

impl Change {
    /// No change.
    pub const NONE: Self = Self {
        set: Attributes::empty(),
        clear: Attributes::empty(),
        propagation: 0,
        recursive: false,
    };
}

/// `MOUNT_ATTR_IDMAP` of linux/mount.h.
const IDMAP: u64 = 0x0010_0000;

/// Changes the mount whose root `mount` refers to, attached or not (Linux 5.12).
pub fn change_mount(mount: BorrowedFd<'_>, change: &Change) -> Result<(), Errno> {
    let mut flags = libc::AT_EMPTY_PATH;
    if change.recursive {
        flags |= libc::AT_RECURSIVE;
    }
    let attributes = libc::mount_attr {
        attr_set: u64::from(change.set.bits()),
        attr_clr: u64::from(change.clear.bits()),
        propagation: change.propagation,
        userns_fd: 0,
    };
    set_attributes(mount, flags, &attributes)
}

/// Makes files on a detached mount belong to the users of a user namespace: what is id N on disk is its id N (Linux 5.12). EINVAL when
/// the filesystem cannot.
pub fn map_users(
    mount: BorrowedFd<'_>,
    users: BorrowedFd<'_>,
    is_recursive: bool,
) -> Result<(), Errno> {
    let mut flags = libc::AT_EMPTY_PATH;
    if is_recursive {
        flags |= libc::AT_RECURSIVE;
    }
    let attributes = libc::mount_attr {
        attr_set: IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::from(users.as_raw_fd().unsigned_abs()),
    };
    set_attributes(mount, flags, &attributes)
}

fn set_attributes(
    mount: BorrowedFd<'_>,
    flags: libc::c_int,
    attributes: &libc::mount_attr,
) -> Result<(), Errno> {
    // SAFETY: the path is an empty text that ends with a null byte, the struct is plain integers, lives through the call, and its
    // size is passed. `userns_fd` is read only with MOUNT_ATTR_IDMAP, and is an open descriptor then.
    outcome(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}
