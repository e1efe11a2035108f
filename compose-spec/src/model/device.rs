//! Devices: nodes of the host, rules about them, requests for accelerators, and rates of block devices.

use std::{fmt, path::PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// One entry of `devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// A device node of the host, or a directory of them.
    Node {
        /// Absolute path on the host.
        source: PathBuf,
        /// Absolute path in the container.
        target: PathBuf,
        /// What the container may do with it.
        access: DeviceAccess,
    },
    /// A device by its fully qualified CDI name, `vendor.com/class=name` (Container Device Interface 0.8).
    Cdi(String),
}

/// As in the short form: `/dev/fuse:/dev/fuse:rwm`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node {
                source,
                target,
                access,
            } => write!(f, "{}:{}:{access}", source.display(), target.display()),
            Self::Cdi(name) => f.write_str(name),
        }
    }
}

/// What a container may do with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAccess {
    /// Read from it.
    pub read: bool,
    /// Write to it.
    pub write: bool,
    /// Make a node for it: mknod(2).
    pub mknod: bool,
}

impl DeviceAccess {
    /// Everything: `rwm`.
    pub const ALL: Self = Self {
        read: true,
        write: true,
        mknod: true,
    };

    /// Reads letters out of `rwm`; `None` for none at all or another letter.
    pub fn parse(letters: &str) -> Option<Self> {
        let known = letters.chars().all(|letter| "rwm".contains(letter));
        (known && !letters.is_empty()).then(|| Self {
            read: letters.contains('r'),
            write: letters.contains('w'),
            mknod: letters.contains('m'),
        })
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (has, letter) in [(self.read, "r"), (self.write, "w"), (self.mknod, "m")] {
            if has {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// One entry of `device_cgroup_rules`: `c 189:* rwm` (kernel: admin-guide/cgroup-v1/devices.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Which kind of node.
    pub kind: DeviceKind,
    /// Major number; `None` = all.
    pub major: Option<u32>,
    /// Minor number; `None` = all.
    pub minor: Option<u32>,
    /// What is allowed.
    pub access: DeviceAccess,
}

impl DeviceRule {
    /// Reads `c 189:* rwm`; `None` when it has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let kind = match words.next()? {
            "a" => DeviceKind::All,
            "b" => DeviceKind::Block,
            "c" => DeviceKind::Char,
            _ => return None,
        };
        let (major, minor) = words.next()?.split_once(':')?;
        let number = |text: &str| match text {
            "*" => Some(None),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().map(Some)
            }
            _ => None,
        };
        let rule = Self {
            kind,
            major: number(major)?,
            minor: number(minor)?,
            access: DeviceAccess::parse(words.next()?)?,
        };
        words.next().is_none().then_some(rule)
    }
}

/// Kind of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// Character and block devices.
    All,
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

/// A request for accelerators: an entry of `gpus`, or of `deploy.resources.reservations.devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// Where it is written below the service: `gpus[0]`.
    pub path: String,
    /// What the devices must be able to do; all of them (`gpu`, `compute`). `gpus` asks for `gpu`.
    pub capabilities: Vec<String>,
    /// Who provides them (`nvidia`, `cdi`); `None` = anyone.
    pub driver: Option<String>,
    /// Which devices.
    pub devices: DeviceChoice,
    /// Options of the driver.
    pub options: IndexMap<String, String>,
}

/// Which devices a request wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// Every one.
    All,
    /// So many.
    Count(u32),
    /// These, by index, UUID or CDI name.
    Ids(Vec<String>),
}

/// The `blkio_config` of a service (io controller of cgroup v2, blkio of v1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blkio {
    /// Share of bandwidth against others, 10 to 1000; `None` = the kernel's default.
    pub weight: Option<u16>,
    /// Shares on single devices.
    pub weight_device: Vec<DeviceWeight>,
    /// Most bytes read a second.
    pub read_bps: Vec<DeviceRate>,
    /// Most reads a second.
    pub read_iops: Vec<DeviceRate>,
    /// Most bytes written a second.
    pub write_bps: Vec<DeviceRate>,
    /// Most writes a second.
    pub write_iops: Vec<DeviceRate>,
}

/// Share of one block device's bandwidth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWeight {
    /// Device node on the host.
    pub path: PathBuf,
    /// 10 to 1000.
    pub weight: u16,
}

/// Limit of one block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    /// Device node on the host.
    pub path: PathBuf,
    /// Bytes or operations a second.
    pub rate: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_rules_have_one_form() {
        let rule = DeviceRule::parse("c 189:* rw").unwrap();
        assert_eq!(
            (rule.kind, rule.major, rule.minor),
            (DeviceKind::Char, Some(189), None)
        );
        assert_eq!(rule.access.to_string(), "rw");
        assert!(DeviceRule::parse("a *:* rwm").is_some());
        for bad in [
            "",
            "c",
            "x 1:2 r",
            "c 1 r",
            "c 1:2",
            "c 1:2 ",
            "c 1:2 x",
            "c +1:2 r",
            "c 1:2 r r",
            "c 99999999999:1 r",
        ] {
            assert_eq!(DeviceRule::parse(bad), None, "{bad}");
        }
    }
}
