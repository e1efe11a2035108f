//! Addresses: subnets of new networks, addresses and MACs of endpoints. Stable: the same input gives the same address.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
    str::FromStr,
};

use compose_spec::model::ServiceName;
use sha2::{Digest as _, Sha256};

use crate::model::{ContainerId, NetworkRecord, Observed};

/// An IPv4 subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subnet {
    base: u32,
    prefix: u8,
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("`{text}` is not a subnet as in 10.1.0.0/24");
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: Ipv4Addr = address.parse().map_err(|_error| invalid())?;
        let prefix: u8 = prefix.parse().map_err(|_error| invalid())?;
        if prefix > 32 {
            return Err(invalid());
        }
        Ok(Self::of(address, prefix))
    }
}

impl Subnet {
    /// Returns the subnet of an address; `prefix` is at most 32.
    pub(super) fn of(address: Ipv4Addr, prefix: u8) -> Self {
        let base = u32::from(address) & mask(prefix);
        Self { base, prefix }
    }

    pub(super) fn base(self) -> Ipv4Addr {
        self.base.into()
    }

    pub(super) fn prefix(self) -> u8 {
        self.prefix
    }

    pub(super) fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.base
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        let wider = self.prefix.min(other.prefix);
        self.base & mask(wider) == other.base & mask(wider)
    }

    /// Returns the address after the base: the usual gateway.
    pub(super) fn first_host(self) -> Ipv4Addr {
        (self.base + 1).into()
    }

    /// Returns the last address, which is for broadcasts.
    pub(super) fn last(self) -> u32 {
        self.base | !mask(self.prefix)
    }

    /// Returns first and last address for hosts; the prefix is at most 30.
    fn hosts(self) -> (u32, u32) {
        (self.base + 1, self.last() - 1)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// Hashes parts to a number; separators keep ("ab", "c") and ("a", "bc") apart.
pub(super) fn stable_hash(parts: &[&str]) -> u32 {
    let sum = Sha256::digest(parts.join("\0"));
    u32::from_be_bytes([sum[0], sum[1], sum[2], sum[3]])
}

/// Chooses the subnet of a new network: the first free one of the pools, beginning at a place that follows from its name, so that
/// a network has the same subnet after `down` and `up`.
pub(super) fn choose_subnet(
    (pools, prefix): (&[(Ipv4Addr, u8)], u8),
    taken: &[Subnet],
    (project, key): (&str, &str),
) -> Option<Subnet> {
    let hash = stable_hash(&[project, key]);
    pools.iter().find_map(|(base, pool_prefix)| {
        let pool = Subnet::of(*base, *pool_prefix);
        let count = 1_u32 << prefix.checked_sub(pool.prefix)?.min(24);
        let size = 1_u32 << (32 - prefix);
        (0..count).find_map(|probe| {
            let at = (hash % count + probe) % count;
            let subnet = Subnet {
                base: pool.base + at * size,
                prefix,
            };
            taken
                .iter()
                .all(|other| !other.overlaps(subnet))
                .then_some(subnet)
        })
    })
}

/// Who has which address on which network while a plan is made.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Full network name -> address -> who has it.
    taken: BTreeMap<String, BTreeMap<Ipv4Addr, String>>,
    /// Addresses of containers that the plan removes: free, once that is done.
    released: BTreeMap<(String, Ipv4Addr), ContainerId>,
    /// Full network name -> addresses that services ask for: nobody else gets them.
    reserved: BTreeMap<String, BTreeSet<Ipv4Addr>>,
}

/// Why an address is not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AddressError {
    /// The reason, as in "is not in the subnet".
    Refused(String),
    /// None is left.
    Exhausted,
}

impl Addresses {
    /// Takes stock: every address in use but those of `removed` containers.
    pub(super) fn new(
        observed: &Observed,
        removed: &BTreeSet<ContainerId>,
        reserved: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    ) -> Self {
        let mut result = Self {
            reserved,
            ..Self::default()
        };
        for (network, addresses) in &observed.taken.addresses {
            let taken = result.taken.entry(network.clone()).or_default();
            taken.extend(
                addresses
                    .iter()
                    .map(|a| (*a, "another container".to_owned())),
            );
        }
        for container in &observed.containers {
            for endpoint in &container.record.endpoints {
                let taken = result.taken.entry(endpoint.network.clone()).or_default();
                if removed.contains(&container.record.id) {
                    taken.remove(&endpoint.address);
                    let place = (endpoint.network.clone(), endpoint.address);
                    result.released.insert(place, container.record.id.clone());
                } else {
                    taken.insert(endpoint.address, container.record.name.clone());
                }
            }
        }
        result
    }

    /// Gives a fixed address.
    pub(super) fn give_fixed(
        &mut self,
        network: &NetworkRecord,
        address: Ipv4Addr,
        name: &str,
    ) -> Result<(), AddressError> {
        let subnet = Subnet::of(network.subnet, network.prefix);
        let refused = |reason: String| Err(AddressError::Refused(reason));
        if !subnet.contains(address) {
            return refused(format!("is not in its subnet {subnet}"));
        }
        if address == network.gateway {
            return refused("is that of the gateway".to_owned());
        }
        if address == subnet.base() || u32::from(address) == subnet.last() {
            return refused("cannot be that of a host".to_owned());
        }
        let taken = self.taken.entry(network.name.clone()).or_default();
        if let Some(owner) = taken.get(&address) {
            return refused(format!("is taken by {owner}"));
        }
        taken.insert(address, name.to_owned());
        Ok(())
    }

    /// Gives a free address: the previous one if it can be had, else the first free one from a place that follows from service and
    /// replica number.
    pub(super) fn give(
        &mut self,
        network: &NetworkRecord,
        (service, number): (&ServiceName, &str),
        previous: Option<Ipv4Addr>,
        name: &str,
    ) -> Result<Ipv4Addr, AddressError> {
        let (first, last) = range(network);
        let spare = spare(network);
        let reserved = self.reserved.get(&network.name);
        let taken = self.taken.entry(network.name.clone()).or_default();
        let free = |address: &Ipv4Addr| {
            (first..=last).contains(&u32::from(*address))
                && !taken.contains_key(address)
                && !spare.contains(address)
                && reserved.is_none_or(|reserved| !reserved.contains(address))
        };
        let count = last - first + 1;
        let start = stable_hash(&[service.as_str(), number]) % count;
        let address = previous.filter(free).or_else(|| {
            (0..count)
                .map(|probe| Ipv4Addr::from(first + (start + probe) % count))
                .find(free)
        });
        let address = address.ok_or(AddressError::Exhausted)?;
        taken.insert(address, name.to_owned());
        Ok(address)
    }

    /// Returns the container that must be gone before this address can be used.
    pub(super) fn released_by(&self, network: &str, address: Ipv4Addr) -> Option<&ContainerId> {
        self.released.get(&(network.to_owned(), address))
    }
}

/// First and last address that may be given: `ip_range`, else all hosts of the subnet.
fn range(network: &NetworkRecord) -> (u32, u32) {
    let (first, last) = Subnet::of(network.subnet, network.prefix).hosts();
    let narrowed = network
        .wanted
        .subnets
        .iter()
        .find_map(|config| config.ip_range.as_deref()?.parse::<Subnet>().ok());
    match narrowed {
        Some(range) => (range.base.max(first), range.last().min(last)),
        None => (first, last),
    }
}

/// Addresses that are never given: the gateway's and `aux_addresses`.
fn spare(network: &NetworkRecord) -> BTreeSet<Ipv4Addr> {
    let aux = network
        .wanted
        .subnets
        .iter()
        .flat_map(|config| config.aux_addresses.values());
    aux.filter_map(|address| match address {
        std::net::IpAddr::V4(address) => Some(*address),
        std::net::IpAddr::V6(_) => None,
    })
    .chain([network.gateway])
    .collect()
}

/// Derives a MAC address from an IPv4 address, so that neighbours' ARP entries stay valid when a container is replaced.
pub(super) fn derived_mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// Reads `02:42:ac:11:00:02` (or with `-`); only addresses of single hosts.
pub(super) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 2 {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    let unicast = mac[0] & 1 == 0 && mac != [0; 6];
    (parts.next().is_none() && unicast).then_some(mac)
}
