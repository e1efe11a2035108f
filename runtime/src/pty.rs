//! Pseudo-terminals: opened by the child in the container's own devpts, held by the monitor.
//!
//! Nothing is opened by the name of the terminal: the other end comes from the master itself (`TIOCGPTPEER`), so a link in place of
//! `/dev/pts/0` leads nowhere (CVE-2025-52565).

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::error::{Error, Step};
use crate::rootfs::confine::open_plain;
use crate::rootfs::mounts::attach;

/// Type number of devpts in statfs(2).
const DEVPTS_MAGIC: u64 = 0x1cd1;

/// Major numbers of the slave ends of Unix 98 terminals.
const SLAVE_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;

/// Both ends of a terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) master: OwnedFd,
    pub(crate) slave: OwnedFd,
}

/// Sets the size of a terminal by its master; the kernel sends SIGWINCH to the foreground processes when it changed.
pub fn resize(master: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<(), Error> {
    set_size(master, rows, columns).map_err(|errno| {
        Error::new(
            Step::Terminal,
            format!("of {rows} rows and {columns} columns"),
            errno,
        )
    })
}

/// Child: opens a terminal in the devpts of the tree at `root`, and sets its size when it is known.
pub(crate) fn open(root: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<Terminal, Errno> {
    let pts = open_plain(root, c"dev/pts", OFlags::PATH | OFlags::DIRECTORY)?;
    let statfs = rustix::fs::fstatfs(&pts)?;
    if !u64::try_from(statfs.f_type).is_ok_and(|kind| kind == DEVPTS_MAGIC) {
        return Err(Errno::NODEV);
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let master = rustix::fs::openat2(&pts, c"ptmx", flags, Mode::empty(), resolve)?;
    rustix::pty::unlockpt(&master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    let stat = rustix::fs::fstat(&slave)?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !is_device || !SLAVE_MAJORS.contains(&rustix::fs::major(stat.st_rdev)) {
        return Err(Errno::NOTTY);
    }
    if rows > 0 && columns > 0 {
        set_size(master.as_fd(), rows, columns)?;
    }
    Ok(Terminal { master, slave })
}

/// Child: binds the terminal over /dev/console of the tree at `root`.
pub(crate) fn bind_console(root: BorrowedFd<'_>, terminal: &Terminal) -> Result<(), Errno> {
    const CONSOLE: &CStr = c"dev/console";
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dev = open_plain(root, c"dev", OFlags::PATH | OFlags::DIRECTORY)?;
    match rustix::fs::openat(
        &dev,
        c"console",
        flags | OFlags::EXCL,
        Mode::from_raw_mode(0o600),
    ) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let place = open_plain(root, CONSOLE, OFlags::PATH)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(&terminal.slave, c"", flags)?;
    attach(tree.as_fd(), place.as_fd())
}

/// Child: makes the terminal the controlling one of this session.
pub(crate) fn control(slave: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::process::ioctl_tiocsctty(slave)
}

/// Child of an exec: the root is the process's own by then.
pub(crate) fn own_root() -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, c"/", flags, Mode::empty())
}

fn set_size(master: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<(), Errno> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(master, size)
}
