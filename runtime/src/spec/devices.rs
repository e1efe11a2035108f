//! Devices of the host that a container may use.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A device node of the host, or a directory of them, that appears in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Node, or directory with nodes at any depth, on the host. Looked at when the container starts, because numbers of devices change.
    pub source: PathBuf,
    /// Path in the container; of a directory, where its nodes are found below.
    pub target: String,
    /// What may be done with it.
    pub access: DeviceAccess,
}

/// Permission for some devices, with or without a node (`device_cgroup_rules`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Character or block.
    pub kind: DeviceKind,
    /// Major number; `None` = any.
    pub major: Option<u32>,
    /// Minor number; `None` = any.
    pub minor: Option<u32>,
    /// What is permitted.
    pub access: DeviceAccess,
}

/// Kind of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// Character device.
    Character,
    /// Block device.
    Block,
}

/// What may be done with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAccess {
    /// Open for reading.
    pub read: bool,
    /// Open for writing.
    pub write: bool,
    /// `mknod(2)`.
    pub make: bool,
}

impl DeviceAccess {
    /// Read, write and make.
    pub const ALL: DeviceAccess = DeviceAccess {
        read: true,
        write: true,
        make: true,
    };
    /// Make only.
    pub const MAKE: DeviceAccess = DeviceAccess {
        read: false,
        write: false,
        make: true,
    };

    /// Reads the letters `r`, `w` and `m`, each at most once, at least one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut access = DeviceAccess {
            read: false,
            write: false,
            make: false,
        };
        for letter in text.chars() {
            let flag = match letter {
                'r' => &mut access.read,
                'w' => &mut access.write,
                'm' => &mut access.make,
                _ => return None,
            };
            if std::mem::replace(flag, true) {
                return None;
            }
        }
        (!text.is_empty()).then_some(access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_once_each() {
        assert_eq!(DeviceAccess::parse("mrw"), Some(DeviceAccess::ALL));
        assert_eq!(DeviceAccess::parse("m"), Some(DeviceAccess::MAKE));
        for text in ["", "x", "rr", "r w", "RW"] {
            assert_eq!(DeviceAccess::parse(text), None, "{text}");
        }
    }
}
