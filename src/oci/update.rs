//! `update`: other limits for a container that exists.

use std::{io::Read, path::Path};

use fs_err as fs;

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

/// Sets the limits that are named; the others stay.
pub(super) fn update(runtime: &Runtime<'_>, arguments: &Update) -> Result<(), OciError> {
    let container = Container::open(runtime.root, &arguments.id.id)?;
    let mut described = match &arguments.resources {
        Some(path) => read(path)?,
        None => Resources::default(),
    };
    add(&mut described, arguments);
    let mut resources = map::resources(&described)?;
    let known = &container.record.spec.resources;
    // Memory and swap are one setting, and so are quota and period.
    if resources.memory_swap_bytes.is_some() {
        resources.memory_bytes = resources.memory_bytes.or(known.memory_bytes);
    } else {
        resources.memory_swap_bytes = known.memory_swap_bytes;
    }
    if resources.cpu_quota_us.is_some() || resources.cpu_period_us.is_some() {
        resources.cpu_quota_us = resources.cpu_quota_us.or(known.cpu_quota_us);
        resources.cpu_period_us = resources.cpu_period_us.or(known.cpu_period_us);
    }
    let mut warnings = Vec::new();
    container.cgroup()?.update(&resources, &mut warnings)?;
    warnings.iter().for_each(super::report_warning);
    Ok(())
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
