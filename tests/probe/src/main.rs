//! Static helper that the kernel tests run inside containers.
//!
//! Each argument is one command, carried out in order; its outcome goes to standard output as `command: text`, further lines indented by one
//! blank. A refusal is `command: error NAME` (`EACCES`). Commands with arguments are `name:argument:argument`.

#![expect(
    clippy::disallowed_methods,
    reason = "it looks at files and its own environment, that is its task"
)]

mod inspect;
mod processes;

use std::io::{self, Write};

use inspect::Outcome;

fn main() {
    for argument in std::env::args().skip(1) {
        let (name, rest) = argument.split_once(':').unwrap_or((&argument, ""));
        let outcome = run(name, rest);
        let text = match outcome {
            Ok(text) => text.trim_end().replace('\n', "\n "),
            Err(error) => format!("error {}", inspect::error_name(&error)),
        };
        // Nobody may read any more; the commands that follow still count.
        say(&format!("{argument}: {text}\n")).ok();
    }
}

/// Writes at once, so that a reader sees what was done before a later command blocks.
fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn run(name: &str, rest: &str) -> Outcome {
    let (first, second) = rest.split_once(':').unwrap_or((rest, ""));
    match name {
        "status" => inspect::read("/proc/self/status"),
        "limits" => inspect::read("/proc/self/limits"),
        "mounts" => inspect::read("/proc/self/mountinfo"),
        "cgroup" => inspect::read("/proc/self/cgroup"),
        "read" => inspect::read(rest),
        "write" => inspect::write(first, second),
        "mkdir" => std::fs::create_dir(rest).map(|()| "made".to_owned()),
        "create" => inspect::create(rest),
        "open" => inspect::open(first, second),
        "node" => inspect::node(first, second),
        "chown" => inspect::chown(first, second),
        "ls" => inspect::list(rest),
        "stat" => inspect::stat(rest),
        "link" => Ok(std::fs::read_link(rest)?.display().to_string()),
        "fds" => inspect::descriptors(),
        "env" => Ok(inspect::environment()),
        "args" => Ok(std::env::args().collect::<Vec<_>>().join(" ")),
        "cwd" => Ok(std::env::current_dir()?.display().to_string()),
        "ids" => inspect::ids(),
        "names" => inspect::names(),
        "namespaces" => inspect::namespaces(),
        "umask" => Ok(inspect::umask()),
        "links" => inspect::links(),
        "terminal" => inspect::terminal(),
        "mount" => inspect::mount(rest),
        "keyring" => inspect::keyring(),
        "echo" => Ok(rest.to_owned()),
        "stderr" => io::stderr()
            .write_all(rest.as_bytes())
            .map(|()| String::new()),
        "input" => processes::input(),
        "zombies" => processes::zombies(),
        "orphans" => processes::orphans(rest),
        "await" => processes::await_signal(rest),
        "sleep" => processes::sleep(),
        "spy" => processes::spy(),
        "exit" => processes::exit(rest),
        "die" => processes::die(rest),
        _ => Ok("unknown command".to_owned()),
    }
}
