//! The root filesystem of a container and everything that is mounted on it.

pub mod confine;
mod path_buffer;
pub mod tmpfs;
