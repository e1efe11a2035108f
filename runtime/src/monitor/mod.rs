//! The monitor: one tiny process per container that owns what must outlive the supervisor.

pub mod protocol;
