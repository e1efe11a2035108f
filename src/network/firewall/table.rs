//! nf_tables on the wire: transactions, tables, chains, rules, maps and their elements.
//!
//! Integers are big endian.

use std::net::Ipv4Addr;

use super::super::netlink::{APPEND, Attributes, Batch, CREATE};
use super::expression::{Expression, encode_all};

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;

pub(super) const NEWTABLE: u16 = 0;
pub(super) const GETTABLE: u16 = 1;
pub(super) const DELTABLE: u16 = 2;
pub(super) const NEWCHAIN: u16 = 3;
pub(super) const GETCHAIN: u16 = 4;
pub(super) const NEWRULE: u16 = 6;
pub(super) const GETRULE: u16 = 7;
pub(super) const DELRULE: u16 = 8;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;

/// `NFPROTO_INET`.
pub(super) const INET: u8 = 1;
/// `NFPROTO_IPV4`.
pub(super) const IPV4: u8 = 2;
/// `NFPROTO_UNSPEC`: any family, for dumps.
pub(super) const ANY_FAMILY: u8 = 0;

/// Type numbers of nft(8), for its decoding only: `ipv4_addr`, `inet_proto`, `inet_service`.
const TYPE_IPV4: u32 = 7;
const TYPE_PROTO: u32 = 12;
const TYPE_SERVICE: u32 = 13;

/// Elements of one message: an attribute cannot exceed 64 KiB.
const ELEMENTS_MAX: usize = 400;

/// Kind of a message of the nf_tables subsystem.
pub(super) fn kind(message: u16) -> u16 {
    (NFNL_SUBSYS_NFTABLES << 8) | message
}

/// `struct nfgenmsg`.
pub(super) fn header(family: u8) -> [u8; 4] {
    [family, 0, 0, 0]
}

/// Starts or ends a transaction.
pub(super) fn transaction(batch: &mut Batch, changes: impl FnOnce(&mut Batch)) {
    let header = [0, 0, 0, 10];
    batch.message(
        "begin a transaction",
        NFNL_MSG_BATCH_BEGIN,
        0,
        &header,
        |_| {},
    );
    changes(batch);
    batch.message("end a transaction", NFNL_MSG_BATCH_END, 0, &header, |_| {});
}

/// Where a chain is hooked in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hook {
    /// `filter` or `nat`.
    pub(super) kind: &'static str,
    /// `NF_INET_PRE_ROUTING` 0, `LOCAL_IN` 1, `FORWARD` 2, `LOCAL_OUT` 3, `POST_ROUTING` 4.
    pub(super) number: u32,
    /// Lower comes first.
    pub(super) priority: i32,
}

/// A table of one family: every message names both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    /// `INET` or `IPV4`.
    pub(super) family: u8,
    /// Name.
    pub(super) name: &'a str,
}

impl Table<'_> {
    /// Makes the table.
    pub(super) fn create(self, batch: &mut Batch, flags: u32, comment: &str) {
        batch.message(
            format!("add table {}", self.name),
            kind(NEWTABLE),
            CREATE,
            &header(self.family),
            |a| {
                a.text(1, self.name)
                    .be32(2, flags)
                    .bytes(6, &user_comment(comment));
            },
        );
    }

    /// Removes the table and all that is in it.
    pub(super) fn delete(self, batch: &mut Batch) {
        batch.message(
            format!("delete table {}", self.name),
            kind(DELTABLE),
            0,
            &header(self.family),
            |a| {
                a.text(1, self.name);
            },
        );
    }

    /// Makes a chain; without a hook it is only jumped to.
    pub(super) fn chain(self, batch: &mut Batch, name: &str, hook: Option<Hook>) {
        batch.message(
            format!("add chain {name}"),
            kind(NEWCHAIN),
            CREATE,
            &header(self.family),
            |a| {
                a.text(1, self.name).text(3, name);
                if let Some(hook) = hook {
                    a.nest(4, |a| {
                        a.be32(1, hook.number)
                            .be32(2, hook.priority.cast_unsigned());
                    })
                    .be32(5, 1)
                    .text(7, hook.kind);
                }
            },
        );
    }

    /// Appends a rule.
    pub(super) fn rule(self, batch: &mut Batch, chain: &str, expressions: &[Expression]) {
        batch.message(
            format!("add a rule to chain {chain}"),
            kind(NEWRULE),
            CREATE | APPEND,
            &header(self.family),
            |a| {
                a.text(1, self.name)
                    .text(2, chain)
                    .nest(4, |a| encode_all(a, expressions));
            },
        );
    }

    /// Makes a map from (address,) protocol and port to address and port.
    pub(super) fn port_map(self, batch: &mut Batch, name: &str, id: u32, keyed_by_address: bool) {
        let mut fields: Vec<u32> = vec![1, 2];
        let mut key_type = (TYPE_PROTO << 6) | TYPE_SERVICE;
        if keyed_by_address {
            fields.insert(0, 4);
            key_type |= TYPE_IPV4 << 12;
        }
        let key_bytes = u32::try_from(fields.len() * 4).expect("three fields at most");
        batch.message(
            format!("add map {name}"),
            kind(NEWSET),
            CREATE,
            &header(self.family),
            |a| {
                a.text(1, self.name)
                    .text(2, name)
                    .be32(3, 0x88)
                    .be32(4, key_type)
                    .be32(5, key_bytes)
                    .be32(6, (TYPE_IPV4 << 6) | TYPE_SERVICE)
                    .be32(7, 8)
                    .nest(9, |a| {
                        a.nest(2, |a| {
                            for length in &fields {
                                a.nest(1, |a| {
                                    a.be32(1, *length);
                                });
                            }
                        });
                    })
                    .be32(10, id);
            },
        );
    }

    /// Adds elements to a port map.
    pub(super) fn elements(self, batch: &mut Batch, map: &str, id: u32, elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS_MAX) {
            batch.message(
                format!("add elements to map {map}"),
                kind(NEWSETELEM),
                CREATE,
                &header(self.family),
                |a| {
                    a.text(1, self.name).text(2, map).be32(4, id).nest(3, |a| {
                        for element in chunk {
                            a.nest(1, |a| element.encode(a));
                        }
                    });
                },
            );
        }
    }
}

/// An element of a port map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element {
    /// Host address; `None` in the map that is not keyed by it.
    pub(super) address: Option<Ipv4Addr>,
    /// IP protocol number.
    pub(super) protocol: u8,
    /// Port on the host.
    pub(super) port: u16,
    /// Address of the container.
    pub(super) target: Ipv4Addr,
    /// Port in the container.
    pub(super) target_port: u16,
    /// Name of the container.
    pub(super) comment: String,
}

impl Element {
    fn encode(&self, a: &mut Attributes<'_>) {
        let mut key = Vec::with_capacity(12);
        if let Some(address) = self.address {
            key.extend(address.octets());
        }
        key.extend([self.protocol, 0, 0, 0]);
        key.extend(self.port.to_be_bytes());
        key.extend([0, 0]);
        let mut data = self.target.octets().to_vec();
        data.extend(self.target_port.to_be_bytes());
        data.extend([0, 0]);
        a.nest(1, |a| {
            a.bytes(1, &key);
        })
        .nest(2, |a| {
            a.bytes(1, &data);
        })
        .bytes(6, &user_comment(&self.comment));
    }
}

/// USERDATA that `nft` shows as a comment: type 0, length with the terminating zero, text.
pub(super) fn user_comment(text: &str) -> Vec<u8> {
    let text: String = text.chars().filter(char::is_ascii).take(120).collect();
    let length = u8::try_from(text.len() + 1).expect("a comment has at most 120 bytes");
    let mut bytes = vec![0, length];
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    bytes
}
