//! What a group uses.

use fs_err as fs;

use super::{Cgroup, control};

/// What a container uses; `None` = this host's control groups do not count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Memory in bytes without page cache that can be dropped at once, as `docker stats` counts.
    pub memory_bytes: Option<u64>,
    /// Its memory limit in bytes; `None` = no limit.
    pub memory_bytes_max: Option<u64>,
    /// CPU time since the group was made, in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Bytes read from block devices.
    pub read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub written_bytes: Option<u64>,
}

/// v1 shows no limit as a number near 2^63.
const V1_UNLIMITED: u64 = 1 << 62;

impl Cgroup {
    /// Reads what the group uses now.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        if let Some(directory) = self.v1_directory("memory") {
            let cache = control::keyed(&directory.join("memory.stat"), "total_inactive_file");
            stats.memory_bytes = control::number(&directory.join("memory.usage_in_bytes"))
                .map(|bytes| bytes.saturating_sub(cache.unwrap_or(0)));
            stats.memory_bytes_max = control::number(&directory.join("memory.limit_in_bytes"))
                .filter(|bytes| *bytes < V1_UNLIMITED);
        } else if let Some(directory) = self.v2_directory("memory") {
            let cache = control::keyed(&directory.join("memory.stat"), "inactive_file");
            stats.memory_bytes = control::number(&directory.join("memory.current"))
                .map(|bytes| bytes.saturating_sub(cache.unwrap_or(0)));
            stats.memory_bytes_max = control::number(&directory.join("memory.max"));
        }
        stats.cpu_ns = match (self.v1_directory("cpuacct"), &self.v2) {
            (Some(directory), _) => control::number(&directory.join("cpuacct.usage")),
            // cpu.stat is there without the controller.
            (None, Some(group)) => control::keyed(&group.path.join("cpu.stat"), "usage_usec")
                .map(|us| us.saturating_mul(1000)),
            (None, None) => None,
        };
        stats.tasks = self
            .v1_directory("pids")
            .or_else(|| self.v2_directory("pids"))
            .and_then(|directory| control::number(&directory.join("pids.current")));
        if let Some((read, written)) = self.io_bytes() {
            stats.read_bytes = Some(read);
            stats.written_bytes = Some(written);
        }
        stats
    }

    /// Returns how many processes of the group the out-of-memory killer has ended since the group was made.
    pub fn oom_kills(&self) -> u64 {
        let count = if let Some(directory) = self.v1_directory("memory") {
            // Linux 4.13.
            control::keyed(&directory.join("memory.oom_control"), "oom_kill")
        } else {
            self.v2_directory("memory")
                .and_then(|directory| control::keyed(&directory.join("memory.events"), "oom_kill"))
        };
        count.unwrap_or(0)
    }

    fn io_bytes(&self) -> Option<(u64, u64)> {
        if let Some(directory) = self.v1_directory("blkio") {
            let file = directory.join("blkio.throttle.io_service_bytes_recursive");
            return fs::read_to_string(file).ok().map(|text| v1_io(&text));
        }
        let file = self.v2_directory("io")?.join("io.stat");
        fs::read_to_string(file).ok().map(|text| v2_io(&text))
    }
}

/// Sums `8:0 Read 4096` and `8:0 Write 4096` over the devices.
fn v1_io(text: &str) -> (u64, u64) {
    let sum = |operation: &str| {
        text.lines()
            .filter_map(|line| {
                let mut words = line.split_ascii_whitespace().skip(1);
                (words.next()? == operation).then(|| words.next()?.parse::<u64>().ok())?
            })
            .sum()
    };
    (sum("Read"), sum("Write"))
}

/// Sums `8:0 rbytes=4096 wbytes=0 …` over the devices.
fn v2_io(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        text.split_ascii_whitespace()
            .filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok())
            .sum()
    };
    (sum("rbytes="), sum("wbytes="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_is_summed_over_devices() {
        let v1 = "8:0 Read 100\n8:0 Write 7\n8:0 Sync 5\n254:1 Read 11\n254:1 Write 1\nTotal 119\n";
        assert_eq!(v1_io(v1), (111, 8));
        let v2 = "8:0 rbytes=100 wbytes=7 rios=1 wios=1\n254:1 rbytes=11 wbytes=1 dbytes=0\n";
        assert_eq!(v2_io(v2), (111, 8));
        assert_eq!(v1_io(""), (0, 0));
        assert_eq!(v2_io("8:0 \n"), (0, 0));
    }
}
