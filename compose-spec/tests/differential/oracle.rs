//! docker compose v5.6.1 as a program.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::case::Case;

/// The program.
pub(crate) struct Oracle {
    program: String,
}

/// What a program says to a project.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The canonical project.
    Accepted(Value),
    /// The errors.
    Refused(Vec<Refusal>),
}

/// One error.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// `S0303`; empty for docker compose.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// The text of the file that is pointed at.
    pub text: String,
}

/// Finds docker compose, when it is of the version that the rules were measured with: `DOCKER_COMPOSE`, or the first in the
/// path.
pub(crate) fn find() -> Option<Oracle> {
    let program = std::env::var("DOCKER_COMPOSE").unwrap_or_else(|_| "docker-compose".to_owned());
    let output = Command::new(&program)
        .arg("version")
        .arg("--short")
        .output()
        .ok()?;
    let version = String::from_utf8_lossy(&output.stdout);
    (version.trim().trim_start_matches('v') == "5.6.1").then_some(Oracle { program })
}

impl Oracle {
    /// The program.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Runs `config` on a project that was laid out in a directory.
    pub(crate) fn ask(&self, directory: &Path, case: &Case) -> Answer {
        self.ask_in(directory, case, case.format)
    }

    /// Runs `config` with an output format.
    pub(crate) fn ask_in(&self, directory: &Path, case: &Case, format: &str) -> Answer {
        let mut command = Command::new(&self.program);
        command.current_dir(directory).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", "/home/u");
        command.envs(case.environment.iter().copied());
        for file in &case.compose {
            command.args(["-f", file]);
        }
        for file in &case.env_files {
            command.args(["--env-file", file]);
        }
        for profile in &case.profiles {
            command.args(["--profile", profile]);
        }
        command.args(["config", "--format", format]);
        if !case.pass.is_empty() {
            command.arg(case.pass);
        }
        let output = command.args(&case.services).output().unwrap();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            let errors = errors
                .lines()
                .filter(|line| !line.contains("level=warning"));
            let message = errors.collect::<Vec<_>>().join("\n");
            return Answer::Refused(vec![Refusal {
                code: String::new(),
                message,
                text: String::new(),
            }]);
        }
        Answer::Accepted(read(format, &String::from_utf8(output.stdout).unwrap()))
    }
}

/// Reads what `config` prints.
pub(crate) fn read(format: &str, text: &str) -> Value {
    match format {
        "json" => serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}")),
        _ => serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}")),
    }
}
