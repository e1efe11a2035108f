//! `stack stats`: what containers use, read from their control groups and network namespaces. No process is started for it.

use std::{
    io::{self, IsTerminal},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use clap::Args;
use fs_err as fs;
use runtime::cgroup::{Cgroup, Stats};
use serde_json::{Value, json};

use super::{
    failure::Failure,
    observed,
    poll::{self, Interest},
    session::{Session, service_names},
    terminal::Signals,
};
use crate::{
    model::ObservedContainer,
    ui::{human, table::Table, template::Format},
};

/// Time between two readings of a stream.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time between the two readings that one answer without a stream needs for the share of the CPUs.
const ONCE_INTERVAL: Duration = Duration::from_millis(500);
/// Moves the cursor home and clears what is below it (ECMA-48 CUP, ED).
const HOME_AND_CLEAR: &str = "\x1b[H\x1b[J";
/// Clears the screen before the first table.
const CLEAR: &str = "\x1b[2J";

/// Show what containers use
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Also containers that do not run
    #[arg(short, long)]
    all: bool,
    /// table, json (one object a line), json-array, or a template such as '{{.Name}}'
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Format,
    /// One answer, then end
    #[arg(long)]
    no_stream: bool,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let target = session.target(&arguments.services)?;
    let services = service_names(&arguments.services)?;
    let read = || -> Result<Vec<Reading>, Failure> {
        let mut containers = observed::of_services(session.containers(&target.project)?, &services);
        containers.retain(|container| arguments.all || container.state.pid().is_some());
        observed::sort(&mut containers);
        Ok(containers.into_iter().map(Reading::take).collect())
    };
    let signals = Signals::take().map_err(|error| Failure::intent("take signals", &error))?;
    let is_screen = !arguments.no_stream && io::stdout().is_terminal();
    let mut before = read()?;
    if is_screen {
        session.ui.data(CLEAR)?;
    }
    let mut pause = ONCE_INTERVAL;
    loop {
        let fds = [Some((signals.as_fd(), Interest::Read))];
        let ready = poll::wait(&fds, Some(pause))
            .map_err(|error| Failure::intent("wait for the next reading", &error))?;
        if ready[0] {
            let is_end = signals
                .is_end()
                .map_err(|error| Failure::intent("read a signal", &error))?;
            if is_end {
                return Ok(());
            }
            continue;
        }
        let now = read()?;
        let mut text = arguments.render(&rows(&before, &now))?;
        if is_screen {
            text.insert_str(0, HOME_AND_CLEAR);
        }
        session.ui.data(text)?;
        if arguments.no_stream {
            return Ok(());
        }
        before = now;
        pause = INTERVAL;
    }
}

impl Arguments {
    fn render(&self, rows: &[Row<'_>]) -> Result<String, Failure> {
        let objects: Vec<Value> = rows.iter().map(|row| row.object(self.no_trunc)).collect();
        self.format
            .render(&objects, || table(&objects))
            .map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// What a container used at one moment.
struct Reading {
    container: ObservedContainer,
    at: Instant,
    stats: Stats,
    /// Bytes received and sent on all links but loopback; `None` = it does not run, or the network is the host's.
    network: Option<(u64, u64)>,
}

impl Reading {
    fn take(container: ObservedContainer) -> Self {
        let spec = &container.record.spec;
        let pid = container.state.pid();
        // A group that has gone between two looks has used nothing that can be told.
        let stats = pid
            .and_then(|_| Cgroup::open(&spec.cgroup).ok())
            .map(|group| group.stats())
            .unwrap_or_default();
        let has_own_network = spec.namespaces.net != runtime::spec::Namespace::Host;
        let network = pid
            .filter(|_| has_own_network)
            .and_then(|pid| fs::read_to_string(format!("/proc/{pid}/net/dev")).ok())
            .map(|text| link_bytes(&text));
        Self {
            at: Instant::now(),
            stats,
            network,
            container,
        }
    }
}

/// Sums received and sent bytes of proc_net_dev(5) over all links but loopback.
fn link_bytes(text: &str) -> (u64, u64) {
    text.lines()
        .filter_map(|line| {
            let (name, counters) = line.split_once(':')?;
            let counters: Vec<u64> = counters
                .split_ascii_whitespace()
                .filter_map(|number| number.parse().ok())
                .collect();
            (name.trim() != "lo").then_some((*counters.first()?, *counters.get(8)?))
        })
        .fold((0, 0), |sum, link| (sum.0 + link.0, sum.1 + link.1))
}

/// A container's line: its last reading, and what the CPUs did since the one before.
struct Row<'a> {
    now: &'a Reading,
    /// Share of one CPU in hundredths of a percent; `None` = not counted here, or there is no earlier reading.
    cpu: Option<u64>,
}

fn rows<'a>(before: &[Reading], now: &'a [Reading]) -> Vec<Row<'a>> {
    now.iter()
        .map(|reading| {
            let earlier = before
                .iter()
                .find(|earlier| earlier.container.record.id == reading.container.record.id);
            Row {
                now: reading,
                cpu: earlier.and_then(|earlier| cpu_share(earlier, reading)),
            }
        })
        .collect()
}

fn cpu_share(before: &Reading, now: &Reading) -> Option<u64> {
    let used_ns = now.stats.cpu_ns?.saturating_sub(before.stats.cpu_ns?);
    let elapsed_ns = now.at.duration_since(before.at).as_nanos().max(1);
    u64::try_from(u128::from(used_ns) * 10_000 / elapsed_ns).ok()
}

impl Row<'_> {
    /// The fields that docker's templates know.
    fn object(&self, no_trunc: bool) -> Value {
        let record = &self.now.container.record;
        let stats = &self.now.stats;
        let pair = |a: Option<String>, b: Option<String>| {
            format!("{} / {}", a.unwrap_or_else(dash), b.unwrap_or_else(dash))
        };
        let limit = stats.memory_bytes_max;
        let share = stats
            .memory_bytes
            .zip(limit.or_else(host_memory_bytes))
            .map(|(used, limit)| u128::from(used) * 10_000 / u128::from(limit.max(1)))
            .and_then(|share| u64::try_from(share).ok());
        json!({
            "ID": if no_trunc { record.id.as_str() } else { record.id.short() },
            "Container": record.name,
            "Name": record.name,
            "Service": record.service.as_str(),
            "CPUPerc": self.cpu.map_or_else(dash, percent),
            "MemUsage": pair(
                stats.memory_bytes.map(human::binary_size),
                limit.or_else(host_memory_bytes).map(human::binary_size),
            ),
            "MemPerc": share.map_or_else(dash, percent),
            "NetIO": pair(
                self.now.network.map(|bytes| human::size(bytes.0)),
                self.now.network.map(|bytes| human::size(bytes.1)),
            ),
            "BlockIO": pair(
                stats.read_bytes.map(human::size),
                stats.written_bytes.map(human::size),
            ),
            "PIDs": stats.tasks.map_or_else(dash, |tasks| tasks.to_string()),
        })
    }
}

fn dash() -> String {
    "--".to_owned()
}

fn percent(hundredths: u64) -> String {
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

/// A container without a limit may use what the machine has, as docker shows it.
fn host_memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn table(objects: &[Value]) -> Table {
    const COLUMNS: [(&str, &str); 8] = [
        ("CONTAINER ID", "ID"),
        ("NAME", "Name"),
        ("CPU %", "CPUPerc"),
        ("MEM USAGE / LIMIT", "MemUsage"),
        ("MEM %", "MemPerc"),
        ("NET I/O", "NetIO"),
        ("BLOCK I/O", "BlockIO"),
        ("PIDS", "PIDs"),
    ];
    let mut table = Table::new(COLUMNS.map(|(title, _)| title));
    for object in objects {
        table.row(COLUMNS.map(|(_, key)| object[key].as_str().unwrap_or_default().to_owned()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing;

    const DEV: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     500       5    0    0    0     0          0         0      500       5    0    0    0     0       0          0
  eth0:    1000      10    0    0    0     0          0         0     2000      20    0    0    0     0       0          0
  eth1:       1       1    0    0    0     0          0         0        2       1    0    0    0     0       0          0
";

    #[test]
    fn links_are_summed_without_loopback() {
        assert_eq!(link_bytes(DEV), (1001, 2002));
        assert_eq!(link_bytes("nonsense: here\n"), (0, 0));
    }

    #[test]
    fn rows_show_shares_limits_and_what_is_not_counted() {
        let loaded = testing::load("services: { web: { image: x } }").unwrap();
        let reading = |at, cpu_ns| Reading {
            container: testing::container(&loaded, "web", 1, testing::running(0)),
            at,
            stats: Stats {
                memory_bytes: Some(64 << 20),
                memory_bytes_max: Some(256 << 20),
                cpu_ns: Some(cpu_ns),
                tasks: Some(3),
                ..Stats::default()
            },
            network: Some((1000, 2_500_000)),
        };
        let start = Instant::now();
        let before = [reading(start, 1_000_000_000)];
        let now = [reading(start + Duration::from_secs(2), 4_000_000_000)];
        let object = rows(&before, &now)[0].object(false);
        for (field, text) in [
            ("Name", "shop-web-1"),
            ("CPUPerc", "150.00%"),
            ("MemUsage", "64MiB / 256MiB"),
            ("MemPerc", "25.00%"),
            ("NetIO", "1kB / 2.5MB"),
            ("BlockIO", "-- / --"),
            ("PIDs", "3"),
        ] {
            assert_eq!(object[field], text, "{field}");
        }
        assert_eq!(rows(&[], &now)[0].object(false)["CPUPerc"], "--");
    }
}
