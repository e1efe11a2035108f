//! Commands on a container that exists: state, kill, delete, pause, resume, ps, list.

use fs_err as fs;
use rustix::process::{Signal, pidfd_send_signal};
use serde_json::json;

use super::{
    Runtime,
    arguments::{Delete, Kill, List, Ps},
    error::OciError,
    hooks,
    state::{Container, Status, directory, list as ids},
};
use crate::plan::lower::signal_number;

/// Prints the state of a container.
pub(super) fn state(runtime: &Runtime<'_>, id: &str) -> Result<(), OciError> {
    let container = Container::open(runtime.root, id)?;
    let state = container.state(container.status());
    super::print(&format!("{state:#}\n"))
}

/// Sends a signal to the first process, or to all.
pub(super) fn kill(runtime: &Runtime<'_>, arguments: &Kill) -> Result<(), OciError> {
    let container = Container::open(runtime.root, &arguments.id.id)?;
    let number = signal_number(&arguments.signal)
        .ok_or_else(|| OciError::UnknownSignal(arguments.signal.clone()))?;
    let refused =
        |errno: rustix::io::Errno| OciError::Signal(arguments.id.id.clone(), errno.into());
    if arguments.all {
        for pid in container.cgroup()?.pids() {
            match runtime::sys::signal::kill(pid, number) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(errno) => return Err(refused(errno)),
            }
        }
        return Ok(());
    }
    let Some(_process) = container.process() else {
        return Err(OciError::Status {
            id: arguments.id.id.clone(),
            status: Status::Stopped,
            wanted: "running",
        });
    };
    runtime::sys::signal::kill(container.record.pid, number).map_err(refused)?;
    if number == libc::SIGKILL && container.status() == Status::Paused {
        // A frozen v1 group ignores it until it is thawed.
        container.cgroup()?.thaw()?;
    }
    Ok(())
}

/// Removes a container.
pub(super) fn delete(runtime: &Runtime<'_>, arguments: &Delete) -> Result<(), OciError> {
    let container = match Container::open(runtime.root, &arguments.id.id) {
        Err(OciError::Unknown(_)) if arguments.force => {
            // What a create that was killed left.
            let directory = directory(runtime.root, &arguments.id.id)?;
            if directory.is_dir() {
                fs::remove_dir_all(directory).map_err(OciError::Directory)?;
            }
            return Ok(());
        }
        container => container?,
    };
    if !arguments.force {
        container.require(&[Status::Stopped, Status::Created], "stopped")?;
    }
    remove(runtime, &container)
}

/// Kills what is left of a container, removes its group and state, and runs its last hooks.
pub(super) fn remove(runtime: &Runtime<'_>, container: &Container) -> Result<(), OciError> {
    if let Some(process) = container.process() {
        // It may end at this very moment. The group's kill below takes care of the others.
        pidfd_send_signal(&process, Signal::KILL).ok();
    }
    container.cgroup()?.remove()?;
    fs::remove_dir_all(&container.directory).map_err(OciError::Directory)?;
    let state = container.state(Status::Stopped);
    for hook in &container.record.hooks.poststop {
        // The specification: a failure is told, and the others run all the same.
        let caller = runtime.caller(&container.record.bundle, &state, None);
        if let Err(error) = hooks::run_all(std::slice::from_ref(hook), caller) {
            super::report_warning(&error);
        }
    }
    Ok(())
}

/// Freezes a container.
pub(super) fn pause(runtime: &Runtime<'_>, id: &str) -> Result<(), OciError> {
    let container = Container::open(runtime.root, id)?;
    container.require(&[Status::Created, Status::Running], "running")?;
    Ok(container.cgroup()?.freeze()?)
}

/// Thaws a container.
pub(super) fn resume(runtime: &Runtime<'_>, id: &str) -> Result<(), OciError> {
    let container = Container::open(runtime.root, id)?;
    container.require(&[Status::Paused], "paused")?;
    Ok(container.cgroup()?.thaw()?)
}

/// Prints the pids of a container.
pub(super) fn ps(runtime: &Runtime<'_>, arguments: &Ps) -> Result<(), OciError> {
    let container = Container::open(runtime.root, &arguments.id.id)?;
    let pids = container.cgroup()?.pids();
    if arguments.form.format == "json" {
        return super::print(&format!("{}\n", json!(pids)));
    }
    let mut lines = vec!["PID".to_owned()];
    lines.extend(pids.iter().map(ToString::to_string));
    super::print(&(lines.join("\n") + "\n"))
}

/// Prints all containers.
pub(super) fn list(runtime: &Runtime<'_>, arguments: &List) -> Result<(), OciError> {
    let mut containers = Vec::new();
    for id in ids(runtime.root)? {
        match Container::open(runtime.root, &id) {
            // It was removed meanwhile.
            Err(OciError::Unknown(_)) => {}
            container => containers.push(container?),
        }
    }
    if arguments.quiet {
        let lines = containers
            .iter()
            .map(|container| format!("{}\n", container.record.id));
        return super::print(&lines.collect::<String>());
    }
    if arguments.form.format == "json" {
        let states: Vec<_> = containers
            .iter()
            .map(|container| container.state(container.status()))
            .collect();
        return super::print(&format!("{}\n", json!(states)));
    }
    let mut text = format!(
        "{:<24} {:<8} {:<9} {:<30} BUNDLE\n",
        "NAME", "PID", "STATUS", "CREATED"
    );
    for container in &containers {
        let status = container.status();
        let record = &container.record;
        let pid = if status == Status::Stopped {
            0
        } else {
            record.pid
        };
        let line = format!(
            "{:<24} {pid:<8} {:<9} {:<30} {}\n",
            record.id,
            status.to_string(),
            record.created,
            record.bundle.display()
        );
        text.push_str(&line);
    }
    super::print(&text)
}
