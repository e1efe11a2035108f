//! Mounts: the service's own, the image's VOLUMEs, and the three files of /etc that every container gets.

use std::path::Path;

use compose_spec::model::{BindOptions, Mount as Wanted, MountSource, NetworkMode};
use indexmap::IndexMap;
use runtime::spec::{Mount, MountKind, Propagation};
use sha2::{Digest as _, Sha256};

use super::{
    BindUse, FileContent, GeneratedFile, LowerInput, VolumeUse,
    error::{Checks, Refusal},
    objects, tmpfs,
};
use crate::model::{Digest, SharedMounts, VolumeRecord};

/// What others put over files of /proc, to show a container its own limits.
const PROC_FILES: [&str; 10] = [
    "cpuinfo",
    "sys/crypto/fips_enabled",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "sys/kernel/ns_last_pid",
    "uptime",
];
/// All mounts of a container, the shallowest first, and what must be there for them.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    pub(super) all: Vec<Mount>,
    pub(super) volumes: Vec<VolumeUse>,
    pub(super) named: Vec<String>,
    pub(super) anonymous: IndexMap<String, String>,
    pub(super) shared: Vec<SharedMounts>,
    pub(super) binds: Vec<BindUse>,
    pub(super) files: Vec<GeneratedFile>,
}

/// Lowers all mounts.
pub(super) fn lower(
    input: &LowerInput<'_>,
    host_name: &str,
    of_devices: &[Mount],
    checks: &mut Checks<'_>,
) -> Mounts {
    let mut result = Mounts::default();
    for (index, mount) in input.new.service.mounts.iter().enumerate() {
        result.add_wanted(input, index, mount, checks);
    }
    result.add_taken(input);
    for target in &input.image.config.volumes {
        let target = clean(target);
        if target != "/" && !result.has(&target) {
            result.add_anonymous(input, target, false, true);
        }
    }
    for mount in of_devices {
        // What the user mounts on the same place is meant.
        if !result.has(&mount.target) {
            result.all.push(mount.clone());
        }
    }
    objects::lower(input, &mut result, checks);
    result.add_etc(input, host_name);
    // A mount must come after the one that holds its target. Stable: what the user wrote first stays first.
    result.all.sort_by_key(|mount| depth(&mount.target));
    result
}

impl Mounts {
    pub(super) fn has(&self, target: &str) -> bool {
        self.all.iter().any(|mount| mount.target == target)
    }

    fn add_wanted(
        &mut self,
        input: &LowerInput<'_>,
        index: usize,
        wanted: &Wanted,
        checks: &mut Checks<'_>,
    ) {
        let path = format!("volumes[{index}]");
        let target = clean(&wanted.target);
        if !wanted.target.starts_with('/') || target == "/" || target.split('/').any(|p| p == "..")
        {
            let reason = "it must be an absolute path other than `/`, without `..`";
            checks.invalid(path, "mount target", &wanted.target, reason);
            return;
        }
        let in_proc = target.strip_prefix("/proc/");
        if target == "/proc" || in_proc.is_some_and(|file| !PROC_FILES.contains(&file)) {
            checks.invalid(
                path,
                "mount target",
                &wanted.target,
                "it would hide the kernel's /proc",
            );
            return;
        }
        if self.has(&target) {
            let first = format!("another mount on `{target}`");
            checks.conflict(path, &first, "this one");
            return;
        }
        match &wanted.source {
            MountSource::Volume {
                key,
                nocopy,
                subpath,
            } => {
                let Some(volume) = input.project.volumes.get(key) else {
                    let name = key.clone();
                    let kind = "volume";
                    checks.refuse(path, Refusal::Undefined { kind, name });
                    return;
                };
                self.add_volume(
                    input,
                    target.clone(),
                    &volume.name,
                    wanted.read_only,
                    subpath.as_ref(),
                );
                if !self.named.contains(&volume.name) {
                    self.named.push(volume.name.clone());
                }
                self.volumes.push(VolumeUse {
                    name: volume.name.clone(),
                    record: (!volume.external).then(|| VolumeRecord {
                        version: VolumeRecord::VERSION,
                        name: volume.name.clone(),
                        project: Some(input.project.name.clone()),
                        key: Some(key.clone()),
                        wanted: Some(volume.clone()),
                        created: input.now,
                        protected: false,
                    }),
                    copy_up: (!nocopy).then_some(target),
                    subpath: subpath.clone(),
                });
            }
            MountSource::Anonymous { nocopy, .. } => {
                self.add_anonymous(input, target, wanted.read_only, !nocopy);
            }
            MountSource::Bind {
                path: host,
                options,
            } => {
                self.add_bind(target, wanted.read_only, host, options, (&path, checks));
            }
            MountSource::Tmpfs(options) => {
                self.all.push(tmpfs::lower(
                    target,
                    wanted.read_only,
                    options,
                    (&path, checks),
                ));
            }
            MountSource::Image { image, subpath } => {
                // Not known yet when a plan is checked; the runtime refuses a mount without layers.
                let known = input.mounted.get(image);
                self.all.push(Mount {
                    target,
                    kind: MountKind::Image {
                        lowers: known.map_or_else(Vec::new, |known| known.layers.clone()),
                        subpath: subpath.clone(),
                    },
                    read_only: true,
                });
            }
        }
    }

    fn add_volume(
        &mut self,
        input: &LowerInput<'_>,
        target: String,
        name: &str,
        read_only: bool,
        subpath: Option<&String>,
    ) {
        self.all.push(Mount {
            target,
            kind: MountKind::Bind {
                source: input.places.volumes.join(name).join("_data"),
                subpath: subpath.cloned(),
                recursive: true,
                propagation: Propagation::Rprivate,
                writable_below: false,
            },
            read_only,
        });
    }

    /// The name of a new anonymous volume follows from container and target, so that making it twice makes it once.
    fn add_anonymous(
        &mut self,
        input: &LowerInput<'_>,
        target: String,
        read_only: bool,
        copy_up: bool,
    ) {
        let name = input
            .new
            .inherited_volumes
            .get(&target)
            .cloned()
            .unwrap_or_else(|| {
                let text = format!("{}\0{target}", input.id);
                Digest::from_sha256(&Sha256::digest(text).into())
                    .hex()
                    .to_owned()
            });
        self.add_volume(input, target.clone(), &name, read_only, None);
        self.volumes.push(VolumeUse {
            record: Some(VolumeRecord {
                version: VolumeRecord::VERSION,
                name: name.clone(),
                project: Some(input.project.name.clone()),
                key: None,
                wanted: None,
                created: input.now,
                protected: false,
            }),
            name: name.clone(),
            copy_up: copy_up.then(|| target.clone()),
            subpath: None,
        });
        self.anonymous.insert(target, name);
    }

    fn add_bind(
        &mut self,
        target: String,
        read_only: bool,
        host: &Path,
        options: &BindOptions,
        (path, checks): (&str, &mut Checks<'_>),
    ) {
        if !host.is_absolute() {
            let text = host.display().to_string();
            checks.invalid(path, "bind source", text, "it must be absolute");
            return;
        }
        let propagation = match options.propagation.as_deref() {
            None | Some("" | "rprivate") => Propagation::Rprivate,
            Some("private") => Propagation::Private,
            Some("rslave") => Propagation::Rslave,
            Some("slave") => Propagation::Slave,
            Some("rshared") => Propagation::Rshared,
            Some("shared") => Propagation::Shared,
            Some(other) => {
                let kind = "propagation";
                let name = other.to_owned();
                let place = format!("{path}.bind.propagation");
                checks.refuse(place, Refusal::Unknown { kind, name });
                return;
            }
        };
        let place = format!("{path}.bind.recursive");
        let recursive = match options.recursive.as_deref() {
            None | Some("" | "enabled") => true,
            Some("disabled") => false,
            Some("writable") => true,
            Some("readonly") if !read_only => {
                checks.invalid(place, "mode", "readonly", "it needs `read_only: true`");
                return;
            }
            Some("readonly") if propagation != Propagation::Rprivate => {
                let reason = "it needs the propagation `rprivate`";
                checks.invalid(place, "mode", "readonly", reason);
                return;
            }
            Some("readonly") => true,
            Some(other) => {
                let kind = "mode";
                let name = other.to_owned();
                checks.refuse(place, Refusal::Unknown { kind, name });
                return;
            }
        };
        self.binds.push(BindUse {
            source: host.to_owned(),
            create: options.create_host_path,
            path: checks.path(path),
        });
        self.bind_file(target, host, read_only);
        let last = self.all.last_mut().expect("a bind was just added");
        if let MountKind::Bind {
            recursive: own_recursive,
            propagation: own_propagation,
            writable_below,
            ..
        } = &mut last.kind
        {
            *writable_below = options.recursive.as_deref() == Some("writable");
            *own_recursive = recursive;
            *own_propagation = propagation;
        }
    }

    /// Binds one host path as it is.
    pub(super) fn bind_file(&mut self, target: String, source: &Path, read_only: bool) {
        self.all.push(Mount {
            target,
            kind: MountKind::Bind {
                source: source.to_owned(),
                subpath: None,
                recursive: true,
                propagation: Propagation::Rprivate,
                writable_below: false,
            },
            read_only,
        });
    }

    /// Containers on one network namespace share the owner's files, as in Docker.
    fn add_etc(&mut self, input: &LowerInput<'_>, host_name: &str) {
        let service = &input.new.service;
        let shared = match service.network {
            NetworkMode::Service(_) | NetworkMode::Container(_) => {
                input.places.joined.network_files.as_deref()
            }
            _ => None,
        };
        let files = [
            ("hosts", FileContent::Hosts),
            ("resolv.conf", FileContent::ResolvConf),
            ("hostname", FileContent::Hostname(host_name.to_owned())),
        ];
        for (name, content) in files {
            let target = format!("/etc/{name}");
            if self.has(&target) {
                continue;
            }
            let directory = shared.unwrap_or(&input.places.files);
            self.bind_file(target, &directory.join(name), service.read_only);
            if shared.is_none() {
                self.files.push(GeneratedFile {
                    name: name.to_owned(),
                    content,
                    uid: 0,
                    gid: 0,
                    mode: 0o644,
                });
            }
        }
    }
}

/// Removes doubled and trailing slashes and `.`; keeps `..`, which is refused elsewhere.
pub(super) fn clean(path: &str) -> String {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    format!("/{}", parts.join("/"))
}

fn depth(target: &str) -> usize {
    target.split('/').filter(|part| !part.is_empty()).count()
}
