//! The monitor: one tiny process per container that owns what must outlive the supervisor.

mod health;
mod log;
pub mod protocol;
mod restart;
