//! What planning needs besides the state root: the host, and the content of secrets and configs.

use std::collections::BTreeMap;

use compose_spec::model::{Project, Service, ServiceName};
use sha2::{Digest as _, Sha256};

use crate::{
    container,
    model::{Digest, HostFacts},
    network,
};

/// MTU when the host's routes cannot be read.
const MTU_DEFAULT: u32 = 1500;

/// Reads what of the host matters to planning.
pub fn host_facts() -> HostFacts {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    HostFacts {
        uplink_mtu: network::host_facts().map_or(MTU_DEFAULT, |facts| facts.mtu),
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        hostname: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        ..HostFacts::default()
    }
}

/// Returns the digest of the content of each service's secrets and configs, so that a change of them is a change of the service. What cannot be
/// read counts as empty here; making the container will say so.
pub fn files_digests(project: &Project) -> BTreeMap<ServiceName, String> {
    project
        .services
        .values()
        .filter(|service| !service.secrets.is_empty() || !service.configs.is_empty())
        .map(|service| (service.name.clone(), digest(project, service)))
        .collect()
}

fn digest(project: &Project, service: &Service) -> String {
    let mut sum = Sha256::new();
    let secrets = service
        .secrets
        .iter()
        .map(|grant| (grant, project.secrets.get(&grant.source)));
    let configs = service
        .configs
        .iter()
        .map(|grant| (grant, project.configs.get(&grant.source)));
    for (grant, object) in secrets.chain(configs) {
        let bytes = object
            .and_then(|object| container::object_content(&object.source).ok())
            .unwrap_or_default();
        sum.update(grant.target.len().to_le_bytes());
        sum.update(grant.target.as_bytes());
        sum.update(bytes.len().to_le_bytes());
        sum.update(&bytes);
    }
    Digest::from_sha256(&sum.finalize().into())
        .as_str()
        .to_owned()
}
