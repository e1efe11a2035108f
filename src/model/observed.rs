//! What is there: the input of every plan, read from disk and kernel, never remembered.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use compose_spec::model::{PortProtocol, ProjectName};
use runtime::spec::ContainerState;
use serde::{Deserialize, Serialize};

use super::{
    ContainerId, ContainerRecord, ImageRecord, NetworkRecord, PostStart, Timestamp, VolumeRecord,
};

/// What is there for one project, and what of the host it must avoid.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Containers of the project, one-offs and orphans included.
    pub containers: Vec<ObservedContainer>,
    /// Networks of the project, and external ones that it names, by full name.
    pub networks: BTreeMap<String, NetworkRecord>,
    /// Volumes of the project, and external ones that it names, by full name.
    pub volumes: BTreeMap<String, VolumeRecord>,
    /// Images in the store by the reference that the project uses.
    pub images: BTreeMap<String, ImageRecord>,
    /// When each of `images` was last pulled, loaded or built, for `pull_policy: daily` and its like; an absent one counts as old.
    #[serde(default)]
    pub images_fetched: BTreeMap<String, Timestamp>,
    /// Networks of `networks` whose kernel objects (bridge, address) are missing, by full name.
    #[serde(default)]
    pub networks_down: BTreeSet<String>,
    /// What of the host is taken.
    pub taken: HostUse,
}

/// A container and what it does now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedContainer {
    /// Its record.
    pub record: ContainerRecord,
    /// What it does.
    pub state: ContainerState,
    /// Restarts by policy since its last start.
    pub restarts: u32,
    /// Whether its kernel-side network (netns, endpoints) is as recorded.
    pub network_intact: bool,
    /// How far its start has come: while it runs.
    #[serde(default)]
    pub post_start: PostStart,
}

/// A volume and who has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedVolume {
    /// Its record.
    pub record: VolumeRecord,
    /// The directory of its data.
    pub mountpoint: PathBuf,
    /// Names of the containers that have it, running or not.
    pub users: Vec<String>,
    /// Its driver options name a file system that is not mounted now: nothing of its data is to be seen.
    #[serde(default)]
    pub detached: bool,
}

/// A network and who is on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedNetwork {
    /// Its record.
    pub record: NetworkRecord,
    /// The containers that have an endpoint on it, running or not.
    pub users: Vec<NetworkUser>,
}

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkUser {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// Its project.
    pub project: ProjectName,
    /// Its address there.
    pub address: Ipv4Addr,
    /// The address of its interface.
    pub mac: [u8; 6],
}

/// What of the host is taken by others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostUse {
    /// Subnets that routes, interfaces, name servers or other networks of ours use.
    pub subnets: Vec<(Ipv4Addr, u8)>,
    /// Addresses of containers by full network name (all projects).
    pub addresses: BTreeMap<String, Vec<Ipv4Addr>>,
    /// Container names of other projects.
    pub container_names: Vec<String>,
    /// Volumes of other projects' containers, by full name, with the names of the containers.
    #[serde(default)]
    pub volumes: BTreeMap<String, Vec<String>>,
    /// Published ports of other projects' containers.
    pub ports: Vec<PortUse>,
}

/// A published port of another project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortUse {
    /// Host address; unspecified = all.
    pub host_ip: IpAddr,
    /// Port on the host.
    pub host_port: u16,
    /// Transport.
    pub protocol: PortProtocol,
    /// Name of the container that has it.
    pub container: String,
}
