//! Hooks: programs of the host that are run around the start of a container, as the OCI runtime specification has them.
//!
//! A hook gets the container's state as JSON on its standard input, the environment that it names, the bundle as its working directory
//! (as with other runtimes; the specification is silent), and nothing else.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};
use serde_json::Value;

use crate::sys::clone::{Child, Replaced, clone_child};
use crate::sys::exec::Texts;
use crate::sys::signal::{reset_all, set_mask};

/// Exit code of a hook that could not be executed, as in a shell.
const NOT_EXECUTED: i32 = 127;

/// Time that a hook may take unless something else is asked for.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// A hook failed.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Which program it would be depends on the directory.
    #[error("its path is not absolute")]
    Path,
    /// It could not be started or awaited.
    #[error("{}", std::io::Error::from(*.0))]
    Kernel(#[from] Errno),
    /// It took too long and was killed.
    #[error("not done within {} s", .0.as_secs())]
    Late(Duration),
    /// There is no such program, or it is none.
    #[error("could not be executed")]
    NotExecuted,
    /// It said so.
    #[error("exited with code {0}")]
    Code(i32),
    /// Somebody killed it.
    #[error("ended by signal {0}")]
    Signal(i32),
}

/// A hook.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// The program's file.
    pub path: &'a Path,
    /// Arguments, the first of which is its name; empty = its path.
    pub arguments: &'a [String],
    /// `NAME=value`.
    pub environment: &'a [String],
    /// Time that it may take.
    pub limit: Duration,
}

/// Where a hook is run.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The container's state, for its standard input.
    pub state: &'a Value,
    /// The bundle's directory.
    pub bundle: &'a Path,
    /// In the namespaces of this process, whose root is still the host's; `None` = in those of the caller.
    pub inside: Option<i32>,
}

/// Runs a hook to its end. The caller must be single-threaded.
pub fn run(program: &Program<'_>, place: &Place<'_>) -> Result<(), HookError> {
    if !program.path.is_absolute() {
        return Err(HookError::Path);
    }
    let prepared = Prepared::of(program, place)?;
    let input = state_file(place.state)?;
    let child = prepared.start(&input)?;
    let in_time = await_end(&child.pidfd, program.limit);
    if !in_time {
        // It may have ended at this very moment.
        pidfd_send_signal(&child.pidfd, Signal::KILL).ok();
    }
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)?;
    let status = status.ok_or(Errno::CHILD)?;
    match (in_time, status.exit_status(), status.terminating_signal()) {
        (false, ..) => Err(HookError::Late(program.limit)),
        (_, Some(0), _) => Ok(()),
        (_, Some(NOT_EXECUTED), _) => Err(HookError::NotExecuted),
        (_, Some(code), _) => Err(HookError::Code(code)),
        (_, _, signal) => Err(HookError::Signal(signal.unwrap_or(0))),
    }
}

/// A state as a file to read. A pipe would have to be fed, and a hook need not read it.
pub fn state_file(state: &Value) -> Result<OwnedFd, Errno> {
    let file = rustix::fs::memfd_create(c"state", MemfdFlags::CLOEXEC)?;
    let text = state.to_string();
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    rustix::fs::seek(&file, SeekFrom::Start(0))?;
    Ok(file)
}

fn await_end(pidfd: &OwnedFd, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return false;
        };
        let mut ended = [PollFd::new(pidfd, PollFlags::IN)];
        match poll(&mut ended, Some(&timeout)) {
            Err(Errno::INTR) => {}
            outcome => return outcome.is_ok_and(|count| count > 0),
        }
    }
}

/// What the child needs, made by the parent.
struct Prepared {
    path: CString,
    arguments: Texts,
    environment: Texts,
    inside: Option<Inside>,
    null: OwnedFd,
    /// Where it is run.
    directory: CString,
}

/// What a hook in the namespaces of a container needs: the specification has it run there, with the host's files.
struct Inside {
    process: OwnedFd,
    /// The root of the process: what is mounted on the container's directory is seen below it.
    root: OwnedFd,
    pids: OwnedFd,
    own_pids: OwnedFd,
}

impl Inside {
    fn of(pid: i32) -> Result<Self, Errno> {
        let open =
            |path: String, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
        let process = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
        let directory = OFlags::PATH | OFlags::DIRECTORY;
        Ok(Self {
            process: pidfd_open(process, PidfdFlags::empty())?,
            root: open(format!("/proc/{pid}/root"), directory)?,
            pids: open(format!("/proc/{pid}/ns/pid"), OFlags::RDONLY)?,
            own_pids: open("/proc/self/ns/pid".to_owned(), OFlags::RDONLY)?,
        })
    }
}

impl Prepared {
    fn of(program: &Program<'_>, place: &Place<'_>) -> Result<Self, Errno> {
        let text = |bytes: &[u8]| CString::new(bytes).or(Err(Errno::INVAL));
        let texts = |list: &[String]| {
            let texts = list.iter().map(|entry| text(entry.as_bytes()));
            texts.collect::<Result<Vec<_>, _>>().map(Texts::new)
        };
        let path = text(program.path.as_os_str().as_bytes())?;
        let arguments = if program.arguments.is_empty() {
            Texts::new(vec![path.clone()])
        } else {
            texts(program.arguments)?
        };
        let open =
            |path: String, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
        Ok(Self {
            path,
            arguments,
            environment: texts(program.environment)?,
            directory: text(place.bundle.as_os_str().as_bytes())?,
            inside: place.inside.map(Inside::of).transpose()?,
            null: open("/dev/null".into(), OFlags::RDWR)?,
        })
    }

    fn start(&self, input: &OwnedFd) -> Result<Child, Errno> {
        let clone = || {
            clone_child(0, None, || {
                let Err(_errno) = self.become_hook(input);
                NOT_EXECUTED
            })
        };
        let Some(inside) = &self.inside else {
            return clone();
        };
        // A pid namespace is entered by children only, so this process asks for it and takes it back.
        let kind = Some(LinkNameSpaceType::ProcessID);
        move_into_link_name_space(inside.pids.as_fd(), kind)?;
        let child = clone();
        move_into_link_name_space(inside.own_pids.as_fd(), kind)?;
        child
    }

    /// Child. What it prints goes nowhere: standard output may be the container's. Its errors are seen.
    fn become_hook(&self, input: &OwnedFd) -> Replaced {
        rustix::stdio::dup2_stdin(input)?;
        rustix::stdio::dup2_stdout(&self.null)?;
        reset_all()?;
        set_mask(0)?;
        if let Some(inside) = &self.inside {
            let kinds = ThreadNameSpaceType::NETWORK
                | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
                | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
                | ThreadNameSpaceType::CONTROL_GROUP
                | ThreadNameSpaceType::MOUNT;
            move_into_thread_name_spaces(inside.process.as_fd(), kinds)?;
            rustix::process::fchdir(&inside.root)?;
            rustix::process::chroot(c".")?;
        }
        match rustix::process::chdir(self.directory.as_c_str()) {
            // A bundle may be gone before its container.
            Err(Errno::NOENT) => rustix::process::chdir(c"/")?,
            outcome => outcome?,
        }
        self.arguments.execute(&self.path, &self.environment)
    }
}
