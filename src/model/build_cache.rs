//! What the build cache holds, and what to remove of it.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// One thing in the build cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildCacheEntry {
    /// Hexadecimal digits, unique in the cache.
    pub id: String,
    /// What it is.
    pub kind: BuildCacheKind,
    /// The instruction, the mount's id, or the context's directory.
    pub description: String,
    /// Bytes that are on the disk because of it. A layer that several entries share counts for the first one only.
    pub size_bytes: u64,
    /// An image has the same layer: removing the entry frees nothing.
    pub shared: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When a build used it last.
    pub used: Timestamp,
}

impl BuildCacheEntry {
    /// Returns what removing it gives back.
    pub fn reclaimable_bytes(&self) -> u64 {
        if self.shared { 0 } else { self.size_bytes }
    }
}

/// Kinds of what the build cache holds; the words are those of Docker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BuildCacheKind {
    /// The result of an instruction.
    #[serde(rename = "regular")]
    Step,
    /// The directory of a `RUN --mount=type=cache`.
    #[serde(rename = "exec.cachemount")]
    Mount,
    /// The index of a context directory.
    #[serde(rename = "source.local")]
    Context,
}

impl BuildCacheKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Step, Self::Mount, Self::Context];

    /// Returns its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Step => "regular",
            Self::Mount => "exec.cachemount",
            Self::Context => "source.local",
        }
    }
}

/// What to remove of the build cache (`stack builder prune`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildCachePrune {
    /// Also what images share and the indexes of contexts, which cost nothing but make builds quick.
    pub all: bool,
    /// Remove the least recently used only until this many bytes are left.
    pub keep_bytes: Option<u64>,
    /// Only what was not used for this many milliseconds.
    pub unused_ms: Option<u64>,
    /// Only these kinds; empty = every kind.
    pub kinds: Vec<BuildCacheKind>,
    /// Only ids that begin with one of these; empty = every id.
    pub ids: Vec<String>,
}
