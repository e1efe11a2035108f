//! Namespaces, place of the control group, users and the system call filter of a bundle.

use runtime::spec::{
    CgroupPlace, ContainerSpec, IdRange, Namespace, Seccomp, SeccompProfile, UserMap,
};
use serde::Deserialize;

use super::{super::config, MapError, refuse_set};

/// Maps namespaces; those that are not named are the host's.
pub(super) fn namespaces(
    described: &[config::Namespace],
    spec: &mut ContainerSpec,
) -> Result<(), MapError> {
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
pub(super) fn cgroup(path: &str) -> Result<CgroupPlace, MapError> {
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

/// Maps the filter; without one there is none.
pub(super) fn seccomp(described: Option<&serde_json::Value>) -> Result<Seccomp, MapError> {
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

/// Maps users, which only a user namespace has.
pub(super) fn users(linux: &config::Linux) -> Result<Option<UserMap>, MapError> {
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
