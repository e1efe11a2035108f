//! RUN: a process in a container whose upper directory becomes the layer.

use std::path::PathBuf;

use runtime::spec::{
    CgroupPlace, ContainerSpec, LogPlace, Mount, MountKind, Namespace, Namespaces, Process,
    Propagation, Resources, RestartPolicy, Rootfs, Seccomp, Security, Stdio, StopPolicy,
};
use serde_json::json;

use super::mounts::{Prepared, targets};
use crate::build::{
    cache::Key,
    dockerfile::{CommandLine, Heredoc, Run, RunNetwork},
    error::StepFailure,
    event::BuildEvent,
    files::{remove_stubs, stubs},
    input::BuildNetwork,
    path,
    plan::Origin,
    stage::{Context, StageRun},
    workspace::StepRoom,
};
use crate::model::ContainerId;

/// Docker's default capabilities.
const CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];
/// Host name in RUN: always the same, because programs write it into what they make.
const HOSTNAME: &str = "buildkitsandbox";
/// Size of /dev/shm when nothing is said.
const SHM_BYTES: u64 = 64 << 20;
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
        if run.insecure.is_some() {
            return Err(StepFailure::Unsupported(
                "RUN --security=insecure".to_owned(),
            ));
        }
        if !run.devices.is_empty() {
            return Err(StepFailure::Unsupported("RUN --device".to_owned()));
        }
        let command = self.command(run);
        let created_by = self.run_history(&command.argv);
        let mounts = self.prepare_mounts(context, run, origins)?;
        let network = self.run_network(run.network);
        let key = self.run_key(&command, &mounts, &network);
        if self.take_cached(context, &key, &created_by)?.is_some() {
            return Ok(());
        }
        let (room, upper, work) = self.room(&self.state.layers)?;
        let ready = mounts.make(self, &room)?;
        let mut mounts = self.files_mounts(&room, &network)?;
        mounts.extend(script_mount(&room, command.script.as_ref())?);
        mounts.extend(ready.mounts.iter().cloned());
        let targets = targets(&mounts);
        let mut lowers = self.builder.lowers(&self.state.layers);
        let image = self.builder.merged(&self.state.layers, "the image")?;
        let stub_directory = room.directory("stubs").map_err(StepFailure::Prepare)?;
        let stubs = stubs(&image, &targets, &stub_directory)?;
        drop(image);
        lowers.push(stub_directory);
        let mut env = self.scope.environment();
        env.extend(self.scope.proxies());
        env.extend(ready.env.iter().cloned());
        let rootfs = Rootfs::Overlay {
            lowers,
            upper: upper.clone(),
            work,
            mount_point: room.directory("root").map_err(StepFailure::Prepare)?,
        };
        let spec = self.container(rootfs, command.argv, env, mounts, network)?;
        self.execute(context, spec, last_output)?;
        drop(ready);
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
        let result = self.builder.runner.run(spec, &mut |bytes| {
            keep_tail(&mut tail, bytes);
            (self.builder.progress)(BuildEvent::Output {
                step: context.step.id,
                bytes: bytes.to_vec(),
            });
        });
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

    fn run_network(&self, network: RunNetwork) -> BuildNetwork {
        match network {
            RunNetwork::Default => self.builder.input.network.clone(),
            RunNetwork::None => BuildNetwork::None,
            RunNetwork::Host => BuildNetwork::Host,
        }
    }

    fn run_key(&self, command: &Command, mounts: &Prepared, network: &BuildNetwork) -> Key {
        let input = self.builder.input;
        let network = match network {
            BuildNetwork::Host => "host",
            BuildNetwork::None => "none",
            BuildNetwork::Namespace { .. } => "namespace",
        };
        let hosts: Vec<[&str; 2]> = input
            .extra_hosts
            .iter()
            .map(|host| [host.host.as_str(), host.address.as_str()])
            .collect();
        Key::of(&json!({
            "step": "run",
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
            "mounts": mounts.key(),
            "epoch": self.builder.epoch,
        }))
    }

    /// resolv.conf, hosts and hostname: mounted, so that they never are in the layer.
    fn files_mounts(
        &self,
        room: &StepRoom,
        network: &BuildNetwork,
    ) -> Result<Vec<Mount>, StepFailure> {
        let resolv_conf = match network {
            BuildNetwork::None => String::new(),
            BuildNetwork::Namespace { resolv_conf, .. } => resolv_conf.clone(),
            BuildNetwork::Host => match fs_err::read_to_string("/etc/resolv.conf") {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                outcome => outcome.map_err(StepFailure::Prepare)?,
            },
        };
        let mut hosts =
            format!("127.0.0.1\tlocalhost {HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        for host in &self.builder.input.extra_hosts {
            let address = match (host.address.as_str(), network) {
                // In the host's own namespace the host is here.
                ("host-gateway", BuildNetwork::Host | BuildNetwork::None) => "127.0.0.1",
                ("host-gateway", BuildNetwork::Namespace { .. }) => {
                    let what = "extra_hosts with host-gateway in this network";
                    return Err(StepFailure::Unsupported(what.to_owned()));
                }
                (address, _) => address,
            };
            hosts.extend([address, "\t", &host.host, "\n"]);
        }
        [
            ("resolv.conf", resolv_conf),
            ("hosts", hosts),
            ("hostname", format!("{HOSTNAME}\n")),
        ]
        .into_iter()
        .map(|(name, text)| {
            let path = room.file(name);
            fs_err::write(&path, text).map_err(StepFailure::Prepare)?;
            Ok(bind(path, &format!("/etc/{name}"), true))
        })
        .collect()
    }

    fn container(
        &self,
        rootfs: Rootfs,
        argv: Vec<String>,
        env: Vec<String>,
        mounts: Vec<Mount>,
        network: BuildNetwork,
    ) -> Result<ContainerSpec, StepFailure> {
        let mut bytes = [0; 32];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| StepFailure::Prepare(errno.into()))?;
        let id = ContainerId::from_bytes(bytes).as_str().to_owned();
        let input = self.builder.input;
        let document = &self.state.document;
        Ok(ContainerSpec {
            version: ContainerSpec::VERSION,
            hostname: HOSTNAME.to_owned(),
            domainname: None,
            rootfs,
            rootfs_read_only: false,
            process: Process {
                argv,
                env,
                cwd: document.working_dir().to_owned(),
                user: document.user().to_owned(),
                groups: Vec::new(),
            },
            init: false,
            namespaces: Namespaces {
                net: match network {
                    BuildNetwork::Host => Namespace::Host,
                    BuildNetwork::None => Namespace::Private,
                    BuildNetwork::Namespace { path, .. } => Namespace::Join(path),
                },
                pid: Namespace::Private,
                ipc: Namespace::Private,
                uts: Namespace::Private,
                cgroup: Namespace::Private,
            },
            mounts,
            devices: Vec::new(),
            device_rules: Vec::new(),
            users: None,
            shm_size_bytes: input.shm_size_bytes.unwrap_or(SHM_BYTES),
            cgroup: CgroupPlace {
                parent: "stack/build".to_owned(),
                name: id.clone(),
            },
            resources: Resources::default(),
            rlimits: input.rlimits.clone(),
            sysctls: Vec::new(),
            oom_score_adj: None,
            security: Security {
                privileged: false,
                capabilities: CAPABILITIES.iter().map(|name| (*name).to_owned()).collect(),
                no_new_privs: false,
                seccomp: Seccomp::Default,
                mask_paths: true,
                exact: None,
            },
            stdio: Stdio {
                tty: false,
                stdin: false,
            },
            restart: RestartPolicy::No,
            probe: None,
            stop: StopPolicy {
                signal: libc::SIGKILL,
                grace_ms: 0,
            },
            log: LogPlace {
                dir: None,
                file_bytes_max: 0,
                files_max: 0,
            },
            id,
        })
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
