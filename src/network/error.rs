//! What can go wrong with networks.

use std::{fmt, io, net::Ipv4Addr, path::PathBuf};

use crate::model::PublishedAddress;

use super::{NetlinkError, netns::NetnsError};

/// An operation on networks did not work. Nothing is left half-made.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel refused a link, address, route or bridge.
    #[error("wire {subject}")]
    Wire {
        /// `network shop_default`, `container shop-web-1`.
        subject: String,
        /// Which message, and why.
        #[source]
        source: NetlinkError,
    },
    /// The kernel refused the packet filter.
    #[error("set up nf_tables")]
    Firewall(#[source] NetlinkError),
    /// A network namespace could not be made, entered or removed.
    #[error("network namespace of container {container}")]
    Namespace {
        /// Name of the container.
        container: String,
        /// Which step, and why.
        #[source]
        source: NetnsError,
    },
    /// A kernel parameter could not be set.
    #[error("set kernel parameter {path}")]
    Sysctl {
        /// File below /proc/sys.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody has the port.
    #[error("port {} is taken by {owner}", describe(.port))]
    PortTaken {
        /// The port.
        port: PublishedAddress,
        /// Who has it.
        owner: PortOwner,
    },
    /// All ports of a range are taken.
    #[error("ports {first}-{last} of the range are all taken; {first} by {owner}")]
    RangeTaken {
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
        /// Who has the first.
        owner: PortOwner,
    },
    /// The port cannot be bound for another reason.
    #[error("bind port {}", describe(.port))]
    Bind {
        /// The port.
        port: PublishedAddress,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A transport that is not published.
    #[error("publish port {}: only tcp and udp ports can be published", describe(.port))]
    Transport {
        /// The port.
        port: PublishedAddress,
    },
    /// A route of the host covers the subnet.
    #[error(
        "subnet {subnet}/{prefix} of network {network} collides with route {route} of interface {interface}"
    )]
    SubnetTaken {
        /// Name of the network.
        network: String,
        /// Base address.
        subnet: Ipv4Addr,
        /// Prefix length.
        prefix: u8,
        /// `10.0.0.0/8`.
        route: String,
        /// Name of the interface.
        interface: String,
    },
    /// An interface with the bridge's name exists and is not ours.
    #[error("interface {bridge} of network {network} exists and belongs to {owner}")]
    BridgeTaken {
        /// Name of the network.
        network: String,
        /// Name of the interface.
        bridge: String,
        /// Its alias, or its kind.
        owner: String,
    },
    /// A container sits on a network that was not made.
    #[error("container {container} needs network {network}, which does not exist")]
    UnknownNetwork {
        /// Name of the container.
        container: String,
        /// Name of the network.
        network: String,
    },
    /// Containers still sit on the network.
    #[error("network {network} is in use by container {container}")]
    InUse {
        /// Name of the network.
        network: String,
        /// Name of a container.
        container: String,
    },
    /// Facts about the host could not be read.
    #[error("read the host's {what}")]
    Host {
        /// `links`, `routes`.
        what: &'static str,
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// A socket that a monitor held cannot be used.
    #[error("take over socket `{name}`")]
    Adopt {
        /// Name of the socket.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The thread that owns the network has ended.
    #[error("the network thread has ended")]
    Closed,
}

/// Who has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortOwner {
    /// A container of ours.
    Container {
        /// Its service.
        service: String,
        /// Its project.
        project: String,
    },
    /// A process of the host.
    Process {
        /// Its command name.
        name: String,
        /// Its pid.
        pid: i32,
    },
    /// It cannot be told.
    Unknown,
}

impl fmt::Display for PortOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container { service, project } => {
                write!(f, "service {service} of project {project}")
            }
            Self::Process { name, pid } => write!(f, "{name} (pid {pid})"),
            Self::Unknown => f.write_str("an unknown process"),
        }
    }
}

/// Returns `8080/tcp on 0.0.0.0`.
fn describe(port: &PublishedAddress) -> String {
    use compose_spec::model::PortProtocol;
    let protocol = match port.protocol {
        PortProtocol::Tcp => "tcp",
        PortProtocol::Udp => "udp",
        PortProtocol::Sctp => "sctp",
    };
    format!("{}/{protocol} on {}", port.host_port, port.host_ip)
}
