//! Times as people read them in tables.

use std::time::Duration;

use crate::{model::Timestamp, store, ui::human};

/// Returns how long ago something was, as docker words it: `2 hours ago`.
pub(super) fn ago(time: Timestamp) -> String {
    let age = Duration::from_millis(store::now().since_ms(time));
    format!("{} ago", human::rough_duration(age))
}

/// Returns a time as docker's `inspect` has it: `2026-11-21T16:19:29Z`.
pub(super) fn iso(time: Timestamp) -> String {
    let time = i64::try_from(time.0).ok();
    let time = time.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(
        || "N/A".to_owned(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}
