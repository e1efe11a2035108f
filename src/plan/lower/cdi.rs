//! Devices by CDI name, and requests for accelerators, which are CDI devices by another name.
//!
//! What a specification cannot have here is refused, because a device that lacks a part of what its vendor describes does not work:
//! hooks after the container was made, Intel RDT, network devices.

use compose_spec::model::{DeviceChoice, DeviceRequest};

use runtime::spec::HookPoint;

use crate::model::{CdiEdits, CdiHook, CdiRegistry};

/// Class of accelerators in the names of all vendors.
const GPU_CLASS: &str = "gpu";
/// Vendors by the driver that Compose files name.
const DRIVERS: [(&str, &str); 2] = [("nvidia", "nvidia.com/gpu"), ("amd", "amd.com/gpu")];
/// Driver of requests whose ids are CDI names.
const CDI_DRIVER: &str = "cdi";
/// Capabilities that a GPU of any vendor has, as `docker run --gpus` names them.
const GPU_CAPABILITIES: [&str; 9] = [
    "gpu", "nvidia", "amd", "compute", "compat32", "graphics", "utility", "video", "display",
];

/// Returns the changes that a device makes, those of its file first; or why it cannot be had.
pub(super) fn edits(registry: &CdiRegistry, name: &str) -> Result<Vec<CdiEdits>, String> {
    let Some((kind, device)) = name.split_once('=') else {
        return Err("it must be `vendor/class=name`".to_owned());
    };
    // The last file wins: those of the running system are behind those of the administrator.
    let found = registry.specs.iter().rev().find_map(|spec| {
        let of_kind = spec.kind == kind;
        let mut devices = spec.devices.iter();
        let device = devices.find(|candidate| of_kind && candidate.name == device)?;
        Some((spec, device))
    });
    let Some((spec, device)) = found else {
        return Err(missing(registry, kind));
    };
    let edits = [&spec.container_edits, &device.container_edits];
    for edit in edits {
        let is_unknown = |hook: &&CdiHook| point(hook).is_none();
        if let Some(hook) = edit.hooks.iter().find(is_unknown) {
            let (path, program) = (spec.path.display(), hook.path.display());
            return Err(format!(
                "{path} wants the {} hook `{program}`, and stack runs only those that prepare a container (createRuntime, createContainer)",
                hook.hook_name
            ));
        }
        if edit.intel_rdt.is_some() || !edit.net_devices.is_empty() {
            let path = spec.path.display();
            return Err(format!(
                "{path} wants Intel RDT or network devices, which stack does not set up"
            ));
        }
    }
    Ok(edits.into_iter().cloned().collect())
}

/// Where a hook is run; `None` = it belongs to another time of a container's life. `prestart` is the older name of the first.
pub(super) fn point(hook: &CdiHook) -> Option<HookPoint> {
    match hook.hook_name.as_str() {
        "prestart" | "createRuntime" => Some(HookPoint::CreateRuntime),
        "createContainer" => Some(HookPoint::CreateContainer),
        _ => None,
    }
}

fn missing(registry: &CdiRegistry, kind: &str) -> String {
    let mut names: Vec<String> = registry
        .specs
        .iter()
        .filter(|spec| spec.kind == kind)
        .flat_map(|spec| spec.devices.iter())
        .map(|device| format!("`{}`", device.name))
        .collect();
    names.sort();
    names.dedup();
    let mut text = if names.is_empty() {
        format!("no file in /etc/cdi or /var/run/cdi describes a device of kind `{kind}`")
    } else {
        format!("the devices of kind `{kind}` are {}", names.join(", "))
    };
    if let Some(broken) = registry.broken.first() {
        text = format!("{text} (not used: {broken})");
    }
    text
}

/// Returns the CDI names that a request stands for, or what is wrong with it.
pub(super) fn names(
    registry: &CdiRegistry,
    request: &DeviceRequest,
) -> Result<Vec<String>, (String, String)> {
    let refuse = |value: &str, reason: String| Err((value.to_owned(), reason));
    let driver = request.driver.as_deref().unwrap_or_default();
    if driver == CDI_DRIVER {
        return match &request.devices {
            DeviceChoice::Ids(ids) => Ok(ids.clone()),
            _ => refuse(
                CDI_DRIVER,
                "it needs `device_ids` with CDI names".to_owned(),
            ),
        };
    }
    let unknown = |name: &&String| !GPU_CAPABILITIES.contains(&name.as_str());
    if let Some(capability) = request.capabilities.iter().find(unknown) {
        return refuse(
            capability,
            "it is no capability of a GPU; other devices are asked for by `driver: cdi` and their names".to_owned(),
        );
    }
    let kind = match DRIVERS.iter().find(|(known, _)| *known == driver) {
        Some((_, kind)) => (*kind).to_owned(),
        None if driver.is_empty() => first_gpu_kind(registry),
        None => {
            return refuse(
                driver,
                "the drivers are `nvidia`, `amd` and `cdi`".to_owned(),
            );
        }
    };
    let present = present(registry, &kind);
    let full = |name: &String| format!("{kind}={name}");
    match &request.devices {
        DeviceChoice::Ids(ids) => {
            // An id may be a full name already.
            let name = |id: &String| {
                if id.contains('=') {
                    id.clone()
                } else {
                    full(id)
                }
            };
            Ok(ids.iter().map(name).collect())
        }
        _ if present.is_empty() => refuse(&kind, missing(registry, &kind)),
        DeviceChoice::All => Ok(present.iter().map(full).collect()),
        DeviceChoice::Count(count) => {
            let wanted = usize::try_from(*count).unwrap_or(usize::MAX);
            if wanted > present.len() {
                let here = present.len();
                return refuse(
                    &count.to_string(),
                    format!("this host has {here} of kind `{kind}`"),
                );
            }
            Ok(present.iter().take(wanted).map(full).collect())
        }
    }
}

/// The kind of the first GPU described, NVIDIA's when there is none: it names what to install.
fn first_gpu_kind(registry: &CdiRegistry) -> String {
    let mut kinds = registry.specs.iter().map(|spec| &spec.kind);
    let is_gpu = |kind: &&String| {
        let class = kind.split_once('/').map(|(_, class)| class);
        class == Some(GPU_CLASS)
    };
    kinds
        .find(is_gpu)
        .cloned()
        .unwrap_or_else(|| DRIVERS[0].1.to_owned())
}

/// Names of single devices in the order of their numbers. Vendors describe a device by several names (index, UUID, `all`): indices go
/// before others, and `all` is no device of its own.
fn present(registry: &CdiRegistry, kind: &str) -> Vec<String> {
    let mut names: Vec<String> = registry
        .specs
        .iter()
        .filter(|spec| spec.kind == kind)
        .flat_map(|spec| spec.devices.iter())
        .map(|device| device.name.clone())
        .filter(|name| name != "all")
        .collect();
    if names.iter().any(|name| name.parse::<u32>().is_ok()) {
        names.retain(|name| name.parse::<u32>().is_ok());
    }
    names.sort_by_key(|name| (name.parse::<u32>().unwrap_or(u32::MAX), name.clone()));
    names.dedup();
    names
}
