//! Why a step failed.

mod report;

use std::{path::PathBuf, time::Duration};

use compose_spec::model::{PortProtocol, ServiceName};

use super::VolumeChangeError;
use crate::{
    build::BuildError,
    container::{ContainerError, LinkError, SpawnError},
    image::{ImageError, PullError, ResolveError, SettingsError},
    model::Subject,
    network::NetworkError,
    plan::lower::LowerError,
    store::StoreError,
    volume::VolumeError,
};

/// A step that failed.
#[derive(Debug)]
pub struct Failure {
    /// What it worked on.
    pub subject: Subject,
    /// Why it failed.
    pub error: ApplyError,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An image could not be fetched.
    #[error(transparent)]
    Pull(PullError),
    /// The registry settings cannot be used.
    #[error("read the registry settings")]
    Registries(#[source] SettingsError),
    /// An image could not be built.
    #[error("build image of service `{service}`")]
    Build {
        /// The service.
        service: ServiceName,
        /// What happened.
        #[source]
        source: Box<BuildError>,
    },
    /// The image store could not be read or changed.
    #[error("use the image store")]
    Image(#[source] ImageError),
    /// An image that a step needs is not in the store.
    #[error("image `{reference}` is not here")]
    ImageMissing {
        /// The reference as written.
        reference: String,
    },
    /// A system call filter cannot be used.
    #[error("{path}: use seccomp profile `{}`: {reason}", file.display())]
    Profile {
        /// Where it is written.
        path: String,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The ranges of user ids could not be read or written.
    #[error("give the project users of its own (`x-stack.userns`)")]
    Users(#[source] StoreError),
    /// All ranges of user ids are given away.
    #[error(
        "no users are left for `x-stack.userns: auto`: {ranges} projects have all; widen the range of `stack` in /etc/subuid and /etc/subgid"
    )]
    NoUsers {
        /// How many ranges there are.
        ranges: u32,
    },
    /// A network could not be made or removed.
    #[error("network `{name}`")]
    Network {
        /// Full name.
        name: String,
        /// What happened.
        #[source]
        source: NetworkError,
    },
    /// The server of a volume has no address.
    #[error("find the server of volume `{name}`")]
    VolumeServer {
        /// The volume.
        name: String,
        /// What happened.
        #[source]
        source: ResolveError,
    },
    /// A volume could not be made, filled or removed.
    #[error("volume `{name}`")]
    Volume {
        /// Full name, or path of a bind source.
        name: String,
        /// What happened.
        #[source]
        source: VolumeError,
    },
    /// A service asks for what cannot be done.
    #[error("{}", sources.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Lower {
        /// The service.
        service: ServiceName,
        /// Everything that is wrong.
        sources: Vec<LowerError>,
    },
    /// A container's directory or record.
    #[error("keep container `{name}`")]
    Container {
        /// Its name.
        name: String,
        /// What happened.
        #[source]
        source: ContainerError,
    },
    /// A file of the container could not be written.
    #[error("write the files of container `{name}`")]
    Files {
        /// Its name.
        name: String,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// A secret or config has no content.
    #[error("service `{service}` needs {what}, which has no content: {reason}")]
    GrantMissing {
        /// The service.
        service: ServiceName,
        /// `secret `token``.
        what: String,
        /// Why.
        reason: String,
    },
    /// A container could not be started.
    #[error("start service `{service}`")]
    Start {
        /// The service.
        service: ServiceName,
        /// What happened.
        #[source]
        source: SpawnError,
    },
    /// A container's endpoints or published ports could not be made.
    #[error("start service `{service}`")]
    Wire {
        /// The service.
        service: ServiceName,
        /// What happened.
        #[source]
        source: NetworkError,
    },
    /// A monitor did not do what it was asked.
    #[error("{intent}")]
    Monitor {
        /// `stop container `shop-web-1``.
        intent: String,
        /// What happened.
        #[source]
        source: LinkError,
    },
    /// The container does not exist any more.
    #[error("container {id} does not exist any more")]
    Vanished {
        /// Short id.
        id: String,
    },
    /// Another container is named whose namespaces or mounts are wanted, and there is none.
    #[error("there is no container `{name}`, whose namespaces or mounts are asked for")]
    OwnerMissing {
        /// As written.
        name: String,
    },
    /// A container outside of the project cannot be linked.
    #[error("{path}: link `{name}`: {reason}")]
    Link {
        /// Where it is written: `services.web.external_links[0]`.
        path: String,
        /// Name of the container.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A bind mount's source is missing or cannot be made.
    #[error("bind mount of `{name}`")]
    Bind {
        /// Host path.
        name: String,
        /// Path in the project: `services.web.volumes[0]`.
        path: String,
        /// What happened.
        #[source]
        source: VolumeError,
    },
    /// A container's network has no record.
    #[error("network `{network}` of service `{service}` does not exist any more")]
    NetworkMissing {
        /// The service.
        service: ServiceName,
        /// Full name of the network.
        network: String,
    },
    /// A container whose namespace is to be joined does not run.
    #[error("container `{name}` does not run, so its namespaces cannot be joined")]
    NotRunning {
        /// Its name.
        name: String,
    },
    /// What a killed monitor left could not be ended.
    #[error("remove the control group of container `{name}`")]
    Cgroup {
        /// Its name.
        name: String,
        /// What happened.
        #[source]
        source: runtime::cgroup::CgroupError,
    },
    /// A hook failed.
    #[error("{path} of container `{name}` {reason}")]
    Hook {
        /// Where it is written: `services.web.post_start[0]`.
        path: String,
        /// Name of the container.
        name: String,
        /// `exited with status 3`.
        reason: String,
        /// The last lines that it wrote.
        log: Vec<String>,
    },
    /// The container still runs.
    #[error("container `{name}` still runs")]
    StillRunning {
        /// Its name.
        name: String,
    },
    /// A dependency ended.
    #[error("dependency `{service}` failed to start: container `{name}` exited ({code})")]
    DependencyExited {
        /// The dependency.
        service: ServiceName,
        /// Its container.
        name: String,
        /// Its exit code.
        code: i32,
        /// Its last log lines.
        log: Vec<String>,
    },
    /// A dependency is unhealthy.
    #[error("service `{service}` is unhealthy{}", probe.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Unhealthy {
        /// The dependency.
        service: ServiceName,
        /// What the last probe said.
        probe: Option<String>,
        /// Its last log lines.
        log: Vec<String>,
    },
    /// Somebody waits for the health of a service without a health check.
    #[error("service `{service}` has no health check, so it can never be `service_healthy`")]
    NoHealthCheck {
        /// The dependency.
        service: ServiceName,
    },
    /// A one-off dependency failed.
    #[error("service `{service}` did not complete successfully: exit {code}")]
    NotCompleted {
        /// The dependency.
        service: ServiceName,
        /// Its exit code.
        code: i32,
        /// Its last log lines.
        log: Vec<String>,
    },
    /// The state of a dependency cannot be known.
    #[error("service `{service}` was lost: {reason}")]
    Lost {
        /// The dependency.
        service: ServiceName,
        /// Why.
        reason: String,
    },
    /// A newer command took over, or the client went away.
    #[error("no longer waited for `{service}`: the command was interrupted")]
    Interrupted {
        /// What was waited for.
        service: ServiceName,
    },
    /// `--wait-timeout` passed.
    #[error("not ready within {} s", after.as_secs())]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// A volume could not be removed.
    #[error(transparent)]
    VolumeChange(VolumeChangeError),
    /// A record could not be read or written.
    #[error("keep state")]
    Store(#[source] StoreError),
    /// A protocol that cannot be published.
    #[error(
        "port {port}/{protocol:?} of service `{service}` cannot be published: only tcp and udp can"
    )]
    Protocol {
        /// The service.
        service: ServiceName,
        /// Port in the container.
        port: u16,
        /// The protocol.
        protocol: PortProtocol,
    },
    /// The step panicked.
    #[error("a step panicked, which is a bug in stack; its log has more")]
    Bug,
}
