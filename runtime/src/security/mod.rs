//! Confinement: capabilities and system call filter.

pub mod capabilities;
pub mod seccomp;
