//! Ports of the host, which only one container can have.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use indexmap::IndexMap;

use crate::{
    diagnostic::{Code, Diagnostic, Sink, Span},
    yaml::Node,
};

/// A published port that is not chosen at start.
struct Published<'t> {
    service: &'t str,
    span: Span,
    address: Option<IpAddr>,
    port: u16,
    protocol: &'t str,
    target: i64,
}

/// Reports ports that two services publish, and fixed ports of services with several replicas.
pub(super) fn check(tree: &Node, sink: &mut Sink) {
    let mut seen: HashMap<(u16, &str), Holders<'_>> = HashMap::new();
    for (name, entry) in tree.entries_at("services") {
        let service = &entry.value;
        let many = super::replicas(service).filter(|(count, _)| *count > 1);
        let mut told = false;
        for port in service.items_at("ports") {
            let Some(port) = published(name, port) else {
                continue;
            };
            if let Some((count, place)) = many.filter(|_| !told) {
                told = true;
                one_replica_only(&port, count, place, sink);
            }
            let holders = seen.entry((port.port, port.protocol)).or_default();
            match holder(holders, &port) {
                Some(_) if sink.is_full() => return,
                Some(other) => taken(other, &port, sink),
                None => {
                    holders.entry(port.address).or_insert(port);
                }
            }
        }
    }
}

/// Who has one port of the host, by address.
type Holders<'t> = IndexMap<Option<IpAddr>, Published<'t>>;

/// Returns who has the port already. Only the addresses that can collide are looked at: a file can publish 65535 ports on
/// many addresses each.
fn holder<'h, 't>(holders: &'h Holders<'t>, port: &Published<'t>) -> Option<&'h Published<'t>> {
    if is_any(port.address) {
        return holders.values().find(|other| collides(other, port));
    }
    let every = [
        None,
        Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        port.address,
    ];
    let known = every.iter().filter_map(|address| holders.get(address));
    known.into_iter().find(|other| collides(other, port))
}

fn is_any(address: Option<IpAddr>) -> bool {
    address.is_none_or(|address| address.is_unspecified())
}

/// Returns a port with one number on the host; ranges take the first free one.
fn published<'t>(service: &'t str, node: &'t Node) -> Option<Published<'t>> {
    let port = node.get("published")?.as_text()?.parse().ok()?;
    let address = node.text_at("host_ip").unwrap_or_default();
    (port != 0).then(|| Published {
        service,
        span: node.get("published").map_or(node.span, |node| node.span),
        address: address.parse().ok(),
        port,
        protocol: node.text_at("protocol").unwrap_or("tcp"),
        target: node
            .get("target")
            .and_then(Node::as_int)
            .unwrap_or_default(),
    })
}

/// Returns whether two ports of one number and protocol cannot be had both.
fn collides(a: &Published<'_>, b: &Published<'_>) -> bool {
    let families_differ = match (a.address, b.address) {
        (Some(a), Some(b)) => a.is_ipv4() != b.is_ipv4(),
        _ => false,
    };
    let addresses = a.address == b.address || is_any(a.address) || is_any(b.address);
    // The same line twice is one port, wherever it comes from.
    let same = a.service == b.service && a.target == b.target && a.address == b.address;
    addresses && !families_differ && !same
}

fn taken(first: &Published<'_>, second: &Published<'_>, sink: &mut Sink) {
    let port = second.port;
    let (message, help) = if first.service == second.service {
        let message = format!("service `{}` publishes port {port} twice", first.service);
        let files_differ = first.span.source != second.span.source;
        let help = if files_differ {
            "lists of several files are appended; `ports: !override` replaces the list below"
        } else {
            "give one of them another port of the host"
        };
        (message, help)
    } else {
        let message = format!(
            "services `{}` and `{}` both publish port {port}",
            first.service, second.service
        );
        let help = "give one of them another port of the host, or leave it out to get a free one";
        (message, help)
    };
    let label = |at: &Published<'_>| format!("container port {}/{}", at.target, at.protocol);
    sink.push(
        Diagnostic::error(Code::PortTaken, message)
            .at(second.span, label(second))
            .and(first.span, label(first))
            .help(help),
    );
}

fn one_replica_only(port: &Published<'_>, count: i64, place: Span, sink: &mut Sink) {
    let message = format!(
        "service `{}` has {count} replicas, and only one can have port {} of the host",
        port.service, port.port
    );
    let last = i64::from(port.port) + count - 1;
    let help = if last <= i64::from(u16::MAX) {
        format!(
            "publish a range, `{}-{last}:{}`, or leave the host's port out",
            port.port, port.target
        )
    } else {
        "leave the host's port out".to_owned()
    };
    sink.push(
        Diagnostic::error(Code::OneReplicaOnly, message)
            .at(port.span, "one port")
            .and(place, format!("{count} replicas"))
            .help(help),
    );
}
