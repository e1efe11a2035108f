//! Published ports: who has which, and which a new container gets.

use std::{collections::BTreeSet, fmt, net::IpAddr, net::Ipv4Addr};

use compose_spec::model::{NetworkMode, Port, PortProtocol, PublishedPort, Service, ServiceName};

use super::PlanError;
use crate::model::{ContainerId, ObservedContainer, PortUse, PublishedAddress};

/// Who has which published port while a plan is made.
#[derive(Debug, Default)]
pub(super) struct Ports {
    taken: Vec<Use>,
    /// Ports of containers that the plan removes: free, once that is done.
    released: Vec<(Place, ContainerId)>,
}

#[derive(Debug)]
struct Use {
    place: Place,
    owner: Owner,
}

#[derive(Debug, Clone)]
enum Owner {
    /// Something that this plan does not change.
    Other(String),
    /// A container that this plan makes.
    Planned(ServiceName),
}

/// A port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    ip: IpAddr,
    port: u16,
    protocol: PortProtocol,
}

impl Place {
    /// An unspecified address is all addresses, of both families: a name without an address publishes on both.
    fn overlaps(self, other: Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || self.ip.is_unspecified() || other.ip.is_unspecified())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            PortProtocol::Tcp => "tcp",
            PortProtocol::Udp => "udp",
            PortProtocol::Sctp => "sctp",
        };
        match self.ip {
            IpAddr::V4(ip) => write!(f, "{ip}:{}/{protocol}", self.port),
            IpAddr::V6(ip) => write!(f, "[{ip}]:{}/{protocol}", self.port),
        }
    }
}

impl Ports {
    /// Takes stock of other projects' ports.
    pub(super) fn new(others: &[PortUse]) -> Self {
        let taken = others.iter().map(|other| Use {
            place: Place {
                ip: other.host_ip,
                port: other.host_port,
                protocol: other.protocol,
            },
            owner: Owner::Other(format!("container {}", other.container)),
        });
        Self {
            taken: taken.collect(),
            released: Vec::new(),
        }
    }

    /// Notes a container that stays: it has its ports, or will have them once it is started. `starts`: check that it can.
    pub(super) fn keep(&mut self, container: &ObservedContainer, starts: bool) -> Vec<PlanError> {
        let mut errors = Vec::new();
        for published in places(container) {
            if starts
                && let Some(used) = self.find(published)
                && let Some(index) = index_of(&container.record.wanted, published)
            {
                errors.push(PlanError::PortTaken {
                    service: container.record.service.clone(),
                    index,
                    port: published.to_string(),
                    owner: used.owner.to_string(),
                });
            }
            self.taken.push(Use {
                place: published,
                owner: Owner::Other(format!("container {}", container.record.name)),
            });
        }
        errors
    }

    /// Notes a container that the plan removes.
    pub(super) fn release(&mut self, container: &ObservedContainer) {
        for place in places(container) {
            self.released.push((place, container.record.id.clone()));
        }
    }

    /// Gives a new container its ports. Returns them with the containers that must be gone before.
    pub(super) fn give(
        &mut self,
        service: &Service,
        (count, previous): (u32, Option<&ObservedContainer>),
        errors: &mut Vec<PlanError>,
    ) -> (Vec<PublishedAddress>, BTreeSet<ContainerId>) {
        let mut given = Vec::new();
        let mut before = BTreeSet::new();
        if !matches!(service.network, NetworkMode::Networks(_)) {
            return (given, before);
        }
        for (index, port) in service.ports.iter().enumerate() {
            let host_ip = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            let place = |host_port| Place {
                ip: host_ip,
                port: host_port,
                protocol: port.protocol,
            };
            let host_port = match self.choose(service, (index, port, count), previous, &place) {
                Ok(host_port) => host_port,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            if host_port != 0 {
                self.taken.push(Use {
                    place: place(host_port),
                    owner: Owner::Planned(service.name.clone()),
                });
                let freed = self
                    .released
                    .iter()
                    .filter(|(old, _)| old.overlaps(place(host_port)));
                before.extend(freed.map(|(_, id)| id.clone()));
            }
            given.push(PublishedAddress {
                host_ip,
                host_port,
                target: port.target,
                protocol: port.protocol,
            });
        }
        (given, before)
    }

    fn choose(
        &self,
        service: &Service,
        (index, port, count): (usize, &Port, u32),
        previous: Option<&ObservedContainer>,
        place: &dyn Fn(u16) -> Place,
    ) -> Result<u16, PlanError> {
        match port.published {
            PublishedPort::Ephemeral | PublishedPort::Fixed(0) => Ok(0),
            PublishedPort::Fixed(fixed) => {
                let Some(used) = self.find(place(fixed)) else {
                    return Ok(fixed);
                };
                let port = place(fixed).to_string();
                Err(match &used.owner {
                    Owner::Planned(other) if *other == service.name && count > 1 => {
                        PlanError::PortScaled {
                            service: service.name.clone(),
                            index,
                            port,
                            count,
                        }
                    }
                    Owner::Planned(other) if *other == service.name => PlanError::PortTaken {
                        service: service.name.clone(),
                        index,
                        port,
                        owner: "another of its ports".to_owned(),
                    },
                    owner => PlanError::PortTaken {
                        service: service.name.clone(),
                        index,
                        port,
                        owner: owner.to_string(),
                    },
                })
            }
            PublishedPort::Range(first, last) => {
                let before = previous
                    .and_then(|container| {
                        let mut old = container.record.published.iter();
                        old.find(|old| old.target == port.target && old.protocol == port.protocol)
                    })
                    .map(|old| old.host_port)
                    .filter(|old| (first..=last).contains(old));
                before
                    .into_iter()
                    .chain(first..=last)
                    .find(|candidate| self.find(place(*candidate)).is_none())
                    .ok_or_else(|| PlanError::RangeTaken {
                        service: service.name.clone(),
                        index,
                        first,
                        last,
                    })
            }
        }
    }

    fn find(&self, place: Place) -> Option<&Use> {
        self.taken.iter().find(|used| used.place.overlaps(place))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(text) => f.write_str(text),
            Self::Planned(service) => write!(f, "service `{service}`"),
        }
    }
}

fn places(container: &ObservedContainer) -> impl Iterator<Item = Place> {
    container
        .record
        .published
        .iter()
        .filter(|published| published.host_port != 0)
        .map(|published| Place {
            ip: published.host_ip,
            port: published.host_port,
            protocol: published.protocol,
        })
}

/// A port that was chosen when the container started is chosen anew if need be.
fn index_of(service: &Service, place: Place) -> Option<usize> {
    let same = |port: &Port| port.published == PublishedPort::Fixed(place.port);
    service.ports.iter().position(same)
}
