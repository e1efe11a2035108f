//! Devices of the Container Device Interface (CDI 0.8): what vendors' files in /etc/cdi and /var/run/cdi say of their devices.
//!
//! Plain data, as read; [`crate::observe`] reads it and [`crate::plan::lower`] uses it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that the CDI files of a host say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CdiRegistry {
    /// Specifications, those of /etc/cdi before those of /var/run/cdi, which win.
    pub specs: Vec<CdiSpec>,
    /// Files that could not be used, with the reason; told when a device is missing.
    pub broken: Vec<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CdiSpec {
    /// Version of the interface (`0.6.0`).
    pub cdi_version: String,
    /// Vendor and class: `nvidia.com/gpu`.
    pub kind: String,
    /// Its devices.
    #[serde(default)]
    pub devices: Vec<CdiDevice>,
    /// What every container with any of them gets.
    #[serde(default)]
    pub container_edits: CdiEdits,
    /// The file; not in it.
    #[serde(default)]
    pub path: PathBuf,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CdiDevice {
    /// Name within the kind: `0`, `all`.
    pub name: String,
    /// What a container with it gets.
    #[serde(default)]
    pub container_edits: CdiEdits,
}

/// Changes of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CdiEdits {
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Device nodes.
    pub device_nodes: Vec<CdiNode>,
    /// Bind mounts.
    pub mounts: Vec<CdiMount>,
    /// Programs of the host to run around the start.
    pub hooks: Vec<CdiHook>,
    /// Supplementary groups.
    #[serde(rename = "additionalGids", deserialize_with = "numbers")]
    pub additional_gids: Vec<u32>,
    /// Cache and bandwidth classes; not supported.
    pub intel_rdt: Option<serde_json::Value>,
    /// Network devices; not supported.
    pub net_devices: Vec<serde_json::Value>,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CdiNode {
    /// Path in the container.
    pub path: String,
    /// Path on the host; `None` = the same.
    #[serde(default)]
    pub host_path: Option<PathBuf>,
    /// Letters of `rwm`; `None` = all.
    #[serde(default)]
    pub permissions: Option<String>,
}

/// A bind mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CdiMount {
    /// Path on the host.
    pub host_path: PathBuf,
    /// Path in the container.
    pub container_path: String,
    /// As of mount(8): `ro`, `nosuid`, `rbind`, ….
    #[serde(default)]
    pub options: Vec<String>,
}

/// A program of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CdiHook {
    /// When it runs: `createContainer`, ….
    pub hook_name: String,
    /// The program.
    pub path: PathBuf,
    /// Arguments, the first of which is its name; empty = its path.
    #[serde(default)]
    pub args: Vec<String>,
    /// `NAME=value`; it gets no others.
    #[serde(default)]
    pub env: Vec<String>,
    /// Seconds.
    #[serde(default, deserialize_with = "maybe_number")]
    pub timeout: Option<u32>,
}

/// YAML is read with every scalar as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u32),
    Text(String),
}

impl Number {
    fn value<E: serde::de::Error>(self) -> Result<u32, E> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Text(text) => text.parse().map_err(E::custom),
        }
    }
}

fn numbers<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    let numbers = Vec::<Number>::deserialize(deserializer)?;
    numbers.into_iter().map(Number::value).collect()
}

fn maybe_number<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    let number = Option::<Number>::deserialize(deserializer)?;
    number.map(Number::value).transpose()
}
