//! Hooks: programs of the host that the bundle's owner asks for. The runtime specification says when; here they are only run.
//!
//! A hook gets the container's state as JSON on its standard input, the environment that the bundle names, the bundle as its working
//! directory (as with other runtimes; the specification is silent), and nothing else.

use std::{
    ffi::CString,
    os::fd::{AsFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, Instant},
};

use runtime::sys::{
    clone::{Child, clone_child},
    exec::Texts,
    signal::{reset_all, set_mask},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, Mode, OFlags, SeekFrom},
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
    },
    thread::{
        LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space,
        move_into_thread_name_spaces,
    },
};
use serde_json::Value;

use super::{config::Hook, error::OciError};

/// Exit code of a hook that could not be executed, as in a shell.
const NOT_EXECUTED: i32 = 127;
/// Time that a hook may take when the bundle sets no other.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// What hooks are run with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller<'a> {
    /// The container's state, for their standard input.
    pub(super) state: &'a Value,
    /// The environment of those that name none.
    pub(super) environment: &'a [String],
    /// The bundle's directory, where they are run.
    pub(super) bundle: &'a Path,
    /// In the namespaces of this process, whose root is still the host's.
    pub(super) inside: Option<i32>,
}

/// Runs hooks one after the other; the first that fails ends it.
pub(super) fn run_all(hooks: &[Hook], caller: Caller<'_>) -> Result<(), OciError> {
    hooks.iter().try_for_each(|hook| run(hook, caller))
}

fn run(hook: &Hook, caller: Caller<'_>) -> Result<(), OciError> {
    let fail = |reason: String| OciError::Hook {
        path: hook.path.clone(),
        reason,
    };
    let failed = |errno: Errno| fail(std::io::Error::from(errno).to_string());
    if !hook.path.is_absolute() {
        return Err(fail("its path is not absolute".into()));
    }
    let prepared = Prepared::of(hook, caller).map_err(failed)?;
    let input = state_file(caller.state).map_err(failed)?;
    let child = prepared.start(&input).map_err(failed)?;
    let limit = match hook.timeout {
        Some(seconds) => Duration::from_secs(seconds.try_into().unwrap_or(0)),
        None => TIMEOUT_DEFAULT,
    };
    let in_time = await_end(&child.pidfd, limit);
    if !in_time {
        // It may have ended at this very moment.
        pidfd_send_signal(&child.pidfd, Signal::KILL).ok();
    }
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)
        .map_err(failed)?
        .ok_or_else(|| failed(Errno::CHILD))?;
    match (in_time, status.exit_status(), status.terminating_signal()) {
        (false, ..) => Err(fail(format!("not done within {} s", limit.as_secs()))),
        (_, Some(0), _) => Ok(()),
        (_, Some(NOT_EXECUTED), _) => Err(fail("could not be executed".into())),
        (_, Some(code), _) => Err(fail(format!("exited with code {code}"))),
        (_, _, signal) => Err(fail(format!("ended by signal {}", signal.unwrap_or(0)))),
    }
}

/// A state as a file to read. A pipe would have to be fed, and a hook need not read it.
pub(super) fn state_file(state: &Value) -> Result<OwnedFd, Errno> {
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
    fn of(hook: &Hook, caller: Caller<'_>) -> Result<Self, Errno> {
        let text = |bytes: &[u8]| CString::new(bytes).or(Err(Errno::INVAL));
        let texts = |list: &[String]| {
            let texts = list.iter().map(|entry| text(entry.as_bytes()));
            texts.collect::<Result<Vec<_>, _>>().map(Texts::new)
        };
        let path = text(hook.path.as_os_str().as_bytes())?;
        let arguments = if hook.args.is_empty() {
            Texts::new(vec![path.clone()])
        } else {
            texts(&hook.args)?
        };
        let open =
            |path: String, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
        Ok(Self {
            path,
            arguments,
            environment: texts(hook.env.as_deref().unwrap_or(caller.environment))?,
            directory: text(caller.bundle.as_os_str().as_bytes())?,
            inside: caller.inside.map(Inside::of).transpose()?,
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
    fn become_hook(&self, input: &OwnedFd) -> runtime::sys::clone::Replaced {
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
