//! Reads Compose files.

pub mod model;
