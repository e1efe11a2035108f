//! Containers: the record that the supervisor writes when it makes one.

use std::net::{IpAddr, Ipv4Addr};

use compose_spec::model::{Hook, PortProtocol, ProjectName, Service, ServiceName};
use indexmap::IndexMap;
use runtime::spec::{ContainerSpec, Process};
use serde::{Deserialize, Serialize};

use super::{ContainerId, ImageId, Timestamp};

/// `record.json` in a container's directory: everything needed to run it again and to say why it differs from what is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Schema version.
    pub version: u32,
    /// Its id.
    pub id: ContainerId,
    /// Its name, unique on the host: `<project>-<service>-<n>`, or `container_name`.
    pub name: String,
    /// Its project.
    pub project: ProjectName,
    /// Its service.
    pub service: ServiceName,
    /// Replica, or one-off.
    pub role: ContainerRole,
    /// The service as it was wanted when the container was made; drift is told field by field against it.
    pub wanted: Service,
    /// Digest of the content of its secrets and configs: they are part of what is wanted.
    pub files_digest: String,
    /// The image it was made from.
    pub image: ImageId,
    /// The reference it was made from, for people.
    pub image_reference: String,
    /// What the runtime runs.
    pub spec: ContainerSpec,
    /// Its endpoints, eth0 first; empty for host, none and shared networks.
    pub endpoints: Vec<EndpointRecord>,
    /// Its published ports.
    pub published: Vec<PublishedAddress>,
    /// Anonymous volumes: target -> volume name.
    pub anonymous_volumes: IndexMap<String, String>,
    /// Named volumes it mounts, full names.
    pub volumes: Vec<String>,
    /// What it has by `volumes_from`, in the order of its entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_mounts: Vec<SharedMounts>,
    /// Images that it mounts (`type: image`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounted_images: Vec<ImageId>,
    /// All labels: image's, service's, `com.docker.compose.*`.
    pub labels: IndexMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
}

impl ContainerRecord {
    /// The schema version that this build writes.
    pub const VERSION: u32 = 1;

    /// Returns every volume that must stay for it: named, anonymous, and those that it shares with another container.
    pub fn used_volumes(&self) -> impl Iterator<Item = &String> {
        let shared = self.shared_mounts.iter().flat_map(|mounts| &mounts.volumes);
        self.volumes
            .iter()
            .chain(self.anonymous_volumes.values())
            .chain(shared)
    }

    /// Returns the images that must stay for it: its own, and those that it mounts.
    pub fn images(&self) -> impl Iterator<Item = &ImageId> {
        std::iter::once(&self.image).chain(&self.mounted_images)
    }

    /// Returns the process of a command that runs in it: its own with what the command says of itself.
    pub fn hook_process(&self, hook: &Hook) -> Process {
        let own = &self.spec.process;
        let mut env = own.env.clone();
        for (name, value) in &hook.environment {
            env.retain(|entry| entry.split('=').next() != Some(name));
            env.extend(value.as_ref().map(|value| format!("{name}={value}")));
        }
        Process {
            argv: hook.command.clone(),
            env,
            cwd: hook.working_dir.clone().unwrap_or_else(|| own.cwd.clone()),
            user: hook.user.clone().unwrap_or_else(|| own.user.clone()),
            groups: own.groups.clone(),
        }
    }
}

/// Mounts that a container has because another one has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedMounts {
    /// The other one.
    pub from: ContainerId,
    /// Paths in the container.
    pub targets: Vec<String>,
    /// The volumes among them, full names: named and anonymous ones.
    pub volumes: Vec<String>,
}

/// What a container is to its service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerRole {
    /// Replica number, from 1.
    Replica(u32),
    /// Made by `stack run`; the random part of its name.
    OneOff {
        /// 12 hexadecimal digits.
        slug: String,
        /// Remove it when it has ended.
        remove: bool,
    },
    /// Made for an entry of the service's `pre_start`.
    Init {
        /// Number of the entry, from 0.
        entry: u32,
        /// The replica that it is run before.
        replica: u32,
    },
}

/// A container's seat on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// Full name of the network.
    pub network: String,
    /// Address on it.
    pub address: Ipv4Addr,
    /// MAC address.
    pub mac: [u8; 6],
    /// Name of the interface in the container.
    pub interface: String,
    /// DNS names on this network: service, aliases, container name, short id.
    pub names: Vec<String>,
    /// Whether the default route goes through it.
    pub default_route: bool,
}

/// A published port as it is bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedAddress {
    /// Host address; unspecified = all.
    pub host_ip: IpAddr,
    /// Port on the host.
    pub host_port: u16,
    /// Port in the container.
    pub target: u16,
    /// Transport.
    pub protocol: PortProtocol,
}
