//! `/etc/resolv.conf` and `/etc/hosts` of a container. Pure.

use std::{fmt::Write, net::Ipv4Addr};

use compose_spec::model::{ExtraHost, NetworkMode, Service};

use crate::model::EndpointRecord;

use super::super::host::HostResolver;
use super::SERVER;

/// Address that `extra_hosts` may name the host by.
const HOST_GATEWAY: &str = "host-gateway";

/// Returns the resolv.conf of a container of a service.
///
/// On networks: our resolver, the service's or the host's search domains, and options as Docker writes them. With the host's network:
/// the service's servers or the host's own. Without a network: nothing to ask.
pub fn resolv_conf(service: &Service, host: &HostResolver) -> String {
    let mut text = String::new();
    let mut line = |words: &[&str]| {
        writeln!(text, "{}", words.join(" ")).expect("writing to a String cannot fail");
    };
    let search: Vec<&str> = either(&service.dns_search, &host.search);
    let options: Vec<&str> = match service.network {
        NetworkMode::Networks(_) => {
            let mut options = vec!["edns0", "trust-ad"];
            options.extend(service.dns_opt.iter().map(String::as_str));
            if !options.iter().any(|option| option.starts_with("ndots:")) {
                options.push("ndots:0");
            }
            options
        }
        _ => either(&service.dns_opt, &host.options),
    };
    match service.network {
        NetworkMode::Networks(_) => line(&["nameserver", &SERVER.to_string()]),
        NetworkMode::None => {}
        _ => {
            let own: Vec<String> = host.servers.iter().map(ToString::to_string).collect();
            for server in either(&service.dns, &own) {
                line(&["nameserver", server]);
            }
        }
    }
    // `dns_search: .` means: none.
    if !search.is_empty() && search != ["."] {
        line(&[&["search"], search.as_slice()].concat());
    }
    if !options.is_empty() {
        line(&[&["options"], options.as_slice()].concat());
    }
    text
}

fn either<'a>(first: &'a [String], second: &'a [String]) -> Vec<&'a str> {
    let chosen = if first.is_empty() { second } else { first };
    chosen.iter().map(String::as_str).collect()
}

/// Returns the hosts file of a container: itself on each of its networks, and the extra hosts. `gateway` is the host as it sees it.
pub fn hosts(
    hostname: &str,
    domainname: Option<&str>,
    endpoints: &[EndpointRecord],
    extra: &[ExtraHost],
    gateway: Option<Ipv4Addr>,
) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         ff00::0\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    let mut line = |address: &str, name: &str| {
        writeln!(text, "{address}\t{name}").expect("writing to a String cannot fail");
    };
    for entry in extra {
        let gateway = gateway.unwrap_or(Ipv4Addr::LOCALHOST).to_string();
        match entry.address.as_str() {
            HOST_GATEWAY => line(&gateway, &entry.host),
            address => line(address.trim_matches(['[', ']']), &entry.host),
        }
    }
    let own = match domainname {
        Some(domain) => format!("{hostname}.{domain} {hostname}"),
        None => hostname.to_owned(),
    };
    for endpoint in endpoints {
        line(&endpoint.address.to_string(), &own);
    }
    if endpoints.is_empty() {
        // Programs that look up their own name must find one (as Debian does it).
        line("127.0.1.1", &own);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: [u8; 4]) -> EndpointRecord {
        EndpointRecord {
            network: "shop_default".to_owned(),
            address: address.into(),
            mac: [2, 0, 0, 0, 0, 1],
            interface: "eth0".to_owned(),
            names: Vec::new(),
            default_route: true,
        }
    }

    fn extra(host: &str, address: &str) -> ExtraHost {
        ExtraHost {
            host: host.to_owned(),
            address: address.to_owned(),
        }
    }

    #[test]
    fn hosts_names_the_container_itself_and_the_extra_hosts() {
        let text = hosts(
            "web",
            Some("shop.example"),
            &[endpoint([10, 1, 0, 2]), endpoint([10, 2, 0, 2])],
            &[
                extra("up", HOST_GATEWAY),
                extra("six", "[fd00::1]"),
                extra("db", "10.9.9.9"),
            ],
            Some([10, 1, 0, 1].into()),
        );
        let own: Vec<&str> = text.lines().skip(6).collect();
        assert_eq!(
            own,
            [
                "10.1.0.1\tup",
                "fd00::1\tsix",
                "10.9.9.9\tdb",
                "10.1.0.2\tweb.shop.example web",
                "10.2.0.2\tweb.shop.example web",
            ]
        );
        assert!(hosts("web", None, &[], &[], None).ends_with("127.0.1.1\tweb\n"));
    }
}
