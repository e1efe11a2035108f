//! Networks of projects: a bridge each, containers plugged in before they start, DNS, translation and published ports.
//!
//! One [`Fabric`] in the supervisor owns all of it: what the kernel, the resolvers and the packet filter do is a function of the networks
//! and containers registered with it. Nothing is remembered elsewhere: after a restart the records are registered again, the sockets come
//! back from the monitors, and [`Fabric::settle`] removes what nobody claimed. Containers never notice.
//!
//! Blocking kernel work happens on one thread of its own, never on a runtime worker; what needs another network namespace runs on a
//! thread that ends afterwards.

mod bridge;
mod changes;
mod conntrack;
mod core;
mod desired;
mod dns;
mod endpoint;
mod error;
mod fabric;
mod firewall;
mod host;
mod names;
mod netlink;
mod netns;
mod ports;
mod seat;
mod sysctl;
mod wiring;

pub use changes::Changes;
pub use dns::{hosts, resolv_conf};
pub use error::{NetworkError, PortOwner};
pub use fabric::Fabric;
pub use host::{HostFacts, HostResolver, UsedSubnet, host_facts};
pub use netlink::NetlinkError;
pub use netns::NetnsError;
pub use seat::{Attached, HeldSocket};
pub use wiring::{Wiring, netns_path};
