//! Lowers a service to what the runtime runs: the last decisions, made once the image is known.
//!
//! It follows Docker wherever Docker decides (entrypoint and command, environment, user, health, capabilities, mounts). It touches
//! nothing: what must exist before the container can run (volumes, bind sources, files) is returned as data.

mod block_io;
mod cdi;
mod devices;
mod error;
mod health;
mod labels;
mod limits;
mod mounts;
mod network;
mod objects;
mod process;
mod security;
mod signal;
mod taken;
mod tmpfs;
mod users;

use std::{collections::BTreeMap, path::PathBuf};

use compose_spec::model::{FileSource, Project};
use runtime::spec::{ContainerSpec, Mount, Rootfs, Stdio};

use self::error::Checks;
use super::{HostFacts, NewContainer};
use crate::model::{
    ContainerId, ContainerRecord, Digest, ImageConfig, ImageRecord, Timestamp, VolumeRecord,
};

pub use devices::{Devices, named_devices};
pub use error::{LowerError, Refusal};
pub(super) use health::is_probed;
pub use signal::signal_number;
pub use taken::takeable;

/// Size of /dev/shm without `shm_size`, as in Docker.
const SHM_BYTES: u64 = 64 << 20;

/// Everything that [`lower`] looks at.
#[derive(Debug, Clone, Copy)]
pub struct LowerInput<'a> {
    /// The project: its volumes, secrets and configs, and what the labels say of it.
    pub project: &'a Project,
    /// The container to make.
    pub new: &'a NewContainer,
    /// Its id.
    pub id: &'a ContainerId,
    /// Its image.
    pub image: &'a ImageRecord,
    /// The images that it mounts, by reference as written.
    pub mounted: &'a BTreeMap<String, ImageRecord>,
    /// Where its things lie on the host.
    pub places: &'a Places,
    /// What of the host matters.
    pub host: &'a HostFacts,
    /// The time of its making.
    pub now: Timestamp,
}

/// Where a container's things lie on the host. Absolute paths; none needs to exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Its directory, with `rootfs` (mount point), `upper` and `work` below it.
    pub container: PathBuf,
    /// The lowest layer of every container: empty mount points, so that they need not be made in its writable layer.
    pub mount_points: PathBuf,
    /// The directory of all volumes; data is in `<volumes>/<name>/_data`.
    pub volumes: PathBuf,
    /// The directory of its generated files: `hosts`, `resolv.conf`, `hostname`, `secrets/…`, `configs/…`.
    pub files: PathBuf,
    /// Its pinned network namespace; used when the container has endpoints.
    pub netns: PathBuf,
    /// Directory of its log files.
    pub log: PathBuf,
    /// Control group below which `<project>/<id>` lies: `stack`.
    pub cgroup_parent: String,
    /// The namespaces that [`super::Joins`] asks for.
    pub joined: JoinedPlaces,
}

/// Namespaces of other containers, and the files that go with their network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JoinedPlaces {
    /// Pinned network namespace of the owner.
    pub network: Option<PathBuf>,
    /// Directory of the network owner's `hosts`, `resolv.conf` and `hostname`, which are shared with it.
    pub network_files: Option<PathBuf>,
    /// `/proc/<pid>/ns/pid` of the owner.
    pub pid: Option<PathBuf>,
    /// `/proc/<pid>/ns/ipc` of the owner.
    pub ipc: Option<PathBuf>,
    /// Mounts of other containers, in the order of `volumes_from`.
    pub mounts: Vec<TakenMounts>,
}

/// Mounts of a container that another one takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenMounts {
    /// Whose they are.
    pub from: ContainerId,
    /// The mounts as they are there.
    pub mounts: Vec<Mount>,
    /// No writes, whatever they are there.
    pub read_only: bool,
}

/// A container ready to be made, and what must be there before it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// Its whole record; `record.spec` is what the runtime runs.
    pub record: ContainerRecord,
    /// Volumes it mounts, in mount order.
    pub volumes: Vec<VolumeUse>,
    /// Host paths it mounts.
    pub binds: Vec<BindUse>,
    /// Files to write below `Places::files`.
    pub files: Vec<GeneratedFile>,
    /// The system call filter to read into `record.spec` in place of the default one.
    pub profile: Option<ProfileUse>,
    /// Things that work less well than asked for.
    pub warnings: Vec<String>,
}

/// A system call filter of the user's (`security_opt: [seccomp=FILE]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileUse {
    /// The file, absolute.
    pub file: PathBuf,
    /// Where it is written: `services.web.security_opt[0]`.
    pub path: String,
}

/// A volume that a container mounts.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeUse {
    /// Full name.
    pub name: String,
    /// The record to make it from when it does not exist: an anonymous one, or one that was removed since it was planned. `None` = external.
    pub record: Option<VolumeRecord>,
    /// Path in the image whose content goes into the volume when it is empty; `None` = `nocopy`.
    pub copy_up: Option<String>,
    /// Directory inside the volume that is mounted, made when missing; `None` = the volume itself.
    pub subpath: Option<String>,
}

/// A host path that a container mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindUse {
    /// The path.
    pub source: PathBuf,
    /// Make a missing directory; otherwise a missing path is an error.
    pub create: bool,
    /// Where it is written: `services.web.volumes[0]`.
    pub path: String,
}

/// A file that is written for a container and bound into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Path below `Places::files`.
    pub name: String,
    /// What is in it.
    pub content: FileContent,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Mode.
    pub mode: u32,
}

/// What is in a generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// `/etc/hosts`: the network area knows the text.
    Hosts,
    /// `/etc/resolv.conf`: the network area knows the text.
    ResolvConf,
    /// `/etc/hostname`: this name and a newline.
    Hostname(String),
    /// A secret or config.
    Object(FileSource),
}

/// Returns the layers of a container's root, the topmost first.
fn lowers(input: &LowerInput<'_>) -> Vec<PathBuf> {
    let image = input.image.layers.iter().cloned();
    image.chain([input.places.mount_points.clone()]).collect()
}

/// Lowers a container to what the runtime runs, or says everything that is wrong with its service.
pub fn lower(input: &LowerInput<'_>) -> Result<Lowered, Vec<LowerError>> {
    let new = input.new;
    let service = &new.service;
    let mut checks = Checks::new(&service.name);
    let checks = &mut checks;
    let host_name = process::host_name(input, checks);
    network::check(service, checks);
    block_io::storage(service, checks);
    let devices = devices::lower(input, checks);
    let (security, profile) = security::lower(input, checks);
    let mounts = mounts::lower(input, &host_name, &devices.mounts, checks);
    let mut process = process::lower(input, &host_name, checks);
    process::add_device_edits(&mut process, &devices);
    let spec = ContainerSpec {
        version: ContainerSpec::VERSION,
        id: input.id.as_str().to_owned(),
        domainname: process::domain_name(service, checks),
        rootfs: Rootfs::Overlay {
            lowers: lowers(input),
            upper: input.places.container.join("upper"),
            work: input.places.container.join("work"),
            mount_point: input.places.container.join("rootfs"),
            volatile: false,
        },
        rootfs_read_only: service.read_only,
        process,
        init: service.init,
        namespaces: network::namespaces(input, checks),
        shm_size_bytes: service.shm_size_bytes.unwrap_or(SHM_BYTES),
        cgroup: limits::cgroup(input, checks),
        resources: limits::resources(input, checks),
        rlimits: limits::rlimits(service, checks),
        sysctls: security::sysctls(service, checks),
        oom_score_adj: limits::oom_score_adj(service, checks),
        security,
        stdio: Stdio {
            tty: service.tty,
            stdin: service.stdin_open,
        },
        restart: process::restart(service.restart),
        probe: health::lower(&service.health, &input.image.config, checks),
        stop: process::stop(service, &input.image.config, checks),
        log: limits::log(input, checks),
        hostname: host_name,
        mounts: mounts.all,
        devices: devices.nodes,
        device_rules: devices.rules,
        hooks: devices.hooks,
        users: users::lower(input, checks),
    };
    if !checks.errors.is_empty() {
        return Err(std::mem::take(&mut checks.errors));
    }
    let record = ContainerRecord {
        version: ContainerRecord::VERSION,
        id: input.id.clone(),
        name: new.name.clone(),
        project: input.project.name.clone(),
        service: service.name.clone(),
        role: new.role.clone(),
        wanted: service.clone(),
        files_digest: new.files_digest.clone(),
        image: input.image.id.clone(),
        image_reference: new.image_reference.clone(),
        spec,
        endpoints: network::endpoints(input),
        published: new.published.clone(),
        anonymous_volumes: mounts.anonymous,
        volumes: mounts.named,
        shared_mounts: mounts.shared,
        mounted_images: input
            .mounted
            .values()
            .map(|image| image.id.clone())
            .collect(),
        labels: labels::lower(input),
        created: input.now,
    };
    Ok(Lowered {
        record,
        volumes: mounts.volumes,
        binds: mounts.binds,
        files: mounts.files,
        profile,
        warnings: std::mem::take(&mut checks.warnings),
    })
}

/// Checks everything about a container that does not depend on its image, so that nothing is touched for one that cannot run.
pub(super) fn check(
    project: &Project,
    new: &NewContainer,
    host: &HostFacts,
) -> Result<Vec<String>, Vec<LowerError>> {
    let id = ContainerId::from_bytes([0; 32]);
    let image = ImageRecord {
        id: Digest::from_sha256(&[0; 32]),
        manifest: None,
        config: ImageConfig {
            cmd: Some(vec!["true".to_owned()]),
            ..ImageConfig::default()
        },
        platform: String::new(),
        layers: Vec::new(),
        diff_ids: Vec::new(),
        created: Timestamp(0),
        size_bytes: 0,
    };
    let somewhere = || Some(PathBuf::from("/"));
    let places = Places {
        container: "/".into(),
        mount_points: "/".into(),
        volumes: "/".into(),
        files: "/".into(),
        netns: "/".into(),
        log: "/".into(),
        cgroup_parent: "stack".to_owned(),
        joined: JoinedPlaces {
            network: somewhere(),
            network_files: somewhere(),
            pid: somewhere(),
            ipc: somewhere(),
            mounts: Vec::new(),
        },
    };
    // A cleared command is the image's business only when it has an entrypoint, which is not known here.
    let lowered = lower(&LowerInput {
        project,
        new,
        id: &id,
        image: &image,
        mounted: &BTreeMap::new(),
        places: &places,
        host,
        now: Timestamp(0),
    });
    match lowered {
        Ok(lowered) => Ok(lowered.warnings),
        Err(mut errors) => {
            errors.retain(|error| error.refusal != Refusal::NoCommand);
            if errors.is_empty() {
                Ok(Vec::new())
            } else {
                Err(errors)
            }
        }
    }
}

#[cfg(test)]
mod tests;
