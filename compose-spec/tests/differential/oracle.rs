//! docker compose v5.6.1 as a program.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::generate::Case;

/// The program.
pub(crate) struct Oracle {
    program: &'static str,
}

/// What a program says to a project.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The canonical project.
    Accepted(Value),
    /// The errors.
    Refused(String),
}

/// Finds docker compose, when it is of the version that the rules were measured with.
pub(crate) fn find() -> Option<Oracle> {
    let program = "docker-compose";
    let output = Command::new(program)
        .arg("version")
        .arg("--short")
        .output()
        .ok()?;
    let version = String::from_utf8_lossy(&output.stdout);
    (version.trim().trim_start_matches('v') == "5.6.1").then_some(Oracle { program })
}

impl Oracle {
    /// Runs `config` on a project that was laid out in a directory.
    pub(crate) fn ask(&self, directory: &Path, case: &Case) -> Answer {
        let mut command = Command::new(self.program);
        command.current_dir(directory).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", "/home/u");
        for index in 0..case.files.len() {
            command.args(["-f", &format!("f{index}.yaml")]);
        }
        for profile in &case.profiles {
            command.args(["--profile", profile]);
        }
        let output = command
            .args(["config", "--format", "json"])
            .output()
            .unwrap();
        if output.status.success() {
            Answer::Accepted(serde_json::from_slice(&output.stdout).unwrap())
        } else {
            Answer::Refused(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}
