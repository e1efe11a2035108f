//! `stack top`: the processes of running containers, from their control groups and /proc.

use std::{collections::HashMap, io, time::Duration};

use clap::Args;
use fs_err as fs;
use runtime::cgroup::Cgroup;

use super::{
    failure::Failure,
    observed,
    session::{Session, service_names},
};
use crate::{model::ObservedContainer, ui::table::Table};

/// Clock ticks a second of /proc/pid/stat: fixed by the kernel's ABI, USER_HZ.
const TICKS_PER_SECOND: u64 = 100;

/// Show the processes of running containers
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let target = session.target(&arguments.services)?;
    let services = service_names(&arguments.services)?;
    let mut containers = observed::of_services(session.containers(&target.project)?, &services);
    containers.retain(|container| container.state.pid().is_some());
    observed::sort(&mut containers);
    let host = Host::read().map_err(|error| Failure::intent("read /proc", &error))?;
    let mut table = Table::new([
        "SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD",
    ]);
    for container in &containers {
        for process in processes(container)? {
            table.row(host.row(container, &process));
        }
    }
    Ok(session.ui.data(table.render())?)
}

/// A process as /proc shows it.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    uid: u32,
    /// Time on CPUs, in ticks.
    cpu_ticks: u64,
    /// Start after boot, in ticks.
    start_ticks: u64,
    tty: u32,
    command: String,
}

fn processes(container: &ObservedContainer) -> Result<Vec<Process>, Failure> {
    let name = &container.record.name;
    let cgroup = Cgroup::open(&container.record.spec.cgroup)
        .map_err(|error| Failure::intent(format!("list the processes of `{name}`"), &error))?;
    let mut processes = Vec::new();
    for pid in cgroup.pids() {
        match read_process(pid) {
            Ok(process) => processes.push(process),
            // It has ended in between.
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                return Err(Failure::intent(
                    format!("read process {pid} of `{name}`"),
                    &error,
                ));
            }
        }
    }
    processes.sort_by_key(|process| (process.start_ticks, process.pid));
    Ok(processes)
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn read_process(pid: i32) -> io::Result<Process> {
    use std::os::unix::fs::MetadataExt;
    let directory = format!("/proc/{pid}");
    let uid = fs::metadata(&directory)?.uid();
    let stat = fs::read_to_string(format!("{directory}/stat"))?;
    let command = fs::read(format!("{directory}/cmdline"))?;
    parse_stat(&stat, uid, &command).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "/proc/pid/stat has another form",
        )
    })
}

/// Reads the fields of proc_pid_stat(5). The name in parentheses may hold blanks and parentheses itself.
fn parse_stat(stat: &str, uid: u32, command: &[u8]) -> Option<Process> {
    let (head, rest) = stat.rsplit_once(')')?;
    let (pid, name) = head.split_once('(')?;
    // The first of these is field 3, the state.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let words: Vec<_> = command
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    Some(Process {
        pid: pid.trim().parse().ok()?,
        parent: field(4)?.parse().ok()?,
        uid,
        tty: field(7)?.parse::<i32>().ok()?.cast_unsigned(),
        cpu_ticks: field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?,
        start_ticks: field(22)?.parse().ok()?,
        // Threads of the kernel and zombies have no command line.
        command: if words.is_empty() {
            format!("[{name}]")
        } else {
            words.join(" ")
        },
    })
}

/// What of the host the rows need.
struct Host {
    uptime: Duration,
    now: jiff::Zoned,
    /// User names of the host by uid, as ps shows them.
    users: HashMap<u32, String>,
}

impl Host {
    fn read() -> io::Result<Self> {
        let uptime = fs::read_to_string("/proc/uptime")?;
        let seconds = uptime
            .split(' ')
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0.0);
        Ok(Self {
            uptime: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
            now: jiff::Zoned::now(),
            users: users(&fs::read_to_string("/etc/passwd").unwrap_or_default()),
        })
    }

    fn row(&self, container: &ObservedContainer, process: &Process) -> [String; 10] {
        let age = self.uptime.saturating_sub(ticks(process.start_ticks));
        let cpu = ticks(process.cpu_ticks);
        let percent = cpu.as_millis() * 100 / age.as_millis().max(1);
        let user = self.users.get(&process.uid).cloned();
        [
            container.record.service.to_string(),
            observed::replica(container)
                .map_or_else(|| "-".to_owned(), |number| number.to_string()),
            user.unwrap_or_else(|| process.uid.to_string()),
            process.pid.to_string(),
            process.parent.to_string(),
            percent.to_string(),
            self.start(age),
            terminal(process.tty),
            clock(cpu),
            process.command.clone(),
        ]
    }

    /// `14:02` today, `Nov21` before.
    fn start(&self, age: Duration) -> String {
        let Ok(start) = self.now.checked_sub(age) else {
            return "?".into();
        };
        let format = if start.date() == self.now.date() {
            "%H:%M"
        } else {
            "%b%d"
        };
        start.strftime(format).to_string()
    }
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks.saturating_mul(1000 / TICKS_PER_SECOND))
}

/// Name of a terminal from its device number: only pseudo-terminals (major 136 to 143) have one here.
fn terminal(number: u32) -> String {
    let (major, minor) = (
        (number >> 8) & 0xfff,
        (number & 0xff) | ((number >> 12) & 0xfff00),
    );
    match (number, major) {
        (0, _) => "?".into(),
        (_, 136..=143) => format!("pts/{}", minor + (major - 136) * 256),
        _ => format!("{major}:{minor}"),
    }
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn users(passwd: &str) -> HashMap<u32, String> {
    passwd
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_are_parsed_whatever_the_name() {
        let stat =
            "42 (a) b (c) S 7 42 42 34817 42 4194304 100 0 0 0 150 50 0 0 20 0 1 0 12345 1000 1";
        let process = parse_stat(stat, 1000, b"sh\0-c\0sleep 1\0").unwrap();
        assert_eq!(
            process,
            Process {
                pid: 42,
                parent: 7,
                uid: 1000,
                cpu_ticks: 200,
                start_ticks: 12345,
                tty: 34817,
                command: "sh -c sleep 1".into(),
            }
        );
        assert_eq!(parse_stat(stat, 0, b"").unwrap().command, "[a) b (c]");
        assert_eq!(parse_stat("", 0, b""), None);
        assert_eq!(parse_stat("1 (x) S 1", 0, b""), None);
    }

    #[test]
    fn this_process_is_read() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let process = read_process(pid).unwrap();
        assert_eq!(process.pid, pid);
        assert!(!process.command.is_empty());
        assert!(is_gone(&read_process(i32::MAX).unwrap_err()));
    }

    #[test]
    fn terminals_and_times_are_named_as_ps_does() {
        for (number, name) in [(0, "?"), (34816, "pts/0"), (34819, "pts/3"), (1025, "4:1")] {
            assert_eq!(terminal(number), name, "{number}");
        }
        assert_eq!(clock(Duration::from_secs(3725)), "01:02:05");
    }
}
