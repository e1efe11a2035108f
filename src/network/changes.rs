//! Tells when somebody else takes kernel objects of ours away: a bridge, or the table of the packet filter.
//!
//! An event only wakes the owner, which then calls [`super::Fabric::repair`]; our own removals wake it too, and find nothing to do.

use std::{fmt, future::poll_fn, io};

use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket};

use crate::store::Root;

use super::{
    error::NetworkError,
    names::{BRIDGE_PREFIX, Tag},
    netlink::{NetlinkError, attribute, messages, text},
};

const RTNLGRP_LINK: u32 = 1;
const NFNLGRP_NFTABLES: u32 = 7;
const RTM_DELLINK: u16 = 17;
/// `NFT_MSG_DELTABLE` of the nf_tables subsystem.
const DELTABLE: u16 = (10 << 8) | 2;
const IFLA_IFNAME: u16 = 3;
const NFTA_TABLE_NAME: u16 = 1;
/// Bytes of `struct ifinfomsg` and `struct nfgenmsg`.
const LINK_HEADER_BYTES: usize = 16;
const TABLE_HEADER_BYTES: usize = 4;
/// Receive buffer of one datagram.
const DATAGRAM_BYTES: usize = 64 * 1024;

/// Listens for removals.
pub struct Changes {
    links: TokioSocket,
    tables: TokioSocket,
    table: String,
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

impl Changes {
    /// Starts to listen in the calling thread's network namespace.
    pub fn open(root: &Root) -> Result<Self, NetworkError> {
        let host = |source| NetworkError::Host {
            what: "changes",
            source: NetlinkError::Socket(source),
        };
        Ok(Self {
            links: listen(libc::NETLINK_ROUTE, RTNLGRP_LINK).map_err(host)?,
            tables: listen(libc::NETLINK_NETFILTER, NFNLGRP_NFTABLES).map_err(host)?,
            table: Tag::of(root).table(),
        })
    }

    /// Waits until a bridge or our table was removed. Cancel safe.
    pub async fn removed(&self) -> Result<(), NetworkError> {
        let wait = async {
            loop {
                let lost = tokio::select! {
                    datagram = receive(&self.links) => is_bridge_lost(&datagram?),
                    datagram = receive(&self.tables) => self.is_table_lost(&datagram?),
                };
                if lost {
                    return Ok(());
                }
            }
        };
        wait.await.map_err(|source| NetworkError::Host {
            what: "changes",
            source: NetlinkError::Socket(source),
        })
    }

    fn is_table_lost(&self, datagram: &Datagram) -> bool {
        let Datagram::Messages(bytes) = datagram else {
            return true;
        };
        messages(bytes).any(|message| {
            let name = message
                .payload
                .get(TABLE_HEADER_BYTES..)
                .and_then(|rest| attribute(rest, NFTA_TABLE_NAME))
                .map(text);
            message.kind == DELTABLE && name.as_deref() == Some(&self.table)
        })
    }
}

/// What a socket gave.
enum Datagram {
    Messages(Vec<u8>),
    /// The kernel dropped some: anything may have happened.
    Overrun,
}

fn is_bridge_lost(datagram: &Datagram) -> bool {
    let Datagram::Messages(bytes) = datagram else {
        return true;
    };
    messages(bytes).any(|message| {
        let name = message
            .payload
            .get(LINK_HEADER_BYTES..)
            .and_then(|rest| attribute(rest, IFLA_IFNAME))
            .map(text);
        message.kind == RTM_DELLINK && name.is_some_and(|name| name.starts_with(BRIDGE_PREFIX))
    })
}

fn listen(protocol: i32, group: u32) -> io::Result<TokioSocket> {
    let protocol = isize::try_from(protocol).map_err(io::Error::other)?;
    let mut socket = TokioSocket::new(protocol)?;
    socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
    socket.socket_mut().add_membership(group)?;
    Ok(socket)
}

async fn receive(socket: &TokioSocket) -> io::Result<Datagram> {
    let mut buffer = Vec::with_capacity(DATAGRAM_BYTES);
    match poll_fn(|context| socket.poll_recv(context, &mut buffer)).await {
        Ok(()) => Ok(Datagram::Messages(buffer)),
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Datagram::Overrun),
        Err(error) => Err(error),
    }
}
