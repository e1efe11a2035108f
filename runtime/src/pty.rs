//! The monitor's side of a pseudo-terminal.

use std::os::fd::BorrowedFd;

use rustix::termios::Winsize;

use crate::error::{Error, Step};

/// Sets the size of a terminal by its master; the kernel sends SIGWINCH to the foreground processes when it changed.
pub fn resize(master: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<(), Error> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master, size)
        .map_err(|errno| Error::new(Step::Terminal, format!("of {rows} rows and {columns} columns"), errno))
}
