//! Maps `config.json` onto a [`ContainerSpec`]. Pure. What cannot be mapped is refused by its name, never left out; what can have no
//! effect is told.

mod isolation;
mod nodes;
mod resources;

use std::path::Path;

use runtime::spec::{
    Attributes, CapabilitySets, ContainerSpec, ExactSecurity, Namespace, Personality, Process,
    Propagation, Rlimit, Rootfs,
};
use serde::de::DeserializeOwned;

use super::{
    config::{self, Config},
    mounts,
};

pub(super) use resources::resources;

/// A description that our runtime cannot make true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MapError {
    /// A property that must be there is not.
    #[error("config.json has no `{0}`")]
    Missing(&'static str),
    /// A property that this runtime does not have.
    #[error("`{0}` of config.json is not supported")]
    Unsupported(String),
    /// A value of another form than the specification's.
    #[error("`{property}` of config.json: {reason}: `{value}`")]
    Form {
        /// Which.
        property: &'static str,
        /// What it says.
        value: String,
        /// What its reader expected.
        reason: String,
    },
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
    /// The host has SELinux.
    pub(super) has_selinux: bool,
}

/// A bundle that was mapped.
#[derive(Debug)]
pub(super) struct Mapped {
    /// What it describes.
    pub(super) spec: ContainerSpec,
    /// What of it has no effect, for people.
    pub(super) warnings: Vec<String>,
}

/// Maps a bundle.
pub(super) fn map(config: &Config, place: Place<'_>) -> Result<Mapped, MapError> {
    let mut warnings = Vec::new();
    let root = config.root.as_ref().ok_or(MapError::Missing("root"))?;
    let described = config
        .process
        .as_ref()
        .ok_or(MapError::Missing("process"))?;
    let linux = config.linux.clone().unwrap_or_default();
    refuse_unsupported(&linux)?;
    labels(described, &linux, place.has_selinux, &mut warnings)?;
    // Joining an absolute path gives that path.
    let rootfs = Rootfs::Directory(place.bundle.join(&root.path));
    let mut spec = ContainerSpec::new(place.id, rootfs, process(described)?);
    spec.rootfs_read_only = root.readonly;
    isolation::namespaces(&linux.namespaces, &mut spec)?;
    names(config, &linux, place.host_name, &mut spec)?;
    spec.mounts = mounts::map(&config.mounts, &mut warnings)?;
    match &linux.cgroups_path {
        Some(path) => spec.cgroup = isolation::cgroup(path)?,
        None => spec.cgroup.parent = "stack-oci".into(),
    }
    spec.rlimits = rlimits(&described.rlimits)?;
    spec.oom_score_adj = described.oom_score_adj;
    spec.security.no_new_privs = described.no_new_privileges;
    spec.security.seccomp = isolation::seccomp(linux.seccomp.as_ref())?;
    spec.users = isolation::users(&linux)?;
    if let Some(described) = &linux.resources {
        spec.resources = resources(described)?;
        spec.device_rules = nodes::device_rules(&described.devices)?;
    }
    spec.security.exact = Some(Box::new(ExactSecurity {
        capabilities: capabilities(described.capabilities.as_ref())?,
        hidden: linux.masked_paths.clone(),
        protected: linux.readonly_paths.clone(),
        umask: described.user.umask,
        nodes: nodes::nodes(&linux.devices)?,
        attributes: Attributes {
            personality: linux.personality.as_ref().map(personality).transpose()?,
            memory_policy: attribute("linux.memoryPolicy", linux.memory_policy.as_ref())?,
            ..attributes(described)?
        },
        root_propagation: linux
            .rootfs_propagation
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(root_propagation)
            .transpose()?,
    }));
    spec.stdio.tty = described.terminal;
    Ok(Mapped { spec, warnings })
}

/// Host and domain name, which may be given as kernel parameters too.
fn names(
    config: &Config,
    linux: &config::Linux,
    host_name: &str,
    spec: &mut ContainerSpec,
) -> Result<(), MapError> {
    let mut parameters = linux.sysctl.clone();
    let mut name = |property, parameter, given: &Option<String>| {
        let known = given.as_ref().filter(|name| !name.is_empty());
        match (known, parameters.remove(parameter)) {
            (Some(known), Some(other)) if *known != other => Err(MapError::Value {
                property: "linux.sysctl",
                value: format!("{parameter}={other}"),
                reason: property,
            }),
            (known, other) => Ok(known.cloned().or(other)),
        }
    };
    let host = name(
        "says another name than `hostname`",
        "kernel.hostname",
        &config.hostname,
    )?;
    let domain = name(
        "says another name than `domainname`",
        "kernel.domainname",
        &config.domainname,
    )?;
    for (property, name) in [("hostname", &host), ("domainname", &domain)] {
        if let Some(name) = name
            && spec.namespaces.uts == Namespace::Host
        {
            return Err(MapError::Value {
                property,
                value: name.clone(),
                reason: "needs a uts namespace",
            });
        }
    }
    spec.hostname = host.unwrap_or_else(|| host_name.to_owned());
    spec.domainname = domain;
    spec.sysctls = parameters.into_iter().collect();
    Ok(())
}

/// Labels of SELinux do nothing on a host without it; on one with it they would be missed.
fn labels(
    process: &config::Process,
    linux: &config::Linux,
    has_selinux: bool,
    warnings: &mut Vec<String>,
) -> Result<(), MapError> {
    for (property, label) in [
        ("linux.mountLabel", &linux.mount_label),
        ("process.selinuxLabel", &process.selinux_label),
    ] {
        if is_set(label.as_ref()) {
            if has_selinux {
                return Err(MapError::Unsupported(property.to_owned()));
            }
            warnings.push(format!(
                "`{property}` has no effect: this host has no SELinux"
            ));
        }
    }
    Ok(())
}

/// Maps how a process is scheduled.
pub(super) fn attributes(described: &config::Process) -> Result<Attributes, MapError> {
    Ok(Attributes {
        scheduler: attribute("process.scheduler", described.scheduler.as_ref())?,
        io_priority: attribute("process.ioPriority", described.io_priority.as_ref())?,
        ..Attributes::default()
    })
}

fn attribute<T: DeserializeOwned>(
    property: &'static str,
    described: Option<&serde_json::Value>,
) -> Result<Option<T>, MapError> {
    let read = |described: &serde_json::Value| {
        T::deserialize(described).map_err(|error| MapError::Form {
            property,
            value: described.to_string(),
            reason: error.to_string(),
        })
    };
    described.map(read).transpose()
}

fn personality(described: &serde_json::Value) -> Result<Personality, MapError> {
    let property = "linux.personality";
    let has_flags = described.get("flags").and_then(|flags| flags.as_array());
    if has_flags.is_some_and(|flags| !flags.is_empty()) {
        // The specification: "currently no flag is supported".
        return Err(MapError::Unsupported("linux.personality.flags".to_owned()));
    }
    let domain = described.get("domain");
    attribute(property, domain)?.ok_or(MapError::Missing("linux.personality.domain"))
}

fn root_propagation(text: &str) -> Result<Propagation, MapError> {
    mounts::propagation(text).ok_or_else(|| MapError::Value {
        property: "linux.rootfsPropagation",
        value: text.to_owned(),
        reason: "is unknown",
    })
}

/// Maps a process: the first one, or that of an exec.
pub(super) fn process(described: &config::Process) -> Result<Process, MapError> {
    refuse_set(&[
        (
            "process.apparmorProfile",
            is_set(described.apparmor_profile.as_ref()),
        ),
        (
            "process.execCPUAffinity",
            described.exec_cpu_affinity.is_some(),
        ),
    ])?;
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

fn refuse_unsupported(linux: &config::Linux) -> Result<(), MapError> {
    refuse_set(&[
        ("linux.intelRdt", linux.intel_rdt.is_some()),
        ("linux.timeOffsets", !linux.time_offsets.is_empty()),
        ("linux.netDevices", !linux.net_devices.is_empty()),
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
