//! Connections that the kernel still translates to a container that has gone.
//!
//! Without this a client that never changes its port (syslog, DNS) would be led to the old address for as long as it keeps talking.

use std::net::Ipv4Addr;

use super::netlink::{Batch, Netlink, NetlinkError, attribute};

const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const GET: u16 = (NFNL_SUBSYS_CTNETLINK << 8) | 1;
const DELETE: u16 = (NFNL_SUBSYS_CTNETLINK << 8) | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_IP_V4_SRC: u16 = 1;
/// Marks an attribute that contains attributes.
const NESTED: u16 = 0x8000;
/// `struct nfgenmsg` of IPv4.
const IPV4: [u8; 4] = [2, 0, 0, 0];

/// Forgets the connections whose answers come from these addresses.
pub(crate) fn forget(netlink: &mut Netlink, addresses: &[Ipv4Addr]) -> Result<(), NetlinkError> {
    let mut tuples = Vec::new();
    netlink.dump("list connections", GET, &IPV4, |bytes| {
        tuples.extend(parse(bytes, addresses));
    })?;
    // One by one: an entry that ended by itself must not keep the others.
    for tuple in tuples {
        let mut batch = Batch::default();
        batch.message("forget a connection", DELETE, 0, &IPV4, |a| {
            a.bytes(CTA_TUPLE_ORIG | NESTED, &tuple);
        });
        match netlink.execute(batch) {
            Err(error) if error.errno() != Some(libc::ENOENT) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the original tuple, as it is on the wire, of a connection that is answered from one of the addresses.
fn parse(bytes: &[u8], addresses: &[Ipv4Addr]) -> Option<Vec<u8>> {
    let attributes = bytes.get(4..)?;
    let source = attribute(attributes, CTA_TUPLE_REPLY)
        .and_then(|tuple| attribute(tuple, CTA_TUPLE_IP))
        .and_then(|ip| attribute(ip, CTA_IP_V4_SRC))?;
    let source = Ipv4Addr::from(<[u8; 4]>::try_from(source).ok()?);
    addresses
        .contains(&source)
        .then(|| attribute(attributes, CTA_TUPLE_ORIG).map(<[u8]>::to_vec))?
}
