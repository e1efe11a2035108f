//! Port 53 of 127.0.0.11 in a container: queries go to the port of our socket and answers come from port 53, without conntrack.
//!
//! Binding port 53 itself would keep the container's own programs from binding 0.0.0.0:53 (trap T14).

use std::net::Ipv4Addr;

use super::super::netlink::{Batch, Netlink, NetlinkError, attribute, text};
use super::{
    expression::Expression as E,
    send,
    table::{GETTABLE, Hook, IPV4, Table, header, kind, transaction},
};

const TABLE: &str = "stack-dns";
const CHAIN: &str = "output";
/// Protocol number and offset of the checksum in the transport header.
const UDP: (u8, u32) = (17, 6);
const TCP: (u8, u32) = (6, 16);

/// Installs the rewrite in the network namespace of the calling thread.
pub(crate) fn redirect_port_53(
    server: Ipv4Addr,
    udp_port: u16,
    tcp_port: u16,
) -> Result<(), NetlinkError> {
    let mut netlink = Netlink::open(libc::NETLINK_NETFILTER)?;
    let mut exists = false;
    netlink.dump("list tables", kind(GETTABLE), &header(IPV4), |bytes| {
        let name = bytes.get(4..).and_then(|rest| attribute(rest, 1)).map(text);
        exists |= name.as_deref() == Some(TABLE);
    })?;
    send(&mut netlink, rewrite(exists, server, udp_port, tcp_port))
}

fn rewrite(exists: bool, server: Ipv4Addr, udp_port: u16, tcp_port: u16) -> Batch {
    let table = Table {
        family: IPV4,
        name: TABLE,
    };
    let mut batch = Batch::default();
    transaction(&mut batch, |batch| {
        if exists {
            table.delete(batch);
        }
        table.create(batch, 0, "made by stack: DNS of this container");
        let hook = Hook {
            kind: "filter",
            number: 3,
            priority: -300,
        };
        table.chain(batch, CHAIN, Some(hook));
        for ((protocol, checksum), port) in [(UDP, udp_port), (TCP, tcp_port)] {
            let query = [
                E::Destination(server, 32),
                E::Protocol(protocol),
                E::DestinationPort(53),
                E::Notrack,
                E::SetDestinationPort { port, checksum },
            ];
            table.rule(batch, CHAIN, &query);
            let answer = [
                E::Source(server, 32),
                E::Protocol(protocol),
                E::SourcePort(port),
                E::Notrack,
                E::SetSourcePort { port: 53, checksum },
            ];
            table.rule(batch, CHAIN, &answer);
        }
    });
    batch
}
