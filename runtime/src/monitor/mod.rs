//! The monitor: one tiny process per container that owns what must outlive the supervisor.

mod client;
mod health;
mod log;
mod packet;
pub mod protocol;
mod record;
mod restart;
mod supervisor;

pub use client::{Client, ClientError, Received};
