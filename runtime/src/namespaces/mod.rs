//! Which namespaces a container gets: clone flags for new ones, descriptors for those it joins.
//!
//! The pid namespace is special: it applies to children only, so the parent joins it around the clone and goes back. The cgroup
//! namespace is special too: it is rooted in the group that the process is in when it is made, so the child makes it after joining.
//! A user namespace ([`users`]) is entered last of all: the others stay the host's property, so that a container's root, whatever its
//! capabilities, can change none of them, and the host's network needs no second owner.

pub(crate) mod users;

pub use users::act_as;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};

use crate::error::{Error, Step};
use crate::fault::{At, Fault, Subject, Subjects};
use crate::spec::{Namespace, Namespaces};

/// Namespaces of the child of a launch or exec.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// `CLONE_NEW*` of the clone.
    pub(crate) new: libc::c_int,
    /// What the child joins, in order.
    joins: Vec<Join>,
    /// The pid namespace that the parent joins around the clone.
    pub(crate) pid: Option<(OwnedFd, Subject)>,
    /// The child makes its cgroup namespace after it joined its group.
    new_cgroup: Option<Subject>,
}

/// A namespace to join.
#[derive(Debug)]
struct Join {
    namespace: OwnedFd,
    kind: LinkNameSpaceType,
    subject: Subject,
}

impl Plan {
    /// Opens what has to be joined.
    pub(crate) fn of(namespaces: &Namespaces, subjects: &mut Subjects) -> Result<Self, Error> {
        // The mount namespace is always private.
        let mut plan = Self {
            new: libc::CLONE_NEWNS,
            ..Self::default()
        };
        let Namespaces {
            net,
            pid,
            ipc,
            uts,
            cgroup,
        } = namespaces;
        let kinds = [
            (
                net,
                LinkNameSpaceType::Network,
                libc::CLONE_NEWNET,
                "network",
            ),
            (
                ipc,
                LinkNameSpaceType::InterProcessCommunication,
                libc::CLONE_NEWIPC,
                "ipc",
            ),
            (
                uts,
                LinkNameSpaceType::HostNameAndNISDomainName,
                libc::CLONE_NEWUTS,
                "uts",
            ),
            (
                cgroup,
                LinkNameSpaceType::ControlGroup,
                libc::CLONE_NEWCGROUP,
                "cgroup",
            ),
            (pid, LinkNameSpaceType::ProcessID, libc::CLONE_NEWPID, "pid"),
        ];
        for (wanted, kind, flag, name) in kinds {
            match wanted {
                Namespace::Host => {}
                Namespace::Private if kind == LinkNameSpaceType::ControlGroup => {
                    plan.new_cgroup = Some(subjects.add("cgroup namespace"));
                }
                Namespace::Private => plan.new |= flag,
                Namespace::Join(path) => {
                    let text = format!("{name} at {}", path.display());
                    let namespace =
                        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                            .map_err(|errno| {
                                Error::new(Step::JoinNamespace, text.clone(), errno)
                            })?;
                    let subject = subjects.add(text);
                    if kind == LinkNameSpaceType::ProcessID {
                        plan.pid = Some((namespace, subject));
                    } else {
                        plan.joins.push(Join {
                            namespace,
                            kind,
                            subject,
                        });
                    }
                }
            }
        }
        Ok(plan)
    }

    /// Child: joins the namespaces of others.
    pub(crate) fn join(&self) -> Result<(), Fault> {
        for join in &self.joins {
            rustix::thread::move_into_link_name_space(join.namespace.as_fd(), Some(join.kind))
                .at(Step::JoinNamespace, join.subject)?;
        }
        Ok(())
    }

    /// Child, after it joined its control group.
    pub(crate) fn make_cgroup(&self) -> Result<(), Fault> {
        let Some(subject) = self.new_cgroup else {
            return Ok(());
        };
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP).at(Step::Unshare, subject)
    }
}

/// Namespaces that an exec joins at once, through the pidfd of the container's PID 1 (Linux 5.8).
const OF_PROCESS: ThreadNameSpaceType = ThreadNameSpaceType::MOUNT
    .union(ThreadNameSpaceType::NETWORK)
    .union(ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION)
    .union(ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME)
    .union(ThreadNameSpaceType::CONTROL_GROUP);

/// Child of an exec: joins all namespaces of a process but its pid namespace; root and working directory become those of its mount
/// namespace.
pub(crate) fn join_all(process: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::thread::move_into_thread_name_spaces(process, OF_PROCESS)
}

/// Child of an exec: enters the user namespace of a process.
pub(crate) fn join_users(process: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::thread::move_into_thread_name_spaces(process, ThreadNameSpaceType::USER)
}

/// Child of a launch: enters a user namespace that was made for it.
pub(crate) fn enter_users(namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::User))
}

/// Parent of a launch: runs `clone` so that its children are in an opened pid namespace.
pub(crate) fn in_pid_namespace_at<T>(
    namespace: Option<&(OwnedFd, Subject)>,
    clone: impl FnOnce() -> T,
) -> Result<T, Fault> {
    let Some((namespace, subject)) = namespace else {
        return Ok(clone());
    };
    let kind = Some(LinkNameSpaceType::ProcessID);
    let enter = || rustix::thread::move_into_link_name_space(namespace.as_fd(), kind);
    in_pid_namespace(enter, clone).at(Step::JoinNamespace, *subject)
}

/// Parent of an exec: runs `clone` so that its children are in the pid namespace of a process.
pub(crate) fn in_pid_namespace_of<T>(
    process: BorrowedFd<'_>,
    clone: impl FnOnce() -> T,
) -> Result<T, Errno> {
    let kind = ThreadNameSpaceType::PROCESS_ID;
    in_pid_namespace(
        || rustix::thread::move_into_thread_name_spaces(process, kind),
        clone,
    )
}

/// Only the namespace of future children changes, and it changes back: a process always stays in its own pid namespace.
fn in_pid_namespace<T>(
    enter: impl FnOnce() -> Result<(), Errno>,
    clone: impl FnOnce() -> T,
) -> Result<T, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = rustix::fs::open(c"/proc/self/ns/pid", flags, Mode::empty())?;
    enter()?;
    let result = clone();
    rustix::thread::move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::ProcessID))?;
    Ok(result)
}
