//! Published ports: for each a listening socket is opened and kept.
//!
//! The socket reserves the port, tells conflicts at once, and serves what address translation does not: `[::1]` and other IPv6, and
//! everything when the host's firewall guards its input. IPv4 normally never reaches it. A monitor holds a copy, so connections made
//! while no supervisor lives wait in its queue instead of being refused.

mod conflict;
mod tcp;
mod udp;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket},
    os::fd::OwnedFd,
};

use compose_spec::model::{Port, PortProtocol, PublishedPort};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with,
    sockopt::{set_ipv6_v6only, set_socket_reuseaddr},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::PublishedAddress;

use super::error::{NetworkError, PortOwner};

/// Connections that wait while no supervisor lives, or while the container restarts.
const BACKLOG: i32 = 4096;
/// Attempts at an ephemeral port that is free for IPv4 and IPv6.
const EPHEMERAL_ATTEMPTS_MAX: usize = 16;

/// Where a socket's traffic goes: the container's port while it runs.
pub(crate) type Target = watch::Receiver<Option<SocketAddrV4>>;

/// A socket of a published port.
#[derive(Debug)]
pub(crate) struct PortSocket {
    /// Where it is bound.
    pub(crate) address: SocketAddr,
    /// The socket.
    pub(crate) socket: BoundSocket,
}

/// The transport of a socket.
#[derive(Debug)]
pub(crate) enum BoundSocket {
    /// Listens.
    Tcp(TcpListener),
    /// Receives.
    Udp(UdpSocket),
}

impl PortSocket {
    /// Returns the name under which a monitor holds it: `tcp 0.0.0.0:8080`.
    pub(crate) fn name(&self) -> String {
        match self.socket {
            BoundSocket::Tcp(_) => format!("tcp {}", self.address),
            BoundSocket::Udp(_) => format!("udp {}", self.address),
        }
    }

    /// Takes back a socket that a monitor held; `None` when the name is not one of a port.
    pub(crate) fn adopt(name: &str, fd: OwnedFd) -> Option<Self> {
        let (protocol, address) = name.split_once(' ')?;
        let address = address.parse().ok()?;
        let socket = match protocol {
            "tcp" => BoundSocket::Tcp(fd.into()),
            "udp" => BoundSocket::Udp(fd.into()),
            _ => return None,
        };
        Some(Self { address, socket })
    }

    /// Whether it belongs to a published port (IPv6 companions of an IPv4 one included).
    pub(crate) fn serves(&self, port: &PublishedAddress) -> bool {
        let protocol = match self.socket {
            BoundSocket::Tcp(_) => PortProtocol::Tcp,
            BoundSocket::Udp(_) => PortProtocol::Udp,
        };
        let same_address = self.address.ip() == port.host_ip
            || (port.host_ip.is_unspecified() && self.address.ip().is_unspecified());
        protocol == port.protocol && same_address && self.address.port() == port.host_port
    }

    /// Returns a second descriptor of the socket.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        match &self.socket {
            BoundSocket::Tcp(socket) => socket.try_clone().map(OwnedFd::from),
            BoundSocket::Udp(socket) => socket.try_clone().map(OwnedFd::from),
        }
    }

    /// Serves what reaches the socket until it is cancelled.
    pub(crate) async fn serve(self, target: Target, cancel: CancellationToken) -> io::Result<()> {
        match self.socket {
            BoundSocket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tcp::serve(listener, target, cancel).await;
            }
            BoundSocket::Udp(socket) => {
                socket.set_nonblocking(true)?;
                let socket = tokio::net::UdpSocket::from_std(socket)?;
                udp::serve(socket, target, cancel).await?;
            }
        }
        Ok(())
    }
}

/// A published port and its sockets.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The port as it is bound: ephemeral ports and ranges are decided.
    pub(crate) port: PublishedAddress,
    /// IPv4, then IPv6.
    pub(crate) sockets: Vec<PortSocket>,
}

/// Binds all published ports of a container, or none.
///
/// A host port of 0 means: the first free one of the range that `wanted` has for this target, else any.
pub(crate) fn bind_all(
    published: &[PublishedAddress],
    wanted: &[Port],
    ours: &dyn Fn(&PublishedAddress) -> Option<PortOwner>,
) -> Result<Vec<Bound>, NetworkError> {
    let mut all: Vec<Bound> = Vec::new();
    for port in published {
        let companion = port.host_ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            && !published.iter().any(|other| {
                other.host_ip.is_ipv6()
                    && other.target == port.target
                    && other.protocol == port.protocol
            });
        let bound = match range(port, wanted) {
            Some((first, last)) => bind_range(port, (first, last), companion, ours)?,
            None => bind_port(port, companion, ours)?,
        };
        all.push(bound);
    }
    Ok(all)
}

fn range(port: &PublishedAddress, wanted: &[Port]) -> Option<(u16, u16)> {
    if port.host_port != 0 {
        return None;
    }
    wanted.iter().find_map(|wanted| match wanted.published {
        PublishedPort::Range(first, last)
            if wanted.target == port.target && wanted.protocol == port.protocol =>
        {
            Some((first, last))
        }
        _ => None,
    })
}

fn bind_range(
    port: &PublishedAddress,
    (first, last): (u16, u16),
    companion: bool,
    ours: &dyn Fn(&PublishedAddress) -> Option<PortOwner>,
) -> Result<Bound, NetworkError> {
    let mut taken = None;
    for candidate in first..=last {
        let port = PublishedAddress {
            host_port: candidate,
            ..port.clone()
        };
        match bind_port(&port, companion, ours) {
            Err(NetworkError::PortTaken { owner, .. }) => taken = taken.or(Some(owner)),
            result => return result,
        }
    }
    Err(NetworkError::RangeTaken {
        first,
        last,
        owner: taken.unwrap_or(PortOwner::Unknown),
    })
}

fn bind_port(
    port: &PublishedAddress,
    companion: bool,
    ours: &dyn Fn(&PublishedAddress) -> Option<PortOwner>,
) -> Result<Bound, NetworkError> {
    let attempts = if port.host_port == 0 {
        EPHEMERAL_ATTEMPTS_MAX
    } else {
        1
    };
    let mut attempt = 1;
    loop {
        match bind_pair(port, companion) {
            Ok(bound) => return Ok(bound),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < attempts => {
                attempt += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(NetworkError::PortTaken {
                    port: port.clone(),
                    owner: ours(port).unwrap_or_else(|| conflict::owner(port)),
                });
            }
            Err(source) if source.kind() == io::ErrorKind::Unsupported => {
                return Err(NetworkError::Transport { port: port.clone() });
            }
            Err(source) => {
                return Err(NetworkError::Bind {
                    port: port.clone(),
                    source,
                });
            }
        }
    }
}

fn bind_pair(port: &PublishedAddress, companion: bool) -> io::Result<Bound> {
    let first = bind_one(port.protocol, SocketAddr::new(port.host_ip, port.host_port))?;
    let number = first.address.port();
    let mut sockets = vec![first];
    if companion {
        let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), number);
        match bind_one(port.protocol, any) {
            Ok(socket) => sockets.push(socket),
            // A host without IPv6 has nobody to serve there.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Bound {
        port: PublishedAddress {
            host_port: number,
            ..port.clone()
        },
        sockets,
    })
}

fn bind_one(protocol: PortProtocol, address: SocketAddr) -> io::Result<PortSocket> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let (kind, transport) = match protocol {
        PortProtocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        PortProtocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        PortProtocol::Sctp => return Err(io::ErrorKind::Unsupported.into()),
    };
    let fd = socket_with(family, kind, SocketFlags::CLOEXEC, Some(transport))?;
    if address.is_ipv6() {
        set_ipv6_v6only(&fd, true)?;
    }
    if protocol == PortProtocol::Tcp {
        // Only connections in TIME_WAIT are passed over; a listener still conflicts.
        set_socket_reuseaddr(&fd, true)?;
    }
    bind(&fd, &address)?;
    let socket = if protocol == PortProtocol::Tcp {
        listen(&fd, BACKLOG)?;
        BoundSocket::Tcp(fd.into())
    } else {
        BoundSocket::Udp(fd.into())
    };
    let address = match &socket {
        BoundSocket::Tcp(socket) => socket.local_addr()?,
        BoundSocket::Udp(socket) => socket.local_addr()?,
    };
    Ok(PortSocket { address, socket })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host_ip: &str, host_port: u16) -> PublishedAddress {
        PublishedAddress {
            host_ip: host_ip.parse().unwrap(),
            host_port,
            target: 80,
            protocol: PortProtocol::Tcp,
        }
    }

    fn nobody(_: &PublishedAddress) -> Option<PortOwner> {
        None
    }

    #[test]
    fn an_ephemeral_port_is_reported_and_then_taken_by_this_process() {
        let bound = bind_all(&[port("127.0.0.1", 0)], &[], &nobody).unwrap();
        let number = bound[0].port.host_port;
        assert_ne!(number, 0);
        let socket = &bound[0].sockets[0];
        assert_eq!(socket.name(), format!("tcp 127.0.0.1:{number}"));
        assert!(socket.serves(&bound[0].port));
        let error = bind_all(&[port("127.0.0.1", number)], &[], &nobody).unwrap_err();
        let text = error.to_string();
        let pid = std::process::id();
        assert!(
            text.starts_with(&format!("port {number}/tcp on 127.0.0.1 is taken by "))
                && text.ends_with(&format!("(pid {pid})")),
            "{text}"
        );
    }

    #[test]
    fn a_range_gives_its_first_free_port_and_names_the_owner_when_full() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = holder.local_addr().unwrap().port();
        let wanted = |last| Port {
            target: 80,
            published: PublishedPort::Range(taken, last),
            host_ip: None,
            protocol: PortProtocol::Tcp,
        };
        let Some(beyond) = taken.checked_add(8) else {
            return;
        };
        let bound = bind_all(&[port("127.0.0.1", 0)], &[wanted(beyond)], &nobody).unwrap();
        assert!(bound[0].port.host_port > taken && bound[0].port.host_port <= beyond);
        let error = bind_all(&[port("127.0.0.1", 0)], &[wanted(taken)], &nobody).unwrap_err();
        assert!(matches!(error, NetworkError::RangeTaken { .. }), "{error}");
    }

    #[test]
    fn held_sockets_come_back_by_their_names() {
        let bound = bind_all(&[port("0.0.0.0", 0)], &[], &nobody).unwrap();
        for socket in &bound[0].sockets {
            let again = PortSocket::adopt(&socket.name(), socket.duplicate().unwrap()).unwrap();
            assert_eq!(again.address, socket.address);
            assert!(again.serves(&bound[0].port));
        }
        let fd = bound[0].sockets[0].duplicate().unwrap();
        assert!(PortSocket::adopt("dns-udp", fd).is_none());
    }
}
