//! Notices of the out-of-memory killer.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use fs_err as fs;
use rustix::event::{EventfdFlags, PollFlags, eventfd};

use super::Cgroup;

/// Becomes ready when the out-of-memory killer strikes in a group; how often it did tells [`Cgroup::oom_kills`].
#[derive(Debug)]
pub struct OomNotice(Kind);

#[derive(Debug)]
enum Kind {
    /// An eventfd that the v1 group writes to when it is out of memory.
    V1(OwnedFd),
    /// The v2 group's `memory.events`.
    V2(fs::File),
}

impl Cgroup {
    /// Asks for notices; `None` where the kernel gives none.
    pub fn oom_notice(&self) -> Option<OomNotice> {
        if let Some(directory) = self.v1_directory("memory") {
            let control = fs::File::open(directory.join("memory.oom_control")).ok()?;
            let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
            let registration = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
            super::control::write(&directory.join("cgroup.event_control"), &registration).ok()?;
            return Some(OomNotice(Kind::V1(event)));
        }
        let file = self.v2_directory("memory")?.join("memory.events");
        let notice = OomNotice(Kind::V2(fs::File::open(file).ok()?));
        notice.acknowledge();
        Some(notice)
    }
}

impl OomNotice {
    /// What to poll for.
    pub fn flags(&self) -> PollFlags {
        match self.0 {
            Kind::V1(_) => PollFlags::IN,
            Kind::V2(_) => PollFlags::PRI,
        }
    }

    /// Makes it wait for the next change.
    pub fn acknowledge(&self) {
        let mut text = [0; 256];
        // What cannot be read is not ready either.
        match &self.0 {
            Kind::V1(event) => rustix::io::read(event, &mut text).ok(),
            Kind::V2(file) => rustix::io::pread(file, &mut text, 0).ok(),
        };
    }
}

impl AsFd for OomNotice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::V1(event) => event.as_fd(),
            Kind::V2(file) => file.as_fd(),
        }
    }
}
