//! Static helper that the kernel tests run inside containers.
fn main() {}
