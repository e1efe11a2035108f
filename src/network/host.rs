//! Facts about this host that plans and networks need: routes, name servers, the uplink. Read only.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use fs_err as fs;

use super::{
    error::NetworkError,
    netlink::{self, Address, Link, Netlink, Route},
};

/// The host's resolver configuration.
pub(crate) const RESOLV_CONF: &str = "/etc/resolv.conf";
/// MTU when there is no default route.
const MTU_DEFAULT: u32 = 1500;
/// Resolver configurations larger than this are cut.
const RESOLV_CONF_BYTES_MAX: u64 = 64 * 1024;

/// What of the host a plan must know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Subnets that are in use, with what uses them.
    pub subnets: Vec<UsedSubnet>,
    /// MTU for new networks: that of the default route's interface.
    pub mtu: u32,
}

/// A subnet in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedSubnet {
    /// Base address.
    pub subnet: Ipv4Addr,
    /// Prefix length.
    pub prefix: u8,
    /// Name of the interface; `resolv.conf` for a name server.
    pub interface: String,
}

impl UsedSubnet {
    /// Whether two subnets have an address in common.
    pub fn overlaps(&self, subnet: Ipv4Addr, prefix: u8) -> bool {
        let shorter = self.prefix.min(prefix);
        masked(self.subnet, shorter) == masked(subnet, shorter)
    }
}

impl HostFacts {
    /// Lists the subnets that are in use: base address and prefix length.
    pub fn taken(&self) -> impl Iterator<Item = (Ipv4Addr, u8)> {
        self.subnets.iter().map(|used| (used.subnet, used.prefix))
    }
}

/// Reads the facts from the kernel and resolv.conf, in the calling thread's network namespace.
pub fn host_facts() -> Result<HostFacts, NetworkError> {
    let error = |what| move |source| NetworkError::Host { what, source };
    let mut netlink = Netlink::open(libc::NETLINK_ROUTE).map_err(error("links"))?;
    let links = netlink::links(&mut netlink).map_err(error("links"))?;
    let addresses = netlink::addresses(&mut netlink).map_err(error("addresses"))?;
    let routes = netlink::routes(&mut netlink).map_err(error("routes"))?;
    let resolver = HostResolver::read(Path::new(RESOLV_CONF));
    Ok(facts(&links, &addresses, &routes, &resolver))
}

fn facts(
    links: &[Link],
    addresses: &[Address],
    routes: &[Route],
    resolver: &HostResolver,
) -> HostFacts {
    let name = |index: u32| {
        links
            .iter()
            .find(|link| link.index == index)
            .map_or_else(|| format!("link {index}"), |link| link.name.clone())
    };
    let used = |subnet, prefix, interface| UsedSubnet {
        subnet: masked(subnet, prefix),
        prefix,
        interface,
    };
    let of_links = addresses
        .iter()
        .filter(|address| !address.ip.is_loopback())
        .map(|address| used(address.ip, address.prefix, name(address.link)));
    // VPNs split the default route into halves; nothing could be allocated beside such a route.
    let of_routes = routes
        .iter()
        .filter(|route| route.prefix > 1)
        .map(|route| used(route.destination, route.prefix, name(route.link)));
    let of_resolver = resolver.servers.iter().filter_map(|server| match server {
        IpAddr::V4(server) if !server.is_loopback() => {
            Some(used(*server, 32, "resolv.conf".to_owned()))
        }
        _ => None,
    });
    let mut subnets: Vec<UsedSubnet> = Vec::new();
    for subnet in of_links.chain(of_routes).chain(of_resolver) {
        if !subnets.contains(&subnet) {
            subnets.push(subnet);
        }
    }
    HostFacts {
        subnets,
        mtu: uplink_mtu(links, routes),
    }
}

fn uplink_mtu(links: &[Link], routes: &[Route]) -> u32 {
    routes
        .iter()
        .filter(|route| route.prefix == 0 && route.link != 0)
        .min_by_key(|route| route.metric)
        .and_then(|route| links.iter().find(|link| link.index == route.link))
        .map_or(MTU_DEFAULT, |link| link.mtu)
}

fn masked(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let mask = !u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    Ipv4Addr::from(u32::from(address) & mask)
}

/// What the host's resolv.conf says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostResolver {
    /// Name servers in order, without 127.0.0.11, which would be ourselves.
    pub servers: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options.
    pub options: Vec<String>,
}

impl HostResolver {
    /// Reads a resolv.conf; one that cannot be read names no server.
    pub fn read(path: &Path) -> Self {
        use io::Read;
        let mut text = String::new();
        let read = fs::File::open(path)
            .and_then(|file| file.take(RESOLV_CONF_BYTES_MAX).read_to_string(&mut text));
        if let Err(error) = read {
            tracing::debug!(%error, "no resolver configuration");
        }
        Self::parse(&text)
    }

    /// Reads the host's own.
    pub fn of_host() -> Self {
        Self::read(Path::new(RESOLV_CONF))
    }

    /// Parses the text of a resolv.conf (resolv.conf(5)).
    pub fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolver.servers.extend(
                    words
                        .next()
                        // A zone (`fe80::1%eth0`) has no meaning for a socket without it.
                        .and_then(|server| server.parse::<IpAddr>().ok())
                        .filter(|server| *server != IpAddr::V4(super::dns::SERVER)),
                ),
                Some("search" | "domain") => {
                    resolver.search = words.map(str::to_owned).collect();
                }
                Some("options") => resolver.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        resolver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_as_the_manual_says() {
        let resolver = HostResolver::parse(
            "# comment\nnameserver 127.0.0.11\nnameserver 10.0.0.53 ; x\nnameserver ::1\n\
             nameserver bad\ndomain a.example\nsearch b.example c.example\noptions ndots:2 edns0\n",
        );
        assert_eq!(
            resolver.servers,
            [
                "10.0.0.53".parse::<IpAddr>().unwrap(),
                "::1".parse().unwrap()
            ]
        );
        assert_eq!(resolver.search, ["b.example", "c.example"]);
        assert_eq!(resolver.options, ["ndots:2", "edns0"]);
    }

    #[test]
    fn facts_skip_default_routes_and_take_the_uplinks_mtu() {
        let link = |index, name: &str, mtu| Link {
            index,
            name: name.to_owned(),
            mtu,
            ..Link::default()
        };
        let links = [
            link(1, "lo", 65536),
            link(2, "eth0", 1400),
            link(3, "tun0", 1300),
        ];
        let route = |text: &str, prefix, link, metric| Route {
            destination: text.parse().unwrap(),
            prefix,
            link,
            metric,
        };
        let routes = [
            route("0.0.0.0", 0, 2, 100),
            route("0.0.0.0", 0, 3, 600),
            route("128.0.0.0", 1, 3, 0),
            route("10.0.0.0", 8, 3, 0),
            route("192.0.2.0", 24, 2, 0),
        ];
        let addresses = [
            Address {
                link: 1,
                ip: "127.0.0.1".parse().unwrap(),
                prefix: 8,
            },
            Address {
                link: 2,
                ip: "192.0.2.2".parse().unwrap(),
                prefix: 24,
            },
        ];
        let resolver = HostResolver::parse("nameserver 10.255.255.53\nnameserver 127.0.0.53\n");
        let facts = facts(&links, &addresses, &routes, &resolver);
        assert_eq!(facts.mtu, 1400);
        let seen: Vec<String> = facts
            .subnets
            .iter()
            .map(|used| format!("{}/{} {}", used.subnet, used.prefix, used.interface))
            .collect();
        assert_eq!(
            seen,
            [
                "192.0.2.0/24 eth0",
                "10.0.0.0/8 tun0",
                "10.255.255.53/32 resolv.conf"
            ]
        );
        assert!(facts.subnets[1].overlaps(Ipv4Addr::new(10, 201, 3, 0), 24));
        assert!(!facts.subnets[1].overlaps(Ipv4Addr::new(172, 16, 3, 0), 24));
        assert!(facts.subnets[2].overlaps(Ipv4Addr::new(10, 255, 0, 0), 16));
    }

    #[test]
    fn without_a_default_route_the_mtu_is_ethernets() {
        assert_eq!(facts(&[], &[], &[], &HostResolver::default()).mtu, 1500);
    }
}
