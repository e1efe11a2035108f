//! Who is called what, on which network. Pure.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

/// Names of the host as containers see it.
const HOST_NAMES: [&str; 3] = [
    "host.docker.internal",
    "gateway.docker.internal",
    "host.containers.internal",
];

/// All names of all networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Zone {
    networks: HashMap<String, Names>,
}

/// Names of one network, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    addresses: HashMap<String, Vec<Ipv4Addr>>,
    pointers: HashMap<Ipv4Addr, String>,
}

/// What one container may see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// Its networks, eth0's first.
    pub(crate) networks: Vec<String>,
    /// The host as it sees it.
    pub(crate) gateway: Option<Ipv4Addr>,
    /// Whether a network of it leads out of the host; otherwise nothing is asked upstream for it.
    pub(crate) leads_out: bool,
    /// Its own name servers (`dns:`), asked from inside its namespace in place of the host's.
    pub(crate) servers: Vec<IpAddr>,
}

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// IPv4 addresses (A, ANY).
    Address,
    /// Names of an address (PTR).
    Pointer,
    /// IPv6 addresses, service bindings: what a program asks beside A.
    Beside,
    /// Anything else.
    Other,
}

/// What the zone says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// These addresses.
    Addresses(Vec<Ipv4Addr>),
    /// This name.
    Pointer(String),
    /// The name exists, but has nothing of the kind.
    Empty,
    /// There is no such name.
    NoSuchName,
    /// Not ours: ask upstream.
    Upstream,
}

impl Zone {
    /// Adds a container's seat: its names lead to its address, and the first of them is the address's name.
    pub(crate) fn add(&mut self, network: &str, names: &[String], address: Ipv4Addr) {
        let zone = self.networks.entry(network.to_owned()).or_default();
        for name in names {
            let addresses = zone.addresses.entry(name.to_ascii_lowercase()).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if let Some(name) = names.first() {
            zone.pointers.insert(address, format!("{name}.{network}"));
        }
    }

    /// Answers a container's question. `search` are the host's search domains.
    pub(crate) fn answer(&self, view: &View, name: &str, kind: Kind, search: &[String]) -> Answer {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if kind == Kind::Pointer {
            return self.pointer(view, &name);
        }
        let addresses = self.addresses(view, &name);
        if !addresses.is_empty() {
            return match kind {
                Kind::Address => Answer::Addresses(addresses),
                _ => Answer::Empty,
            };
        }
        let answerable = matches!(kind, Kind::Address | Kind::Beside);
        let searched = search
            .iter()
            .any(|domain| domain.trim_end_matches('.').eq_ignore_ascii_case(&name));
        if !view.asks_upstream() || (answerable && !name.contains('.') && !searched) {
            // Resolvers upstream take seconds to say that nobody is called `databse`.
            return Answer::NoSuchName;
        }
        Answer::Upstream
    }

    fn addresses(&self, view: &View, name: &str) -> Vec<Ipv4Addr> {
        if HOST_NAMES.contains(&name) {
            return view.gateway.into_iter().collect();
        }
        let seats = || {
            view.networks
                .iter()
                .filter_map(|network| Some((network, self.networks.get(network)?)))
        };
        // A name is looked up on all networks that are shared; the first that knows it answers, so that both ends agree on the path.
        let plain = seats().find_map(|(_, names)| names.addresses.get(name));
        let qualified = || {
            seats().find_map(|(network, names)| {
                let name = name
                    .strip_suffix(&network.to_ascii_lowercase())?
                    .strip_suffix('.')?;
                names.addresses.get(name)
            })
        };
        plain.or_else(qualified).cloned().unwrap_or_default()
    }

    fn pointer(&self, view: &View, name: &str) -> Answer {
        let known = parse_pointer(name).and_then(|address| {
            view.networks
                .iter()
                .filter_map(|network| self.networks.get(network))
                .find_map(|names| names.pointers.get(&address))
        });
        match known {
            Some(name) => Answer::Pointer(name.clone()),
            None if view.asks_upstream() => Answer::Upstream,
            None => Answer::NoSuchName,
        }
    }
}

impl View {
    fn asks_upstream(&self) -> bool {
        self.leads_out || !self.servers.is_empty()
    }
}

/// Reads `2.0.1.10.in-addr.arpa`.
fn parse_pointer(name: &str) -> Option<Ipv4Addr> {
    let reversed: Ipv4Addr = name.strip_suffix(".in-addr.arpa")?.parse().ok()?;
    let [a, b, c, d] = reversed.octets();
    Some(Ipv4Addr::new(d, c, b, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> Zone {
        let mut zone = Zone::default();
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        zone.add(
            "shop_front",
            &names(&["shop-web-1", "web", "WWW"]),
            [10, 1, 0, 2].into(),
        );
        zone.add(
            "shop_front",
            &names(&["shop-web-2", "web"]),
            [10, 1, 0, 3].into(),
        );
        zone.add(
            "shop_back",
            &names(&["shop-db-1", "db"]),
            [10, 2, 0, 2].into(),
        );
        zone
    }

    fn view(networks: &[&str], leads_out: bool) -> View {
        View {
            networks: networks
                .iter()
                .map(|network| (*network).to_owned())
                .collect(),
            gateway: Some([10, 1, 0, 1].into()),
            leads_out,
            servers: Vec::new(),
        }
    }

    #[test]
    fn answers_follow_the_table_of_semantics() {
        use Answer::{Empty, NoSuchName, Upstream};
        let front = view(&["shop_front"], true);
        let both = view(&["shop_back", "shop_front"], true);
        let internal = view(&["shop_back"], false);
        let one = |a, b, c, d| Answer::Addresses(vec![[a, b, c, d].into()]);
        let two = Answer::Addresses(vec![[10, 1, 0, 2].into(), [10, 1, 0, 3].into()]);
        let pointer = |name: &str| Answer::Pointer(name.to_owned());
        let search = ["lan".to_owned()];
        for (view, name, kind, expected) in [
            (&front, "web", Kind::Address, two.clone()),
            (&front, "WEB.", Kind::Address, two.clone()),
            (&front, "www", Kind::Address, one(10, 1, 0, 2)),
            (&front, "shop-web-2", Kind::Address, one(10, 1, 0, 3)),
            (&front, "web.shop_front", Kind::Address, two),
            (&front, "web", Kind::Beside, Empty),
            (&front, "web", Kind::Other, Empty),
            // Not on a network of it.
            (&front, "db", Kind::Address, NoSuchName),
            (&front, "db.shop_back", Kind::Address, Upstream),
            (&both, "db", Kind::Address, one(10, 2, 0, 2)),
            // Unknown names.
            (&front, "databse", Kind::Address, NoSuchName),
            (&front, "databse", Kind::Beside, NoSuchName),
            (&front, "com", Kind::Other, Upstream),
            (&front, "lan", Kind::Address, Upstream),
            (&front, "example.org", Kind::Address, Upstream),
            (&internal, "example.org", Kind::Address, NoSuchName),
            (&internal, "db", Kind::Address, one(10, 2, 0, 2)),
            // The host.
            (
                &front,
                "host.docker.internal",
                Kind::Address,
                one(10, 1, 0, 1),
            ),
            (&front, "host.docker.internal", Kind::Beside, Empty),
            // Addresses.
            (
                &front,
                "2.0.1.10.in-addr.arpa.",
                Kind::Pointer,
                pointer("shop-web-1.shop_front"),
            ),
            (&front, "2.0.2.10.in-addr.arpa", Kind::Pointer, Upstream),
            (
                &internal,
                "2.0.1.10.in-addr.arpa",
                Kind::Pointer,
                NoSuchName,
            ),
            (&internal, "x.in-addr.arpa", Kind::Pointer, NoSuchName),
        ] {
            assert_eq!(
                zone().answer(view, name, kind, &search),
                expected,
                "{name} {kind:?}"
            );
        }
    }

    #[test]
    fn own_servers_are_asked_even_from_an_internal_network() {
        let mut view = view(&["shop_back"], false);
        view.servers = vec![[10, 2, 0, 9].into()];
        let answer = zone().answer(&view, "example.org", Kind::Address, &[]);
        assert_eq!(answer, Answer::Upstream);
    }
}
