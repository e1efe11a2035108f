//! Limits of a bundle. What Compose has a word for too becomes that; the rest becomes the control files that it means.

use std::collections::BTreeMap;

use runtime::spec::{
    BlockIo, DeviceWeight, ExactLimit, Resources, Throttle, ThrottleBound as Bound,
};

use super::{super::config, MapError};

/// Maps limits.
pub(in crate::oci) fn resources(described: &config::Resources) -> Result<Resources, MapError> {
    let memory = described.memory.clone().unwrap_or_default();
    let cpu = described.cpu.clone().unwrap_or_default();
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let no_limit = |value: i64| value.max(-1);
    // A negative limit is none.
    let bytes = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    let mut exact = memory_files(&memory);
    exact.extend(cpu_files(&cpu));
    exact.extend(leaf_weight(described.block_io.as_ref()));
    exact.extend(described.hugepage_limits.iter().map(huge_pages));
    exact.extend(network(described.network.as_ref()));
    exact.extend(remote_memory(&described.rdma));
    for (file, value) in &described.unified {
        exact.push(unified(file, value)?);
    }
    Ok(Resources {
        memory_bytes: bytes(memory.limit).filter(|bytes| *bytes > 0),
        memory_swap_bytes: memory.swap.filter(|bytes| *bytes != 0).map(no_limit),
        memory_reservation_bytes: bytes(memory.reservation).filter(|bytes| *bytes > 0),
        cpu_quota_us: cpu.quota.filter(|quota| *quota != 0).map(no_limit),
        cpu_period_us: cpu.period.filter(|period| *period > 0),
        cpu_shares: cpu.shares.filter(|shares| *shares > 0),
        cpuset_cpus: text(cpu.cpus),
        cpuset_mems: text(cpu.mems),
        memory_swappiness: memory.swappiness,
        oom_kill_disable: memory.disable_oom_killer == Some(true),
        cpu_rt_runtime_us: bytes(cpu.realtime_runtime).filter(|value| *value > 0),
        cpu_rt_period_us: cpu.realtime_period.filter(|value| *value > 0),
        block_io: block_io(described.block_io.as_ref()),
        pids: described
            .pids
            .as_ref()
            .and_then(|pids| pids.limit)
            .filter(|limit| *limit != 0)
            .map(no_limit),
        exact,
    })
}

/// A limit that is one file and one text on each version that has it.
fn file(
    limit: &str,
    controller: &str,
    v1: Option<(&str, String)>,
    v2: Option<(&str, String)>,
) -> ExactLimit {
    let owned = |(file, value): (&str, String)| (file.to_owned(), value);
    ExactLimit {
        limit: format!("linux.resources.{limit}"),
        controller: controller.to_owned(),
        v1: v1.map(owned),
        v2: v2.map(owned),
    }
}

fn memory_files(memory: &config::Memory) -> Vec<ExactLimit> {
    let of = |limit, name, value: Option<i64>| {
        let value = value.filter(|value| *value != 0)?;
        Some(file(limit, "memory", Some((name, value.to_string())), None))
    };
    let files = [
        // Gone with Linux 5.16, which refuses it: then it is told.
        of("memory.kernel", "memory.kmem.limit_in_bytes", memory.kernel),
        of(
            "memory.kernelTCP",
            "memory.kmem.tcp.limit_in_bytes",
            memory.kernel_tcp,
        ),
    ];
    files.into_iter().flatten().collect()
}

fn cpu_files(cpu: &config::Cpu) -> Vec<ExactLimit> {
    let idle = cpu.idle.map(|value| {
        let value = Some(("cpu.idle", value.to_string()));
        file("cpu.idle", "cpu", value.clone(), value)
    });
    let burst = cpu.burst.map(|value| {
        let value = value.to_string();
        file(
            "cpu.burst",
            "cpu",
            Some(("cpu.cfs_burst_us", value.clone())),
            Some(("cpu.max.burst", value)),
        )
    });
    idle.into_iter().chain(burst).collect()
}

/// Weights of the processes of a group against those of groups in it; gone with Linux 5.0.
fn leaf_weight(described: Option<&config::BlockIo>) -> Vec<ExactLimit> {
    let Some(described) = described else {
        return Vec::new();
    };
    let of = |name, value| file("blockIO.leafWeight", "blkio", Some((name, value)), None);
    let general = described.leaf_weight.filter(|weight| *weight > 0);
    let general = general.map(|weight| of("blkio.leaf_weight", weight.to_string()));
    let devices = described.weight_device.iter().filter_map(|device| {
        let weight = device.leaf_weight?;
        let (major, minor) = (device.major, device.minor);
        let value = format!("{major}:{minor} {weight}");
        Some(of("blkio.leaf_weight_device", value))
    });
    general.into_iter().chain(devices).collect()
}

fn huge_pages(described: &config::HugepageLimit) -> ExactLimit {
    let (size, value) = (&described.page_size, described.limit.to_string());
    let v1 = format!("hugetlb.{size}.limit_in_bytes");
    let v2 = format!("hugetlb.{size}.max");
    file(
        "hugepageLimits",
        "hugetlb",
        Some((v1.as_str(), value.clone())),
        Some((v2.as_str(), value)),
    )
}

fn network(described: Option<&config::Network>) -> Vec<ExactLimit> {
    let Some(described) = described else {
        return Vec::new();
    };
    let class = described.class_id.map(|class| {
        let value = Some(("net_cls.classid", class.to_string()));
        file("network.classID", "net_cls", value, None)
    });
    let priorities = described.priorities.iter().map(|priority| {
        let value = format!("{} {}", priority.name, priority.priority);
        let value = Some(("net_prio.ifpriomap", value));
        file("network.priorities", "net_prio", value, None)
    });
    class.into_iter().chain(priorities).collect()
}

fn remote_memory(described: &BTreeMap<String, config::Rdma>) -> Vec<ExactLimit> {
    let of = |(device, limits): (&String, &config::Rdma)| {
        let pair = |key: &str, number: Option<u32>| {
            number.map_or_else(String::new, |number| format!(" {key}={number}"))
        };
        let handles = pair("hca_handle", limits.hca_handles);
        let objects = pair("hca_object", limits.hca_objects);
        let value = format!("{device}{handles}{objects}");
        let value = Some(("rdma.max", value));
        file("rdma", "rdma", value.clone(), value)
    };
    described.iter().map(of).collect()
}

/// A file of version 2; the part before the first dot is its controller.
fn unified(name: &str, value: &str) -> Result<ExactLimit, MapError> {
    let refuse = |reason| {
        Err(MapError::Value {
            property: "linux.resources.unified",
            value: name.to_owned(),
            reason,
        })
    };
    let Some((controller, _)) = name.split_once('.') else {
        return refuse("is not the file of a controller");
    };
    // They would undo what the runtime itself relies on, or move it elsewhere.
    if matches!(
        name,
        "cgroup.procs" | "cgroup.threads" | "cgroup.subtree_control" | "cgroup.kill"
    ) {
        return refuse("is no limit");
    }
    let mut limit = file("unified", controller, None, Some((name, value.to_owned())));
    limit.limit = format!("linux.resources.unified: {name}");
    Ok(limit)
}

fn block_io(described: Option<&config::BlockIo>) -> BlockIo {
    let Some(described) = described else {
        return BlockIo::default();
    };
    let device = |major: i64, minor: i64| format!("/dev/block/{major}:{minor}").into();
    let mut throttles = Vec::new();
    for (bound, list) in [
        (Bound::ReadBytes, &described.throttle_read_bps_device),
        (Bound::WriteBytes, &described.throttle_write_bps_device),
        (Bound::ReadOperations, &described.throttle_read_iops_device),
        (
            Bound::WriteOperations,
            &described.throttle_write_iops_device,
        ),
    ] {
        throttles.extend(list.iter().map(|one| Throttle {
            device: device(one.major, one.minor),
            bound,
            rate: one.rate,
        }));
    }
    let weights = described.weight_device.iter().filter_map(|one| {
        Some(DeviceWeight {
            device: device(one.major, one.minor),
            weight: one.weight.filter(|weight| *weight > 0)?,
        })
    });
    BlockIo {
        weight: described.weight.filter(|weight| *weight > 0),
        weights: weights.collect(),
        throttles,
    }
}
