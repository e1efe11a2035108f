//! The clock, as records have it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// Reads the clock. One before 1970 counts as 1970.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }))
}
