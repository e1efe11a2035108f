//! Maps `config.json` onto a [`ContainerSpec`]. Pure. What cannot be mapped is refused by its name, never left out.

use std::path::{Path, PathBuf};

use runtime::spec::{
    BlockIo, CapabilitySets, CgroupPlace, ContainerSpec, DeviceAccess, DeviceKind, DeviceRule,
    ExactNode, ExactSecurity, IdRange, Namespace, Process, Resources, Rlimit, Rootfs, Seccomp,
    SeccompProfile, UserMap,
};
use serde::Deserialize;

use super::{
    config::{self, Config},
    mounts,
};

/// A description that our runtime cannot make true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MapError {
    /// A property that must be there is not.
    #[error("config.json has no `{0}`")]
    Missing(&'static str),
    /// A property that this runtime does not have.
    #[error("`{0}` of config.json is not supported")]
    Unsupported(String),
    /// A value that makes no sense.
    #[error("`{property}` of config.json: {reason}: `{value}`")]
    Value {
        /// Which.
        property: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What a bundle is mapped with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The container's id.
    pub(super) id: &'a str,
    /// The bundle's directory.
    pub(super) bundle: &'a Path,
    /// The host's name, for containers that have no other.
    pub(super) host_name: &'a str,
}

/// Maps a bundle.
pub(super) fn map(config: &Config, place: Place<'_>) -> Result<ContainerSpec, MapError> {
    refuse_unsupported(config)?;
    let root = config.root.as_ref().ok_or(MapError::Missing("root"))?;
    let described = config
        .process
        .as_ref()
        .ok_or(MapError::Missing("process"))?;
    let linux = config.linux.clone().unwrap_or_default();
    let rootfs = Rootfs::Directory(absolute(place.bundle, &root.path));
    let mut spec = ContainerSpec::new(place.id, rootfs, process(described)?);
    spec.rootfs_read_only = root.readonly;
    spec.hostname = config
        .hostname
        .clone()
        .unwrap_or_else(|| place.host_name.to_owned());
    spec.domainname.clone_from(&config.domainname);
    namespaces(&linux.namespaces, &mut spec)?;
    if config.hostname.is_some() && spec.namespaces.uts == Namespace::Host {
        return Err(MapError::Value {
            property: "hostname",
            value: spec.hostname,
            reason: "needs a uts namespace",
        });
    }
    spec.mounts = mounts::map(&config.mounts)?;
    if let Some(path) = &linux.cgroups_path {
        spec.cgroup = cgroup(path)?;
    } else {
        spec.cgroup.parent = "stack-oci".into();
    }
    spec.resources = resources(&linux.resources.clone().unwrap_or_default())?;
    spec.rlimits = rlimits(&described.rlimits)?;
    spec.sysctls = linux.sysctl.clone().into_iter().collect();
    spec.oom_score_adj = described.oom_score_adj;
    spec.security.no_new_privs = described.no_new_privileges;
    spec.security.seccomp = seccomp(linux.seccomp.as_ref())?;
    spec.users = users(&linux)?;
    if let Some(resources) = &linux.resources {
        spec.device_rules = device_rules(&resources.devices)?;
    }
    spec.security.exact = Some(Box::new(ExactSecurity {
        capabilities: capabilities(described.capabilities.as_ref())?,
        hidden: linux.masked_paths.clone(),
        protected: linux.readonly_paths.clone(),
        umask: described.user.umask,
        nodes: nodes(&linux.devices)?,
    }));
    spec.stdio.tty = described.terminal;
    Ok(spec)
}

/// Maps a process: the first one, or that of an exec.
pub(super) fn process(described: &config::Process) -> Result<Process, MapError> {
    let unsupported = [
        (
            "process.apparmorProfile",
            is_set(described.apparmor_profile.as_ref()),
        ),
        (
            "process.selinuxLabel",
            is_set(described.selinux_label.as_ref()),
        ),
        ("process.scheduler", described.scheduler.is_some()),
        ("process.ioPriority", described.io_priority.is_some()),
        (
            "process.execCPUAffinity",
            described.exec_cpu_affinity.is_some(),
        ),
    ];
    refuse_set(&unsupported)?;
    if described.cwd.is_empty() {
        return Err(MapError::Missing("process.cwd"));
    }
    let config::User {
        uid,
        gid,
        additional_gids,
        ..
    } = &described.user;
    Ok(Process {
        argv: described.args.clone(),
        env: described.env.clone(),
        cwd: described.cwd.clone(),
        user: format!("{uid}:{gid}"),
        groups: additional_gids.iter().map(ToString::to_string).collect(),
    })
}

/// Maps capability sets; no sets are empty sets.
pub(super) fn capabilities(
    described: Option<&config::Capabilities>,
) -> Result<CapabilitySets, MapError> {
    let Some(described) = described else {
        return Ok(CapabilitySets::default());
    };
    let set = |names: &[String]| {
        let name = |name: &String| capability(name);
        names.iter().map(name).collect::<Result<Vec<_>, _>>()
    };
    Ok(CapabilitySets {
        bounding: set(&described.bounding)?,
        permitted: set(&described.permitted)?,
        effective: set(&described.effective)?,
        inheritable: set(&described.inheritable)?,
        ambient: set(&described.ambient)?,
    })
}

/// Maps the name of a capability (`CAP_KILL`).
pub(super) fn capability(name: &str) -> Result<String, MapError> {
    let upper = name.to_ascii_uppercase();
    let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if runtime::spec::CAPABILITIES.contains(&plain) {
        return Ok(plain.to_owned());
    }
    Err(MapError::Value {
        property: "process.capabilities",
        value: name.to_owned(),
        reason: "is not a capability",
    })
}

fn refuse_unsupported(config: &Config) -> Result<(), MapError> {
    let Some(linux) = &config.linux else {
        return Ok(());
    };
    let resources = linux.resources.clone().unwrap_or_default();
    let is_private = |propagation: &str| propagation.is_empty() || propagation.ends_with("private");
    refuse_set(&[
        ("linux.intelRdt", linux.intel_rdt.is_some()),
        ("linux.personality", linux.personality.is_some()),
        ("linux.mountLabel", is_set(linux.mount_label.as_ref())),
        ("linux.timeOffsets", !linux.time_offsets.is_empty()),
        ("linux.memoryPolicy", linux.memory_policy.is_some()),
        ("linux.netDevices", !linux.net_devices.is_empty()),
        (
            "linux.rootfsPropagation",
            !linux.rootfs_propagation.as_deref().is_none_or(is_private),
        ),
        (
            "linux.resources.hugepageLimits",
            !resources.hugepage_limits.is_empty(),
        ),
        ("linux.resources.network", resources.network.is_some()),
        ("linux.resources.rdma", !resources.rdma.is_empty()),
        ("linux.resources.unified", !resources.unified.is_empty()),
    ])
}

fn refuse_set(properties: &[(&str, bool)]) -> Result<(), MapError> {
    match properties.iter().find(|(_, is_set)| *is_set) {
        Some((name, _)) => Err(MapError::Unsupported((*name).to_owned())),
        None => Ok(()),
    }
}

fn is_set(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

fn absolute(bundle: &Path, path: &Path) -> PathBuf {
    // Joining an absolute path gives that path.
    bundle.join(path)
}

fn namespaces(described: &[config::Namespace], spec: &mut ContainerSpec) -> Result<(), MapError> {
    let value = |namespace: &config::Namespace, reason| MapError::Value {
        property: "linux.namespaces",
        value: namespace.kind.clone(),
        reason,
    };
    let all = &mut spec.namespaces;
    for namespace in [
        &mut all.net,
        &mut all.pid,
        &mut all.ipc,
        &mut all.uts,
        &mut all.cgroup,
    ] {
        *namespace = Namespace::Host;
    }
    let mut seen = Vec::new();
    for namespace in described {
        if seen.contains(&namespace.kind) {
            return Err(value(namespace, "is there twice"));
        }
        seen.push(namespace.kind.clone());
        let wanted = match &namespace.path {
            Some(path) if !path.as_os_str().is_empty() => Namespace::Join(path.clone()),
            _ => Namespace::Private,
        };
        let place = match namespace.kind.as_str() {
            "network" => &mut all.net,
            "pid" => &mut all.pid,
            "ipc" => &mut all.ipc,
            "uts" => &mut all.uts,
            "cgroup" => &mut all.cgroup,
            "mount" if wanted == Namespace::Private => continue,
            "mount" => return Err(value(namespace, "cannot be joined")),
            // Its ranges are mapped apart.
            "user" if wanted == Namespace::Private => continue,
            "user" => return Err(value(namespace, "cannot be joined")),
            "time" => return Err(value(namespace, "is not supported")),
            _ => return Err(value(namespace, "is unknown")),
        };
        *place = wanted;
    }
    if !seen.iter().any(|kind| kind == "mount") {
        return Err(MapError::Missing("linux.namespaces: mount"));
    }
    Ok(())
}

/// A relative path is put where an absolute one is: below the root of each hierarchy.
fn cgroup(path: &str) -> Result<CgroupPlace, MapError> {
    let value = |reason| MapError::Value {
        property: "linux.cgroupsPath",
        value: path.to_owned(),
        reason,
    };
    if path.contains(':') {
        return Err(value("systemd's form is not supported"));
    }
    let plain = path.trim_matches('/');
    let (parent, name) = plain.rsplit_once('/').unwrap_or(("", plain));
    if name.is_empty() {
        return Err(value("has no name"));
    }
    Ok(CgroupPlace {
        parent: parent.to_owned(),
        name: name.to_owned(),
    })
}

/// Maps limits.
pub(super) fn resources(described: &config::Resources) -> Result<Resources, MapError> {
    let memory = described.memory.clone().unwrap_or_default();
    let cpu = described.cpu.clone().unwrap_or_default();
    refuse_set(&[
        ("linux.resources.memory.kernel", memory.kernel.is_some()),
        (
            "linux.resources.memory.kernelTCP",
            memory.kernel_tcp.is_some(),
        ),
        ("linux.resources.cpu.idle", cpu.idle.is_some()),
        ("linux.resources.cpu.burst", cpu.burst.is_some()),
    ])?;
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    // A negative limit is none.
    let bytes = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    Ok(Resources {
        memory_bytes: bytes(memory.limit).filter(|bytes| *bytes > 0),
        memory_swap_bytes: memory.swap.filter(|bytes| *bytes != 0),
        memory_reservation_bytes: bytes(memory.reservation).filter(|bytes| *bytes > 0),
        cpu_quota_us: cpu.quota.filter(|quota| *quota > 0),
        cpu_period_us: cpu.period.filter(|period| *period > 0),
        cpu_shares: cpu.shares.filter(|shares| *shares > 0),
        cpuset_cpus: text(cpu.cpus),
        cpuset_mems: text(cpu.mems),
        memory_swappiness: memory.swappiness,
        oom_kill_disable: memory.disable_oom_killer == Some(true),
        cpu_rt_runtime_us: bytes(cpu.realtime_runtime).filter(|value| *value > 0),
        cpu_rt_period_us: cpu.realtime_period.filter(|value| *value > 0),
        block_io: block_io(described.block_io.as_ref())?,
        pids: described
            .pids
            .as_ref()
            .and_then(|pids| pids.limit)
            .filter(|limit| *limit != 0),
    })
}

/// Weight only: our throttles name devices by their nodes, which a bundle does not.
fn block_io(described: Option<&config::BlockIo>) -> Result<BlockIo, MapError> {
    let Some(described) = described else {
        return Ok(BlockIo::default());
    };
    refuse_set(&[
        (
            "linux.resources.blockIO.leafWeight",
            described.leaf_weight.is_some(),
        ),
        (
            "linux.resources.blockIO with devices",
            !described.weight_device.is_empty()
                || !described.throttle_read_bps_device.is_empty()
                || !described.throttle_write_bps_device.is_empty()
                || !described.throttle_read_iops_device.is_empty()
                || !described.throttle_write_iops_device.is_empty(),
        ),
    ])?;
    Ok(BlockIo {
        weight: described.weight.filter(|weight| *weight > 0),
        ..BlockIo::default()
    })
}

/// What is allowed beyond the default devices; everything else is refused anyway. A rule that refuses one of several is not possible.
fn device_rules(rules: &[config::DeviceRule]) -> Result<Vec<DeviceRule>, MapError> {
    let mut allowed = Vec::new();
    for rule in rules {
        let value = |reason| MapError::Value {
            property: "linux.resources.devices",
            value: serde_json::to_string(rule).unwrap_or_default(),
            reason,
        };
        let number = |number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(number) => u32::try_from(number)
                .map(Some)
                .map_err(|_negative| value("is not a device number")),
        };
        let (major, minor) = (number(rule.major)?, number(rule.minor)?);
        let access = match rule.access.as_deref() {
            None | Some("") => DeviceAccess::ALL,
            Some(text) => {
                DeviceAccess::parse(text).ok_or_else(|| value("has an unknown access"))?
            }
        };
        let kinds = match rule.kind.as_deref() {
            Some("c" | "u") => &[DeviceKind::Character][..],
            Some("b") => &[DeviceKind::Block],
            None | Some("" | "a") => &[DeviceKind::Character, DeviceKind::Block],
            Some(_) => return Err(value("has an unknown type")),
        };
        if !rule.allow {
            if major.is_some() || minor.is_some() {
                return Err(value("single devices cannot be refused"));
            }
            allowed.clear();
            continue;
        }
        allowed.extend(kinds.iter().map(|kind| DeviceRule {
            kind: *kind,
            major,
            minor,
            access,
        }));
    }
    Ok(allowed)
}

/// Nodes below /dev, where the container's own are.
fn nodes(described: &[config::Device]) -> Result<Vec<ExactNode>, MapError> {
    described.iter().map(node).collect()
}

fn node(device: &config::Device) -> Result<ExactNode, MapError> {
    let value = |reason| MapError::Value {
        property: "linux.devices",
        value: device.path.clone(),
        reason,
    };
    let path = PathBuf::from(&device.path);
    let is_plain = path.strip_prefix("/dev").is_ok_and(|below| {
        let mut parts = below.components();
        parts.clone().next().is_some()
            && parts.all(|part| matches!(part, std::path::Component::Normal(_)))
    });
    if !is_plain {
        return Err(value("is not below /dev"));
    }
    let number =
        |number: i64| u32::try_from(number).map_err(|_negative| value("has no device number"));
    Ok(ExactNode {
        kind: match device.kind.as_str() {
            "c" | "u" => Some(DeviceKind::Character),
            "b" => Some(DeviceKind::Block),
            "p" => None,
            _ => return Err(value("has an unknown type")),
        },
        // Without a trailing slash.
        path: path.components().collect(),
        major: number(device.major)?,
        minor: number(device.minor)?,
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
    })
}

fn seccomp(described: Option<&serde_json::Value>) -> Result<Seccomp, MapError> {
    let Some(described) = described else {
        return Ok(Seccomp::Unconfined);
    };
    let profile = SeccompProfile::deserialize(described).map_err(|error| MapError::Value {
        property: "linux.seccomp",
        value: error.to_string(),
        reason: "is not a filter that can be compiled",
    })?;
    Ok(Seccomp::Profile(Box::new(profile)))
}

fn users(linux: &config::Linux) -> Result<Option<UserMap>, MapError> {
    let has_namespace = linux.namespaces.iter().any(|space| space.kind == "user");
    if !has_namespace {
        refuse_set(&[(
            "linux.uidMappings without a user namespace",
            !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty(),
        )])?;
        return Ok(None);
    }
    let ranges = |mappings: &[config::IdMapping]| {
        let range = |mapping: &config::IdMapping| IdRange {
            inside: mapping.container_id,
            outside: mapping.host_id,
            count: mapping.size,
        };
        mappings.iter().map(range).collect()
    };
    Ok(Some(UserMap {
        uids: ranges(&linux.uid_mappings),
        gids: ranges(&linux.gid_mappings),
    }))
}

/// Maps resource limits.
pub(super) fn rlimits(described: &[config::Rlimit]) -> Result<Vec<Rlimit>, MapError> {
    described.iter().map(rlimit).collect()
}

fn rlimit(described: &config::Rlimit) -> Result<Rlimit, MapError> {
    let name = described.kind.strip_prefix("RLIMIT_");
    let name = name.ok_or_else(|| MapError::Value {
        property: "process.rlimits",
        value: described.kind.clone(),
        reason: "is not a resource limit",
    })?;
    Ok(Rlimit {
        name: name.to_ascii_lowercase(),
        soft: described.soft,
        hard: described.hard,
    })
}
