//! Tests that need root: containers on this kernel, each in namespaces and a directory of its own.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "these are tests, which clippy cannot know without the usual harness"
)]

#[path = "kernel/group.rs"]
mod group;
#[path = "kernel/harness.rs"]
mod harness;
#[path = "kernel/measure/mod.rs"]
mod measure;
#[path = "kernel/running.rs"]
mod running;
#[path = "kernel/world.rs"]
mod world;

#[path = "kernel/cgroups.rs"]
mod cgroups;
#[path = "kernel/confinement.rs"]
mod confinement;
#[path = "kernel/devices.rs"]
mod devices;
#[path = "kernel/escape.rs"]
mod escape;
#[path = "kernel/exec.rs"]
mod exec;
#[path = "kernel/failure.rs"]
mod failure;
#[path = "kernel/held.rs"]
mod held;
#[path = "kernel/hostile.rs"]
mod hostile;
#[path = "kernel/images.rs"]
mod images;
#[path = "kernel/mounts.rs"]
mod mounts;
#[path = "kernel/namespaces.rs"]
mod namespaces;
#[path = "kernel/overlay.rs"]
mod overlay;
#[path = "kernel/streams.rs"]
mod streams;
#[path = "kernel/unified.rs"]
mod unified;
#[path = "kernel/users.rs"]
mod users;

use std::process::ExitCode;

/// Every test by its name; a group names its own.
const GROUPS: &[&[harness::Test]] = &[
    cgroups::TESTS,
    confinement::TESTS,
    devices::TESTS,
    escape::TESTS,
    exec::TESTS,
    failure::TESTS,
    held::TESTS,
    hostile::TESTS,
    images::TESTS,
    mounts::TESTS,
    namespaces::TESTS,
    overlay::TESTS,
    streams::TESTS,
    users::TESTS,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("--swap", paths)) = arguments
        .split_first()
        .map(|(first, rest)| (first.as_str(), rest))
    {
        hostile::swap(paths);
        return ExitCode::SUCCESS;
    }
    if arguments
        .first()
        .is_some_and(|first| first == "--write-own")
    {
        print!("{}", hostile::write_own());
        return ExitCode::SUCCESS;
    }
    if arguments.first().is_some_and(|first| first == "--measure") {
        measure::run(arguments.get(1).map(String::as_str));
        return ExitCode::SUCCESS;
    }
    let mut groups = GROUPS.to_vec();
    if unified::is_unified() {
        groups.push(unified::TESTS);
    }
    harness::main(&groups)
}
