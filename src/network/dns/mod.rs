//! DNS for containers: each has a resolver of its own at 127.0.0.11, inside its namespace, served from here.
//!
//! ```text
//! zone      who is called what, on which network            pure
//! message   bytes -> question, answer -> bytes              pure
//! server    sockets of one container -> answers
//! upstream  everything that is not ours, bytes as they are
//! files     resolv.conf and hosts of a container            pure
//! ```
//! A container learns names of networks that it sits on, and no others.

mod files;
mod message;
mod server;
mod upstream;
mod zone;

use std::net::Ipv4Addr;

pub use files::{hosts, resolv_conf};
pub(crate) use server::Server;
pub(crate) use upstream::{Upstream, Way};
pub(crate) use zone::{View, Zone};

/// Where containers ask.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
