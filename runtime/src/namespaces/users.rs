//! A user namespace by its map: made ahead, because mounts are mapped by it before the container's process enters it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};

use crate::error::{Error, Step};
use crate::spec::{IdRange, UserMap};
use crate::sys::clone::{Child, clone_child};

/// A user namespace and its map.
#[derive(Debug)]
pub(crate) struct Users {
    namespace: OwnedFd,
    map: UserMap,
}

impl Users {
    /// Makes the namespace. It lives as long as its descriptor, its mounts and its processes.
    pub(crate) fn make(map: &UserMap) -> Result<Self, Error> {
        let refuse = |errno| Error::new(Step::Clone, "a process in a new user namespace", errno);
        let holder = clone_child(libc::CLONE_NEWUSER, None, || {
            // The holder must not outlive a parent that is killed now.
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).ok();
            loop {
                rustix::event::pause();
            }
        })
        .map_err(refuse)?;
        let namespace = write_maps(&holder, map);
        rustix::process::pidfd_send_signal(&holder.pidfd, Signal::KILL).map_err(refuse)?;
        let id = WaitId::PidFd(holder.pidfd.as_fd());
        rustix::process::waitid(id, WaitIdOptions::EXITED).map_err(refuse)?;
        Ok(Self {
            namespace: namespace?,
            map: map.clone(),
        })
    }

    /// Refers to the namespace.
    pub(crate) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// Refers to the namespace, for what mounts with it.
    pub(crate) fn owners(&self) -> Result<Owners<'_>, Errno> {
        let (root_uid, root_gid) = self.root()?;
        Ok(Owners {
            namespace: self.namespace(),
            root_uid,
            root_gid,
        })
    }

    /// Returns its map.
    pub(crate) fn map(&self) -> &UserMap {
        &self.map
    }

    /// The user and group of the host that are the container's root.
    fn root(&self) -> Result<(u32, u32), Errno> {
        let uid = self.map.uid(0).ok_or(Errno::INVAL)?;
        Ok((uid, self.map.gid(0).ok_or(Errno::INVAL)?))
    }
}

/// A user namespace by which files are mapped, and who its root is on the host.
#[derive(Debug, Clone, Copy)]
pub struct Owners<'a> {
    /// The namespace.
    pub namespace: BorrowedFd<'a>,
    /// The user of the host that is its root.
    pub root_uid: u32,
    /// The group of the host that is its root.
    pub root_gid: u32,
}

impl Owners<'_> {
    /// Child: makes files as that root from now on, which nobody else may do on mapped mounts (EOVERFLOW), and keeps the capabilities
    /// that another owner would cost. Does not allocate.
    pub(crate) fn act_as_root(&self) -> Result<(), Errno> {
        act_as(self.root_uid, self.root_gid)
    }
}

/// Makes files as this user and group of the host from now on, with the capabilities that this thread has. For a child between clone and
/// exec, or a thread that ends afterwards: there is no way back. Does not allocate.
pub fn act_as(uid: u32, gid: u32) -> Result<(), Errno> {
    use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
    use rustix::thread::CapabilitiesSecureBits;
    rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setfsgid(gid);
    setfsuid(uid);
    // Both return the owner before the call only; a second call shows whether the first one worked.
    if setfsuid(uid) == uid && setfsgid(gid) == gid {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

fn write_maps(holder: &Child, map: &UserMap) -> Result<OwnedFd, Error> {
    let directory = format!("/proc/{}", holder.pid);
    for (file, ranges) in [("uid_map", &map.uids), ("gid_map", &map.gids)] {
        let path = format!("{directory}/{file}");
        fs_err::write(&path, lines(ranges))
            .map_err(|error| Error::new(Step::Write, path, error))?;
    }
    let path = format!("{directory}/ns/user");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty())
        .map_err(|errno| Error::new(Step::Open, path, errno))
}

/// A map as the kernel takes it: one write, one line a range.
fn lines(ranges: &[IdRange]) -> String {
    let line = |range: &IdRange| format!("{} {} {}\n", range.inside, range.outside, range.count);
    ranges.iter().map(line).collect()
}
