//! Scenarios that need root: real containers, networks and processes, in namespaces of their own.
//!
//! They fail without root; they never pass silently. Every scenario ends with a leak check.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::format_collect,
    clippy::format_push_string,
    reason = "helpers of tests are not in test functions: they start programs, wait, and end the test when something is wrong"
)]

mod attributes;
mod bad_input;
mod build;
mod build_cases;
mod cycles;
mod detach;
mod doctor;
mod events;
mod files;
mod hooks;
mod hostile;
mod images;
mod init;
mod lifecycle;
mod network;
mod networks;
mod oci;
mod registry;
mod supply;
mod support;
mod survival;
mod volumes;
mod watch;
