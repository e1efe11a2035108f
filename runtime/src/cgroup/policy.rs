//! Which devices a container may use: the default ones, those it was given, and nodes that are bind-mounted into it.
//!
//! Numbers are looked up on the host when the container starts.

use std::io;
use std::path::Path;

use rustix::fs::{FileType, Stat, major, minor, stat};

use super::{CgroupError, DeviceAccess, DeviceKind, DevicePolicy, DeviceRule};
use crate::rootfs::devices::nodes_below;
use crate::spec::{ContainerSpec, ExactMount, ExactSource, MountKind};

impl DevicePolicy {
    /// Collects the devices of a container.
    pub fn of(spec: &ContainerSpec) -> Result<Self, CgroupError> {
        if spec.security.privileged {
            return Ok(Self::Everything);
        }
        let mut rules = spec.device_rules.clone();
        for device in &spec.devices {
            let failed = |path: &Path, source| CgroupError::Device {
                path: path.to_owned(),
                source,
            };
            let nodes = nodes_below(&device.source).map_err(|error| {
                let source = io::Error::from_raw_os_error(error.source.0);
                failed(&device.source, source)
            })?;
            for node in nodes {
                let stat = stat(&node).map_err(|errno| failed(&node, errno.into()))?;
                rules.extend(rule(&stat, device.access));
            }
        }
        let mounted = spec.mounts.iter().filter_map(|mount| match &mount.kind {
            // A source that is missing is refused by the launch.
            MountKind::Bind { source, .. } => {
                let access = DeviceAccess {
                    write: !mount.read_only,
                    ..DeviceAccess::ALL
                };
                rule(&stat(source).ok()?, access)
            }
            MountKind::Exact(ExactMount {
                source: ExactSource::Bind { path, .. },
                ..
            }) => rule(&stat(path).ok()?, DeviceAccess::ALL),
            MountKind::Exact(_) | MountKind::Tmpfs { .. } | MountKind::Image { .. } => None,
        });
        rules.extend(mounted);
        Ok(Self::Listed(rules))
    }
}

fn rule(stat: &Stat, access: DeviceAccess) -> Option<DeviceRule> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => DeviceKind::Character,
        FileType::BlockDevice => DeviceKind::Block,
        _ => return None,
    };
    Some(DeviceRule {
        kind,
        major: Some(major(stat.st_rdev)),
        minor: Some(minor(stat.st_rdev)),
        access,
    })
}
