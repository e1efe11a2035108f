//! `config.json` of an OCI bundle, as far as it is used (runtime-spec 1.2). Unknown properties are ignored, as the specification asks.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Config {
    pub(super) oci_version: String,
    pub(super) process: Option<Process>,
    pub(super) root: Option<Root>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) domainname: Option<String>,
    pub(super) mounts: Vec<Mount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hooks: Option<Hooks>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) linux: Option<Linux>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Process {
    pub(super) terminal: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) console_size: Option<ConsoleSize>,
    pub(super) user: User,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) cwd: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) capabilities: Option<Capabilities>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rlimits: Vec<Rlimit>,
    pub(super) no_new_privileges: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) oom_score_adj: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) apparmor_profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) selinux_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scheduler: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) io_priority: Option<serde_json::Value>,
    #[serde(rename = "execCPUAffinity", skip_serializing_if = "Option::is_none")]
    pub(super) exec_cpu_affinity: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct ConsoleSize {
    pub(super) height: u16,
    pub(super) width: u16,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) umask: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) additional_gids: Vec<u32>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Capabilities {
    pub(super) bounding: Vec<String>,
    pub(super) effective: Vec<String>,
    pub(super) inheritable: Vec<String>,
    pub(super) permitted: Vec<String>,
    pub(super) ambient: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rlimit {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) soft: u64,
    pub(super) hard: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Root {
    pub(super) path: PathBuf,
    #[serde(default)]
    pub(super) readonly: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Mount {
    pub(super) destination: String,
    #[serde(rename = "type", default, skip_serializing_if = "String::is_empty")]
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) source: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) options: Vec<String>,
}

/// Programs of the bundle's owner, run at points of a container's life.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Hooks {
    pub(super) prestart: Vec<Hook>,
    pub(super) create_runtime: Vec<Hook>,
    pub(super) create_container: Vec<Hook>,
    pub(super) start_container: Vec<Hook>,
    pub(super) poststart: Vec<Hook>,
    pub(super) poststop: Vec<Hook>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Hook {
    pub(super) path: PathBuf,
    #[serde(default)]
    pub(super) args: Vec<String>,
    /// `None` = the caller's.
    #[serde(default)]
    pub(super) env: Option<Vec<String>>,
    /// Seconds.
    #[serde(default)]
    pub(super) timeout: Option<i64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Linux {
    pub(super) namespaces: Vec<Namespace>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) uid_mappings: Vec<IdMapping>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) gid_mappings: Vec<IdMapping>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) devices: Vec<Device>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cgroups_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resources: Option<Resources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rootfs_propagation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seccomp: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) sysctl: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) masked_paths: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) readonly_paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) intel_rdt: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) personality: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mount_label: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) time_offsets: BTreeMap<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_policy: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) net_devices: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Namespace {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<PathBuf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Device {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) major: i64,
    #[serde(default)]
    pub(super) minor: i64,
    pub(super) file_mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Resources {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) devices: Vec<DeviceRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pids: Option<Pids>,
    #[serde(rename = "blockIO", skip_serializing_if = "Option::is_none")]
    pub(super) block_io: Option<BlockIo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) hugepage_limits: Vec<HugepageLimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network: Option<Network>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) rdma: BTreeMap<String, Rdma>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) unified: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DeviceRule {
    pub(super) allow: bool,
    #[serde(rename = "type", default)]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) major: Option<i64>,
    #[serde(default)]
    pub(super) minor: Option<i64>,
    #[serde(default)]
    pub(super) access: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct IdMapping {
    #[serde(rename = "containerID")]
    pub(super) container_id: u32,
    #[serde(rename = "hostID")]
    pub(super) host_id: u32,
    pub(super) size: u32,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BlockIo {
    pub(super) weight: Option<u16>,
    pub(super) leaf_weight: Option<u16>,
    pub(super) weight_device: Vec<DeviceWeight>,
    pub(super) throttle_read_bps_device: Vec<DeviceThrottle>,
    pub(super) throttle_write_bps_device: Vec<DeviceThrottle>,
    #[serde(rename = "throttleReadIOPSDevice")]
    pub(super) throttle_read_iops_device: Vec<DeviceThrottle>,
    #[serde(rename = "throttleWriteIOPSDevice")]
    pub(super) throttle_write_iops_device: Vec<DeviceThrottle>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Memory {
    pub(super) limit: Option<i64>,
    pub(super) reservation: Option<i64>,
    pub(super) swap: Option<i64>,
    pub(super) kernel: Option<i64>,
    #[serde(rename = "kernelTCP")]
    pub(super) kernel_tcp: Option<i64>,
    pub(super) swappiness: Option<u64>,
    #[serde(rename = "disableOOMKiller")]
    pub(super) disable_oom_killer: Option<bool>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Cpu {
    pub(super) shares: Option<u64>,
    pub(super) quota: Option<i64>,
    pub(super) period: Option<u64>,
    pub(super) realtime_runtime: Option<i64>,
    pub(super) realtime_period: Option<u64>,
    pub(super) cpus: Option<String>,
    pub(super) mems: Option<String>,
    pub(super) idle: Option<i64>,
    pub(super) burst: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pids {
    pub(super) limit: Option<i64>,
}

/// A weight on one block device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceWeight {
    pub(super) major: i64,
    pub(super) minor: i64,
    #[serde(default)]
    pub(super) weight: Option<u16>,
    #[serde(default)]
    pub(super) leaf_weight: Option<u16>,
}

/// A bound on one block device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DeviceThrottle {
    pub(super) major: i64,
    pub(super) minor: i64,
    pub(super) rate: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HugepageLimit {
    /// As the kernel's files name it: `2MB`.
    pub(super) page_size: String,
    /// Bytes.
    pub(super) limit: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Network {
    #[serde(rename = "classID")]
    pub(super) class_id: Option<u32>,
    pub(super) priorities: Vec<InterfacePriority>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct InterfacePriority {
    pub(super) name: String,
    pub(super) priority: u32,
}

/// Handles and objects of a device for remote memory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rdma {
    pub(super) hca_handles: Option<u32>,
    pub(super) hca_objects: Option<u32>,
}
