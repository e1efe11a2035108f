//! Devices: nodes of the host, rules, CDI devices and accelerators.

use compose_spec::model::{
    Device as Wanted, DeviceAccess as WantedAccess, DeviceKind as WantedKind, Service,
};
use runtime::spec::{
    Device, DeviceAccess, DeviceKind, DeviceRule, Hook, Mount, MountKind, Propagation,
};

use super::{LowerInput, cdi, error::Checks, mounts::clean};
use crate::model::{CdiEdits, CdiRegistry};

/// Options of CDI mounts that are so anyway, or that say what the mount does already.
const MOUNT_OPTIONS: [&str; 9] = [
    "rw", "bind", "rbind", "nosuid", "nodev", "private", "rprivate", "exec", "relatime",
];

/// What a container gets for its devices.
#[derive(Debug, Default)]
pub struct Devices {
    /// Nodes.
    pub nodes: Vec<Device>,
    /// Permissions without nodes.
    pub rules: Vec<DeviceRule>,
    /// Files that come along.
    pub mounts: Vec<Mount>,
    /// Variables that come along, `NAME=value`.
    pub env: Vec<String>,
    /// Supplementary groups that come along, as numbers.
    pub groups: Vec<String>,
    /// Programs of the host that prepare a container for them.
    pub hooks: Vec<Hook>,
}

/// Finds what the CDI devices of these names (`vendor/class=name`) bring.
///
/// # Errors
///
/// Why one cannot be had, for people.
pub fn named_devices<'a>(
    registry: &CdiRegistry,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Devices, String> {
    let mut result = Devices::default();
    for name in names {
        cdi::edits(registry, name)
            .and_then(|edits| edits.iter().try_for_each(|edit| result.add_edits(edit)))
            .map_err(|reason| format!("device `{name}`: {reason}"))?;
    }
    Ok(result)
}

/// Lowers all devices of a service.
pub(super) fn lower(input: &LowerInput<'_>, checks: &mut Checks<'_>) -> Devices {
    let service = &input.new.service;
    let mut result = Devices::default();
    for (index, device) in service.devices.iter().enumerate() {
        let path = format!("devices[{index}]");
        match device {
            Wanted::Node {
                source,
                target,
                access,
            } => {
                let target = target.display().to_string();
                if !source.is_absolute() || !is_target(&target) {
                    let reason = "source and target must be absolute paths, the target below `/` and not in `/proc`";
                    checks.invalid(path, "device", device.to_string(), reason);
                    continue;
                }
                result.nodes.push(Device {
                    source: source.clone(),
                    target: clean(&target),
                    access: self::access(*access),
                });
            }
            Wanted::Cdi(name) => result.add_named(input, &path, name, checks),
        }
    }
    result.rules = rules(service);
    for request in &service.device_requests {
        match cdi::names(&input.host.cdi, request) {
            Ok(names) => {
                for name in names {
                    result.add_named(input, &request.path, &name, checks);
                }
            }
            Err((value, reason)) => {
                checks.invalid(&request.path, "device request", value, reason);
            }
        }
    }
    result
}

impl Devices {
    fn add_named(
        &mut self,
        input: &LowerInput<'_>,
        path: &str,
        name: &str,
        checks: &mut Checks<'_>,
    ) {
        let added = cdi::edits(&input.host.cdi, name)
            .and_then(|edits| edits.iter().try_for_each(|edit| self.add_edits(edit)));
        if let Err(reason) = added {
            checks.invalid(path, "device", name, reason);
        }
    }

    /// Applies what a specification says; a change that two devices share counts once.
    fn add_edits(&mut self, edits: &CdiEdits) -> Result<(), String> {
        for node in &edits.device_nodes {
            let access = match &node.permissions {
                None => DeviceAccess::ALL,
                Some(text) if text.is_empty() => DeviceAccess::ALL,
                Some(text) => DeviceAccess::parse(text)
                    .ok_or_else(|| format!("its permissions `{text}` are not letters of `rwm`"))?,
            };
            let source = node
                .host_path
                .clone()
                .unwrap_or_else(|| node.path.clone().into());
            if !is_target(&node.path) || !source.is_absolute() {
                return Err(format!("its node `{}` has no absolute path", node.path));
            }
            push_new(
                &mut self.nodes,
                Device {
                    source,
                    target: clean(&node.path),
                    access,
                },
            );
        }
        for mount in &edits.mounts {
            let is_read_only = mount.options.iter().any(|option| option == "ro");
            let unknown =
                |option: &&String| *option != "ro" && !MOUNT_OPTIONS.contains(&option.as_str());
            if let Some(option) = mount.options.iter().find(unknown) {
                return Err(format!(
                    "its mount on `{}` has the option `{option}`, which is not supported",
                    mount.container_path
                ));
            }
            if !is_target(&mount.container_path) || !mount.host_path.is_absolute() {
                return Err(format!(
                    "its mount on `{}` has no absolute path",
                    mount.container_path
                ));
            }
            push_new(
                &mut self.mounts,
                Mount {
                    target: clean(&mount.container_path),
                    kind: MountKind::Bind {
                        source: mount.host_path.clone(),
                        subpath: None,
                        recursive: true,
                        propagation: Propagation::Rprivate,
                        writable_below: false,
                    },
                    read_only: is_read_only,
                },
            );
        }
        for entry in &edits.env {
            if !entry.contains('=') || entry.starts_with('=') {
                return Err(format!("its variable `{entry}` is not `NAME=value`"));
            }
            push_new(&mut self.env, entry.clone());
        }
        for hook in &edits.hooks {
            if !hook.path.is_absolute() {
                let path = hook.path.display();
                return Err(format!("its hook `{path}` has no absolute path"));
            }
            let at = cdi::point(hook).ok_or("it has a hook of another time")?;
            push_new(
                &mut self.hooks,
                Hook {
                    at,
                    path: hook.path.clone(),
                    args: hook.args.clone(),
                    env: hook.env.clone(),
                    timeout_s: hook.timeout,
                },
            );
        }
        for gid in edits.additional_gids.iter().filter(|gid| **gid != 0) {
            push_new(&mut self.groups, gid.to_string());
        }
        Ok(())
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

fn is_target(path: &str) -> bool {
    let target = clean(path);
    let is_inside = target != "/" && target.split('/').all(|part| part != "..");
    path.starts_with('/') && is_inside && target != "/proc" && !target.starts_with("/proc/")
}

fn access(wanted: WantedAccess) -> DeviceAccess {
    DeviceAccess {
        read: wanted.read,
        write: wanted.write,
        make: wanted.mknod,
    }
}

/// `a` stands for both kinds.
fn rules(service: &Service) -> Vec<DeviceRule> {
    let mut rules = Vec::new();
    for wanted in &service.device_cgroup_rules {
        let kinds: &[DeviceKind] = match wanted.kind {
            WantedKind::Block => &[DeviceKind::Block],
            WantedKind::Char => &[DeviceKind::Character],
            WantedKind::All => &[DeviceKind::Character, DeviceKind::Block],
        };
        rules.extend(kinds.iter().map(|kind| DeviceRule {
            kind: *kind,
            major: wanted.major,
            minor: wanted.minor,
            access: access(wanted.access),
        }));
    }
    rules
}
