//! The one error of the floor: which step failed, on what, and what the kernel said.
//!
//! The child of a launch cannot format text, so it reports a [`Step`], a number that names the subject and an errno; the parent turns
//! them into an [`Error`]. Errors of code that runs in the parent have the same shape, so that every refusal reads alike.

use std::fmt;

/// A step that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "it is the error of the floor: `runtime::Error`"
)]
pub struct Error {
    /// What was being done.
    pub step: Step,
    /// On what: a path, a user, a program, a namespace.
    pub subject: String,
    /// What the kernel said.
    #[source]
    pub source: Errno,
}

impl Error {
    /// Makes an error.
    pub fn new(step: Step, subject: impl Into<String>, source: impl Into<Errno>) -> Self {
        Self {
            step,
            subject: subject.into(),
            source: source.into(),
        }
    }

    /// Returns the exit code that shells and Docker report for it: 127 = program not found, 126 = found but not executable, 125 = the rest.
    pub fn exit_code(&self) -> i32 {
        match (self.step, self.source) {
            (Step::Execute, Errno(libc::ENOENT)) | (Step::FindInterpreter, _) => 127,
            (Step::Execute, _) => 126,
            _ => 125,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            step,
            subject,
            source,
        } = self;
        match (step, source.0) {
            (Step::FindUser, libc::ENOENT) => {
                write!(f, "user `{subject}` is not in /etc/passwd of the container")
            }
            (Step::FindGroup, libc::ENOENT) => {
                write!(f, "group `{subject}` is not in /etc/group of the container")
            }
            (Step::Execute, libc::ENOENT) => {
                write!(f, "execute {subject}: no such file in the container")
            }
            (Step::FindInterpreter, libc::ENOENT) => {
                write!(
                    f,
                    "execute {subject}: the interpreter that it names is not in the container"
                )
            }
            (Step::Check | Step::Prepare, _) => f.write_str(subject),
            (Step::Killed, _) => write!(f, "{step} {subject}"),
            _ => write!(f, "{step} {subject}: {source}"),
        }
    }
}

/// An error number of the kernel, displayed as its text in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = nix::errno::Errno::from_raw(self.0).desc();
        let mut letters = text.chars();
        match letters.next() {
            // "RFS specific error" and its like keep their capitals.
            Some(first) if !text.starts_with(|c: char| c.is_uppercase()) || is_word(text) => {
                write!(f, "{}{}", first.to_ascii_lowercase(), letters.as_str())
            }
            _ => f.write_str(text),
        }
    }
}

/// Tells whether the text starts with an ordinary capitalised word.
fn is_word(text: &str) -> bool {
    text.chars().nth(1).is_some_and(char::is_lowercase)
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", nix::errno::Errno::from_raw(self.0))
    }
}

impl std::error::Error for Errno {}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        Self(errno.raw_os_error())
    }
}

impl From<nix::errno::Errno> for Errno {
    fn from(errno: nix::errno::Errno) -> Self {
        Self(errno as i32)
    }
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Self {
        Self(
            error
                .raw_os_error()
                .unwrap_or_else(|| of_kind(error.kind())),
        )
    }
}

/// Finds the number again that `fs_err` hides behind its kind when it adds a path.
fn of_kind(kind: std::io::ErrorKind) -> i32 {
    use std::io::ErrorKind;
    match kind {
        ErrorKind::NotFound => libc::ENOENT,
        ErrorKind::PermissionDenied => libc::EACCES,
        ErrorKind::AlreadyExists => libc::EEXIST,
        ErrorKind::NotADirectory => libc::ENOTDIR,
        ErrorKind::IsADirectory => libc::EISDIR,
        ErrorKind::ReadOnlyFilesystem => libc::EROFS,
        ErrorKind::StorageFull => libc::ENOSPC,
        ErrorKind::InvalidInput => libc::EINVAL,
        _ => libc::EIO,
    }
}

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What was being done. [`fmt::Display`] gives an intent that a subject completes: `mount` + `proc on /proc`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Step {
            $($(#[$doc])* $name,)*
        }

        impl Step {
            /// Every step, in the order of its number: the stage pipe carries the number.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the intent.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

steps! {
    /// Judging a description before anything is tried; the subject says everything.
    Check = "check",
    /// Opening a file or directory.
    Open = "open",
    /// Reading a file.
    Read = "read",
    /// Writing a file.
    Write = "write",
    /// Making a directory or file.
    Create = "create",
    /// Removing a file or mount.
    Remove = "remove",
    /// Following a path inside a root.
    Resolve = "resolve",
    /// Making a pipe or socket pair.
    Pipe = "make pipe for",
    /// clone3(2).
    Clone = "clone",
    /// Making the process unreadable for others before it executes.
    Dumpable = "hide memory of",
    /// Joining a control group.
    JoinCgroup = "join control group",
    /// setns(2).
    JoinNamespace = "join namespace",
    /// unshare(2).
    Unshare = "unshare",
    /// Bringing the loopback link up.
    Loopback = "bring up",
    /// Preparing the overlay.
    Overlay = "mount overlay",
    /// Mounting a filesystem.
    Mount = "mount",
    /// Binding a host path.
    Bind = "bind",
    /// Setting propagation or flags of a mount.
    MountFlags = "set mount flags of",
    /// Hiding a path.
    Mask = "mask",
    /// Making a device node.
    Device = "make device",
    /// Making a symbolic link.
    Link = "link",
    /// Opening the pseudo-terminal.
    Terminal = "open terminal",
    /// pivot_root(2).
    Pivot = "pivot root to",
    /// sethostname(2) or setdomainname(2).
    HostName = "set host name",
    /// Writing a kernel parameter.
    Sysctl = "set kernel parameter",
    /// Writing oom_score_adj.
    OomScore = "set OOM score adjustment",
    /// setrlimit(2).
    Rlimit = "set limit",
    /// personality(2).
    Personality = "take on personality",
    /// sched_setattr(2).
    Scheduler = "set scheduler",
    /// ioprio_set(2).
    IoPriority = "set I/O priority",
    /// set_mempolicy(2).
    MemoryPolicy = "set memory policy",
    /// Moving the standard streams into place.
    Stdio = "set up",
    /// A user that the container's passwd does not have.
    FindUser = "find user",
    /// A group that the container's group file does not have.
    FindGroup = "find group",
    /// setgroups(2), setresgid(2), setresuid(2).
    Credentials = "become",
    /// Capability sets.
    Capabilities = "set capabilities",
    /// prctl(PR_SET_NO_NEW_PRIVS).
    NoNewPrivs = "forbid new privileges of",
    /// Installing the system call filter.
    Seccomp = "install filter for",
    /// Entering the working directory.
    WorkingDirectory = "enter working directory",
    /// Closing inherited descriptors.
    CloseFiles = "close inherited files of",
    /// Resetting signals.
    Signals = "reset signals of",
    /// Starting the reaper's child.
    Fork = "start",
    /// execve(2).
    Execute = "execute",
    /// execve(2) of a program that is there, whose script interpreter or dynamic linker is not.
    FindInterpreter = "find the interpreter of",
    /// Preparations of others during a held launch; the subject says everything.
    Prepare = "prepare",
    /// The child ended before it could report.
    Killed = "child ended during setup:",
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_step_subject_and_reason() {
        let error = Error::new(Step::Mount, "proc on /proc", Errno(libc::EPERM));
        assert_eq!(
            error.to_string(),
            "mount proc on /proc: operation not permitted"
        );
        let error = Error::new(Step::FindUser, "web", Errno(libc::ENOENT));
        assert_eq!(
            error.to_string(),
            "user `web` is not in /etc/passwd of the container"
        );
        assert_eq!(Errno(libc::EIO).to_string(), "I/O error");
        let wrapped = fs_err::read("/no/such/file").unwrap_err();
        assert_eq!(Errno::from(wrapped), Errno(libc::ENOENT));
    }

    #[test]
    fn exit_codes_are_those_of_shells() {
        let code = |step, errno| Error::new(step, "x", Errno(errno)).exit_code();
        assert_eq!(code(Step::Execute, libc::ENOENT), 127);
        assert_eq!(code(Step::Execute, libc::EACCES), 126);
        assert_eq!(code(Step::Execute, libc::ENOEXEC), 126);
        assert_eq!(code(Step::Mount, libc::ENOENT), 125);
    }

    #[test]
    fn step_numbers_are_positions_in_the_table() {
        for (position, step) in Step::ALL.iter().enumerate() {
            assert_eq!(*step as usize, position);
        }
    }
}
