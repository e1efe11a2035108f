//! Networks, and how a service sits on them.

use std::net::{IpAddr, Ipv4Addr};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::ServiceName;

/// An entry of the top-level `networks:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Full name: `name:`, else `<project>_<key>`.
    pub name: String,
    /// Exists already and is not ours to make or remove.
    pub external: bool,
    /// `bridge`, `host` or `none`; `None` = bridge.
    pub driver: Option<String>,
    /// Driver options as written.
    pub driver_opts: IndexMap<String, String>,
    /// No way out of the host.
    pub internal: bool,
    /// Give endpoints IPv4 addresses.
    #[serde(default = "yes")]
    pub enable_ipv4: bool,
    /// Give endpoints IPv6 addresses.
    pub enable_ipv6: bool,
    /// Wanted subnets; empty = allocated.
    pub subnets: Vec<IpamSubnet>,
    /// Labels of the network.
    pub labels: IndexMap<String, String>,
}

fn yes() -> bool {
    true
}

/// One `ipam.config` entry; addresses as checked text in CIDR form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpamSubnet {
    /// `10.1.0.0/24`; `None` = allocated.
    pub subnet: Option<String>,
    /// Part of the subnet from which addresses are given.
    pub ip_range: Option<String>,
    /// Address of the bridge; `None` = the first.
    pub gateway: Option<IpAddr>,
    /// Addresses that are never given away.
    pub aux_addresses: IndexMap<String, IpAddr>,
}

/// How a service sees the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// An endpoint on each of these networks, by key; the first is eth0.
    Networks(IndexMap<String, Attachment>),
    /// The host's network.
    Host,
    /// Loopback only.
    None,
    /// The network namespace of another service.
    Service(ServiceName),
    /// The network namespace of a container by name.
    Container(String),
}

/// A service's seat on one network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Further DNS names of the service on this network.
    pub aliases: Vec<String>,
    /// Fixed IPv4 address.
    pub ipv4_address: Option<Ipv4Addr>,
    /// Fixed IPv6 address.
    pub ipv6_address: Option<std::net::Ipv6Addr>,
    /// Further addresses of the interface, of any subnet.
    #[serde(default)]
    pub link_local_ips: Vec<IpAddr>,
    /// Fixed MAC address.
    pub mac_address: Option<String>,
    /// Higher comes first; the first is eth0.
    pub priority: i64,
    /// The highest has the default route.
    pub gw_priority: i64,
    /// Name of the interface in the container.
    pub interface_name: Option<String>,
    /// Options of the endpoint as written (`com.docker.network.endpoint.sysctls`).
    #[serde(default)]
    pub driver_opts: IndexMap<String, String>,
}

/// One published port (ranges are expanded).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Port inside the container.
    pub target: u16,
    /// Where it appears on the host.
    pub published: PublishedPort,
    /// Host address; `None` = all.
    pub host_ip: Option<IpAddr>,
    /// Transport.
    pub protocol: PortProtocol,
}

/// The host side of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishedPort {
    /// A free port chosen at start.
    Ephemeral,
    /// This port.
    Fixed(u16),
    /// The first free one of this range, ends included.
    Range(u16, u16),
}

/// Transport of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP (parsed; refused at start).
    Sctp,
}

/// An extra line for /etc/hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraHost {
    /// Host name.
    pub host: String,
    /// Address, or `host-gateway` for the host as the container sees it.
    pub address: String,
}
