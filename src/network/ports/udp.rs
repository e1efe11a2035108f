//! Datagrams that reach the bound socket are carried to the container, one inner socket per client.
//!
//! Answers leave from the address that the client wrote to (IP_PKTINFO), which on a host with several addresses the kernel would
//! not choose by itself.

use std::{
    collections::HashMap,
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsRawFd,
    sync::Arc,
    time::Duration,
};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo},
};
use tokio::{io::Interest, net::UdpSocket, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::Target;

/// Clients carried at a time, for one socket.
const FLOWS_MAX: usize = 1024;
/// A client that is silent in both directions for so long is forgotten; conntrack's own figure for streams is 120 s.
const FLOW_IDLE_MAX: Duration = Duration::from_secs(120);
/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// A client and the address that it wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Peer {
    client: SocketAddr,
    local: Option<IpAddr>,
}

/// Carries until cancelled.
pub(super) async fn serve(
    socket: UdpSocket,
    target: Target,
    cancel: CancellationToken,
) -> io::Result<()> {
    if socket.local_addr()?.is_ipv4() {
        setsockopt(&socket, Ipv4PacketInfo, &true)?;
    } else {
        setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
    }
    let socket = Arc::new(socket);
    let mut flows: HashMap<Peer, Arc<UdpSocket>> = HashMap::new();
    let mut answers: JoinSet<Peer> = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let received = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            Some(ended) = answers.join_next() => {
                if let Ok(peer) = ended {
                    flows.remove(&peer);
                }
                continue;
            }
            received = socket.async_io(Interest::READABLE, || receive(&socket, &mut buffer)) => received,
        };
        let (length, peer) = match received {
            Ok(received) => received,
            // An ICMP error of an earlier datagram.
            Err(error) => {
                tracing::debug!(%error, "receive a published datagram");
                continue;
            }
        };
        let Some(container) = *target.borrow() else {
            continue;
        };
        let flow = match flows.get(&peer) {
            Some(flow) if flow.peer_addr().ok() == Some(container.into()) => Arc::clone(flow),
            _ if flows.len() >= FLOWS_MAX => continue,
            _ => {
                let flow = Arc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?);
                flow.connect(container).await?;
                flows.insert(peer, Arc::clone(&flow));
                answers.spawn(answer(Arc::clone(&socket), Arc::clone(&flow), peer));
                flow
            }
        };
        if let Err(error) = flow.send(&buffer[..length]).await {
            tracing::debug!(%error, "carry a published datagram");
        }
    }
}

/// Carries answers of the container back, until it is silent.
async fn answer(socket: Arc<UdpSocket>, flow: Arc<UdpSocket>, peer: Peer) -> Peer {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    while let Ok(received) = timeout(FLOW_IDLE_MAX, flow.recv(&mut buffer)).await {
        let Ok(length) = received else {
            // ECONNREFUSED: nobody listens in the container now.
            continue;
        };
        let sent = socket
            .async_io(Interest::WRITABLE, || {
                send(&socket, &buffer[..length], peer)
            })
            .await;
        if let Err(error) = sent {
            tracing::debug!(%error, "answer a published datagram");
        }
    }
    peer
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Peer)> {
    let mut control = nix::cmsg_space!(libc::in6_pktinfo);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let local = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(IpAddr::V4(Ipv4Addr::from(
            info.ipi_addr.s_addr.to_ne_bytes(),
        ))),
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(IpAddr::V6(info.ipi6_addr.s6_addr.into()))
        }
        _ => None,
    });
    let client = message
        .address
        .as_ref()
        .and_then(socket_address)
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok((message.bytes, Peer { client, local }))
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage
        .as_sockaddr_in()
        .map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| {
        storage
            .as_sockaddr_in6()
            .map(|address| SocketAddr::V6((*address).into()))
    })
}

fn send(socket: &UdpSocket, bytes: &[u8], peer: Peer) -> io::Result<usize> {
    let slices = [IoSlice::new(bytes)];
    let to = SockaddrStorage::from(peer.client);
    let v4;
    let v6;
    let control = match peer.local {
        Some(IpAddr::V4(local)) => {
            v4 = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(local.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            Some(ControlMessage::Ipv4PacketInfo(&v4))
        }
        Some(IpAddr::V6(local)) => {
            v6 = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: local.octets(),
                },
                ipi6_ifindex: 0,
            };
            Some(ControlMessage::Ipv6PacketInfo(&v6))
        }
        None => None,
    };
    let fd = socket.as_raw_fd();
    Ok(sendmsg(
        fd,
        &slices,
        control.as_slice(),
        MsgFlags::MSG_DONTWAIT,
        Some(&to),
    )?)
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn answers_come_from_the_address_that_was_asked() {
        let container = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let SocketAddr::V4(target) = container.local_addr().unwrap() else {
            panic!("bound to IPv4");
        };
        let (_send, receive) = watch::channel(Some(target));
        let published = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let port = published.local_addr().unwrap().port();
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(published, receive, cancel.clone()));
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // The kernel would answer from 127.0.0.1; a connected client would not take that.
        client.connect(("127.0.0.7", port)).await.unwrap();
        for word in [b"one", b"two"] {
            client.send(word).await.unwrap();
            let mut bytes = [0; 16];
            let (length, from) = container.recv_from(&mut bytes).await.unwrap();
            container.send_to(&bytes[..length], from).await.unwrap();
            let answer = timeout(Duration::from_secs(5), client.recv(&mut bytes)).await;
            assert_eq!(answer.unwrap().unwrap(), 3);
            assert_eq!(&bytes[..3], word);
        }
        cancel.cancel();
        tasks.join_next().await.unwrap().unwrap().unwrap();
    }
}
