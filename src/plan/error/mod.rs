//! Why there is no plan: everything that can be found before anything is touched.

mod place;

use std::net::Ipv4Addr;

use compose_spec::model::{ProjectName, ServiceName};

use super::lower::LowerError;

/// Something that makes a plan impossible. All of them are reported at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A named service does not exist.
    #[error("no such service: {service}")]
    UnknownService {
        /// What the user typed.
        service: ServiceName,
    },
    /// A service that must have containers has none.
    #[error("service `{service}` has no container to {intent}")]
    NoContainer {
        /// The service.
        service: ServiceName,
        /// `start`, `restart`, ….
        intent: &'static str,
    },
    /// The service's definition cannot be run.
    #[error(transparent)]
    Service(#[from] LowerError),
    /// An image is not in the store and may not be fetched.
    #[error("image `{reference}` of service `{service}` is not in the store and {why}")]
    ImageMissing {
        /// The service.
        service: ServiceName,
        /// The reference.
        reference: String,
        /// Why it is not fetched.
        why: &'static str,
    },
    /// Two services build different images under one tag.
    #[error("services `{first}` and `{second}` build different images with the tag `{tag}`")]
    TagTwice {
        /// The tag.
        tag: String,
        /// The first service.
        first: ServiceName,
        /// The second service.
        second: ServiceName,
    },
    /// More than one replica under a fixed name.
    #[error(
        "service `{service}` cannot have {count} replicas: `container_name` gives all of them one name"
    )]
    NamedAndScaled {
        /// The service.
        service: ServiceName,
        /// The wanted number.
        count: u32,
    },
    /// A container name is taken.
    #[error("container name `{name}` of service `{service}` is taken by {owner}")]
    NameTaken {
        /// The service that wants it.
        service: ServiceName,
        /// The name.
        name: String,
        /// Who has it.
        owner: String,
    },
    /// A published port is taken.
    #[error("port {port} of service `{service}` is taken by {owner}")]
    PortTaken {
        /// The service that wants it.
        service: ServiceName,
        /// Index in its `ports`.
        index: usize,
        /// `0.0.0.0:80/tcp`.
        port: String,
        /// Who has it.
        owner: String,
    },
    /// A fixed published port and several replicas.
    #[error("service `{service}` cannot have {count} replicas: they cannot all publish {port}")]
    PortScaled {
        /// The service.
        service: ServiceName,
        /// Index in its `ports`.
        index: usize,
        /// `0.0.0.0:80/tcp`.
        port: String,
        /// The wanted number.
        count: u32,
    },
    /// Every port of a published range is taken.
    #[error("no port of {first}-{last} is free for service `{service}`")]
    RangeTaken {
        /// The service.
        service: ServiceName,
        /// Index in its `ports`.
        index: usize,
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// An external network does not exist.
    #[error(
        "network {name} declared as external, but could not be found; `stack network create {name}` makes it"
    )]
    ExternalNetworkMissing {
        /// Its key.
        key: String,
        /// Its full name.
        name: String,
    },
    /// A network of that name belongs to another project, or to none.
    #[error("network `{name}` {}; declare it `external: true` to use it", owned_by(.owner.as_ref()))]
    NetworkOfOtherProject {
        /// Its key.
        key: String,
        /// Its full name.
        name: String,
        /// The owner.
        owner: Option<ProjectName>,
    },
    /// A network asks for something that does not exist (yet).
    #[error("network `{key}`: {what} is not supported")]
    NetworkUnsupported {
        /// Its key.
        key: String,
        /// Last part of the path: `driver`, `driver_opts`.
        field: &'static str,
        /// What.
        what: String,
    },
    /// An address setting of a network makes no sense.
    #[error("network `{key}`: {reason}")]
    NetworkInvalid {
        /// Its key.
        key: String,
        /// Why.
        reason: String,
    },
    /// A wanted subnet overlaps one that is in use.
    #[error("network `{key}`: subnet {wanted} overlaps {taken} of {owner}")]
    SubnetTaken {
        /// Its key.
        key: String,
        /// The wanted subnet.
        wanted: String,
        /// The other.
        taken: String,
        /// Who has that: `this host`, `network `b``.
        owner: String,
    },
    /// No free subnet is left.
    #[error("network `{key}`: every subnet of the address pools is in use")]
    PoolsExhausted {
        /// Its key.
        key: String,
    },
    /// A network must be made anew while containers that the call is not about are on it.
    #[error("network `{name}` has changed and cannot be made anew: other containers are on it")]
    NetworkInUse {
        /// Its key.
        key: String,
        /// Its full name.
        name: String,
    },
    /// No free address is left.
    #[error("network `{network}` has no free address for service `{service}`")]
    AddressesExhausted {
        /// The service.
        service: ServiceName,
        /// Full name of the network.
        network: String,
    },
    /// A fixed address cannot be given.
    #[error("address {address} of service `{service}` on network `{network}` {reason}")]
    AddressRefused {
        /// The service.
        service: ServiceName,
        /// Key of the network.
        network: String,
        /// The address.
        address: Ipv4Addr,
        /// Why not.
        reason: String,
    },
    /// An attachment asks for something that does not exist (yet), or is malformed.
    #[error("service `{service}` on network `{network}`: {reason}")]
    AttachmentRefused {
        /// The service.
        service: ServiceName,
        /// Key of the network.
        network: String,
        /// The field.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// An external volume does not exist.
    #[error("external volume \"{name}\" not found; `stack volume create {name}` makes it")]
    ExternalVolumeMissing {
        /// Its key.
        key: String,
        /// Its full name.
        name: String,
    },
    /// A volume asks for something that does not exist (yet).
    #[error("volume `{key}`: {what} is not supported")]
    VolumeUnsupported {
        /// Its key.
        key: String,
        /// Last part of the path: `driver`, `driver_opts`.
        field: &'static str,
        /// What.
        what: String,
    },
    /// A service whose namespace is to be joined will have no container.
    #[error("service `{service}` joins a namespace of `{owner}`, which has no container")]
    NamespaceOwnerMissing {
        /// The service.
        service: ServiceName,
        /// Path below the service: `network_mode`.
        field: &'static str,
        /// The other service.
        owner: ServiceName,
    },
    /// A service waits for the health of another one that is not probed.
    #[error(
        "service `{service}` waits until `{dependency}` is healthy, which has no healthcheck configured"
    )]
    NoHealthCheck {
        /// The service.
        service: ServiceName,
        /// What it waits for.
        dependency: ServiceName,
    },
    /// A volume must be made anew while a container that the call is not about mounts it.
    #[error("volume `{name}` has changed and cannot be made anew: container {container} uses it")]
    VolumeInUse {
        /// Its full name.
        name: String,
        /// The container.
        container: String,
    },
    /// A signal does not exist.
    #[error("unknown signal `{signal}`")]
    UnknownSignal {
        /// As typed.
        signal: String,
    },
    /// Services depend on each other in a circle.
    #[error("services depend on each other in a circle: {}", .services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" -> "))]
    DependencyCycle {
        /// The services of the circle.
        services: Vec<ServiceName>,
    },
}

fn owned_by(project: Option<&ProjectName>) -> String {
    match project {
        Some(project) => format!("belongs to project `{project}`"),
        None => "belongs to no project".to_owned(),
    }
}
