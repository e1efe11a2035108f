//! `update`: other limits for a container that exists.

use std::{io::Read, path::Path};

use fs_err as fs;
use runtime::{
    check::check_resources,
    spec::{self, ExactLimit, Throttle},
};

use super::{
    Runtime,
    arguments::Update,
    config::{BlockIo, Cpu, Memory, Pids, Resources},
    error::OciError,
    map,
    state::Container,
};

/// Largest description of limits that is read from standard input.
const BYTES_MAX: u64 = 1 << 20;

/// Sets the limits that are named; the others stay as creation or the last update left them.
pub(super) fn update(runtime: &Runtime<'_>, arguments: &Update) -> Result<(), OciError> {
    let mut container = Container::open(runtime.root, &arguments.id.id)?;
    let mut described = match &arguments.resources {
        Some(path) => read(path)?,
        None => Resources::default(),
    };
    add(&mut described, arguments);
    let mut resources = map::resources(&described)?;
    let known = &container.record.spec.resources;
    complete(&mut resources, known);
    check_resources(&resources)?;
    let mut now = merged(known.clone(), resources.clone());
    if described
        .memory
        .is_some_and(|memory| memory.limit.is_some_and(i64::is_negative))
    {
        (now.memory_bytes, now.memory_swap_bytes) = (None, None);
        (resources.memory_bytes, resources.memory_swap_bytes) = (None, None);
        resources.exact.extend(no_memory_limit());
    }
    let mut warnings = Vec::new();
    container.cgroup()?.update(&resources, &mut warnings)?;
    warnings.iter().for_each(super::report_warning);
    container.record.spec.resources = now;
    container.write()
}

/// Adds what is one setting with something that is named: memory with swap, and quota with period.
fn complete(resources: &mut spec::Resources, known: &spec::Resources) {
    if resources.memory_swap_bytes.is_some() {
        resources.memory_bytes = resources.memory_bytes.or(known.memory_bytes);
    } else if resources.memory_bytes.is_some() {
        resources.memory_swap_bytes = known.memory_swap_bytes;
    }
    if resources.cpu_quota_us.is_some() || resources.cpu_period_us.is_some() {
        resources.cpu_quota_us = resources.cpu_quota_us.or(known.cpu_quota_us);
        resources.cpu_period_us = resources.cpu_period_us.or(known.cpu_period_us);
    }
}

/// Lifts the bounds of memory: that of memory with swap goes first, because memory alone may not be above it.
fn no_memory_limit() -> [ExactLimit; 2] {
    let file = |v1: &str, v2: &str| ExactLimit {
        limit: "linux.resources.memory.limit".into(),
        controller: "memory".into(),
        v1: Some((v1.into(), "-1".into())),
        v2: Some((v2.into(), "max".into())),
    };
    [
        file("memory.memsw.limit_in_bytes", "memory.swap.max"),
        file("memory.limit_in_bytes", "memory.max"),
    ]
}

/// What holds after an update: the next one is completed by it.
fn merged(known: spec::Resources, set: spec::Resources) -> spec::Resources {
    let spec::Resources {
        memory_bytes,
        memory_swap_bytes,
        memory_reservation_bytes,
        cpu_quota_us,
        cpu_period_us,
        cpu_shares,
        cpuset_cpus,
        cpuset_mems,
        pids,
        memory_swappiness,
        oom_kill_disable,
        cpu_rt_runtime_us,
        cpu_rt_period_us,
        block_io,
        exact,
    } = set;
    let mut known_exact = known.exact;
    known_exact.retain(|limit| {
        exact
            .iter()
            .all(|new| (&new.v1, &new.v2) != (&limit.v1, &limit.v2))
    });
    known_exact.extend(exact);
    spec::Resources {
        memory_bytes: memory_bytes.or(known.memory_bytes),
        memory_swap_bytes: memory_swap_bytes.or(known.memory_swap_bytes),
        memory_reservation_bytes: memory_reservation_bytes.or(known.memory_reservation_bytes),
        cpu_quota_us: cpu_quota_us.or(known.cpu_quota_us),
        cpu_period_us: cpu_period_us.or(known.cpu_period_us),
        cpu_shares: cpu_shares.or(known.cpu_shares),
        cpuset_cpus: cpuset_cpus.or(known.cpuset_cpus),
        cpuset_mems: cpuset_mems.or(known.cpuset_mems),
        pids: pids.or(known.pids),
        memory_swappiness: memory_swappiness.or(known.memory_swappiness),
        oom_kill_disable: oom_kill_disable || known.oom_kill_disable,
        cpu_rt_runtime_us: cpu_rt_runtime_us.or(known.cpu_rt_runtime_us),
        cpu_rt_period_us: cpu_rt_period_us.or(known.cpu_rt_period_us),
        block_io: merged_block_io(known.block_io, block_io),
        exact: known_exact,
    }
}

fn merged_block_io(mut known: spec::BlockIo, set: spec::BlockIo) -> spec::BlockIo {
    known.weight = set.weight.or(known.weight);
    let is_new = |device: &Path| set.weights.iter().all(|new| new.device != device);
    known.weights.retain(|old| is_new(&old.device));
    known.weights.extend(set.weights.iter().cloned());
    known.throttles.retain(|old| {
        let is_same = |new: &Throttle| (&new.device, new.bound) == (&old.device, old.bound);
        !set.throttles.iter().any(is_same)
    });
    known.throttles.extend(set.throttles);
    known
}

fn read(path: &Path) -> Result<Resources, OciError> {
    let failed = |error| OciError::Read(path.to_owned(), error);
    let mut text = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin()
            .take(BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(failed)?;
    } else {
        text = fs::read(path).map_err(failed)?;
    }
    serde_json::from_slice(&text).map_err(|error| OciError::Malformed(path.to_owned(), error))
}

/// Flags go before the description.
fn add(described: &mut Resources, arguments: &Update) {
    let memory = described.memory.get_or_insert_with(Memory::default);
    memory.limit = arguments.memory.or(memory.limit);
    memory.swap = arguments.memory_swap.or(memory.swap);
    memory.reservation = arguments.memory_reservation.or(memory.reservation);
    let cpu = described.cpu.get_or_insert_with(Cpu::default);
    cpu.period = arguments.cpu_period.or(cpu.period);
    cpu.quota = arguments.cpu_quota.or(cpu.quota);
    cpu.shares = arguments.cpu_share.or(cpu.shares);
    cpu.cpus = arguments.cpuset_cpus.clone().or_else(|| cpu.cpus.take());
    cpu.mems = arguments.cpuset_mems.clone().or_else(|| cpu.mems.take());
    if arguments.pids_limit.is_some() {
        described.pids = Some(Pids {
            limit: arguments.pids_limit,
        });
    }
    if arguments.blkio_weight.is_some() {
        described
            .block_io
            .get_or_insert_with(BlockIo::default)
            .weight = arguments.blkio_weight;
    }
}
