//! The container of a RUN: Docker's build defaults, and what `--network` and `--security` change of them.

use std::net::Ipv4Addr;

use runtime::spec::{
    CAPABILITIES, CAPABILITIES_DEFAULT, CgroupPlace, ContainerSpec, LogPlace, Mount, Namespace,
    Namespaces, Process, Resources, RestartPolicy, Rootfs, Seccomp, Security, Stdio, StopPolicy,
};

use super::run::bind;
use crate::{
    build::{
        dockerfile::{Run, RunNetwork},
        error::StepFailure,
        input::BuildNetwork,
        runner::{StepDevice, StepNetwork},
        stage::StageRun,
        workspace::StepRoom,
    },
    model::ContainerId,
};

/// Host name in RUN: always the same, because programs write it into what they make.
const HOSTNAME: &str = "buildkitsandbox";
/// Size of /dev/shm when nothing is said.
const SHM_BYTES: u64 = 64 << 20;
/// What a step may do beyond the defaults, or less.
pub(super) struct Sandbox {
    pub(super) network: Reach,
    /// `--security=insecure`, and allowed.
    pub(super) insecure: bool,
    pub(super) devices: StepDevice,
}

/// The network of a step that is about to run.
pub(super) enum Reach {
    Host,
    Nothing,
    Lent(StepNetwork),
}

impl StageRun<'_> {
    /// Whether a RUN has all rights; asking for them without being allowed is an error.
    pub(super) fn is_insecure(&self, run: &Run) -> Result<bool, StepFailure> {
        let input = self.builder.input;
        match run.insecure {
            Some(_) if !input.allow_insecure => Err(StepFailure::NotAllowed("security.insecure")),
            asked => Ok(asked.is_some() || input.privileged),
        }
    }

    /// Decides which network a RUN has; asking for the host's without being allowed is an error.
    pub(super) fn run_network(&self, asked: RunNetwork) -> Result<BuildNetwork, StepFailure> {
        let input = self.builder.input;
        match asked {
            RunNetwork::Default => Ok(input.network),
            RunNetwork::None => Ok(BuildNetwork::None),
            RunNetwork::Host if input.allow_host_network => Ok(BuildNetwork::Host),
            RunNetwork::Host => Err(StepFailure::NotAllowed("network.host")),
        }
    }

    /// Makes the network ready.
    pub(super) fn reach(
        &self,
        network: BuildNetwork,
        insecure: bool,
    ) -> Result<Reach, StepFailure> {
        Ok(match network {
            BuildNetwork::Host => Reach::Host,
            BuildNetwork::None => Reach::Nothing,
            BuildNetwork::Bridge => {
                let lent = self.builder.runner.network(insecure);
                Reach::Lent(lent.map_err(StepFailure::Network)?)
            }
        })
    }

    pub(super) fn process(&self, argv: Vec<String>, env: Vec<String>) -> Process {
        let document = &self.state.document;
        Process {
            argv,
            env,
            cwd: document.working_dir().to_owned(),
            user: document.user().to_owned(),
            groups: Vec::new(),
        }
    }

    /// resolv.conf, hosts and hostname: mounted, so that they never are in the layer.
    pub(super) fn files_mounts(
        &self,
        room: &StepRoom,
        network: &Reach,
    ) -> Result<Vec<Mount>, StepFailure> {
        let (resolv_conf, gateway) = match network {
            Reach::Nothing => (String::new(), Ipv4Addr::LOCALHOST),
            Reach::Lent(lent) => (lent.resolv_conf.clone(), lent.gateway),
            Reach::Host => {
                let text = match fs_err::read_to_string("/etc/resolv.conf") {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                    outcome => outcome.map_err(StepFailure::Prepare)?,
                };
                // In the host's own namespace the host is here.
                (text, Ipv4Addr::LOCALHOST)
            }
        };
        let gateway = gateway.to_string();
        let mut hosts =
            format!("127.0.0.1\tlocalhost {HOSTNAME}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        for host in &self.builder.input.extra_hosts {
            let address = match host.address.as_str() {
                "host-gateway" => &gateway,
                address => address,
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

    pub(super) fn container(
        &self,
        rootfs: Rootfs,
        process: Process,
        mounts: Vec<Mount>,
        sandbox: &Sandbox,
    ) -> Result<ContainerSpec, StepFailure> {
        let mut bytes = [0; 32];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| StepFailure::Prepare(errno.into()))?;
        let id = ContainerId::from_bytes(bytes).as_str().to_owned();
        let input = self.builder.input;
        let capabilities: &[&str] = if sandbox.insecure {
            &CAPABILITIES
        } else {
            &CAPABILITIES_DEFAULT
        };
        Ok(ContainerSpec {
            version: ContainerSpec::VERSION,
            hostname: HOSTNAME.to_owned(),
            domainname: None,
            rootfs,
            rootfs_read_only: false,
            process,
            init: false,
            namespaces: Namespaces {
                net: match &sandbox.network {
                    Reach::Host => Namespace::Host,
                    Reach::Nothing => Namespace::Private,
                    Reach::Lent(lent) => Namespace::Join(lent.netns.clone()),
                },
                pid: Namespace::Private,
                ipc: Namespace::Private,
                uts: Namespace::Private,
                cgroup: Namespace::Private,
            },
            mounts,
            devices: sandbox.devices.nodes.clone(),
            device_rules: Vec::new(),
            hooks: Vec::new(),
            users: None,
            shm_size_bytes: input.shm_size_bytes.unwrap_or(SHM_BYTES),
            cgroup: CgroupPlace {
                parent: "stack/build".to_owned(),
                name: id.clone(),
            },
            resources: Resources {
                memory_bytes: input.memory_bytes,
                ..Resources::default()
            },
            rlimits: input.rlimits.clone(),
            sysctls: Vec::new(),
            oom_score_adj: None,
            security: Security {
                privileged: sandbox.insecure,
                capabilities: capabilities.iter().map(|name| (*name).to_owned()).collect(),
                no_new_privs: false,
                seccomp: if sandbox.insecure {
                    Seccomp::Unconfined
                } else {
                    Seccomp::Default
                },
                mask_paths: !sandbox.insecure,
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
