//! What the child does between clone and exec. The order is a table.
//!
//! Runs on a copy of the parent's memory in a process with one thread; everything it needs was prepared in the [`Plan`]. It does not
//! allocate, does not log, and never returns: it becomes the user's program, or reports one fault and ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::confinement;
use super::plan::{HostFile, Plan, Streams};
use super::reaper;
use super::user::{self, Credentials, Missing};
use crate::error::Step;
use crate::fault::{At, Fault, Report};
use crate::pty::{self, Terminal};
use crate::rootfs::confine::open_in;
use crate::rootfs::mounts::{is_procfs, make};
use crate::sys;
use crate::sys::mount::{NODEV, NOEXEC, NOSUID};

/// Exit code of a child that reported a fault. The report tells the caller more.
const FAULT_CODE: i32 = 125;

/// One thing that the child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Joins the v1 control groups: the first act, so that nothing is done on the monitor's account. v2 was joined by the clone.
    JoinCgroup,
    /// Becomes unreadable for other processes, a session leader with an empty keyring, with no file mode mask.
    Isolate,
    /// Joins the namespaces of others; the new ones were made by the clone.
    JoinNamespaces,
    /// Joins all namespaces of a running container.
    JoinContainer,
    /// Brings the loopback link of a new network namespace up.
    Loopback,
    /// Opens a procfs of its own, which no container can have changed.
    Procfs,
    /// Sets host and domain name.
    HostName,
    /// Sets the OOM score adjustment.
    OomScore,
    /// Sets kernel parameters of its namespaces.
    Sysctls,
    /// Attaches the root filesystem.
    Root,
    /// Mounts everything on it.
    Mounts,
    /// Opens the terminal and hands its master over.
    Terminal,
    /// Hides kernel paths and write-protects the root filesystem.
    CloseRoot,
    /// Makes it the root of the process; the host's files are out of reach from here on.
    Pivot,
    /// Sets resource limits.
    Limits,
    /// Looks the user up in the container's files.
    User,
    /// Moves the standard streams into place.
    Streams,
    /// Cuts the bounding set down.
    BoundingSet,
    /// Changes groups and user; keeps the capabilities for what follows.
    Credentials,
    /// Sets every signal to its default.
    Signals,
    /// Closes every inherited descriptor, so that none can be reached by a path (CVE-2024-21626).
    CloseFiles,
    /// Enters the working directory and checks that it is inside the root.
    WorkingDirectory,
    /// Installs the system call filter when that takes a capability, which the next stage gives up.
    FilterByPrivilege,
    /// Cuts the capability sets down.
    Capabilities,
    /// Forbids new privileges.
    NoNewPrivs,
    /// Installs the system call filter when new privileges are forbidden: the last act.
    FilterByNoNewPrivs,
    /// Becomes the program, or the reaper that starts it.
    Execute,
}

/// Stages of the first process of a container.
pub(crate) const LAUNCH: &[Stage] = &[
    Stage::JoinCgroup,
    Stage::Isolate,
    Stage::JoinNamespaces,
    Stage::Loopback,
    Stage::Procfs,
    Stage::HostName,
    Stage::OomScore,
    Stage::Sysctls,
    Stage::Root,
    Stage::Mounts,
    Stage::Terminal,
    Stage::CloseRoot,
    Stage::Pivot,
    Stage::Limits,
    Stage::User,
    Stage::Streams,
    Stage::BoundingSet,
    Stage::Credentials,
    Stage::Signals,
    Stage::CloseFiles,
    Stage::WorkingDirectory,
    Stage::FilterByPrivilege,
    Stage::Capabilities,
    Stage::NoNewPrivs,
    Stage::FilterByNoNewPrivs,
    Stage::Execute,
];

/// Stages of a later process.
pub(crate) const EXEC: &[Stage] = &[
    Stage::JoinCgroup,
    Stage::Isolate,
    Stage::Procfs,
    Stage::OomScore,
    Stage::JoinContainer,
    Stage::Terminal,
    Stage::Limits,
    Stage::User,
    Stage::Streams,
    Stage::BoundingSet,
    Stage::Credentials,
    Stage::Signals,
    Stage::CloseFiles,
    Stage::WorkingDirectory,
    Stage::FilterByPrivilege,
    Stage::Capabilities,
    Stage::NoNewPrivs,
    Stage::FilterByNoNewPrivs,
    Stage::Execute,
];

/// What earlier stages leave for later ones.
#[derive(Debug, Default)]
struct Progress {
    procfs: Option<OwnedFd>,
    terminal: Option<Terminal>,
    credentials: Option<Credentials>,
}

/// Runs the stages of a plan. Returns the exit code of a child that was refused, or of the reaper.
pub(crate) fn run(plan: &mut Plan<'_>) -> i32 {
    let mut progress = Progress::default();
    for stage in plan.order {
        match perform(*stage, plan, &mut progress) {
            Ok(None) => {}
            Ok(Some(code)) => return code,
            Err(fault) => {
                report(plan.stage.as_fd(), Report::Fault(fault));
                return FAULT_CODE;
            }
        }
    }
    FAULT_CODE
}

/// Tells the parent. When the parent is gone nobody wants to know.
pub(crate) fn report(stage: BorrowedFd<'_>, report: Report) {
    rustix::io::write(stage, &report.to_bytes()).ok();
}

fn perform(
    stage: Stage,
    plan: &mut Plan<'_>,
    progress: &mut Progress,
) -> Result<Option<i32>, Fault> {
    match stage {
        Stage::JoinCgroup => join_cgroup(plan)?,
        Stage::Isolate => isolate().at(Step::Dumpable, plan.names.process)?,
        Stage::JoinNamespaces => {
            plan.namespaces.join()?;
            plan.namespaces.make_cgroup()?;
        }
        Stage::JoinContainer => join_container(plan)?,
        Stage::Loopback if plan.has_new_net => {
            sys::loopback::loopback_up().at(Step::Loopback, plan.names.loopback)?;
        }
        Stage::Loopback => {}
        Stage::Procfs => progress.procfs = Some(open_procfs(plan)?),
        Stage::HostName => set_host_name(plan)?,
        Stage::OomScore => write_all(&plan.oom_score, progress)?,
        Stage::Sysctls => write_all(&plan.sysctls, progress)?,
        Stage::Root => plan.tree.iter().try_for_each(|tree| tree.attach())?,
        Stage::Mounts => {
            let procfs = progress.procfs.as_ref().ok_or(Errno::BADF);
            let procfs = procfs.at(Step::Mount, plan.names.procfs)?;
            plan.tree
                .iter()
                .try_for_each(|tree| tree.mount(procfs.as_fd()))?;
        }
        Stage::Terminal => progress.terminal = open_terminal(plan)?,
        Stage::CloseRoot => plan.tree.iter().try_for_each(|tree| tree.close())?,
        Stage::Pivot => plan.tree.iter().try_for_each(|tree| tree.pivot())?,
        Stage::Limits => {
            for (limit, subject) in &plan.limits {
                limit.set().at(Step::Rlimit, *subject)?;
            }
        }
        Stage::User => progress.credentials = Some(find_user(plan)?),
        Stage::Streams => place_streams(plan, progress)?,
        Stage::BoundingSet => {
            let bounding = confinement::cut_bounding_set(plan.capabilities);
            bounding.at(Step::Capabilities, plan.names.process)?;
        }
        Stage::Credentials => {
            let credentials = progress.credentials.as_ref().ok_or(Errno::SRCH);
            credentials
                .and_then(confinement::become_user)
                .at(Step::Credentials, plan.names.user)?;
        }
        Stage::Signals => reset_signals().at(Step::Signals, plan.names.process)?,
        Stage::CloseFiles => {
            let closed = sys::files::close_all_but(plan.stage.as_fd());
            closed.at(Step::CloseFiles, plan.names.process)?;
        }
        Stage::WorkingDirectory => {
            enter_working_directory(plan).at(Step::WorkingDirectory, plan.names.cwd)?;
        }
        Stage::FilterByPrivilege if !plan.no_new_privs => install_filter(plan)?,
        Stage::FilterByNoNewPrivs if plan.no_new_privs => install_filter(plan)?,
        Stage::FilterByPrivilege | Stage::FilterByNoNewPrivs => {}
        Stage::Capabilities => {
            let cut = confinement::cut_capabilities(plan.capabilities);
            cut.at(Step::Capabilities, plan.names.process)?;
        }
        Stage::NoNewPrivs if plan.no_new_privs => {
            let forbidden = rustix::thread::set_no_new_privs(true);
            forbidden.at(Step::NoNewPrivs, plan.names.process)?;
        }
        Stage::NoNewPrivs => {}
        Stage::Execute if plan.has_reaper => return reaper::run(plan).map(Some),
        Stage::Execute => return execute(plan),
    }
    Ok(None)
}

/// The thread-group way (`cgroup.procs`) waits some milliseconds for a lock that `tasks` does not take.
fn join_cgroup(plan: &Plan<'_>) -> Result<(), Fault> {
    for (tasks, subject) in plan.cgroup.v1_tasks.iter().zip(&plan.names.tasks) {
        rustix::io::write(tasks, b"0").at(Step::JoinCgroup, *subject)?;
    }
    Ok(())
}

fn isolate() -> Result<(), Errno> {
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

fn join_container(plan: &Plan<'_>) -> Result<(), Fault> {
    let Some(init) = plan.container else {
        return Ok(());
    };
    crate::namespaces::join_all(init).at(Step::JoinNamespace, plan.names.container)
}

fn open_procfs(plan: &Plan<'_>) -> Result<OwnedFd, Fault> {
    make(c"proc", &[], NOSUID | NODEV | NOEXEC).at(Step::Mount, plan.names.procfs)
}

fn set_host_name(plan: &Plan<'_>) -> Result<(), Fault> {
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
fn write_all(files: &[HostFile], progress: &Progress) -> Result<(), Fault> {
    let Some(procfs) = &progress.procfs else {
        return Ok(());
    };
    for file in files {
        write_file(procfs.as_fd(), file).at(file.step, file.subject)?;
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

fn open_terminal(plan: &Plan<'_>) -> Result<Option<Terminal>, Fault> {
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
        let root = match &plan.tree {
            Some(tree) => tree.root(),
            None => {
                own_root = pty::own_root()?;
                own_root.as_fd()
            }
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

fn find_user(plan: &mut Plan<'_>) -> Result<Credentials, Fault> {
    let names = &plan.names;
    let passwd = read_file(c"/etc/passwd", &mut plan.passwd).at(Step::Read, names.passwd)?;
    let group = read_file(c"/etc/group", &mut plan.group).at(Step::Read, names.group)?;
    let found = user::resolve(&plan.user, &plan.additional, passwd, group).map_err(|missing| {
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

fn place_streams(plan: &Plan<'_>, progress: &Progress) -> Result<(), Fault> {
    let uid = progress
        .credentials
        .as_ref()
        .map_or(0, |credentials| credentials.uid);
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
        confinement::give_streams(uid)
    };
    place().at(Step::Stdio, plan.names.streams)
}

fn reset_signals() -> Result<(), Errno> {
    sys::signal::reset_all()?;
    sys::signal::set_mask(0)
}

fn enter_working_directory(plan: &Plan<'_>) -> Result<(), Errno> {
    // What the process makes from here on gets the usual file modes.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::process::chdir(plan.cwd.as_c_str())?;
    let mut buffer = [0; libc::PATH_MAX as usize];
    // A directory outside the root reads `(unreachable)/…`, a removed one fails.
    match sys::files::working_directory(&mut buffer)?.first() {
        Some(b'/') => Ok(()),
        _ => Err(Errno::XDEV),
    }
}

fn install_filter(plan: &Plan<'_>) -> Result<(), Fault> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn position(order: &[Stage], stage: Stage) -> usize {
        let places: Vec<_> = (0..order.len()).filter(|at| order[*at] == stage).collect();
        assert_eq!(places.len(), 1, "{stage:?} stands once in {order:?}");
        places[0]
    }

    #[test]
    fn privileges_are_given_up_in_the_only_order_that_works() {
        for order in [LAUNCH, EXEC] {
            assert_eq!(position(order, Stage::JoinCgroup), 0);
            assert_eq!(position(order, Stage::Isolate), 1);
            let ordered = [
                Stage::User,
                Stage::Streams,
                Stage::BoundingSet,
                Stage::Credentials,
                Stage::CloseFiles,
                Stage::WorkingDirectory,
                Stage::FilterByPrivilege,
                Stage::Capabilities,
                Stage::NoNewPrivs,
                Stage::FilterByNoNewPrivs,
                Stage::Execute,
            ];
            assert!(ordered.map(|stage| position(order, stage)).is_sorted());
            assert_eq!(position(order, Stage::Execute), order.len() - 1);
        }
    }

    #[test]
    fn the_host_is_out_of_reach_before_anything_of_the_container_is_read() {
        let mounts = [
            Stage::JoinNamespaces,
            Stage::Procfs,
            Stage::Sysctls,
            Stage::Root,
            Stage::Mounts,
            Stage::Terminal,
            Stage::CloseRoot,
            Stage::Pivot,
            Stage::User,
        ];
        assert!(mounts.map(|stage| position(LAUNCH, stage)).is_sorted());
        let exec = [
            Stage::OomScore,
            Stage::JoinContainer,
            Stage::Terminal,
            Stage::User,
        ];
        assert!(exec.map(|stage| position(EXEC, stage)).is_sorted());
    }
}
