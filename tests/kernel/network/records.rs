//! Records of networks and containers for the tests.

use std::net::Ipv4Addr;

use compose_spec::model::PortProtocol;
use serde_json::{Value, json};
use stack::model::{ContainerId, ContainerRecord, EndpointRecord, NetworkRecord, PublishedAddress};

/// A network `shop_<key>` with bridge `st-<key>` and subnet 10.201.<third>.0/24.
pub(crate) fn network(key: &str, third: u8) -> NetworkRecord {
    serde_json::from_value(json!({
        "version": 1, "name": format!("shop_{key}"), "project": "shop", "key": key,
        "wanted": { "name": format!("shop_{key}"), "external": false, "driver": null, "driver_opts": {},
            "internal": false, "enable_ipv6": false, "subnets": [], "labels": {} },
        "bridge": format!("st-{key}"), "subnet": format!("10.201.{third}.0"),
        "prefix": 24, "gateway": format!("10.201.{third}.1"), "mtu": 1400, "created": 0,
    }))
    .expect("a network record")
}

/// A container of service `service` with an endpoint of address `.last` on each network.
pub(crate) fn container(service: &str, last: u8, networks: &[&NetworkRecord]) -> ContainerRecord {
    let endpoints = networks.iter().enumerate().map(|(index, network)| {
        let [a, b, c, _] = network.subnet.octets();
        EndpointRecord {
            network: network.name.clone(),
            address: Ipv4Addr::new(a, b, c, last),
            mac: [0x02, 0x42, a, b, c, last],
            interface: format!("eth{index}"),
            names: vec![service.to_owned(), format!("{service}-alias")],
            default_route: index == 0,
        }
    });
    let mut seed = [last; 32];
    seed[..service.len()].copy_from_slice(service.as_bytes());
    let mut record: ContainerRecord = serde_json::from_value(json!({
        "version": 1, "id": ContainerId::from_bytes(seed), "name": format!("shop-{service}-{last}"),
        "project": "shop", "service": service, "role": { "replica": 1 }, "wanted": wanted(service),
        "files_digest": "", "image": format!("sha256:{}", "0".repeat(64)), "image_reference": "x",
        "spec": spec(), "endpoints": [], "published": [], "anonymous_volumes": {}, "volumes": [],
        "labels": {}, "created": 0,
    }))
    .expect("a container record");
    record.endpoints = endpoints.collect();
    record
}

/// A published port.
pub(crate) fn port(
    host_ip: &str,
    host_port: u16,
    target: u16,
    protocol: PortProtocol,
) -> PublishedAddress {
    PublishedAddress {
        host_ip: host_ip.parse().expect("an address"),
        host_port,
        target,
        protocol,
    }
}

fn wanted(service: &str) -> Value {
    serde_json::from_str(&WANTED.replace("SERVICE", service)).expect("JSON")
}

fn spec() -> Value {
    serde_json::from_str(SPEC).expect("JSON")
}

const WANTED: &str = r#"{
        "name": "SERVICE", "image": { "pull": { "image": "x" } }, "pull_policy": "missing", "platform": null,
        "command": null, "entrypoint": null, "environment": {}, "user": null, "group_add": [],
        "working_dir": null, "hostname": null, "domainname": null, "init": false, "tty": false,
        "stdin_open": false, "stop_signal": null, "stop_grace": null, "depends_on": {},
        "network": { "networks": {} }, "ports": [], "expose": [], "extra_hosts": [], "dns": [],
        "dns_search": [], "dns_opt": [], "mac_address": null, "mounts": [], "secrets": [], "configs": [],
        "read_only": false, "shm_size_bytes": null, "health": "inherit", "restart": "no", "replicas": 1,
        "container_name": null, "labels": {}, "annotations": {}, "profiles": [], "attach": true,
        "logging": { "driver": null, "options": {} },
        "resources": { "cpu_nanos": null, "cpu_shares": null, "cpu_quota_us": null, "cpu_period_us": null,
            "cpuset": null, "memory_bytes": null, "memory_reservation_bytes": null,
            "memory_swap_bytes": null, "pids": null },
        "ulimits": {}, "sysctls": {}, "cap_add": [], "cap_drop": [], "privileged": false,
        "security_opt": [], "devices": [], "pid": "private", "ipc": "private", "uts": "private",
        "cgroup": "private", "cgroup_parent": null, "oom_score_adj": null, "extensions": {}
}"#;

const SPEC: &str = r#"{
        "version": 1, "id": "0", "hostname": "x", "domainname": null, "rootfs": { "directory": "/" },
        "rootfs_read_only": false, "process": { "argv": [], "env": [], "cwd": "/", "user": "", "groups": [] },
        "init": false,
        "namespaces": { "net": "private", "pid": "private", "ipc": "private", "uts": "private", "cgroup": "private" },
        "mounts": [], "shm_size_bytes": 0, "cgroup": { "parent": "x", "name": "x" },
        "resources": { "memory_bytes": null, "memory_swap_bytes": null, "memory_reservation_bytes": null,
            "cpu_quota_us": null, "cpu_period_us": null, "cpu_shares": null, "cpuset_cpus": null, "pids": null },
        "rlimits": [], "sysctls": [], "oom_score_adj": null,
        "security": { "privileged": false, "capabilities": [], "no_new_privs": false,
            "seccomp": "default", "mask_paths": true },
        "stdio": { "tty": false, "stdin": false }, "restart": "no", "probe": null,
        "stop": { "signal": 15, "grace_ms": 0 },
        "log": { "dir": null, "file_bytes_max": 0, "files_max": 0 }
}"#;
