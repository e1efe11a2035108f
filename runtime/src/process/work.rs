//! What each stage of [`super::init`] does. The stages' order and meaning are documented there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::confinement;
use super::init::Progress;
use super::plan::{HostFile, Plan};
use super::streams::Streams;
use super::user::{self, Credentials, Id, Missing};
use crate::error::Step;
use crate::fault::{At, Fault, Report};
use crate::pty::{self, Terminal};
use crate::rootfs::confine::open_in;
use crate::rootfs::mounts::{is_procfs, make};
use crate::sys;
use crate::sys::mount::{NODEV, NOEXEC, NOSUID};

/// Tells the parent. When the parent is gone nobody wants to know.
pub(crate) fn report(stage: BorrowedFd<'_>, report: Report) {
    rustix::io::write(stage, &report.to_bytes()).ok();
}

/// The thread-group way (`cgroup.procs`) waits some milliseconds for a lock that `tasks` does not take.
pub(crate) fn join_cgroup(plan: &Plan<'_>) -> Result<(), Fault> {
    for (group, subject) in plan.cgroup.v1.iter().zip(&plan.names.tasks) {
        rustix::io::write(&group.tasks, b"0").at(Step::JoinCgroup, *subject)?;
    }
    Ok(())
}

pub(crate) fn isolate() -> Result<(), Errno> {
    use rustix::process::DumpableBehavior;
    // Until exec this process has the host binary's memory and the monitor's descriptors (CVE-2019-5736).
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::setsid()?;
    rustix::process::umask(Mode::empty());
    match sys::keyring::new_session_keyring() {
        // A kernel without keyrings, or a sandbox that forbids them, has none to protect.
        Ok(()) | Err(Errno::NOSYS | Errno::PERM) => Ok(()),
        Err(errno) => Err(errno),
    }
}

pub(crate) fn bring_loopback_up(plan: &Plan<'_>) -> Result<(), Fault> {
    if !plan.has_new_net {
        return Ok(());
    }
    sys::loopback::loopback_up().at(Step::Loopback, plan.names.loopback)
}

pub(crate) fn join_container(plan: &Plan<'_>) -> Result<(), Fault> {
    let Some(init) = plan.container else {
        return Ok(());
    };
    crate::namespaces::join_all(init).at(Step::JoinNamespace, plan.names.container)
}

/// New files get the owner that is the container's root.
pub(crate) fn map_root(plan: &Plan<'_>) -> Result<(), Fault> {
    let Some(users) = &plan.users else {
        return Ok(());
    };
    let owners = users.owners();
    let act = owners.and_then(|owners| owners.act_as_root());
    act.at(Step::Credentials, plan.names.users)
}

/// From here on the process has capabilities in its own user namespace only.
pub(crate) fn enter_users(plan: &Plan<'_>) -> Result<(), Fault> {
    let entered = match (&plan.users, plan.container) {
        (Some(users), _) => crate::namespaces::enter_users(users.namespace()),
        (None, Some(init)) if plan.user_map.is_some() => crate::namespaces::join_users(init),
        (None, _) => Ok(()),
    };
    entered.at(Step::JoinNamespace, plan.names.users)
}

pub(crate) fn open_procfs(plan: &Plan<'_>) -> Result<Option<OwnedFd>, Fault> {
    if plan.tree.is_none() && plan.oom_score.is_empty() {
        return Ok(None);
    }
    let procfs = make(c"proc", &[], NOSUID | NODEV | NOEXEC);
    procfs.map(Some).at(Step::Mount, plan.names.procfs)
}

pub(crate) fn set_host_name(plan: &Plan<'_>) -> Result<(), Fault> {
    let Some(names) = &plan.host_names else {
        return Ok(());
    };
    rustix::system::sethostname(names.host.as_bytes()).at(Step::HostName, names.host_subject)?;
    let Some(domain) = names.domain else {
        return Ok(());
    };
    rustix::system::setdomainname(domain.as_bytes()).at(Step::HostName, names.domain_subject)
}

/// Writes files of procfs through the process's own handle. Links that the kernel makes (`self`) are followed, magic ones are not.
pub(crate) fn write_all(files: &[HostFile], progress: &Progress) -> Result<(), Fault> {
    for file in files {
        let procfs = progress.procfs.as_ref().ok_or(Errno::BADF);
        let written = procfs.and_then(|procfs| write_file(procfs.as_fd(), file));
        written.at(file.step, file.subject)?;
    }
    Ok(())
}

fn write_file(procfs: BorrowedFd<'_>, file: &HostFile) -> Result<(), Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat2(procfs, file.path.as_c_str(), flags, Mode::empty(), resolve)?;
    if !is_procfs(fd.as_fd())? {
        return Err(Errno::NODEV);
    }
    let written = rustix::io::write(&fd, file.text.as_bytes())?;
    if written == file.text.len() {
        Ok(())
    } else {
        Err(Errno::INVAL)
    }
}

pub(crate) fn mount(plan: &Plan<'_>, progress: &Progress) -> Result<(), Fault> {
    let procfs = progress
        .procfs
        .as_ref()
        .ok_or(Errno::BADF)
        .at(Step::Mount, plan.names.procfs)?;
    plan.tree
        .iter()
        .try_for_each(|tree| tree.mount(procfs.as_fd()))
}

pub(crate) fn open_terminal(plan: &Plan<'_>) -> Result<Option<Terminal>, Fault> {
    let Streams::Tty {
        rows,
        columns,
        handover,
    } = &plan.streams
    else {
        return Ok(None);
    };
    let open = || {
        let own_root;
        let root = if let Some(tree) = &plan.tree {
            tree.root()
        } else {
            own_root = pty::own_root()?;
            own_root.as_fd()
        };
        let terminal = pty::open(root, *rows, *columns)?;
        if plan.tree.is_some() {
            pty::bind_console(root, &terminal)?;
        }
        handover.send(Ok(terminal.master.as_fd()))?;
        Ok::<_, Errno>(Some(terminal))
    };
    open().at(Step::Terminal, plan.names.terminal)
}

pub(crate) fn set_limits(plan: &Plan<'_>) -> Result<(), Fault> {
    plan.limits
        .iter()
        .try_for_each(|(limit, subject)| limit.set().at(Step::Rlimit, *subject))
}

pub(crate) fn find_user(plan: &mut Plan<'_>) -> Result<Credentials, Fault> {
    let names = &plan.names;
    let passwd = read_file(c"/etc/passwd", &mut plan.passwd).at(Step::Read, names.passwd)?;
    let group = read_file(c"/etc/group", &mut plan.group).at(Step::Read, names.group)?;
    let found = user::resolve(&plan.user, &plan.additional, passwd, group).and_then(|mut found| {
        if plan.sets.is_some() {
            let numbers = plan.additional.iter().filter_map(|id| match id {
                Id::Number(number) => Some(*number),
                Id::Name(_) => None,
            });
            found.credentials.set_groups(numbers)?;
        }
        Ok(found)
    });
    let found = found.map_err(|missing| {
        let (step, subject, errno) = match missing {
            Missing::User => (Step::FindUser, names.user_part, libc::ENOENT),
            Missing::Group => (Step::FindGroup, names.group_part, libc::ENOENT),
            Missing::Additional(index) => (Step::FindGroup, names.additional[index], libc::ENOENT),
            Missing::TooManyGroups => (Step::FindGroup, names.user_part, libc::E2BIG),
        };
        Fault {
            step,
            subject,
            errno: crate::error::Errno(errno),
        }
    })?;
    if plan.wants_home {
        let home = found.home.filter(|home| !home.is_empty()).unwrap_or(b"/");
        plan.environment
            .add_late(b"HOME=", home)
            .at(Step::FindUser, names.user)?;
    }
    Ok(found.credentials)
}

/// Reads a file of the container into a prepared buffer; a missing one is empty. Only a regular file is read, and no magic link leads to
/// one of the descriptors that are still open.
fn read_file<'b>(path: &std::ffi::CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let root = pty::own_root()?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match open_in(root.as_fd(), path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(&[]),
        Err(errno) => return Err(errno),
    };
    let stat = rustix::fs::fstat(&file)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let mut length = 0;
    loop {
        let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) else {
            return Err(Errno::FBIG);
        };
        match rustix::io::read(&file, rest) {
            Ok(0) => return Ok(&buffer[..length]),
            Ok(count) => length += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

pub(crate) fn place_streams(plan: &Plan<'_>, progress: &Progress) -> Result<(), Fault> {
    let inside = progress
        .credentials
        .as_ref()
        .map_or(0, |credentials| credentials.uid);
    let uid = match plan.user_map {
        None => inside,
        Some(map) => map
            .uid(inside)
            .ok_or(Errno::INVAL)
            .at(Step::Credentials, plan.names.user)?,
    };
    let root = plan.user_map.and_then(|map| map.uid(0)).unwrap_or(0);
    let place = || {
        match (&plan.streams, &progress.terminal) {
            (Streams::Tty { .. }, Some(terminal)) => {
                confinement::place(&terminal.slave, &terminal.slave, &terminal.slave)?;
                pty::control(terminal.slave.as_fd())?;
            }
            (Streams::Tty { .. }, None) => return Err(Errno::NOTTY),
            (
                Streams::Files {
                    stdin,
                    stdout,
                    stderr,
                },
                _,
            ) => {
                confinement::place(stdin, stdout, stderr)?;
            }
        }
        confinement::give_streams(uid, root)
    };
    place().at(Step::Stdio, plan.names.streams)
}

pub(crate) fn become_user(plan: &Plan<'_>, progress: &Progress) -> Result<(), Fault> {
    let credentials = progress.credentials.as_ref().ok_or(Errno::SRCH);
    credentials
        .and_then(confinement::become_user)
        .at(Step::Credentials, plan.names.user)
}

pub(crate) fn reset_signals() -> Result<(), Errno> {
    sys::signal::reset_all()?;
    sys::signal::set_mask(0)
}

pub(crate) fn enter_working_directory(plan: &Plan<'_>) -> Result<(), Fault> {
    // What the process makes from here on gets the usual file modes.
    rustix::process::umask(Mode::from_raw_mode(plan.umask));
    let mut buffer = [0; libc::PATH_MAX as usize];
    let entered = rustix::process::chdir(plan.cwd.as_c_str())
        .and_then(|()| sys::files::working_directory(&mut buffer))
        // A directory outside the root reads `(unreachable)/…`, a removed one fails.
        .and_then(|path| {
            if path.starts_with(b"/") {
                Ok(())
            } else {
                Err(Errno::XDEV)
            }
        });
    entered.at(Step::WorkingDirectory, plan.names.cwd)
}

/// Says that everything so far is done, and waits for one byte. A hold that nobody is left to end is ended by SIGKILL.
pub(crate) fn await_word(plan: &Plan<'_>) -> Result<(), Fault> {
    let Some(gate) = &plan.gate else {
        return Ok(());
    };
    report(plan.stage.as_fd(), Report::Ready);
    let mut byte = [0];
    loop {
        match rustix::io::read(gate, &mut byte) {
            Err(Errno::INTR) => {}
            outcome => return outcome.map(drop).at(Step::Pipe, plan.names.process),
        }
    }
}

pub(crate) fn forbid_new_privileges(plan: &Plan<'_>) -> Result<(), Fault> {
    if !plan.no_new_privs {
        return Ok(());
    }
    rustix::thread::set_no_new_privs(true).at(Step::NoNewPrivs, plan.names.process)
}

pub(crate) fn install_filter(plan: &Plan<'_>) -> Result<(), Fault> {
    if plan.filter.is_empty() {
        return Ok(());
    }
    sys::seccomp::seccomp_install(plan.filter).at(Step::Seccomp, plan.names.process)
}

/// Becomes the program. Returns only a fault.
pub(crate) fn execute(plan: &Plan<'_>) -> Result<Option<i32>, Fault> {
    report(plan.stage.as_fd(), Report::Ready);
    let (step, errno) = plan.execute();
    Err(errno).at(step, plan.names.program)
}
