//! The host's `git` as a program: its environment, its settings, and its end.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::Signal,
};

use super::{GitError, GitOptions, GitSource};

/// How often it is looked whether the build still matters while git says nothing.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);
/// Bytes of its output, and of its complaints, that are kept.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// Lines of git's complaint that an error repeats.
const LINES_MAX: usize = 5;

/// Runs git in one directory.
pub(super) struct Git<'a> {
    pub(super) source: &'a GitSource,
    pub(super) directory: &'a Path,
    pub(super) options: &'a GitOptions,
    pub(super) protocols: &'a str,
    pub(super) agent: Option<PathBuf>,
}

impl Git<'_> {
    /// Runs it and returns what it wrote, trimmed.
    pub(super) fn run(&self, step: &str, arguments: &[&str]) -> Result<String, GitError> {
        let mut child = self.command(arguments).spawn().map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                GitError::NoGit
            } else {
                GitError::Run(error.to_string())
            }
        })?;
        let read = self.read(&mut child);
        if !matches!(read, Ok(Some(_))) {
            // What it started, ssh for example, ends with it.
            let group = rustix::process::Pid::from_child(&child);
            let killed = rustix::process::kill_process_group(group, Signal::KILL);
            tracing::debug!(?killed, "git is ended");
        }
        let run = |error: io::Error| GitError::Run(error.to_string());
        let status = child.wait().map_err(run)?;
        let [output, complaint] = read.map_err(run)?.ok_or(GitError::Cancelled)?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&output).trim().to_owned());
        }
        let complaint = String::from_utf8_lossy(&complaint);
        let lines: Vec<&str> = complaint.lines().filter(|line| !line.is_empty()).collect();
        let last = lines.len().saturating_sub(LINES_MAX);
        Err(GitError::Failed {
            step: step.to_owned(),
            remote: self.source.remote.clone(),
            complaint: lines[last..].join("; "),
        })
    }

    /// Reads standard output and error to their ends, at most [`OUTPUT_BYTES_MAX`] of each; `None` = cancelled meanwhile.
    fn read(&self, child: &mut Child) -> io::Result<Option<[Vec<u8>; 2]>> {
        let streams = child.stdout.take().map(OwnedFd::from);
        let streams = [streams, child.stderr.take().map(OwnedFd::from)];
        let mut open = streams.map(|stream| stream.map(File::from));
        let mut texts = [Vec::new(), Vec::new()];
        let interval = Timespec::try_from(CANCEL_INTERVAL).map_err(io::Error::other)?;
        while open.iter().any(Option::is_some) {
            if self.options.cancel.is_cancelled() {
                return Ok(None);
            }
            for (stream, text) in open.iter_mut().zip(&mut texts) {
                let Some(file) = stream else { continue };
                let mut ready = [PollFd::new(file, PollFlags::IN)];
                match poll(&mut ready, Some(&interval)) {
                    Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                    other => drop(other?),
                }
                let mut buffer = [0; 4096];
                match file.read(&mut buffer)? {
                    0 => *stream = None,
                    count if text.len() < OUTPUT_BYTES_MAX => {
                        text.extend_from_slice(&buffer[..count]);
                    }
                    _ => {}
                }
            }
        }
        Ok(Some(texts))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "repositories are fetched by the host's git, as the module says"
    )]
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("LC_ALL", "C")
            // Nobody's: a repository's own `.netrc` or `.config/git` must not become ours.
            .env("HOME", "/nonexistent")
            .env("GIT_TEMPLATE_DIR", "")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", self.protocols)
            .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .envs(self.options.proxies.iter().cloned());
        if let Some(socket) = &self.agent {
            command.env("SSH_AUTH_SOCK", socket);
        }
        // Settings go by the environment: arguments can be read by everybody on the host.
        let mut settings = vec![
            ("core.hooksPath".to_owned(), "/dev/null".to_owned()),
            ("advice.detachedHead".to_owned(), "false".to_owned()),
            ("init.defaultBranch".to_owned(), "main".to_owned()),
            ("http.lowSpeedLimit".to_owned(), "1".to_owned()),
            ("http.lowSpeedTime".to_owned(), "60".to_owned()),
        ];
        if let Some(value) = &self.options.authorization {
            let key = format!("http.{}.extraHeader", self.source.remote);
            settings.push((key, format!("Authorization: {value}")));
        }
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (number, (key, value)) in settings.into_iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        command
    }
}
