//! `create`, `start` and `run`.

use std::path::{Path, PathBuf};

use rustix::{fs::Mode, io::Errno};

use super::{
    Runtime,
    arguments::{Create, Run},
    config::{Config, Hooks},
    error::OciError,
    exec::run_in,
    hooks, manage,
    map::{Mapped, Place, map},
    state::{Container, Record, Status, directory},
    streams,
};
use fs_err as fs;
use runtime::{
    cgroup::{Cgroup, DevicePolicy},
    check::{Checked, check},
    process::{
        Launched,
        held::{Hold, launch_held, release},
    },
    security::seccomp::program,
};

/// Makes a container whose program waits.
pub(super) fn create(runtime: &Runtime<'_>, arguments: &Create) -> Result<(), OciError> {
    let bundle = Bundle::read(arguments, runtime.listen_fds)?;
    let is_tty = bundle.checked.spec().stdio.tty;
    if is_tty && arguments.handover.console_socket.is_none() {
        return Err(OciError::Usage(
            "the process wants a terminal: --console-socket is needed".into(),
        ));
    }
    make(runtime, arguments, &bundle).map(drop)
}

/// Makes a container, starts it, and unless detached waits for its end and removes it. Returns the exit code.
pub(super) fn run(runtime: &Runtime<'_>, arguments: &Run) -> Result<u8, OciError> {
    let bundle = Bundle::read(&arguments.create, runtime.listen_fds)?;
    let is_tty = bundle.checked.spec().stdio.tty;
    let socket = arguments.create.handover.console_socket.is_some();
    if is_tty && arguments.detach && !socket {
        return Err(OciError::Usage(
            "a detached process that wants a terminal needs --console-socket".into(),
        ));
    }
    let (container, mut launched) = make(runtime, &arguments.create, &bundle)?;
    if socket {
        // Somebody else relays it.
        launched.console = None;
    }
    if let Err(error) = start_container(runtime, &container) {
        // The first error is the one to tell.
        drop(manage::remove(runtime, &container));
        return Err(error);
    }
    if arguments.detach {
        return Ok(0);
    }
    let code = streams::follow(&launched)?;
    if !arguments.keep {
        manage::remove(runtime, &container)?;
    }
    Ok(code)
}

/// Lets the program of a container run.
pub(super) fn start(runtime: &Runtime<'_>, id: &str) -> Result<(), OciError> {
    let container = Container::open(runtime.root, id)?;
    container.require(&[Status::Created], "created")?;
    start_container(runtime, &container)
}

fn start_container(runtime: &Runtime<'_>, container: &Container) -> Result<(), OciError> {
    let Record {
        bundle,
        hooks,
        spec,
        ..
    } = &container.record;
    for hook in &hooks.start_container {
        // A program of the container's own, in the container.
        let state = container.state(Status::Created);
        run_in(container, hook, runtime.caller(bundle, &state, None))?;
    }
    let program = spec.process.argv.first().map_or("", String::as_str);
    release(&container.directory, program)?;
    let state = container.state(Status::Running);
    if let Err(error) = hooks::run_all(&hooks.poststart, runtime.caller(bundle, &state, None)) {
        // The specification: the container ends. The first error is the one to tell.
        drop(manage::remove(runtime, container));
        return Err(error);
    }
    Ok(())
}

/// A bundle that was read and judged.
#[derive(Debug)]
struct Bundle {
    directory: PathBuf,
    config: Config,
    checked: Checked,
}

impl Bundle {
    fn read(arguments: &Create, listen_fds: u32) -> Result<Self, OciError> {
        let directory = fs::canonicalize(&arguments.directory.bundle)
            .map_err(|error| OciError::Read(arguments.directory.bundle.clone(), error))?;
        let path = match &arguments.config {
            Some(path) => path.clone(),
            None => directory.join("config.json"),
        };
        let text = fs::read(&path).map_err(|error| OciError::Read(path.clone(), error))?;
        let config: Config =
            serde_json::from_slice(&text).map_err(|error| OciError::Malformed(path, error))?;
        let name = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let place = Place {
            id: &arguments.id.id,
            bundle: &directory,
            host_name: &name,
            has_selinux: Path::new("/sys/fs/selinux/status").exists(),
        };
        let Mapped { mut spec, warnings } = map(&config, place)?;
        warnings.iter().for_each(super::report_warning);
        if listen_fds > 0 {
            // The container's first process is the one that is activated (sd_listen_fds(3)).
            let env = &mut spec.process.env;
            env.push(format!("LISTEN_FDS={listen_fds}"));
            env.push("LISTEN_PID=1".into());
        }
        let checked = check(spec)?;
        Ok(Self {
            directory,
            config,
            checked,
        })
    }
}

/// Makes everything up to the program. What was made before a failure is removed.
fn make(
    runtime: &Runtime<'_>,
    arguments: &Create,
    bundle: &Bundle,
) -> Result<(Container, Launched), OciError> {
    let _taken = streams::take_gaps(kept(runtime, arguments))?;
    let directory = make_directory(runtime.root, &arguments.id.id)?;
    let mut container = Container {
        record: record(arguments, bundle),
        directory,
    };
    let undo = |container: &Container, error: OciError| {
        // The first error is the one to tell.
        drop(fs::remove_dir_all(&container.directory));
        Err(error)
    };
    let cgroup = match make_cgroup(&bundle.checked) {
        Ok(cgroup) => cgroup,
        Err(error) => return undo(&container, error),
    };
    let finished = launch(runtime, arguments, bundle, &mut container, &cgroup);
    match finished {
        Ok(launched) => Ok((container, launched)),
        Err(error) => {
            drop(cgroup.remove());
            undo(&container, error)
        }
    }
}

fn record(arguments: &Create, bundle: &Bundle) -> Record {
    Record {
        id: arguments.id.id.clone(),
        bundle: bundle.directory.clone(),
        pid: 0,
        start_ticks: 0,
        created: jiff::Timestamp::now().to_string(),
        annotations: bundle.config.annotations.clone(),
        hooks: bundle.config.hooks.clone().unwrap_or_default(),
        spec: bundle.checked.spec().clone(),
    }
}

fn kept(runtime: &Runtime<'_>, arguments: &Create) -> u32 {
    arguments
        .handover
        .preserve_fds
        .saturating_add(runtime.listen_fds)
}

fn make_directory(root: &Path, id: &str) -> Result<PathBuf, OciError> {
    let directory = directory(root, id)?;
    fs::create_dir_all(root).map_err(OciError::Directory)?;
    match rustix::fs::mkdir(&directory, Mode::RWXU) {
        Ok(()) => Ok(directory),
        Err(Errno::EXIST) => Err(OciError::Exists(id.to_owned())),
        Err(errno) => Err(OciError::Directory(errno.into())),
    }
}

fn make_cgroup(checked: &Checked) -> Result<Cgroup, OciError> {
    let spec = checked.spec();
    let mut warnings = Vec::new();
    let devices = DevicePolicy::of(spec)?;
    let cgroup = Cgroup::create(&spec.cgroup, &spec.resources, &devices, &mut warnings)?;
    warnings.iter().for_each(super::report_warning);
    Ok(cgroup)
}

fn launch(
    runtime: &Runtime<'_>,
    arguments: &Create,
    bundle: &Bundle,
    container: &mut Container,
    cgroup: &Cgroup,
) -> Result<Launched, OciError> {
    let spec = bundle.checked.spec();
    let size = bundle
        .config
        .process
        .as_ref()
        .and_then(|process| process.console_size)
        .map(|size| (size.height, size.width));
    let io = streams::of(spec.stdio.tty, size)?;
    let filter = program(&spec.security)?;
    let join = cgroup.join_files()?;
    let directory = container.directory.clone();
    let Hooks {
        prestart,
        create_runtime,
        create_container,
        ..
    } = container.record.hooks.clone();
    let mut prepare = |pid| {
        container.record.pid = pid;
        let state = container.state(Status::Creating);
        let caller = runtime.caller(&bundle.directory, &state, None);
        let inside = runtime.caller(&bundle.directory, &state, Some(pid));
        hooks::run_all(&prestart, caller)
            .and_then(|()| hooks::run_all(&create_runtime, caller))
            .and_then(|()| hooks::run_all(&create_container, inside))
            .map_err(|error| error.chain())
    };
    let hold = Hold {
        directory: &directory,
        prepare: &mut prepare,
        kept_files: kept(runtime, arguments),
    };
    let launched = launch_held(&bundle.checked, io, &join, &filter, hold)?;
    launched.warnings.iter().for_each(super::report_warning);
    container.record.pid = launched.pid;
    container.record.start_ticks = launched.start_ticks;
    let finish = || {
        container.write()?;
        if let (Some(socket), Some(master)) =
            (&arguments.handover.console_socket, &launched.console)
        {
            streams::send_console(socket, master)?;
        }
        write_pid(arguments.handover.pid_file.as_deref(), launched.pid)
    };
    // A child that waits for somebody who will not come is killed with its group by the caller.
    finish().map(|()| launched)
}

/// Writes a pid where a caller reads it, whole or not at all.
pub(super) fn write_pid(path: Option<&Path>, pid: i32) -> Result<(), OciError> {
    let Some(path) = path else {
        return Ok(());
    };
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, pid.to_string())
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| OciError::Write(path.to_owned(), error))
}
