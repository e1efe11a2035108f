//! What planning needs besides the state root: the host, and the content of secrets and configs.

use std::{collections::BTreeMap, path::PathBuf};

use compose_spec::model::{Project, Service, ServiceName};
use sha2::{Digest as _, Sha256};

use crate::{
    container,
    model::{Digest, HostFacts, UserRange},
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
        cdi: super::cdi::registry(),
        users: users(),
        ..HostFacts::default()
    }
}

/// The range that /etc/subuid and /etc/subgid give to the user `stack`, when both give one; else what nobody else uses.
fn users() -> UserRange {
    let of = |path: &str| range_of(&fs_err::read_to_string(path).unwrap_or_default());
    match (of("/etc/subuid"), of("/etc/subgid")) {
        (Some(uids), Some(gids)) => {
            let first = uids.first.max(gids.first);
            let end = |range: UserRange| range.first.saturating_add(range.count);
            let count = end(uids).min(end(gids)).saturating_sub(first);
            UserRange { first, count }
        }
        _ => UserRange::default(),
    }
}

/// Reads the first line `stack:first:count` (subuid(5)).
fn range_of(text: &str) -> Option<UserRange> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some("stack")).then_some(())?;
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(UserRange { first, count })
    })
}

/// Returns the digest of the content of each service's secrets, configs and system call filters, so that a change of them is a change of the service. What cannot be
/// read counts as empty here; making the container will say so.
pub fn files_digests(project: &Project) -> BTreeMap<ServiceName, String> {
    project
        .services
        .values()
        .filter(|service| {
            let has_profile = profiles(project, service).next().is_some();
            !service.secrets.is_empty() || !service.configs.is_empty() || has_profile
        })
        .map(|service| (service.name.clone(), digest(project, service)))
        .collect()
}

/// Files of system call filters.
fn profiles<'a>(project: &'a Project, service: &'a Service) -> impl Iterator<Item = PathBuf> + 'a {
    let files = service.security_opt.iter().filter_map(|option| {
        let (name, file) = option.split_once('=')?;
        (name == "seccomp" && !matches!(file, "" | "unconfined" | "builtin")).then_some(file)
    });
    files.map(|file| project.working_dir.join(file))
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
    for path in profiles(project, service) {
        sum.update(fs_err::read(&path).unwrap_or_default());
    }
    Digest::from_sha256(&sum.finalize().into())
        .as_str()
        .to_owned()
}
