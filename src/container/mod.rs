//! The host side of containers; here only what the command line reads.

pub mod logs;
