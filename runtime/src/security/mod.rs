//! What confines a container's processes beyond its namespaces.

pub mod seccomp;
