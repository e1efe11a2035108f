//! A container's namespace and its seats on networks: everything is wired before the container's first process exists.
//!
//! The part that needs the container's namespace runs on a thread of its own ([`prepare`]); it hands out sockets that keep belonging to
//! that namespace, so that the rest ([`wire`]) happens on the owner's thread: one message batch in the host's namespace, one inside.

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::fd::AsRawFd,
    path::Path,
};

use fs_err as fs;

use crate::model::{ContainerRecord, EndpointRecord, NetworkRecord};

use super::{
    dns,
    error::NetworkError,
    firewall,
    names::{self, Tag},
    netlink::{self, Batch, Link, Netlink, NetlinkError, VethLink},
    netns::{self, NetnsError},
    sysctl,
};

/// `com.docker.network.bridge.enable_icc=false`: containers of the network do not reach each other.
const OPTION_ICC: &str = "com.docker.network.bridge.enable_icc";

/// What the container's namespace gave out.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// rtnetlink inside the namespace; `None` when it was wired before.
    inside: Option<Netlink>,
    /// The resolver's sockets.
    pub(crate) dns: DnsSockets,
}

/// The resolver's sockets of one container.
#[derive(Debug)]
pub(crate) struct DnsSockets {
    /// Queries by datagram.
    pub(crate) udp: UdpSocket,
    /// Queries by stream.
    pub(crate) tcp: TcpListener,
}

/// Makes, pins and prepares a container's namespace, or enters the one that is pinned already and wired.
///
/// Blocks for a millisecond or more: not on a runtime thread.
pub(crate) fn prepare(
    path: &Path,
    record: &ContainerRecord,
    wired: bool,
) -> Result<Prepared, NetworkError> {
    let error = |source| NetworkError::Namespace {
        container: record.name.clone(),
        source,
    };
    if wired {
        let dns = netns::enter(path, dns_sockets)
            .map_err(error)?
            .map_err(|source| wrap(record, source))?;
        return Ok(Prepared { inside: None, dns });
    }
    // One that is pinned but not wired as recorded is of no use.
    netns::remove(path).map_err(error)?;
    let result = netns::create(path, inside)
        .map_err(error)
        .and_then(|result| result.map_err(|source| wrap(record, source)));
    if result.is_err() {
        undo(path);
    }
    result
}

/// Plugs a prepared namespace into its networks. On an error the namespace is removed, and the kernel's links with it.
pub(crate) fn wire(
    host: &mut Netlink,
    tag: &Tag,
    record: &ContainerRecord,
    networks: &[&NetworkRecord],
    (path, prepared): (&Path, &mut Prepared),
) -> Result<(), NetworkError> {
    let Some(mut inside) = prepared.inside.take() else {
        return Ok(());
    };
    let result = plug(host, &mut inside, tag, (record, networks), path);
    if result.is_err() {
        undo(path);
    }
    result
}

/// Whether a container's kernel-side network is as recorded: pinned, and every endpoint a port of its network's bridge.
pub(crate) fn is_wired(
    links: &[Link],
    tag: &Tag,
    record: &ContainerRecord,
    networks: &[&NetworkRecord],
    path: &Path,
) -> bool {
    let bridge = |network: &str| {
        let record = networks.iter().find(|known| known.name == network)?;
        links.iter().find(|link| link.name == record.bridge)
    };
    netns::is_pinned(path)
        && record.endpoints.iter().all(|endpoint| {
            let alias = tag.endpoint_alias(record, &endpoint.network);
            bridge(&endpoint.network).is_some_and(|bridge| {
                links
                    .iter()
                    .any(|link| link.alias == alias && link.master == bridge.index && link.up)
            })
        })
}

/// Why a namespace could not be prepared.
#[derive(Debug)]
enum PrepareError {
    Netlink(NetlinkError),
    Network(NetworkError),
    Dns(std::io::Error),
}

/// Runs in the new namespace.
fn inside() -> Result<Prepared, PrepareError> {
    let mut netlink = Netlink::open(libc::NETLINK_ROUTE).map_err(PrepareError::Netlink)?;
    let mut batch = Batch::default();
    netlink::set_up(&mut batch, 1);
    netlink.execute(batch).map_err(PrepareError::Netlink)?;
    for (name, value) in [
        // Peers learn the address of a recreated container at once (trap T24).
        ("net/ipv4/conf/all/arp_notify", "1"),
        ("net/ipv4/ip_unprivileged_port_start", "0"),
        ("net/ipv4/ping_group_range", "0\t2147483647"),
        // eth0 and its siblings are IPv4 only; lo exists already and keeps ::1.
        ("net/ipv6/conf/default/disable_ipv6", "1"),
    ] {
        sysctl::set(name, value).map_err(PrepareError::Network)?;
    }
    Ok(Prepared {
        inside: Some(netlink),
        dns: dns_sockets()?,
    })
}

/// Binds the resolver's sockets to ports of their own and redirects port 53 to them; without nf_tables, binds port 53.
fn dns_sockets() -> Result<DnsSockets, PrepareError> {
    let bind = |port| -> std::io::Result<DnsSockets> {
        Ok(DnsSockets {
            udp: UdpSocket::bind((dns::SERVER, port))?,
            tcp: TcpListener::bind((dns::SERVER, port))?,
        })
    };
    let sockets = bind(0).map_err(PrepareError::Dns)?;
    let ports = sockets
        .udp
        .local_addr()
        .and_then(|udp| Ok((udp.port(), sockets.tcp.local_addr()?.port())))
        .map_err(PrepareError::Dns)?;
    match firewall::redirect_port_53(dns::SERVER, ports.0, ports.1) {
        Ok(()) => Ok(sockets),
        Err(error) => {
            tracing::warn!(%error, "no nf_tables in containers: they cannot bind port 53 themselves");
            bind(53).map_err(PrepareError::Dns)
        }
    }
}

fn plug(
    host: &mut Netlink,
    inside: &mut Netlink,
    tag: &Tag,
    (record, networks): (&ContainerRecord, &[&NetworkRecord]),
    path: &Path,
) -> Result<(), NetworkError> {
    let error = |source| NetworkError::Wire {
        subject: format!("container {}", record.name),
        source,
    };
    let netns = fs::File::open(path).map_err(|source| NetworkError::Namespace {
        container: record.name.clone(),
        source: NetnsError {
            step: "open",
            path: path.to_owned(),
            source,
        },
    })?;
    let mut outer = Batch::default();
    let mut settle = Batch::default();
    for endpoint in &record.endpoints {
        let network = network_of(record, endpoint, networks)?;
        let bridge = netlink::link(host, &network.bridge)
            .map_err(error)?
            .ok_or_else(|| unknown(record, endpoint))?;
        let name = names::veth();
        netlink::add_veth(
            &mut outer,
            &VethLink {
                name: &name,
                alias: &tag.endpoint_alias(record, &endpoint.network),
                bridge: bridge.index,
                mtu: network.mtu,
                netns: netns.as_raw_fd(),
                inner_name: &endpoint.interface,
                inner_mac: endpoint.mac,
            },
        );
        let icc = network.wanted.driver_opts.get(OPTION_ICC);
        netlink::set_port(&mut outer, &name, icc.is_some_and(|on| on == "false"));
        netlink::settle_link(&mut settle, &name);
        netlink::settle_link(&mut settle, &network.bridge);
    }
    host.execute(outer).map_err(error)?;
    let mut inner = Batch::default();
    for endpoint in &record.endpoints {
        let network = network_of(record, endpoint, networks)?;
        // The kernel takes a peer's index from us only together with the host end's, so it is looked up.
        let link = netlink::link(inside, &endpoint.interface)
            .map_err(error)?
            .ok_or_else(|| unknown(record, endpoint))?;
        // The address while it is down: one notification less, and the gratuitous ARP goes out when it comes up.
        netlink::add_address(&mut inner, link.index, endpoint.address, network.prefix);
        netlink::set_up(&mut inner, link.index);
        if endpoint.default_route && !network.wanted.internal {
            netlink::add_default_route(&mut inner, link.index, network.gateway);
        }
    }
    inside.execute(inner).map_err(error)?;
    host.execute(settle).map_err(error)
}

/// Finds the network of an endpoint.
pub(crate) fn network_of<'a>(
    record: &ContainerRecord,
    endpoint: &EndpointRecord,
    networks: &[&'a NetworkRecord],
) -> Result<&'a NetworkRecord, NetworkError> {
    networks
        .iter()
        .find(|network| network.name == endpoint.network)
        .copied()
        .ok_or_else(|| unknown(record, endpoint))
}

/// Chooses the endpoint that published ports lead to: the one with the default route, else the first.
pub(crate) fn publishing(record: &ContainerRecord) -> Option<(&EndpointRecord, Ipv4Addr)> {
    record
        .endpoints
        .iter()
        .find(|endpoint| endpoint.default_route)
        .or_else(|| record.endpoints.first())
        .map(|endpoint| (endpoint, endpoint.address))
}

fn unknown(record: &ContainerRecord, endpoint: &EndpointRecord) -> NetworkError {
    NetworkError::UnknownNetwork {
        container: record.name.clone(),
        network: endpoint.network.clone(),
    }
}

fn wrap(record: &ContainerRecord, error: PrepareError) -> NetworkError {
    match error {
        PrepareError::Network(error) => error,
        PrepareError::Netlink(source) => NetworkError::Wire {
            subject: format!("container {}", record.name),
            source,
        },
        PrepareError::Dns(source) => NetworkError::Adopt {
            name: format!("resolver of {}", record.name),
            source,
        },
    }
}

fn undo(path: &Path) {
    if let Err(error) = netns::remove(path) {
        tracing::warn!(%error, "a network namespace is left");
    }
}
