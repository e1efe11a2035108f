//! Points in time.

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch. Pure code is given one; only the edges read the clock.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns the milliseconds from `earlier` to this time, 0 if it is later.
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
