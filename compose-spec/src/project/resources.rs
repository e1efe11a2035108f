//! Limits of the model.

use indexmap::IndexMap;

use super::{device, flag, int, size, text};
use crate::{
    model::{Resources, Ulimit},
    yaml::Node,
};

const NANOS_PER_CPU: f64 = 1e9;

pub(super) fn resources(node: &Node) -> Resources {
    let deploy = node
        .get("deploy")
        .and_then(|deploy| deploy.get("resources"));
    let limits = deploy.and_then(|resources| resources.get("limits"));
    let reservations = deploy.and_then(|resources| resources.get("reservations"));
    // A zero is no limit, and leaves the word to `deploy`.
    let cpus = node
        .get("cpus")
        .filter(|cpus| cpus.as_float() != Some(0.0))
        .or_else(|| limits?.get("cpus"))
        .and_then(Node::as_float);
    let positive = |key| {
        int(node, key)
            .and_then(|v| u64::try_from(v).ok())
            .filter(|v| *v > 0)
    };
    Resources {
        cpu_nanos: cpus.and_then(nanos),
        cpu_shares: positive("cpu_shares"),
        cpu_quota_us: int(node, "cpu_quota").filter(|quota| *quota != 0),
        cpu_period_us: positive("cpu_period"),
        cpuset: text(node, "cpuset"),
        memory_bytes: size(node, "mem_limit").or_else(|| size(limits?, "memory")),
        memory_reservation_bytes: size(node, "mem_reservation")
            .or_else(|| size(reservations?, "memory")),
        memory_swap_bytes: node
            .text_at("memswap_limit")
            .and_then(|text| text.parse().ok())
            .filter(|bytes| *bytes != 0),
        memory_swappiness: text(node, "mem_swappiness").and_then(|share| share.parse().ok()),
        oom_kill_disable: flag(node, "oom_kill_disable"),
        cpu_rt_period_us: positive("cpu_rt_period"),
        cpu_rt_runtime_us: int(node, "cpu_rt_runtime").filter(|runtime| *runtime != 0),
        blkio: node
            .get("blkio_config")
            .map(|blkio| Box::new(device::blkio(blkio))),
        pids: int(node, "pids_limit")
            .filter(|pids| *pids != 0)
            .or_else(|| int(limits?, "pids"))
            .filter(|pids| *pids != 0),
    }
}

/// Billionths of a CPU; 0 means no limit.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only numbers within the bounds get here"
)]
fn nanos(cpus: f64) -> Option<u64> {
    (cpus > 0.0 && cpus < 1e9).then(|| (cpus * NANOS_PER_CPU).round() as u64)
}

pub(super) fn ulimits(node: &Node) -> IndexMap<String, Ulimit> {
    node.entries_at("ulimits")
        .filter_map(|(name, entry)| {
            let value = &entry.value;
            let ulimit = match value.as_int() {
                Some(both) => Ulimit {
                    soft: both,
                    hard: both,
                },
                None => Ulimit {
                    soft: int(value, "soft")?,
                    hard: int(value, "hard")?,
                },
            };
            Some((name.to_ascii_lowercase(), ulimit))
        })
        .collect()
}
