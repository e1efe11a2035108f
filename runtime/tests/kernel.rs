//! Tests that need root: containers on this kernel, each in namespaces and a directory of its own.

#![expect(
    clippy::disallowed_methods,
    reason = "tests look at files of the host and start the helper program's build"
)]

#[path = "kernel/harness.rs"]
mod harness;
#[path = "kernel/world.rs"]
mod world;

#[path = "kernel/confinement.rs"]
mod confinement;
#[path = "kernel/exec.rs"]
mod exec;
#[path = "kernel/failure.rs"]
mod failure;
#[path = "kernel/hostile.rs"]
mod hostile;
#[path = "kernel/mounts.rs"]
mod mounts;
#[path = "kernel/namespaces.rs"]
mod namespaces;
#[path = "kernel/streams.rs"]
mod streams;

use std::process::ExitCode;

/// Every test by its name; a group names its own.
const GROUPS: &[&[harness::Test]] = &[
    confinement::TESTS,
    exec::TESTS,
    failure::TESTS,
    hostile::TESTS,
    mounts::TESTS,
    namespaces::TESTS,
    streams::TESTS,
];

fn main() -> ExitCode {
    harness::main(GROUPS)
}
