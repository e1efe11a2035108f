//! Namespaces and endpoints: what of a container is its own and what it shares.

use compose_spec::model::{Namespace as Wanted, NetworkMode, Port, PortProtocol, Service};
use runtime::spec::{Namespace, Namespaces};

use super::{LowerInput, error::Checks};
use crate::model::{ContainerRole, EndpointRecord};

/// Checks what cannot be had together with the network mode.
pub(super) fn check(service: &Service, checks: &mut Checks<'_>) {
    for (index, port) in service.ports.iter().enumerate() {
        check_port(index, port, checks);
    }
    match service.network {
        NetworkMode::Networks(_) => {}
        NetworkMode::Host | NetworkMode::None => {
            if !service.ports.is_empty() {
                checks.warn("published ports are ignored with this network mode");
            }
        }
        NetworkMode::Service(_) | NetworkMode::Container(_) => {
            let shared = "a shared `network_mode`";
            for (set, name) in [
                (!service.ports.is_empty(), "ports"),
                (!service.extra_hosts.is_empty(), "extra_hosts"),
                (!service.dns.is_empty(), "dns"),
                (service.mac_address.is_some(), "mac_address"),
            ] {
                if set {
                    checks.conflict(name, &format!("`{name}`"), shared);
                }
            }
        }
    }
}

fn check_port(index: usize, port: &Port, checks: &mut Checks<'_>) {
    if port.target == 0 {
        checks.invalid(
            format!("ports[{index}]"),
            "port",
            "0",
            "a port of the container is 1 to 65535",
        );
    }
    if port.protocol == PortProtocol::Sctp {
        checks.unsupported(format!("ports[{index}]"), "publishing SCTP");
    }
}

/// Lowers the namespaces.
pub(super) fn namespaces(input: &LowerInput<'_>, checks: &mut Checks<'_>) -> Namespaces {
    let service = &input.new.service;
    let joined = &input.places.joined;
    let net = match service.network {
        NetworkMode::Networks(_) => Namespace::Join(input.places.netns.clone()),
        NetworkMode::Host => Namespace::Host,
        NetworkMode::None => Namespace::Private,
        NetworkMode::Service(_) | NetworkMode::Container(_) => {
            if joined.network.is_none() {
                checks.unsupported("network_mode", "joining a network that cannot be found");
            }
            joined
                .network
                .clone()
                .map_or(Namespace::Private, Namespace::Join)
        }
    };
    let mut other = |field: &str, wanted: &Wanted, path: Option<&std::path::PathBuf>| match wanted {
        Wanted::Private | Wanted::Shareable => Namespace::Private,
        Wanted::Host => Namespace::Host,
        Wanted::Service(owner) => shared(field, owner.as_str(), path, checks),
        Wanted::Container(owner) => shared(field, owner, path, checks),
    };
    Namespaces {
        net,
        pid: other("pid", &service.pid, joined.pid.as_ref()),
        ipc: other("ipc", &service.ipc, joined.ipc.as_ref()),
        uts: other("uts", &service.uts, None),
        cgroup: other("cgroup", &service.cgroup, None),
    }
}

fn shared(
    field: &str,
    owner: &str,
    path: Option<&std::path::PathBuf>,
    checks: &mut Checks<'_>,
) -> Namespace {
    if let Some(path) = path {
        return Namespace::Join(path.clone());
    }
    checks.unsupported(field, format!("joining the {field} namespace of `{owner}`"));
    Namespace::Private
}

/// Adds the short id, known only now, to the DNS names of each endpoint.
pub(super) fn endpoints(input: &LowerInput<'_>) -> Vec<EndpointRecord> {
    let mut endpoints = input.new.endpoints.clone();
    for endpoint in &mut endpoints {
        let short = input.id.short().to_owned();
        if !endpoint.names.contains(&short) {
            endpoint.names.push(short);
        }
        // As Docker since version 25: the host name is a DNS name too.
        if let (Some(name), ContainerRole::Replica(_)) =
            (&input.new.service.hostname, &input.new.role)
            && !endpoint.names.contains(name)
        {
            endpoint.names.push(name.clone());
        }
    }
    endpoints
}
