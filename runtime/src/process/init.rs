//! What the child does between clone and exec. The order is a table.
//!
//! Runs on a copy of the parent's memory in a process with one thread; everything it needs was prepared in the [`Plan`]. It does not
//! allocate, does not log, and never returns: it becomes the user's program, or reports one fault and ends.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};

use super::plan::Plan;
use super::user::Credentials;
use super::{confinement, reaper, work};
use crate::error::Step;
use crate::fault::{At, Fault, Report};
use crate::pty::Terminal;
use crate::rootfs;
use crate::sys;

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
    /// Makes files as the container's root where its users are not the host's, with the host's capabilities all the same.
    MapRoot,
    /// Attaches the root filesystem.
    Root,
    /// Mounts everything on it.
    Mounts,
    /// Opens the terminal and hands its master over.
    Terminal,
    /// Hides kernel paths and write-protects the root filesystem.
    CloseRoot,
    /// Waits for its parent's word that everything outside is prepared; only a held launch does.
    AwaitParent,
    /// Makes it the root of the process; the host's files are out of reach from here on.
    Pivot,
    /// Sets how the process is scheduled and where its memory comes from, while it has the host's capabilities.
    Attributes,
    /// Sets resource limits.
    Limits,
    /// Looks the user up in the container's files.
    User,
    /// Moves the standard streams into place.
    Streams,
    /// Enters the container's user namespace; the host's capabilities are gone from here on.
    EnterUsers,
    /// Cuts the bounding set down.
    BoundingSet,
    /// Changes groups and user; keeps the capabilities for what follows.
    Credentials,
    /// Sets every signal to its default.
    Signals,
    /// Waits for somebody's word to go on; only a held launch does.
    AwaitStart,
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
    Stage::MapRoot,
    Stage::Root,
    Stage::Mounts,
    Stage::Terminal,
    Stage::CloseRoot,
    Stage::AwaitParent,
    Stage::Pivot,
    Stage::Attributes,
    Stage::Limits,
    Stage::User,
    Stage::Streams,
    Stage::EnterUsers,
    Stage::BoundingSet,
    Stage::Credentials,
    Stage::Signals,
    Stage::AwaitStart,
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
    Stage::Attributes,
    Stage::Limits,
    Stage::User,
    Stage::Streams,
    Stage::EnterUsers,
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
pub(crate) struct Progress {
    /// Of [`Stage::Procfs`].
    pub(crate) procfs: Option<OwnedFd>,
    /// Of [`Stage::Terminal`].
    pub(crate) terminal: Option<Terminal>,
    /// Of [`Stage::User`].
    pub(crate) credentials: Option<Credentials>,
}

/// Runs the stages of a plan. Returns the exit code of a child that was refused, or of the reaper.
pub(crate) fn run(plan: &mut Plan<'_>) -> i32 {
    // Never dropped: a later stage closes the descriptors under their owners.
    let mut progress = ManuallyDrop::new(Progress::default());
    for stage in plan.order {
        match perform(*stage, plan, &mut progress) {
            Ok(None) => {}
            Ok(Some(code)) => return code,
            Err(fault) => {
                work::report(plan.stage.as_fd(), Report::Fault(fault));
                return FAULT_CODE;
            }
        }
    }
    FAULT_CODE
}

fn perform(
    stage: Stage,
    plan: &mut Plan<'_>,
    progress: &mut Progress,
) -> Result<Option<i32>, Fault> {
    let process = plan.names.process;
    match stage {
        Stage::JoinCgroup => work::join_cgroup(plan)?,
        Stage::Isolate => work::isolate().at(Step::Dumpable, process)?,
        Stage::JoinNamespaces => {
            plan.namespaces.join()?;
            plan.namespaces.make_cgroup()?;
        }
        Stage::JoinContainer => work::join_container(plan)?,
        Stage::Loopback => work::bring_loopback_up(plan)?,
        Stage::Procfs => progress.procfs = work::open_procfs(plan)?,
        Stage::HostName => work::set_host_name(plan)?,
        Stage::OomScore => work::write_all(&plan.oom_score, progress)?,
        Stage::Sysctls => work::write_all(&plan.sysctls, progress)?,
        Stage::MapRoot => work::map_root(plan)?,
        Stage::Root => plan.tree.iter().try_for_each(rootfs::Plan::attach)?,
        Stage::Mounts => work::mount(plan, progress)?,
        Stage::Terminal => progress.terminal = work::open_terminal(plan)?,
        Stage::CloseRoot => plan.tree.iter().try_for_each(rootfs::Plan::close)?,
        Stage::AwaitParent | Stage::AwaitStart => work::await_word(plan)?,
        Stage::Pivot => plan.tree.iter().try_for_each(rootfs::Plan::pivot)?,
        Stage::Attributes => plan.attributes.set()?,
        Stage::Limits => work::set_limits(plan)?,
        Stage::User => progress.credentials = Some(work::find_user(plan)?),
        Stage::Streams => work::place_streams(plan, progress)?,
        Stage::EnterUsers => work::enter_users(plan)?,
        Stage::BoundingSet => {
            let cut = confinement::cut_bounding_set(plan.capabilities);
            cut.at(Step::Capabilities, process)?;
        }
        Stage::Credentials => work::become_user(plan, progress)?,
        Stage::Signals => work::reset_signals().at(Step::Signals, process)?,
        Stage::CloseFiles => {
            sys::files::close_all_but(plan.stage.as_fd(), plan.kept_files)
                .at(Step::CloseFiles, process)?;
        }
        Stage::WorkingDirectory => work::enter_working_directory(plan)?,
        Stage::FilterByPrivilege if plan.no_new_privs => {}
        Stage::FilterByNoNewPrivs if !plan.no_new_privs => {}
        Stage::FilterByPrivilege | Stage::FilterByNoNewPrivs => work::install_filter(plan)?,
        Stage::Capabilities => {
            let cut = match &plan.sets {
                Some(sets) => confinement::set_exactly(sets),
                None => confinement::cut_capabilities(plan.capabilities),
            };
            cut.at(Step::Capabilities, process)?;
        }
        Stage::NoNewPrivs => work::forbid_new_privileges(plan)?,
        Stage::Execute if plan.has_reaper => return reaper::run(plan).map(Some),
        Stage::Execute => return work::execute(plan),
    }
    Ok(None)
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
                Stage::Attributes,
                Stage::User,
                Stage::Streams,
                Stage::EnterUsers,
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
            Stage::MapRoot,
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
