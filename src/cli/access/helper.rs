//! Credential helpers: `docker-credential-<name> get|store|erase`, programs of the user that keep secrets (docker-credential-helpers' protocol).
//!
//! `get` takes the registry's key on standard input and prints `{"ServerURL", "Username", "Secret"}`; the user name `<token>`
//! says that the secret is an identity token. `store` takes such an object, `erase` a key.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    cli::poll::{self, Interest},
    model::{Credential, Secret, docker_config::key_of},
};

/// Time for one run: a helper may ask the user to unlock a key ring.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// What a helper prints when it has nothing, with exit status 1.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// User name that stands for an identity token.
pub(super) const TOKEN_USER: &str = "<token>";

/// One helper.
pub(in crate::cli) struct Helper<'a> {
    name: &'a str,
    environment: &'a BTreeMap<String, String>,
}

/// A helper that could not be used. What it prints is shown when it fails, never when it succeeds.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum HelperError {
    /// Its name could be a path.
    #[error("`{0}` is not the name of a credential helper")]
    Name(String),
    /// It is not installed, or cannot be executed.
    #[error("run the credential helper `docker-credential-{name}`")]
    Start {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not end.
    #[error("the credential helper `docker-credential-{name}` did not end in {seconds} s")]
    Silent {
        /// Its name.
        name: String,
        /// How long it was waited.
        seconds: u64,
    },
    /// It says no.
    #[error("the credential helper `docker-credential-{name}` failed: {message}")]
    Refused {
        /// Its name.
        name: String,
        /// What it says.
        message: String,
    },
    /// It printed something else.
    #[error("the credential helper `docker-credential-{name}` printed no credentials")]
    Malformed {
        /// Its name.
        name: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(rename = "ServerURL", default)]
    server: String,
    username: String,
    secret: String,
}

impl<'a> Helper<'a> {
    pub(in crate::cli) fn new(name: &'a str, environment: &'a BTreeMap<String, String>) -> Self {
        Self { name, environment }
    }

    /// Asks for a registry's credentials; `None` when it has none.
    pub(in crate::cli) fn get(&self, registry: &str) -> Result<Option<Credential>, HelperError> {
        let answer = match self.run("get", key_of(registry).as_bytes()) {
            Err(HelperError::Refused { message, .. }) if message == NOT_FOUND => return Ok(None),
            answer => answer?,
        };
        let entry: Entry = serde_json::from_slice(&answer).map_err(|_secret| {
            let name = self.name.to_owned();
            HelperError::Malformed { name }
        })?;
        if entry.secret.is_empty() {
            return Ok(None);
        }
        Ok(Some(if entry.username == TOKEN_USER {
            Credential::RefreshToken(Secret::new(entry.secret))
        } else {
            Credential::password(entry.username, entry.secret)
        }))
    }

    /// Hands over a user name and password, or [`TOKEN_USER`] and an identity token.
    pub(in crate::cli) fn store(
        &self,
        registry: &str,
        user: &str,
        secret: &str,
    ) -> Result<(), HelperError> {
        let entry = Entry {
            server: key_of(registry).to_owned(),
            username: user.to_owned(),
            secret: secret.to_owned(),
        };
        let text = serde_json::to_vec(&entry).expect("three strings are JSON");
        self.run("store", &text).map(drop)
    }

    /// Makes it forget a registry; one that it does not know is no error.
    pub(in crate::cli) fn erase(&self, registry: &str) -> Result<(), HelperError> {
        match self.run("erase", key_of(registry).as_bytes()) {
            Err(HelperError::Refused { message, .. }) if message == NOT_FOUND => Ok(()),
            result => result.map(drop),
        }
    }

    fn run(&self, action: &str, input: &[u8]) -> Result<Vec<u8>, HelperError> {
        if self.name.is_empty() || self.name.contains(['/', '\0']) {
            return Err(HelperError::Name(self.name.to_owned()));
        }
        let failed = |source| HelperError::Start {
            name: self.name.to_owned(),
            source,
        };
        let mut child = self.spawn(action).map_err(failed)?;
        let answer = self.talk(&mut child, input);
        if answer.is_err() {
            // It may be waiting for somebody. It is ours, and nobody needs it any more.
            let _ended = child.kill();
        }
        let status = child.wait().map_err(failed)?;
        let answer = answer?;
        if status.success() {
            return Ok(answer);
        }
        // Helpers tell their errors on standard output.
        let message = String::from_utf8_lossy(&answer).trim().to_owned();
        let message = if message.is_empty() {
            status.to_string()
        } else {
            message
                .chars()
                .filter(|sign| !sign.is_control())
                .take(300)
                .collect()
        };
        Err(HelperError::Refused {
            name: self.name.to_owned(),
            message,
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a credential helper is the user's own program, run as the user"
    )]
    fn spawn(&self, action: &str) -> io::Result<Child> {
        Command::new(format!("docker-credential-{}", self.name))
            .arg(action)
            .env_clear()
            .envs(self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
    }

    /// Writes the input and reads the answer, with a deadline. The input is smaller than a pipe's buffer.
    fn talk(&self, child: &mut Child, input: &[u8]) -> Result<Vec<u8>, HelperError> {
        let failed = |source| HelperError::Start {
            name: self.name.to_owned(),
            source,
        };
        let mut stdin = child.stdin.take().expect("it is a pipe");
        match stdin.write_all(input) {
            // It has ended without a look at it: its answer says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written.map_err(failed)?,
        }
        drop(stdin);
        let mut stdout = child.stdout.take().expect("it is a pipe");
        let deadline = Instant::now() + PATIENCE;
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let ready = poll::wait(&[Some((stdout.as_fd(), Interest::Read))], Some(left));
            let ready = ready.map_err(failed)?;
            if !ready[0] {
                if left.is_zero() {
                    return Err(HelperError::Silent {
                        name: self.name.to_owned(),
                        seconds: PATIENCE.as_secs(),
                    });
                }
                continue;
            }
            match stdout.read(&mut chunk).map_err(failed)? {
                0 => return Ok(answer),
                count => answer.extend_from_slice(&chunk[..count]),
            }
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(HelperError::Malformed {
                    name: self.name.to_owned(),
                });
            }
        }
    }
}
