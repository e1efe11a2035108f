//! Device nodes of a bundle, and which devices it may use.

use std::path::PathBuf;

use runtime::spec::{DeviceAccess, DeviceKind, DeviceRule, ExactNode};

use super::{super::config, MapError};

/// What is allowed beyond the default devices; everything else is refused anyway. A rule that refuses one of several is not possible.
pub(super) fn device_rules(rules: &[config::DeviceRule]) -> Result<Vec<DeviceRule>, MapError> {
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

/// Maps device nodes.
pub(super) fn nodes(described: &[config::Device]) -> Result<Vec<ExactNode>, MapError> {
    described.iter().map(node).collect()
}

fn node(device: &config::Device) -> Result<ExactNode, MapError> {
    let value = |reason| MapError::Value {
        property: "linux.devices",
        value: device.path.clone(),
        reason,
    };
    let path = PathBuf::from(&device.path);
    let is_plain = path.is_absolute()
        && path.components().skip(1).count() > 0
        && path
            .components()
            .skip(1)
            .all(|part| matches!(part, std::path::Component::Normal(_)));
    if !is_plain {
        return Err(value("is not a plain absolute path"));
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
