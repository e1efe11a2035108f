//! Runs containers on Linux: namespaces, cgroups, root filesystems, confinement, and the monitor of one container.
//!
//! Synchronous; knows neither Compose nor images nor how networks are made. All `unsafe` is in [`sys`].

pub mod cgroup;
pub mod check;
pub mod error;
mod fault;
pub mod monitor;
pub mod namespaces;
pub mod netns;
pub mod process;
pub mod pty;
pub mod rootfs;
pub mod security;
pub mod spec;
pub mod sys;

pub use error::{Errno, Error, Step};
