//! Scenarios that need root: real containers, networks and processes, in namespaces of their own.
//!
//! They fail without root; they never pass silently. Every scenario ends with a leak check.

#![expect(
    clippy::disallowed_methods,
    reason = "tests start programs, read the environment and wait"
)]

mod bad_input;
mod lifecycle;
mod network;
mod support;
mod survival;
