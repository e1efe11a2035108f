//! Picks the role of this process before any thread exists: monitor, supervisor or command line. Nothing else.
//!
//! The first two roles are started by `stack` itself and parsed by hand, so that they cost no clap and no environment:
//!
//! ```text
//! stack monitor --directory DIR --ready-fd N [--await-attach] [-- SUPERVISOR-ARGV...]
//! stack supervisor [--root DIR] [--ready-fd N]
//! ```
//!
//! A descriptor named by `--ready-fd` is taken over: it is closed when its role has reported (or died). A supervisor that
//! is started without one (by an init system) reports to nobody.

mod role;

use std::{ffi::OsString, process::ExitCode};

use role::Role;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let status = match role::parse(&arguments) {
        Ok(Role::Monitor(arguments)) => role::run_monitor(arguments),
        Ok(Role::Supervisor(arguments)) => role::run_supervisor(arguments),
        Ok(Role::CommandLine) => return stack::cli::main(arguments),
        Err(refusal) => role::refuse(&refusal),
    };
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}
