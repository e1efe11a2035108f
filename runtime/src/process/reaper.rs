//! PID 1 of a container with `init: true`: starts the program, hands signals on, reaps orphans, ends as the program ended.
//!
//! It is the child of the launch itself, confined like the program, and executes nothing: no file of the host is needed in the container.
//! Its memory is a copy of the monitor's that nobody can read or write, because it stays undumpable (see [`super::init`]).

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::plan::Plan;
use super::streams::Streams;
use super::work::{execute, report};
use crate::error::Step;
use crate::fault::{At, Fault, Report};
use crate::sys;

/// Every signal held back, so that none interrupts and all are taken one by one.
const ALL: u64 = u64::MAX;

/// Exit code when the program could not be executed; the report tells the caller more.
const NOT_EXECUTED: i32 = 127;

/// Starts the program and watches it. Returns the exit code of the container.
pub(crate) fn run(plan: &mut Plan<'_>) -> Result<i32, Fault> {
    let fork = || {
        sys::signal::set_mask(ALL)?;
        rustix::thread::set_name(c"init")?;
        if let Some(arguments) = &plan.monitor_arguments {
            arguments.replace(b"init");
        }
        sys::clone::fork(|| start(plan))
    };
    let program = fork().at(Step::Fork, plan.names.program)?;
    // The parent waits for the end of the pipe: the program's own copy closes when it is executed.
    sys::files::close(plan.stage.as_fd()).at(Step::CloseFiles, plan.names.process)?;
    Ok(watch(program))
}

fn start(plan: &Plan<'_>) -> i32 {
    let Err(fault) = become_foreground(plan).and_then(|()| execute(plan)) else {
        return 0;
    };
    report(plan.stage.as_fd(), Report::Fault(fault));
    NOT_EXECUTED
}

/// Gives the program a process group of its own, in front of the terminal, so that keys reach it and not the reaper.
fn become_foreground(plan: &Plan<'_>) -> Result<(), Fault> {
    let prepare = || {
        rustix::process::setpgid(None, None)?;
        if let Streams::Tty { .. } = plan.streams {
            // SIGTTOU is still held back here.
            let own = rustix::process::getpid();
            rustix::termios::tcsetpgrp(rustix::stdio::stdin(), own)?;
        }
        sys::signal::set_mask(0)
    };
    prepare().at(Step::Fork, plan.names.program)
}

/// Takes signals until the program has ended: SIGCHLD reaps, any other goes to the program.
fn watch(program: i32) -> i32 {
    loop {
        match sys::signal::wait_for_any() {
            Ok(libc::SIGCHLD) => {
                if let Some(code) = reap(program) {
                    return code;
                }
            }
            Ok(signal) => {
                // The program may have ended a moment ago; its SIGCHLD follows.
                sys::signal::kill(program, signal).ok();
            }
            Err(Errno::INTR) => {}
            // A filter that forbids this wait: signals cannot be handed on, but the end can be awaited.
            Err(_) => return wait_for(program),
        }
    }
}

fn wait_for(program: i32) -> i32 {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if is(pid, program) => return exit_code(status),
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return NOT_EXECUTED,
        }
    }
}

/// Reaps all that have ended. Returns the exit code of the program when it is among them.
fn reap(program: i32) -> Option<i32> {
    let mut code = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if is(pid, program) => code = Some(exit_code(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return code,
        }
    }
}

fn is(pid: Pid, program: i32) -> bool {
    pid.as_raw_nonzero().get() == program
}

fn exit_code(status: WaitStatus) -> i32 {
    let by_signal = status.terminating_signal().map(|signal| 128 + signal);
    status.exit_status().or(by_signal).unwrap_or(NOT_EXECUTED)
}
