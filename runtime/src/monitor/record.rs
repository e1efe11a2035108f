//! Keeps `state.json`, and reads what an earlier monitor left there.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use fs_err as fs;

use crate::spec::{ContainerState, StateRecord};

const NAME: &str = "state.json";
/// Written and renamed. One name is enough: only the holder of the monitor's lock writes.
const NAME_NEW: &str = ".state.json.new";

/// The writer of a container's `state.json`.
#[derive(Debug)]
pub(super) struct Recorder {
    directory: PathBuf,
    boot_id: String,
    monitor_pid: i32,
    /// First start of the container; kept over its restarts by the user.
    pub(super) started_at_ms: Option<u64>,
}

/// What changes from one write to the next.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) state: ContainerState,
    pub(super) restarts: u32,
    pub(super) init_start_ticks: Option<u64>,
    pub(super) log_pipes: Vec<u64>,
}

impl Recorder {
    /// Reads the last record of a container; `None` when there is none that this build understands.
    pub(super) fn open(directory: &Path) -> io::Result<(Recorder, Option<StateRecord>)> {
        let boot_id = boot_id()?;
        let last = match fs::read(directory.join(NAME)) {
            Ok(bytes) => serde_json::from_slice::<StateRecord>(&bytes).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let recorder = Recorder {
            directory: directory.to_owned(),
            boot_id,
            monitor_pid: rustix::process::getpid().as_raw_pid(),
            started_at_ms: last.as_ref().and_then(|record| record.started_at_ms),
        };
        Ok((recorder, last))
    }

    /// Returns whether a record is of this boot.
    pub(super) fn is_of_this_boot(&self, record: &StateRecord) -> bool {
        record.boot_id == self.boot_id
    }

    /// Replaces the record: everybody reads the old or the new one, also when this process is killed.
    pub(super) fn write(&self, current: Current) -> io::Result<()> {
        let record = StateRecord {
            version: StateRecord::VERSION,
            boot_id: self.boot_id.clone(),
            monitor_pid: self.monitor_pid,
            init_start_ticks: current.init_start_ticks,
            state: current.state,
            restarts: current.restarts,
            started_at_ms: self.started_at_ms,
            log_pipes: current.log_pipes,
        };
        let new = self.directory.join(NAME_NEW);
        let mut file = fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec(&record)?)?;
        fs::rename(&new, self.directory.join(NAME))
    }

    /// Makes the last record outlast a power failure too. Costs tens of milliseconds on a busy disk, so only the end is worth it:
    /// every other state ends with the machine anyway.
    pub(super) fn sync(&self) -> io::Result<()> {
        fs::File::open(self.directory.join(NAME))?.sync_data()?;
        fs::File::open(&self.directory)?.sync_all()
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// The id of this boot of the machine.
fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ExitStatus;

    #[test]
    fn a_record_is_read_back_by_the_next_monitor() {
        let directory = tempfile::tempdir().unwrap();
        let (mut recorder, last) = Recorder::open(directory.path()).unwrap();
        assert_eq!(last, None);
        recorder.started_at_ms = Some(5);
        let state = ContainerState::Exited {
            status: ExitStatus {
                code: 3,
                signal: None,
                oom_killed: false,
                requested: false,
            },
            at_ms: 7,
        };
        recorder
            .write(Current {
                state: state.clone(),
                restarts: 2,
                init_start_ticks: Some(9),
                log_pipes: vec![1, 2],
            })
            .unwrap();
        let (again, last) = Recorder::open(directory.path()).unwrap();
        let last = last.unwrap();
        assert!(again.is_of_this_boot(&last));
        assert_eq!(
            (last.state, last.restarts, last.init_start_ticks),
            (state, 2, Some(9))
        );
        assert_eq!(again.started_at_ms, Some(5));
        fs::write(directory.path().join(NAME), "{").unwrap();
        assert_eq!(Recorder::open(directory.path()).unwrap().1, None);
    }
}
