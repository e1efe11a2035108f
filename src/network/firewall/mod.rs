//! The packet filter: one table `inet stack…`, replaced as a whole in one transaction whenever what is wanted changed.
//!
//! Sending everything is cheaper than finding out what differs (200 ports: a quarter of a millisecond). The table is owned by our
//! socket (`nft flush ruleset` of others leaves it alone) and persists when we die; the next supervisor takes it over by replacing it.

mod expression;
mod foreign;
mod resolver;
mod rules;
mod table;

use std::net::Ipv4Addr;

use super::{
    conntrack,
    error::NetworkError,
    netlink::{Batch, Netlink, NetlinkError, attribute, text},
};
use table::{ANY_FAMILY, GETTABLE, INET, header, kind};

pub(crate) use foreign::InputPolicy;
pub(crate) use resolver::redirect_port_53;
pub(crate) use rules::{Wanted, WantedNetwork, WantedPort};

/// The owner of the table.
#[derive(Debug)]
pub(crate) struct Firewall {
    netlink: Netlink,
    table: String,
    comment: String,
    /// Table flags that this kernel knows.
    flags: u32,
    committed: Option<Wanted>,
    /// Whether the user was told about legacy iptables.
    warned: bool,
}

impl Firewall {
    /// Opens the socket; changes nothing.
    pub(crate) fn open(table: String, comment: String) -> Result<Self, NetworkError> {
        Ok(Self {
            netlink: Netlink::open(libc::NETLINK_NETFILTER).map_err(NetworkError::Firewall)?,
            table,
            comment,
            flags: rules::OWNED,
            committed: None,
            warned: false,
        })
    }

    /// Makes the table what is wanted, and lets our bridges pass foreign forward chains that drop.
    pub(crate) fn commit(&mut self, wanted: Wanted) -> Result<(), NetworkError> {
        let exists = self.exists().map_err(NetworkError::Firewall)?;
        let same = self.committed.as_ref() == Some(&wanted);
        if !same || exists == wanted.networks.is_empty() {
            self.replace(exists, &wanted)
                .map_err(NetworkError::Firewall)?;
        }
        if !wanted.networks.is_empty() && !self.warned && foreign::has_legacy_filter() {
            self.warned = true;
            tracing::warn!(
                "this host has rules of iptables-legacy, which stack cannot read: if the policy of their FORWARD chain is DROP, \
                 accept the interfaces `st-+` in it"
            );
        }
        let bridges: Vec<&str> = wanted
            .networks
            .iter()
            .map(|network| network.bridge.as_str())
            .collect();
        foreign::pass(&mut self.netlink, &self.comment, &bridges)
            .map_err(NetworkError::Firewall)?;
        self.committed = Some(wanted);
        Ok(())
    }

    /// Says whether foreign chains keep strangers from this host's own ports.
    pub(crate) fn input_policy(&mut self) -> Result<InputPolicy, NetworkError> {
        foreign::input_policy(&mut self.netlink).map_err(NetworkError::Firewall)
    }

    /// Ends the translation of connections to containers that have gone.
    pub(crate) fn forget_connections(
        &mut self,
        addresses: &[Ipv4Addr],
    ) -> Result<(), NetworkError> {
        conntrack::forget(&mut self.netlink, addresses).map_err(NetworkError::Firewall)
    }

    /// Whether the table is there.
    pub(crate) fn exists(&mut self) -> Result<bool, NetlinkError> {
        let mut found = false;
        self.netlink.dump(
            "list tables",
            kind(GETTABLE),
            &header(ANY_FAMILY),
            |bytes| {
                let name = bytes.get(4..).and_then(|rest| attribute(rest, 1)).map(text);
                found |= bytes.first() == Some(&INET) && name.as_deref() == Some(&self.table);
            },
        )?;
        Ok(found)
    }

    fn replace(&mut self, exists: bool, wanted: &Wanted) -> Result<(), NetlinkError> {
        let first = self.send(rules::replace(&self.table, exists, self.flags, wanted));
        match first.as_ref().map_err(NetlinkError::errno) {
            // PERSIST needs Linux 6.9, OWNER 5.12.
            Err(Some(libc::EINVAL | libc::EOPNOTSUPP)) if self.flags != 0 => {
                self.flags = 0;
                tracing::debug!("this kernel has no owned nf_tables tables");
                self.send(rules::replace(&self.table, exists, 0, wanted))
            }
            // Somebody flushed an orphaned table since we looked.
            Err(Some(libc::ENOENT)) if exists => {
                self.send(rules::replace(&self.table, false, self.flags, wanted))
            }
            _ => first,
        }
    }

    fn send(&mut self, batch: Batch) -> Result<(), NetlinkError> {
        send(&mut self.netlink, batch)
    }
}

/// Sends a transaction; the kernel acknowledges the message before its end.
fn send(netlink: &mut Netlink, mut batch: Batch) -> Result<(), NetlinkError> {
    let Some(last) = batch.len().checked_sub(2).filter(|last| *last > 0) else {
        return Ok(());
    };
    netlink.execute_acknowledging(&mut batch, last)
}
