//! RUN: a process in a container whose upper directory becomes the layer.

use std::path::PathBuf;

use runtime::spec::{ContainerSpec, Mount, MountKind, Propagation, Rootfs};
use serde_json::json;

use super::{
    devices::Asked,
    mounts::{Prepared, targets},
    sandbox::Sandbox,
};
use crate::build::{
    cache::Key,
    dockerfile::{CommandLine, Heredoc, Run},
    emulation,
    error::StepFailure,
    event::BuildEvent,
    files::{remove_stubs, stubs},
    input::BuildNetwork,
    path,
    plan::Origin,
    stage::{Context, StageRun},
    workspace::StepRoom,
};

/// Lines of output that an error repeats.
const LINES_MAX: usize = 20;
/// Where a heredoc that is a script lies.
const SCRIPTS: &str = "/dev/pipes";

/// What RUN executes.
struct Command {
    argv: Vec<String>,
    /// A script to provide: name and contents.
    script: Option<(String, String)>,
}

impl StageRun<'_> {
    pub(crate) fn run(
        &mut self,
        context: Context<'_>,
        run: &Run,
        origins: &[Origin],
        last_output: &mut Vec<String>,
    ) -> Result<(), StepFailure> {
        let insecure = self.is_insecure(run)?;
        let devices = self.asked_devices(run)?;
        let command = self.command(run);
        let created_by = self.run_history(&command.argv);
        let mounts = self.prepare_mounts(context, run, origins)?;
        let network = self.run_network(run.network)?;
        let key = self.run_key(&command, &mounts, (network, insecure, &devices));
        if self
            .take_cached(context, (&key, &[]), &created_by)?
            .is_some()
        {
            return Ok(());
        }
        emulation::require(&self.stage.platform)?;
        self.claim(&mounts.claims())?;
        let (room, upper, work) = self.room(&self.state.layers)?;
        let ready = mounts.make(self, &room)?;
        let sandbox = Sandbox {
            network: self.reach(network, insecure)?,
            insecure,
            devices: self.devices(run, &devices)?,
        };
        let mut mounts = self.files_mounts(&room, &sandbox.network)?;
        mounts.extend(script_mount(&room, command.script.as_ref())?);
        mounts.extend(ready.mounts.iter().cloned());
        mounts.extend(sandbox.devices.mounts.iter().cloned());
        let targets = targets(&mounts);
        let mut lowers = self.builder.lowers(&self.state.layers)?;
        let image = self.builder.merged(&self.state.layers, "the image")?;
        let stub_directory = room.directory("stubs").map_err(StepFailure::Prepare)?;
        let stubs = stubs(&image, &targets, &stub_directory)?;
        drop(image);
        lowers.push(stub_directory);
        let mut env = self.scope.environment();
        env.extend(self.scope.proxies());
        env.extend(ready.env.iter().cloned());
        env.extend(sandbox.devices.env.iter().cloned());
        let rootfs = Rootfs::Overlay {
            lowers,
            upper: upper.clone(),
            work,
            mount_point: room.directory("root").map_err(StepFailure::Prepare)?,
            // The store writes the layer to the disk; one that does not become a layer is nobody's loss.
            volatile: true,
        };
        let mut process = self.process(command.argv, env);
        process.groups.clone_from(&sandbox.devices.groups);
        let spec = self.container(rootfs, process, mounts, &sandbox)?;
        self.execute(context, spec, last_output)?;
        drop((ready, sandbox));
        remove_stubs(&upper, &stubs)?;
        self.commit(context, &upper, &[&key], &created_by)
    }

    /// Runs the container, passes its output on and judges its end.
    fn execute(
        &self,
        context: Context<'_>,
        spec: ContainerSpec,
        last_output: &mut Vec<String>,
    ) -> Result<(), StepFailure> {
        let mut tail = Vec::new();
        let mut tell = |bytes: &[u8]| {
            keep_tail(&mut tail, bytes);
            (self.builder.progress)(BuildEvent::Output {
                step: context.step.id,
                bytes: bytes.to_vec(),
            });
        };
        let builder = self.builder;
        let result = builder.runner.run(spec, &mut tell, builder.cancel);
        // What a killed step says of its end is not why it ended.
        self.refuse_cancelled()?;
        let text = String::from_utf8_lossy(&tail);
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(LINES_MAX);
        last_output.extend(lines[first..].iter().map(|line| (*line).to_owned()));
        let status = result.map_err(StepFailure::Runner)?;
        if status.code == 0 && status.signal.is_none() {
            return Ok(());
        }
        Err(StepFailure::Exit(status))
    }

    /// Decides what is executed: a heredoc is the shell's text, or a script when it begins with `#!`.
    fn command(&self, run: &Run) -> Command {
        let CommandLine::Shell(line) = &run.command else {
            return Command {
                argv: self.arguments(&run.command),
                script: None,
            };
        };
        let shell = |text: String| self.arguments(&CommandLine::Shell(text));
        match &run.heredocs[..] {
            [] => Command {
                argv: shell(line.clone()),
                script: None,
            },
            [only] if Heredoc::is_all_of(line) => {
                let text = only.text();
                if text.starts_with("#!") {
                    // The name is the author's text: only its last component can be a file.
                    let name = path::base(&only.name).to_owned();
                    Command {
                        argv: vec![format!("{SCRIPTS}/{name}")],
                        script: Some((name, text)),
                    }
                } else {
                    Command {
                        argv: shell(text),
                        script: None,
                    }
                }
            }
            heredocs => {
                let mut text = line.clone();
                for heredoc in heredocs {
                    text.push('\n');
                    text.push_str(&heredoc.content);
                    text.push_str(&heredoc.name);
                }
                Command {
                    argv: shell(text),
                    script: None,
                }
            }
        }
    }

    /// `RUN |1 ARG=value /bin/sh -c …`, as history shows it.
    fn run_history(&self, argv: &[String]) -> String {
        let declared = self.scope.declared();
        let mut parts = vec!["RUN".to_owned()];
        if !declared.is_empty() {
            parts.push(format!("|{}", declared.len()));
            parts.extend(
                declared
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            );
        }
        parts.extend(argv.iter().cloned());
        parts.join(" ")
    }

    fn run_key(
        &self,
        command: &Command,
        mounts: &Prepared,
        (network, insecure, devices): (BuildNetwork, bool, &[Asked]),
    ) -> Key {
        let input = self.builder.input;
        let network = match network {
            BuildNetwork::Host => "host",
            BuildNetwork::None => "none",
            BuildNetwork::Bridge => "bridge",
        };
        let hosts: Vec<[&str; 2]> = input
            .extra_hosts
            .iter()
            .map(|host| [host.host.as_str(), host.address.as_str()])
            .collect();
        let devices: Vec<_> = devices
            .iter()
            .map(|one| (&one.name, one.required))
            .collect();
        Key::of(json!({
            "step": "run",
            "devices": devices,
            "on": self.state.chain(),
            "argv": command.argv,
            "script": command.script,
            "env": self.scope.environment(),
            "user": self.state.document.user(),
            "cwd": self.state.document.working_dir(),
            "platform": self.stage.platform,
            "network": network,
            "hosts": hosts,
            "shm": input.shm_size_bytes,
            "rlimits": input.rlimits,
            "insecure": insecure,
            "mounts": mounts.key(),
            "epoch": self.builder.epoch,
        }))
    }
}

/// Makes a bind mount.
pub(super) fn bind(source: PathBuf, target: &str, read_only: bool) -> Mount {
    Mount {
        target: target.to_owned(),
        kind: MountKind::Bind {
            source,
            subpath: None,
            recursive: false,
            propagation: Propagation::Rprivate,
            writable_below: false,
        },
        read_only,
    }
}

fn script_mount(
    room: &StepRoom,
    script: Option<&(String, String)>,
) -> Result<Option<Mount>, StepFailure> {
    let Some((name, text)) = script else {
        return Ok(None);
    };
    let make = || {
        let directory = room.directory("scripts")?;
        let path = directory.join(name);
        fs_err::write(&path, text)?;
        fs_err::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(directory)
    };
    let directory = make().map_err(StepFailure::Prepare)?;
    Ok(Some(bind(directory, SCRIPTS, true)))
}

/// Bytes of output that are kept for an error.
const TAIL_BYTES: usize = 16 * 1024;

fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    tail.extend_from_slice(bytes);
    if tail.len() > 2 * TAIL_BYTES {
        tail.drain(..tail.len() - TAIL_BYTES);
    }
}
