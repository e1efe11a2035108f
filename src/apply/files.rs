//! The files that a container gets: hosts, resolv.conf, hostname, secrets and configs.

use std::path::PathBuf;

use compose_spec::model::ExtraHost;
use runtime::{security::seccomp::program, spec::Seccomp};
use tempfile::TempDir;

use super::{ApplyError, Context};
use crate::{
    container::{self, FileSpec},
    model::{ContainerRecord, NetworkRecord},
    network::{self, HostResolver},
    plan::lower::{FileContent, GeneratedFile, Lowered},
};

/// What generated files are made from.
pub(super) struct Sources<'a> {
    /// The networks of the container, in the order of its endpoints.
    pub(super) networks: &'a [NetworkRecord],
}

/// A directory in `tmp/` with the files of a container that is being made.
#[derive(Debug)]
pub(super) struct Written {
    directory: TempDir,
}

impl Written {
    /// Returns the directory to move into the container.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }
}

/// Reads the system call filter of the user's into the description.
pub(super) fn read_profile(lowered: &mut Lowered) -> Result<(), ApplyError> {
    let Some(profile) = &lowered.profile else {
        return Ok(());
    };
    let refuse = |reason: String| ApplyError::Profile {
        path: profile.path.clone(),
        file: profile.file.clone(),
        reason,
    };
    let read = fs_err::read(&profile.file).map_err(|error| refuse(error.kind().to_string()))?;
    let parsed = serde_json::from_slice(&read).map_err(|error| refuse(error.to_string()))?;
    let security = &mut lowered.record.spec.security;
    security.seccomp = Seccomp::Profile(parsed);
    // What no type can judge; the monitor would refuse it, but only once everything else was made.
    program(security).map_err(|error| refuse(crate::model::chain(&error).join(": ")))?;
    Ok(())
}

/// Writes a container's files into `tmp/`.
pub(super) fn write(
    context: &Context,
    lowered: &Lowered,
    sources: &Sources<'_>,
) -> Result<Written, ApplyError> {
    let name = &lowered.record.name;
    let io_error = |source| ApplyError::Files {
        name: name.clone(),
        source,
    };
    fs_err::create_dir_all(context.root.tmp()).map_err(io_error)?;
    let directory = tempfile::Builder::new()
        .prefix("files-")
        .tempdir_in(context.root.tmp())
        .map_err(io_error)?;
    let files = lowered
        .files
        .iter()
        .map(|file| generate(lowered, sources, file))
        .collect::<Result<Vec<_>, _>>()?;
    container::write_files(directory.path(), &files).map_err(io_error)?;
    Ok(Written { directory })
}

fn generate(
    lowered: &Lowered,
    sources: &Sources<'_>,
    file: &GeneratedFile,
) -> Result<FileSpec, ApplyError> {
    let record = &lowered.record;
    let content = match &file.content {
        FileContent::Hosts => hosts(record, sources.networks).into_bytes(),
        FileContent::ResolvConf => {
            network::resolv_conf(&record.wanted, &HostResolver::of_host()).into_bytes()
        }
        FileContent::Hostname(text) => format!("{text}\n").into_bytes(),
        FileContent::Object(source) => {
            container::object_content(source).map_err(|reason| ApplyError::GrantMissing {
                service: record.service.clone(),
                what: format!("`{}`", file.name),
                reason,
            })?
        }
    };
    Ok(FileSpec {
        name: file.name.clone(),
        content,
        mode: file.mode,
        owner: (file.uid, file.gid),
    })
}

/// Writes the hosts file of a container that is about to be started and has `external_links`: their addresses are those of this moment, as in Docker.
pub(super) fn write_links(
    context: &Context,
    record: &ContainerRecord,
    networks: &[NetworkRecord],
) -> Result<(), ApplyError> {
    if record.wanted.external_links.is_empty() {
        return Ok(());
    }
    let mut linked = record.clone();
    linked.wanted.extra_hosts.extend(links(context, record)?);
    let path = context.root.container(&record.id).join("files/hosts");
    fs_err::write(path, hosts(&linked, networks)).map_err(|source| ApplyError::Files {
        name: record.name.clone(),
        source,
    })
}

fn links(context: &Context, record: &ContainerRecord) -> Result<Vec<ExtraHost>, ApplyError> {
    let others = container::read_all(&context.root).map_err(|source| ApplyError::Container {
        name: record.name.clone(),
        source,
    })?;
    let mut hosts = Vec::new();
    for (index, link) in record.wanted.external_links.iter().enumerate() {
        let refused = |reason: &str| ApplyError::Link {
            path: format!("services.{}.external_links[{index}]", record.service),
            name: link.container.clone(),
            reason: reason.to_owned(),
        };
        let other = others
            .iter()
            .find(|other| other.name == link.container || other.id.as_str() == link.container)
            .ok_or_else(|| refused("there is no such container"))?;
        let shared = record.endpoints.iter().find_map(|own| {
            let mut theirs = other.endpoints.iter();
            theirs.find(|endpoint| endpoint.network == own.network)
        });
        let endpoint = shared.ok_or_else(|| refused("it is on none of the service's networks"))?;
        hosts.push(ExtraHost {
            host: link.alias.clone(),
            address: endpoint.address.to_string(),
        });
    }
    Ok(hosts)
}

fn hosts(record: &ContainerRecord, networks: &[NetworkRecord]) -> String {
    let default = record
        .endpoints
        .iter()
        .find(|endpoint| endpoint.default_route);
    let gateway = default
        .or_else(|| record.endpoints.first())
        .and_then(|endpoint| {
            networks
                .iter()
                .find(|network| network.name == endpoint.network)
                .map(|network| network.gateway)
        });
    network::hosts(
        &record.spec.hostname,
        record.spec.domainname.as_deref(),
        &record.endpoints,
        &record.wanted.extra_hosts,
        gateway,
    )
}
