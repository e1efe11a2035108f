//! A launch on whose way programs of the host are run ([`crate::spec::Hook`]).

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use serde_json::json;

use super::held::{Hold, launch_held, release};
use super::hook::{self, Place, Program};
use super::{LaunchIo, Launched, SockFilter};
use crate::cgroup::JoinPlan;
use crate::check::Checked;
use crate::error::{Error, Step};
use crate::spec::{ContainerSpec, HookPoint, Rootfs};

/// The version of the runtime specification whose state hooks read.
const OCI_VERSION: &str = "1.2.0";

/// As [`super::launch`], with the hooks of the description. `directory` is the container's; the bundle that hooks are told of is made in it.
///
/// The caller waits for the hooks; the first that fails ends the launch.
pub fn launch_with_hooks(
    spec: &Checked,
    io: LaunchIo,
    cgroup: &JoinPlan,
    filter: &[SockFilter],
    directory: &Path,
) -> Result<Launched, Error> {
    let bundle = directory.join("bundle");
    make_bundle(spec.spec(), &bundle).map_err(|error| {
        let shown = bundle.display().to_string();
        Error::new(Step::Prepare, shown, error)
    })?;
    let mut prepare = |pid| run_all(spec.spec(), &bundle, pid);
    let hold = Hold {
        directory: &bundle,
        prepare: &mut prepare,
        kept_files: 0,
    };
    let launched = launch_held(spec, io, cgroup, filter, hold)?;
    let program = spec.spec().process.argv.first().map_or("", String::as_str);
    match release(&bundle, program) {
        Ok(()) => Ok(launched),
        Err(error) => {
            end(&launched);
            Err(error)
        }
    }
}

/// What hooks of vendors read of a bundle: where the root is.
fn make_bundle(spec: &ContainerSpec, bundle: &Path) -> std::io::Result<()> {
    match fs_err::remove_dir_all(bundle) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The words that hold the process are in it.
    rustix::fs::mkdir(bundle, rustix::fs::Mode::RWXU)?;
    let config = json!({ "ociVersion": OCI_VERSION, "root": { "path": root(spec) } });
    fs_err::write(bundle.join("config.json"), config.to_string())
}

fn root(spec: &ContainerSpec) -> &Path {
    match &spec.rootfs {
        Rootfs::Overlay { mount_point, .. } => mount_point,
        Rootfs::Directory(path) => path,
    }
}

fn run_all(spec: &ContainerSpec, bundle: &Path, pid: i32) -> Result<(), String> {
    let state = json!({
        "ociVersion": OCI_VERSION,
        "id": spec.id,
        "status": "creating",
        "pid": pid,
        "bundle": bundle,
    });
    for point in [HookPoint::CreateRuntime, HookPoint::CreateContainer] {
        for hook in spec.hooks.iter().filter(|hook| hook.at == point) {
            let seconds = |seconds: u32| Duration::from_secs(seconds.into());
            let program = Program {
                path: &hook.path,
                arguments: &hook.args,
                environment: &hook.env,
                limit: hook.timeout_s.map_or(hook::TIMEOUT_DEFAULT, seconds),
            };
            let place = Place {
                state: &state,
                bundle,
                inside: (point == HookPoint::CreateContainer).then_some(pid),
            };
            hook::run(&program, &place)
                .map_err(|error| format!("hook `{}`: {error}", hook.path.display()))?;
        }
    }
    Ok(())
}

/// Ends and reaps a process that is of no use.
fn end(launched: &Launched) {
    // It may have ended by itself.
    pidfd_send_signal(&launched.pidfd, Signal::KILL).ok();
    let id = || WaitId::PidFd(launched.pidfd.as_fd());
    while matches!(waitid(id(), WaitIdOptions::EXITED), Err(Errno::INTR)) {}
}
