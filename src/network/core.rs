//! The state of the fabric, and what follows from it. Lives on the fabric's own thread; every method blocks.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use fs_err as fs;
use tokio::{runtime::Handle, sync::watch};
use tokio_util::task::TaskTracker;

use crate::{
    model::{ContainerId, ContainerRecord, NetworkRecord, PublishedAddress},
    store::Root,
};

use super::{
    bridge,
    desired::{self, Networks, Running},
    dns::{Upstream, Zone},
    endpoint::{self, DnsSockets, Prepared},
    error::{NetworkError, PortOwner},
    firewall::Firewall,
    names::Tag,
    netlink::{self, Link, Netlink},
    netns,
    ports::{self, Bound},
    seat::{Attached, Returned, Seat, Shared},
    sysctl::Forwarding,
    wiring::netns_path,
};

/// Networks and containers, and the kernel sockets to make them true.
#[derive(Debug)]
pub(crate) struct Core {
    root: Root,
    tag: Tag,
    netlink: Netlink,
    firewall: Firewall,
    forwarding: Forwarding,
    networks: Networks,
    seats: BTreeMap<ContainerId, Seat>,
    zone: watch::Sender<Option<Arc<Zone>>>,
    shared: Shared,
    /// Until the registered state is complete the packet filter of the last supervisor stays as it is.
    adopting: bool,
}

/// How far an attachment is after its ports are bound.
#[derive(Debug)]
pub(crate) enum Begun {
    /// It was attached before.
    Ready(Attached),
    /// Its namespace comes next.
    Bound {
        /// Its ports.
        bound: Vec<Bound>,
        /// Whether its namespace is pinned and wired already.
        wired: bool,
    },
}

impl Core {
    /// Opens the kernel's sockets; changes nothing.
    pub(crate) fn open(root: Root, runtime: Handle) -> Result<Self, NetworkError> {
        let tag = Tag::of(&root);
        let netlink = Netlink::open(libc::NETLINK_ROUTE).map_err(|source| NetworkError::Host {
            what: "links",
            source,
        })?;
        let (zone, receiver) = watch::channel(None);
        Ok(Self {
            firewall: Firewall::open(tag.table(), tag.comment())?,
            forwarding: Forwarding::new(&root),
            root,
            tag,
            netlink,
            networks: BTreeMap::new(),
            seats: BTreeMap::new(),
            zone,
            shared: Shared {
                runtime,
                zone: receiver,
                upstream: Arc::new(Upstream::new()),
            },
            adopting: true,
        })
    }

    /// Registers a network and makes its bridge.
    pub(crate) fn ensure_network(&mut self, network: &NetworkRecord) -> Result<(), NetworkError> {
        bridge::ensure(&mut self.netlink, &self.tag, network)?;
        self.networks.insert(network.name.clone(), network.clone());
        let result = self.commit();
        if result.is_err() && !self.adopting {
            self.networks.remove(&network.name);
            if let Err(error) = bridge::remove(&mut self.netlink, &self.tag, network) {
                tracing::warn!(%error, "a bridge is left");
            }
        }
        result
    }

    /// Forgets a network and removes its bridge.
    pub(crate) fn remove_network(&mut self, network: &NetworkRecord) -> Result<(), NetworkError> {
        let user = self.seats.values().find(|seat| {
            let mut endpoints = seat.record.endpoints.iter();
            endpoints.any(|endpoint| endpoint.network == network.name)
        });
        if let Some(seat) = user {
            return Err(NetworkError::InUse {
                network: network.name.clone(),
                container: seat.record.name.clone(),
            });
        }
        self.networks.remove(&network.name);
        bridge::remove(&mut self.netlink, &self.tag, network)?;
        self.commit()
    }

    /// Binds a container's ports and looks at its namespace.
    pub(crate) fn begin(&mut self, record: &ContainerRecord) -> Result<Begun, NetworkError> {
        if let Some(seat) = self.seats.get(&record.id) {
            return Ok(Begun::Ready(seat.attached()?));
        }
        let networks = self.networks_of(record)?;
        let path = netns_path(&self.root, &record.id);
        let bound = self.bind(record, &record.published)?;
        let networks: Vec<&NetworkRecord> = networks.iter().collect();
        let wired = netns::is_pinned(&path)
            && endpoint::is_wired(&self.links()?, &self.tag, record, &networks, &path);
        Ok(Begun::Bound { bound, wired })
    }

    /// Plugs a prepared container in and starts to serve its sockets.
    pub(crate) fn finish(
        &mut self,
        record: &ContainerRecord,
        bound: Vec<Bound>,
        mut prepared: Prepared,
    ) -> Result<Attached, NetworkError> {
        let path = netns_path(&self.root, &record.id);
        let networks = self.networks_of(record)?;
        let networks: Vec<&NetworkRecord> = networks.iter().collect();
        endpoint::wire(
            &mut self.netlink,
            &self.tag,
            record,
            &networks,
            (&path, &mut prepared),
        )?;
        self.seat(record, prepared.dns, bound)
    }

    /// Takes a container over from the last supervisor; `dns` are new sockets where the monitor had none.
    pub(crate) fn adopt(
        &mut self,
        record: &ContainerRecord,
        mut returned: Returned,
        dns: DnsSockets,
    ) -> Result<Attached, NetworkError> {
        if let Some(seat) = self.seats.get(&record.id) {
            return seat.attached();
        }
        self.networks_of(record)?;
        let (mut bound, missing) = returned.take_bound(&record.published);
        bound.extend(self.bind(record, &missing)?);
        self.seat(record, dns, bound)
    }

    /// Says that a container's process runs, or not: names and translated ports follow.
    pub(crate) fn set_running(
        &mut self,
        id: &ContainerId,
        running: bool,
    ) -> Result<(), NetworkError> {
        let Some(seat) = self.seats.get_mut(id) else {
            return Ok(());
        };
        if seat.running == running {
            return Ok(());
        }
        seat.set_running(running);
        let translated = !seat.published.is_empty();
        self.publish_names();
        // Of running containers the packet filter knows only the published ports.
        if translated {
            self.commit()?;
        }
        Ok(())
    }

    /// Forgets a container: its names, ports and sockets. The tracker tells when the ports are free.
    pub(crate) fn detach(&mut self, id: &ContainerId) -> Result<Option<TaskTracker>, NetworkError> {
        let Some(seat) = self.seats.remove(id) else {
            return Ok(None);
        };
        let translated = seat.running && !seat.published.is_empty();
        let addresses: Vec<Ipv4Addr> = seat
            .record
            .endpoints
            .iter()
            .map(|endpoint| endpoint.address)
            .collect();
        let tasks = seat.close();
        self.publish_names();
        if translated {
            self.commit()?;
            self.firewall.forget_connections(&addresses)?;
        }
        Ok(Some(tasks))
    }

    /// Ends the adoption: what nobody claimed goes, and the packet filter becomes what is registered.
    pub(crate) fn settle(&mut self) -> Result<(), NetworkError> {
        self.adopting = false;
        self.publish_names();
        self.remove_unknown_pins();
        self.commit()?;
        for link in self.links()? {
            let ours = link.kind == "bridge" && self.tag.owns(&link.alias);
            if ours
                && !self
                    .networks
                    .values()
                    .any(|known| known.bridge == link.name)
            {
                tracing::info!(bridge = link.name, "removing a bridge that no network has");
                bridge::delete(&mut self.netlink, &link).map_err(|source| NetworkError::Wire {
                    subject: format!("bridge {}", link.name),
                    source,
                })?;
            }
        }
        self.commit()
    }

    /// Puts back what somebody removed: bridges and the packet filter.
    pub(crate) fn repair(&mut self) -> Result<(), NetworkError> {
        for network in self.networks.clone().values() {
            bridge::ensure(&mut self.netlink, &self.tag, network)?;
        }
        self.commit()
    }

    fn seat(
        &mut self,
        record: &ContainerRecord,
        dns: DnsSockets,
        bound: Vec<Bound>,
    ) -> Result<Attached, NetworkError> {
        let pin = netns_path(&self.root, &record.id);
        let view = desired::view(record, &self.networks, pin);
        let seat = Seat::serve(record.clone(), view, dns, bound, &self.shared)?;
        let attached = seat.attached()?;
        self.seats.insert(record.id.clone(), seat);
        Ok(attached)
    }

    fn bind(
        &self,
        record: &ContainerRecord,
        published: &[PublishedAddress],
    ) -> Result<Vec<Bound>, NetworkError> {
        ports::bind_all(published, &record.wanted.ports, &|port| self.owner_of(port))
    }

    /// Finds which of our containers has a port.
    fn owner_of(&self, port: &PublishedAddress) -> Option<PortOwner> {
        let meets = |other: &PublishedAddress| {
            other.host_port == port.host_port
                && other.protocol == port.protocol
                && (other.host_ip == port.host_ip
                    || other.host_ip.is_unspecified()
                    || port.host_ip.is_unspecified())
        };
        let seat = self
            .seats
            .values()
            .find(|seat| seat.published.iter().any(meets))?;
        Some(PortOwner::Container {
            service: seat.record.service.to_string(),
            project: seat.record.project.to_string(),
        })
    }

    fn networks_of(&self, record: &ContainerRecord) -> Result<Vec<NetworkRecord>, NetworkError> {
        let all: Vec<&NetworkRecord> = self.networks.values().collect();
        record
            .endpoints
            .iter()
            .map(|endpoint| endpoint::network_of(record, endpoint, &all).cloned())
            .collect()
    }

    /// Tells the resolvers all names. Before the fabric has settled they wait: a name that is not registered yet is not a wrong one.
    fn publish_names(&self) {
        if self.adopting {
            return;
        }
        let zone = desired::zone(self.running());
        self.zone.send_replace(Some(Arc::new(zone)));
    }

    /// Makes the packet filter, and the kernel parameters that are only safe behind it, what is registered.
    fn commit(&mut self) -> Result<(), NetworkError> {
        if self.adopting {
            return Ok(());
        }
        let links = self.links()?;
        let forwards = self
            .networks
            .values()
            .any(|network| !network.wanted.internal);
        if forwards {
            self.forwarding.switch_on()?;
        } else {
            self.forwarding.switch_off(&links)?;
        }
        let guard = forwards && self.forwarding.is_ours_alone(&links);
        let policy = self.firewall.input_policy()?;
        let wanted = desired::filter(&self.networks, self.running(), policy, guard);
        self.firewall.commit(wanted)?;
        for network in self.networks.values() {
            bridge::open_loopback(network)?;
        }
        Ok(())
    }

    fn running(&self) -> impl Iterator<Item = Running<'_>> {
        let seats = self.seats.values().filter(|seat| seat.running);
        seats.map(|seat| Running {
            record: &seat.record,
            published: &seat.published,
        })
    }

    fn links(&mut self) -> Result<Vec<Link>, NetworkError> {
        netlink::links(&mut self.netlink).map_err(|source| NetworkError::Host {
            what: "links",
            source,
        })
    }

    /// Removes namespaces that no container claimed; the kernel takes their links along.
    fn remove_unknown_pins(&self) {
        let entries = fs::read_dir(self.root.netns()).into_iter().flatten();
        for entry in entries.flatten() {
            let known = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<ContainerId>().ok())
                .is_some_and(|id| self.seats.contains_key(&id));
            if !known && let Err(error) = netns::remove(&entry.path()) {
                tracing::warn!(%error, "a network namespace is left");
            }
        }
    }
}
