//! Confinement: capabilities and system call filter.

pub mod capabilities;
