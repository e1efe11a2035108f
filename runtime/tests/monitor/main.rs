//! Monitors as processes, with real containers (root; Debian's busybox-static as the container's programs).
//!
//! A monitor must be a process with one thread, so this program has no test harness of its own kind: called with `--monitor` it is a
//! monitor; otherwise it answers the harness protocol of `cargo test` and nextest.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "all of this program is a test: it runs monitors as programs, looks at what is left, and speaks the harness protocol"
)]

mod attach;
mod container;
mod control;
mod life;
mod takeover;

use std::{
    ffi::OsString,
    os::fd::AsFd,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

/// A test with its name.
type Test = (&'static str, fn());

/// Names the tests of this program.
macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($name)), $module::$name as fn())),*]
    };
}

const TESTS: &[Test] = tests![
    attach::a_client_that_waits_sees_the_first_byte_and_the_end,
    attach::a_program_that_cannot_start_is_refused_to_the_client_that_waits,
    attach::input_reaches_the_program_and_its_end_too,
    attach::nothing_is_lost_to_a_slow_reader,
    attach::several_clients_see_the_same,
    attach::a_terminal_echoes_and_has_the_size_it_was_given,
    control::exec_uses_the_callers_descriptors_and_reports_the_status,
    control::exec_gives_a_terminal_to_the_caller,
    control::exec_refusals_have_shell_codes,
    control::an_exec_outlives_its_client,
    control::pause_stops_time_and_a_paused_container_can_be_stopped,
    control::a_freeze_ends_with_its_clients_and_is_no_pause,
    control::descriptors_are_held_and_given_back,
    control::a_malformed_request_is_refused_and_the_next_one_answered,
    control::a_lost_supervisor_is_replaced_and_one_that_took_leave_is_not,
    life::output_status_and_events_are_recorded_and_nothing_is_left,
    life::a_program_that_does_not_exist_is_refused,
    life::failures_are_restarted_until_the_attempts_are_used_up,
    life::stop_ends_the_back_off,
    life::stop_asks_first_and_kills_after_the_grace,
    life::a_kill_prevents_the_restart_and_other_signals_do_not,
    life::health_follows_the_probe,
    life::a_probe_that_hangs_is_killed,
    life::an_end_is_no_failed_probe,
    life::a_probe_has_only_its_three_descriptors,
    life::memory_beyond_the_limit_is_told,
    life::a_child_beyond_the_memory_limit_is_told_while_the_container_runs,
    life::leftovers_of_a_shared_pid_namespace_are_killed,
    life::a_gently_ended_monitor_ends_its_container,
    takeover::a_killed_monitors_container_runs_on_and_is_adopted,
    takeover::a_container_that_ended_in_between_is_started_again,
    takeover::a_terminal_without_its_monitor_is_ended,
    takeover::a_freeze_ends_with_the_monitor,
    takeover::two_monitors_do_not_serve_one_container,
];

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).collect::<Vec<_>>();
    if arguments.first().is_some_and(|first| first == "--monitor") {
        return monitor(&arguments[1..]);
    }
    let words = arguments
        .iter()
        .map(|argument| argument.to_str().unwrap())
        .collect::<Vec<_>>();
    let flag = |name: &str| words.contains(&name);
    if flag("--list") {
        for (name, _) in TESTS.iter().filter(|_| !flag("--ignored")) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let filters = words
        .iter()
        .filter(|word| !word.starts_with("--"))
        .collect::<Vec<_>>();
    let meant = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| {
                if flag("--exact") {
                    name == **filter
                } else {
                    name.contains(**filter)
                }
            })
    };
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| meant(name)) {
        let outcome = catch_unwind(AssertUnwindSafe(test));
        println!(
            "test {name} ... {}",
            if outcome.is_ok() { "ok" } else { "FAILED" }
        );
        failed += usize::from(outcome.is_err());
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(101)
    }
}

/// `DIRECTORY await|start [SUPERVISOR…]`; the ready pipe is standard output.
fn monitor(arguments: &[OsString]) -> ExitCode {
    let ready = std::io::stdout().as_fd().try_clone_to_owned().unwrap();
    let null = std::fs::File::options()
        .write(true)
        .open("/dev/null")
        .unwrap();
    rustix::stdio::dup2_stdout(&null).unwrap();
    let status = runtime::monitor::run(runtime::monitor::Arguments {
        directory: arguments[0].clone().into(),
        ready,
        await_attach: arguments[1] == "await",
        supervisor: arguments[2..].to_vec(),
    });
    ExitCode::from(u8::try_from(status).unwrap())
}
