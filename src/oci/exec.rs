//! `exec`: another process in a container, and hooks that run in one.

use std::os::fd::AsFd;

use super::{
    Runtime,
    arguments::Exec,
    config::{self, Hook},
    create::write_pid,
    error::OciError,
    hooks::Caller,
    map,
    state::{Container, Status},
    streams,
};
use fs_err as fs;
use runtime::{
    process::{ExecRequest, LaunchIo, Launched, exec, hook},
    security::seccomp::program,
    spec::{CapabilitySets, ContainerSpec, Process},
};

/// Runs a process, and unless detached waits for its end. Returns the exit code.
pub(super) fn run(runtime: &Runtime<'_>, arguments: &Exec) -> Result<u8, OciError> {
    let container = Container::open(runtime.root, &arguments.id.id)?;
    let states = if arguments.ignore_paused {
        &[Status::Created, Status::Running, Status::Paused][..]
    } else {
        &[Status::Created, Status::Running]
    };
    container.require(states, "running")?;
    let kept = arguments
        .handover
        .preserve_fds
        .saturating_add(runtime.listen_fds);
    let _taken = streams::take_gaps(kept)?;
    let wanted = wanted(&container, arguments)?;
    let socket = arguments.handover.console_socket.as_deref();
    if wanted.tty && arguments.detach && socket.is_none() {
        return Err(OciError::Usage(
            "a detached process that wants a terminal needs --console-socket".into(),
        ));
    }
    let io = streams::of(wanted.tty, wanted.size)?;
    let mut launched = launch(&container, &wanted, io, kept)?;
    if let (Some(socket), Some(master)) = (socket, launched.console.take_if(|_| socket.is_some())) {
        streams::send_console(socket, &master)?;
    }
    write_pid(arguments.handover.pid_file.as_deref(), launched.pid)?;
    if arguments.detach {
        return Ok(0);
    }
    streams::follow(&launched)
}

/// Runs a hook of the container in the container.
pub(super) fn run_in(
    container: &Container,
    hook: &Hook,
    caller: Caller<'_>,
) -> Result<(), OciError> {
    let path = hook.path.to_string_lossy().into_owned();
    let mut argv = hook.args.clone();
    // The program is the path; our runtime looks the first argument up, so the two must be one.
    match argv.first_mut() {
        Some(first) => *first = path,
        None => argv.push(path),
    }
    let spec = container.record.spec.clone();
    let process = Process {
        argv,
        env: hook
            .env
            .clone()
            .unwrap_or_else(|| caller.environment.to_vec()),
        ..spec.process.clone()
    };
    let wanted = Wanted {
        spec,
        process,
        tty: false,
        size: None,
        cgroup: None,
    };
    let failed = |errno: rustix::io::Errno| OciError::Hook {
        path: hook.path.clone(),
        reason: std::io::Error::from(errno).to_string(),
    };
    let null = |flags| {
        let flags = flags | rustix::fs::OFlags::CLOEXEC;
        rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty()).map_err(failed)
    };
    let io = LaunchIo::Files {
        stdin: hook::state_file(caller.state).map_err(failed)?,
        stdout: null(rustix::fs::OFlags::WRONLY)?,
        stderr: std::io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .map_err(OciError::Terminal)?,
    };
    let launched = launch(container, &wanted, io, 0)?;
    match streams::follow(&launched)? {
        0 => Ok(()),
        code => Err(OciError::Hook {
            path: hook.path.clone(),
            reason: format!("exited with code {code}"),
        }),
    }
}

/// A process with everything that is asked of it.
struct Wanted {
    /// The container's description with what this process has of its own.
    spec: ContainerSpec,
    process: Process,
    tty: bool,
    size: Option<(u16, u16)>,
    /// A group below the container's.
    cgroup: Option<String>,
}

fn launch(
    container: &Container,
    wanted: &Wanted,
    io: LaunchIo,
    kept_files: u32,
) -> Result<Launched, OciError> {
    let init = container.process().ok_or_else(|| OciError::Status {
        id: container.record.id.clone(),
        status: Status::Stopped,
        wanted: "running",
    })?;
    let request = ExecRequest {
        spec: &wanted.spec,
        init: init.as_fd(),
        process: &wanted.process,
        privileged: false,
        kept_files,
    };
    let mut cgroup = container.cgroup()?;
    if let Some(path) = &wanted.cgroup {
        cgroup = cgroup.below(path)?;
    }
    let join = cgroup.join_files()?;
    let filter = program(&wanted.spec.security)?;
    Ok(exec(&request, io, &join, &filter)?)
}

fn wanted(container: &Container, arguments: &Exec) -> Result<Wanted, OciError> {
    let mut spec = container.record.spec.clone();
    if let Some(path) = &arguments.process {
        let text = fs::read(path).map_err(|error| OciError::Read(path.clone(), error))?;
        let described: config::Process = serde_json::from_slice(&text)
            .map_err(|error| OciError::Malformed(path.clone(), error))?;
        let process = map::process(&described)?;
        if let Some(exact) = &mut spec.security.exact {
            if let Some(capabilities) = &described.capabilities {
                exact.capabilities = map::capabilities(Some(capabilities))?;
            }
            exact.umask = described.user.umask.or(exact.umask);
            let own = map::attributes(&described)?;
            let attributes = &mut exact.attributes;
            attributes.scheduler = own.scheduler.or_else(|| attributes.scheduler.take());
            attributes.io_priority = own.io_priority.or_else(|| attributes.io_priority.take());
        }
        add_capabilities(&mut spec, &arguments.cap)?;
        spec.security.no_new_privs = described.no_new_privileges;
        spec.oom_score_adj = described.oom_score_adj;
        if !described.rlimits.is_empty() {
            spec.rlimits = map::rlimits(&described.rlimits)?;
        }
        let size = described.console_size;
        return Ok(Wanted {
            spec,
            process,
            tty: described.terminal || arguments.tty,
            size: size.map(|size| (size.height, size.width)),
            cgroup: arguments.cgroup.clone(),
        });
    }
    let mut process = spec.process.clone();
    process.argv.clone_from(&arguments.arguments);
    for entry in &arguments.env {
        let name = entry.split('=').next().unwrap_or_default();
        process
            .env
            .retain(|known| known.split('=').next() != Some(name));
        process.env.push(entry.clone());
    }
    if let Some(cwd) = &arguments.cwd {
        process.cwd.clone_from(cwd);
    }
    if let Some(user) = &arguments.user {
        process.user = user_of(user)?;
    }
    let gids = arguments.additional_gids.iter().map(ToString::to_string);
    process.groups.extend(gids);
    add_capabilities(&mut spec, &arguments.cap)?;
    spec.security.no_new_privs |= arguments.no_new_privs;
    Ok(Wanted {
        spec,
        process,
        tty: arguments.tty,
        size: None,
        cgroup: arguments.cgroup.clone(),
    })
}

/// `uid` or `uid:gid`, numbers only: this level knows no names. Without a group it is 0, as in other runtimes.
fn user_of(text: &str) -> Result<String, OciError> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u32>().ok()).flatten()
    };
    // The last number means "unchanged" to the kernel.
    let is_id = |id: &u32| *id != u32::MAX;
    match (number(uid).filter(is_id), number(gid).filter(is_id)) {
        (Some(uid), Some(gid)) => Ok(format!("{uid}:{gid}")),
        _ => Err(OciError::Usage(format!("`{text}` is not `uid[:gid]`"))),
    }
}

/// Adds capabilities to what the process may have and has.
fn add_capabilities(spec: &mut ContainerSpec, names: &[String]) -> Result<(), OciError> {
    for name in names {
        let name = map::capability(name)?;
        let Some(exact) = &mut spec.security.exact else {
            continue;
        };
        let CapabilitySets {
            bounding,
            permitted,
            effective,
            ..
        } = &mut exact.capabilities;
        for set in [bounding, permitted, effective] {
            if !set.contains(&name) {
                set.push(name.clone());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers() {
        assert_eq!(user_of("5").unwrap(), "5:0");
        assert_eq!(user_of("5:6").unwrap(), "5:6");
        for bad in [
            "",
            ":",
            "5:",
            ":5",
            "-1",
            "+1",
            " 1",
            "4294967295",
            "4294967296",
            "a",
            "1:b",
        ] {
            assert!(user_of(bad).is_err(), "{bad:?}");
        }
    }
}
