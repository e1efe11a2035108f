//! Expressions of nf_tables rules on the wire. Each name below is the word that `nft` prints.
//!
//! Attributes are big endian; what lands in a register for comparison is in the machine's byte order.

use std::net::Ipv4Addr;

use super::super::netlink::Attributes;
use super::table::IPV4;

/// First 16-byte register; the same bytes as `REG_8` to `REG_11`.
const REG_1: u32 = 1;
const REG_9: u32 = 9;
const REG_10: u32 = 10;

/// What a rule ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// `drop`.
    Drop,
    /// `accept`.
    Accept,
    /// `jump <chain>`.
    Jump(&'static str),
}

/// One statement of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    /// `meta nfproto ipv4`.
    IsIpv4,
    /// `iifname [!=] name`; a trailing `*` matches any rest.
    InputName(Match, String),
    /// `oifname [!=] name`.
    OutputName(Match, String),
    /// `ip saddr subnet/prefix`.
    Source(Ipv4Addr, u8),
    /// `ip daddr subnet/prefix`.
    Destination(Ipv4Addr, u8),
    /// `meta l4proto number`.
    Protocol(u8),
    /// `th sport number`.
    SourcePort(u16),
    /// `th dport number`.
    DestinationPort(u16),
    /// `fib daddr type local`.
    DestinationIsLocal,
    /// `ct state established,related`.
    Established,
    /// `ct status dnat`.
    Translated,
    /// `dnat ip to ip daddr . meta l4proto . th dport map @name`, without the address when not keyed by it.
    DnatByMap {
        /// Name of the map.
        map: &'static str,
        /// Id of the map in this transaction.
        id: u32,
        /// Whether the key starts with the destination address.
        keyed_by_address: bool,
    },
    /// `masquerade`.
    Masquerade,
    /// `notrack`.
    Notrack,
    /// `th sport set number`; the checksum lies at `checksum`.
    SetSourcePort {
        /// The new port.
        port: u16,
        /// Offset of the checksum in the transport header.
        checksum: u32,
    },
    /// `th dport set number`.
    SetDestinationPort {
        /// The new port.
        port: u16,
        /// Offset of the checksum in the transport header.
        checksum: u32,
    },
    /// `counter`.
    Counter,
    /// The end of the rule.
    Verdict(Verdict),
}

/// Whether a comparison is for equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// `==`.
    Is,
    /// `!=`.
    IsNot,
}

/// Appends expressions as list elements.
pub(super) fn encode_all(a: &mut Attributes<'_>, expressions: &[Expression]) {
    for expression in expressions {
        encode(a, expression);
    }
}

fn encode(a: &mut Attributes<'_>, expression: &Expression) {
    match expression {
        Expression::IsIpv4 => {
            meta(a, 15, REG_1);
            compare(a, Match::Is, &[IPV4]);
        }
        Expression::InputName(op, name) => interface(a, 6, *op, name),
        Expression::OutputName(op, name) => interface(a, 7, *op, name),
        Expression::Source(subnet, prefix) => address(a, 12, *subnet, *prefix),
        Expression::Destination(subnet, prefix) => address(a, 16, *subnet, *prefix),
        Expression::Protocol(number) => {
            meta(a, 16, REG_1);
            compare(a, Match::Is, &[*number]);
        }
        Expression::SourcePort(port) => {
            load(a, REG_1, Base::Transport, 0, 2);
            compare(a, Match::Is, &port.to_be_bytes());
        }
        Expression::DestinationPort(port) => {
            load(a, REG_1, Base::Transport, 2, 2);
            compare(a, Match::Is, &port.to_be_bytes());
        }
        Expression::DestinationIsLocal => {
            one(a, "fib", |a| {
                a.be32(1, REG_1).be32(2, 3).be32(3, 2);
            });
            compare(a, Match::Is, &2_u32.to_ne_bytes());
        }
        Expression::Established => conntrack(a, 0, 2 | 4),
        Expression::Translated => conntrack(a, 2, 32),
        Expression::DnatByMap {
            map,
            id,
            keyed_by_address,
        } => dnat_by_map(a, map, *id, *keyed_by_address),
        Expression::Masquerade => one(a, "masq", |_| {}),
        Expression::Notrack => one(a, "notrack", |_| {}),
        Expression::SetSourcePort { port, checksum } => store(a, 0, *port, *checksum),
        Expression::SetDestinationPort { port, checksum } => store(a, 2, *port, *checksum),
        Expression::Counter => one(a, "counter", |a| {
            a.bytes(1, &[0; 8]).bytes(2, &[0; 8]);
        }),
        Expression::Verdict(verdict) => one(a, "immediate", |a| {
            a.be32(1, 0).nest(2, |a| {
                a.nest(2, |a| match verdict {
                    Verdict::Drop => {
                        a.be32(1, 0);
                    }
                    Verdict::Accept => {
                        a.be32(1, 1);
                    }
                    Verdict::Jump(chain) => {
                        a.be32(1, (-3_i32).cast_unsigned()).text(2, chain);
                    }
                });
            });
        }),
    }
}

fn one(a: &mut Attributes<'_>, name: &str, fill: impl FnOnce(&mut Attributes<'_>)) {
    a.nest(1, |a| {
        a.text(1, name).nest(2, fill);
    });
}

fn meta(a: &mut Attributes<'_>, key: u32, register: u32) {
    one(a, "meta", |a| {
        a.be32(1, register).be32(2, key);
    });
}

fn compare(a: &mut Attributes<'_>, op: Match, value: &[u8]) {
    one(a, "cmp", |a| {
        a.be32(1, REG_1)
            .be32(2, u32::from(op == Match::IsNot))
            .nest(3, |a| {
                a.bytes(1, value);
            });
    });
}

/// Names are compared with their padding to 16 bytes, prefixes without.
fn interface(a: &mut Attributes<'_>, key: u32, op: Match, name: &str) {
    meta(a, key, REG_1);
    if let Some(prefix) = name.strip_suffix('*') {
        compare(a, op, prefix.as_bytes());
    } else {
        let mut padded = [0; 16];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        compare(a, op, &padded);
    }
}

fn address(a: &mut Attributes<'_>, offset: u32, subnet: Ipv4Addr, prefix: u8) {
    load(a, REG_1, Base::Network, offset, 4);
    let mask = !u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    if prefix < 32 {
        one(a, "bitwise", |a| {
            a.be32(1, REG_1)
                .be32(2, REG_1)
                .be32(3, 4)
                .nest(4, |a| {
                    a.bytes(1, &mask.to_be_bytes());
                })
                .nest(5, |a| {
                    a.bytes(1, &[0; 4]);
                });
        });
    }
    compare(a, Match::Is, &(u32::from(subnet) & mask).to_be_bytes());
}

/// A bit of conntrack state or status.
fn conntrack(a: &mut Attributes<'_>, key: u32, bits: u32) {
    one(a, "ct", |a| {
        a.be32(1, REG_1).be32(2, key);
    });
    one(a, "bitwise", |a| {
        a.be32(1, REG_1)
            .be32(2, REG_1)
            .be32(3, 4)
            .nest(4, |a| {
                a.bytes(1, &bits.to_ne_bytes());
            })
            .nest(5, |a| {
                a.bytes(1, &[0; 4]);
            });
    });
    compare(a, Match::IsNot, &[0; 4]);
}

fn dnat_by_map(a: &mut Attributes<'_>, map: &str, id: u32, keyed_by_address: bool) {
    let mut next = REG_1;
    if keyed_by_address {
        load(a, REG_1, Base::Network, 16, 4);
        next = REG_9;
    }
    meta(a, 16, next);
    let port = if keyed_by_address { REG_10 } else { REG_9 };
    load(a, port, Base::Transport, 2, 2);
    one(a, "lookup", |a| {
        a.text(1, map).be32(2, REG_1).be32(3, REG_1).be32(4, id);
    });
    one(a, "nat", |a| {
        a.be32(1, 1)
            .be32(2, u32::from(IPV4))
            .be32(3, REG_1)
            .be32(5, REG_9);
    });
}

/// Header that a payload offset counts from.
#[derive(Debug, Clone, Copy)]
enum Base {
    Network = 1,
    Transport = 2,
}

fn load(a: &mut Attributes<'_>, register: u32, base: Base, offset: u32, length: u32) {
    one(a, "payload", |a| {
        a.be32(1, register)
            .be32(2, base as u32)
            .be32(3, offset)
            .be32(4, length);
    });
}

fn store(a: &mut Attributes<'_>, offset: u32, port: u16, checksum: u32) {
    one(a, "immediate", |a| {
        a.be32(1, REG_1).nest(2, |a| {
            a.bytes(1, &port.to_be_bytes());
        });
    });
    one(a, "payload", |a| {
        a.be32(2, Base::Transport as u32)
            .be32(3, offset)
            .be32(4, 2)
            .be32(5, REG_1)
            .be32(6, 1)
            .be32(7, checksum)
            .be32(8, 0);
    });
}
