//! `stack oci`: the runtime for OCI bundles (runtime-spec 1.2), so that others' tools and conformance suites can drive it.
//!
//! A bundle's `config.json` is mapped onto the same [`runtime::spec::ContainerSpec`] that Compose services become; what has no place there
//! is refused by name. There is no monitor: the caller (or whoever is its reaper) is told of the end by the kernel, and the state is
//! asked of the kernel at each command. Nothing here is used by the rest of `stack`.
//!
//! What differs from other runtimes, on purpose: the mount namespace is always a new one; /proc, /dev and the view of the control groups
//! are always ours, made in a way that no image can disturb, whatever options a bundle gives them; a container that was created can be
//! deleted without force.

mod arguments;
mod config;
mod create;
mod describe;
mod error;
mod exec;
mod hooks;
mod manage;
mod map;
mod mounts;
mod state;
mod streams;
#[cfg(test)]
mod tests;
mod update;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Display,
    io::{self, Write},
    path::Path,
};

use clap::Parser;
use serde_json::json;

use arguments::{Command, CommandLine, LogFormat};
use error::OciError;

/// What every command needs.
#[derive(Debug, Clone, Copy)]
struct Runtime<'a> {
    /// Where the state of containers lies.
    root: &'a Path,
    /// Descriptors of socket activation (sd_listen_fds(3)), which are handed on too.
    listen_fds: u32,
    /// The caller's environment, for hooks that name none.
    environment: &'a [String],
}

impl<'a> Runtime<'a> {
    /// What hooks of this call are run with.
    fn caller(
        &self,
        bundle: &'a Path,
        state: &'a serde_json::Value,
        inside: Option<i32>,
    ) -> hooks::Caller<'a> {
        hooks::Caller {
            bundle,
            state,
            environment: self.environment,
            inside,
        }
    }
}

/// Runs a command line, whose first word is a program name, and returns the exit code.
pub fn main(arguments: Vec<OsString>, environment: &BTreeMap<String, String>) -> u8 {
    let command_line = match CommandLine::try_parse_from(arguments) {
        Ok(command_line) => command_line,
        Err(error) => {
            // Help for a reader that has gone is nobody's loss.
            let _closed = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let entries: Vec<_> = environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let runtime = Runtime {
        root: &command_line.root,
        listen_fds: environment
            .get("LISTEN_FDS")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        environment: &entries,
    };
    if let Err(error) = open_log(&command_line) {
        report_warning(&format!("open the log: {error}"));
        return 1;
    }
    match run(&runtime, &command_line) {
        Ok(code) => code,
        Err(error) => {
            report(&command_line, &error);
            error.code()
        }
    }
}

fn run(runtime: &Runtime<'_>, command_line: &CommandLine) -> Result<u8, OciError> {
    if command_line.systemd_cgroup || command_line.cgroup_manager == "systemd" {
        return Err(OciError::Usage(
            "systemd is not asked for control groups; leave --systemd-cgroup away".into(),
        ));
    }
    let done = |result: Result<(), OciError>| result.map(|()| 0);
    match &command_line.command {
        Command::Create(arguments) => done(create::create(runtime, arguments)),
        Command::Delete(arguments) => done(manage::delete(runtime, arguments)),
        Command::Exec(arguments) => exec::run(runtime, arguments),
        Command::Features => done(describe::features()),
        Command::Kill(arguments) => done(manage::kill(runtime, arguments)),
        Command::List(arguments) => done(manage::list(runtime, arguments)),
        Command::Pause(arguments) => done(manage::pause(runtime, &arguments.id)),
        Command::Ps(arguments) => done(manage::ps(runtime, arguments)),
        Command::Resume(arguments) => done(manage::resume(runtime, &arguments.id)),
        Command::Run(arguments) => create::run(runtime, arguments),
        Command::Spec(arguments) => done(describe::spec(arguments)),
        Command::Start(arguments) => done(create::start(runtime, &arguments.id)),
        Command::Update(arguments) => done(update::update(runtime, arguments)),
        Command::State(arguments) => done(manage::state(runtime, &arguments.id)),
    }
}

/// Tells an error on standard error and, where asked for, in the log, in the forms that callers of runc parse.
fn report(command_line: &CommandLine, error: &OciError) {
    let message = printable(&error.chain());
    // Nobody may be listening; there is nothing better to do with the error.
    let _closed = writeln!(io::stderr(), "error: {message}");
    let time = jiff::Timestamp::now().to_string();
    let line = match command_line.log_format {
        LogFormat::Json => json!({ "level": "error", "msg": message, "time": time }).to_string(),
        LogFormat::Text => format!("time=\"{time}\" level=error msg={message:?}"),
    };
    let written = open_log(command_line).and_then(|file| match file {
        Some(mut file) => writeln!(file, "{line}"),
        None => Ok(()),
    });
    if let Err(error) = written {
        let _closed = writeln!(io::stderr(), "error: write the log: {error}");
    }
}

fn open_log(command_line: &CommandLine) -> io::Result<Option<fs_err::File>> {
    let mut options = fs_err::OpenOptions::new();
    options.create(true).append(true);
    let path = command_line.log.as_ref();
    path.map(|path| options.open(path)).transpose()
}

/// Tells what works less well than asked for.
fn report_warning(text: &impl Display) {
    // Nobody may be listening.
    let _closed = writeln!(io::stderr(), "warning: {}", printable(&text.to_string()));
}

/// Escapes control characters: values of a bundle stand in messages, and must not write to somebody's terminal.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            printable.extend(letter.escape_default());
        } else {
            printable.push(letter);
        }
    }
    printable
}

fn print(text: &str) -> Result<(), OciError> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(OciError::Output)
}
