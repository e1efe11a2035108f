//! Netlink: our own batch encoder, because several messages in one system call make wiring a container 40 times faster than one
//! request and one answer each. Knows nothing of containers.

mod message;
mod route;
mod socket;

pub(crate) use message::{APPEND, Attributes, Batch, CREATE, attribute, be32, text};
pub(crate) use route::{
    Address, BridgeLink, Link, Route, VethLink, add_address, add_bridge, add_default_route,
    add_veth, addresses, delete_link, links, routes, set_port, set_up,
};
pub(crate) use socket::Netlink;
pub use socket::NetlinkError;
