//! Netlink: our own batch encoder, because several messages in one system call make wiring a container 40 times faster than one
//! request and one answer each. Knows nothing of containers.

mod list;
mod message;
mod route;
mod socket;

pub(crate) use list::{Address, Link, Route, addresses, link, links, routes};
pub(crate) use message::{APPEND, Attributes, Batch, CREATE, attribute, be32, messages, text};
pub(crate) use route::{
    BridgeLink, VethLink, add_address, add_bridge, add_default_route, add_veth, delete_link,
    set_port, set_up, settle_link,
};
pub(crate) use socket::Netlink;
pub use socket::NetlinkError;
