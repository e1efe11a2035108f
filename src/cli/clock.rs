//! Times as people read them in tables.

use std::time::Duration;

use crate::{model::Timestamp, store, ui::human};

/// Returns how long ago something was, as docker words it: `2 hours ago`.
pub(super) fn ago(time: Timestamp) -> String {
    let age = Duration::from_millis(store::now().since_ms(time));
    format!("{} ago", human::rough_duration(age))
}
