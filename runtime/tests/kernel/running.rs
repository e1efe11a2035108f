//! A container of a test, while it runs and when it has ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::Instant;

use runtime::cgroup::JoinPlan;
use runtime::error::Error;
use runtime::process::{ExecRequest, Launched, exec};
use runtime::spec::{ContainerSpec, Process};

use crate::world::{DEADLINE, files, probe_process, wait};

/// A container that runs.
pub(crate) struct Running {
    pub(crate) launched: Launched,
    pub(crate) spec: ContainerSpec,
    output: File,
    text: String,
}

/// A container that has ended.
pub(crate) struct Finished {
    /// Exit code; 128 + signal.
    pub(crate) code: i32,
    /// Standard output and error.
    pub(crate) text: String,
    pub(crate) warnings: Vec<String>,
}

impl Running {
    /// `output` is the read end of its standard output and error.
    pub(crate) fn new(launched: Launched, output: File, spec: ContainerSpec) -> Self {
        Self {
            launched,
            spec,
            output,
            text: String::new(),
        }
    }

    /// Reads the output until it contains `text`.
    pub(crate) fn await_text(&mut self, text: &str) {
        let start = Instant::now();
        while !self.text.contains(text) {
            assert!(start.elapsed() < DEADLINE, "no {text:?} in {:?}", self.text);
            let mut buffer = [0; 4096];
            let length = self.output.read(&mut buffer).unwrap();
            assert!(length > 0, "output ended without {text:?}: {:?}", self.text);
            self.text
                .push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }

    /// Runs another process in it to its end.
    pub(crate) fn exec(&self, commands: &[&str]) -> Finished {
        self.exec_process(&probe_process(commands), false)
            .unwrap()
            .finish()
    }

    /// Starts another process in it.
    pub(crate) fn exec_process(
        &self,
        process: &Process,
        privileged: bool,
    ) -> Result<Running, Error> {
        let (io, output) = files();
        let request = ExecRequest {
            spec: &self.spec,
            init: self.launched.pidfd.as_fd(),
            process,
            privileged,
            kept_files: 0,
        };
        let launched = exec(&request, io, &JoinPlan::default(), &[])?;
        Ok(Self::new(launched, output, self.spec.clone()))
    }

    pub(crate) fn signal(&self, signal: i32) {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.launched.pid),
            nix::sys::signal::Signal::try_from(signal).unwrap(),
        )
        .unwrap();
    }

    /// Kills it and waits.
    pub(crate) fn kill(self) -> Finished {
        self.signal(libc::SIGKILL);
        self.finish()
    }

    /// Reads the output to its end and waits.
    pub(crate) fn finish(mut self) -> Finished {
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).unwrap();
        self.text.push_str(&String::from_utf8_lossy(&rest));
        let code = wait(self.launched.pidfd.as_fd());
        Finished {
            code,
            text: self.text,
            warnings: self.launched.warnings,
        }
    }
}

impl Finished {
    /// Returns what the helper program said to each command.
    pub(crate) fn answers(&self) -> BTreeMap<&str, String> {
        let mut answers: BTreeMap<&str, String> = BTreeMap::new();
        let mut last = "";
        for line in self.text.lines() {
            if let Some(more) = line.strip_prefix(' ') {
                let text = answers.entry(last).or_default();
                text.push('\n');
                text.push_str(more);
            } else if let Some((command, text)) = line.split_once(": ") {
                last = command;
                answers.insert(command, text.to_owned());
            }
        }
        answers
    }

    /// Returns what the helper program said to one command.
    #[track_caller]
    pub(crate) fn answer(&self, command: &str) -> String {
        self.answers()
            .remove(command)
            .unwrap_or_else(|| panic!("no answer to {command}: {}", self.text))
    }
}
