//! The clock and the boot, as records have them.

use std::time::{SystemTime, UNIX_EPOCH};

use fs_err as fs;

use crate::model::Timestamp;

/// Reads the clock. One before 1970 counts as 1970.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }))
}

/// Returns the kernel's name of this boot (random(4)); empty where it cannot be read.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
