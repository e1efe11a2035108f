//! The supervisor as a process: starting it, and ending one that is older than this program.

use std::{
    ffi::OsString,
    io::{self, BufReader, Read},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use super::{ClientError, RETRY_PAUSE, connect};
use crate::store::Root;

/// Time from the start of a supervisor until it must serve, and for one to leave.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Starts a supervisor and connects to it, or to the one that was faster.
pub(super) fn start(root: &Root) -> Result<UnixStream, ClientError> {
    let deadline = Instant::now() + START_TIMEOUT;
    let silent = || ClientError::Silent {
        path: root.supervisor_socket(),
        log: root.supervisor_log(),
    };
    loop {
        let mut supervisor = spawn(root).map_err(ClientError::Start)?;
        let ready = supervisor.stdout.take().expect("its output is a pipe");
        // The supervisor reports one byte, or it dies: either ends this read.
        let mut byte = [0];
        BufReader::new(ready)
            .read(&mut byte)
            .map_err(ClientError::Start)?;
        loop {
            if let Some(stream) = connect(root)? {
                return Ok(stream);
            }
            if Instant::now() > deadline {
                return Err(silent());
            }
            match supervisor.try_wait().map_err(ClientError::Start)? {
                // Another one has the lock. It may be on its way up, or about to leave: then it takes another start.
                Some(status) if status.success() => break,
                Some(_) => return Err(silent()),
                None => pause(RETRY_PAUSE),
            }
        }
        pause(RETRY_PAUSE);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the supervisor is the product's own second role"
)]
fn spawn(root: &Root) -> io::Result<std::process::Child> {
    fs_err::create_dir_all(root.run())?;
    let log = fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open(root.supervisor_log())?;
    let command = supervisor_command(root);
    // It makes itself the leader of a new session and enters `/`, see main.rs: that needs no code between fork and exec.
    std::process::Command::new(&command[0])
        .args(&command[1..])
        .args(["--ready-fd", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.into_file())
        .spawn()
}

/// Returns the command line, program first, that starts a supervisor of a root. It reports to nobody.
pub fn supervisor_command(root: &Root) -> Vec<OsString> {
    let mut command = vec![program().into_os_string(), "supervisor".into()];
    if *root != Root::system() {
        command.push("--root".into());
        command.push(root.state().into());
    }
    command
}

/// Returns this program's path; the kernel's link when the file was replaced by an upgrade.
pub fn program() -> PathBuf {
    std::env::current_exe()
        .ok()
        .filter(|path| path.exists())
        .unwrap_or_else(|| "/proc/self/exe".into())
}

/// Waits without a fact to wait for: the other process that starts a supervisor has no way to tell this one.
pub(super) fn pause(time: Duration) {
    let timeout = rustix::time::Timespec::try_from(time).expect("a short time");
    // An interrupted pause is only a shorter one.
    let _interrupted = poll(&mut [], Some(&timeout));
}

/// Asks the supervisor behind a connection, which speaks an older protocol, to leave, and returns once it has ended.
///
/// It has no call for that in every version, but every version leaves properly on SIGTERM: its monitors keep their containers running and do not
/// start the next one.
pub(super) fn end_older(stream: &UnixStream) -> Result<(), ClientError> {
    let replace = |errno: rustix::io::Errno| ClientError::Replace(errno.into());
    // The process that listened, see SO_PEERCRED in unix(7).
    let peer = rustix::net::sockopt::socket_peercred(stream).map_err(replace)?;
    let process = match pidfd_open(peer.pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(replace(errno)),
    };
    match pidfd_send_signal(&process, Signal::TERM) {
        Ok(()) => {}
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(replace(errno)),
    }
    let timeout = rustix::time::Timespec::try_from(START_TIMEOUT).expect("seconds fit");
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    match poll(&mut ended, Some(&timeout)) {
        Ok(0) => Err(replace(rustix::io::Errno::TIMEDOUT)),
        Ok(_) => Ok(()),
        Err(errno) => Err(replace(errno)),
    }
}
