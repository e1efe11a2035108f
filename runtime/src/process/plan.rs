//! Everything that the child of a launch or exec needs, prepared by the parent.
//!
//! What can fail on the host's side fails here, with texts at hand; what is left for the child are numbers, descriptors and texts that
//! end with a null byte.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use super::confinement::above_streams;
use super::handover::Handover;
use super::init::{EXEC, LAUNCH, Stage};
use super::limits::{Limit, Permitted, clamp, resource};
use super::user::{Id, UserSpec};
use super::{ExecRequest, LaunchIo, SockFilter};
use crate::cgroup::JoinPlan;
use crate::check::sysctl_path;
use crate::error::{Error, Step};
use crate::fault::{Subject, Subjects};
use crate::namespaces;
use crate::rootfs::{self, confine::c_path};
use crate::security::capabilities::{self, Mask};
use crate::spec::{ContainerSpec, Namespace, Process, Rlimit};
use crate::sys::exec::Texts;

/// Largest /etc/passwd and /etc/group that are read.
const NAMES_BYTES_MAX: usize = 1 << 20;

/// PATH of a process that has none, as in Docker.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the child works with.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) order: &'static [Stage],
    /// Write end of the stage pipe.
    pub(crate) stage: OwnedFd,
    pub(crate) names: Names,
    pub(crate) cgroup: &'a JoinPlan,
    /// Namespaces of a launch.
    pub(crate) namespaces: namespaces::Plan,
    /// PID 1 of the container of an exec.
    pub(crate) container: Option<BorrowedFd<'a>>,
    pub(crate) has_new_net: bool,
    pub(crate) host_names: Option<HostNames<'a>>,
    pub(crate) oom_score: Vec<HostFile>,
    pub(crate) sysctls: Vec<HostFile>,
    /// The root filesystem of a launch.
    pub(crate) tree: Option<rootfs::Plan>,
    pub(crate) streams: Streams,
    pub(crate) limits: Vec<(Limit, Subject)>,
    pub(crate) user: UserSpec<'a>,
    pub(crate) additional: Vec<Id<'a>>,
    /// Buffers for the container's files; the kernel gives them memory only when they are filled.
    pub(crate) passwd: Vec<u8>,
    pub(crate) group: Vec<u8>,
    pub(crate) wants_home: bool,
    pub(crate) capabilities: Mask,
    pub(crate) no_new_privs: bool,
    pub(crate) filter: &'a [SockFilter],
    pub(crate) cwd: CString,
    pub(crate) has_reaper: bool,
    pub(crate) arguments: Texts,
    pub(crate) environment: Texts,
    /// Paths at which the program may be, in the order in which they are tried.
    candidates: Vec<CString>,
}

/// Subjects of what is not a list.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) process: Subject,
    pub(crate) container: Subject,
    pub(crate) loopback: Subject,
    pub(crate) procfs: Subject,
    pub(crate) terminal: Subject,
    pub(crate) streams: Subject,
    pub(crate) passwd: Subject,
    pub(crate) group: Subject,
    pub(crate) user: Subject,
    pub(crate) user_part: Subject,
    pub(crate) group_part: Subject,
    pub(crate) additional: Vec<Subject>,
    pub(crate) cwd: Subject,
    pub(crate) program: Subject,
    /// One for each v1 hierarchy.
    pub(crate) tasks: Vec<Subject>,
}

/// Names of a new uts namespace.
#[derive(Debug)]
pub(crate) struct HostNames<'a> {
    pub(crate) host: &'a str,
    pub(crate) host_subject: Subject,
    pub(crate) domain: Option<&'a str>,
    pub(crate) domain_subject: Subject,
}

/// A file of procfs and what is written to it.
#[derive(Debug)]
pub(crate) struct HostFile {
    /// Path below the root of procfs.
    pub(crate) path: CString,
    pub(crate) text: String,
    pub(crate) step: Step,
    pub(crate) subject: Subject,
}

/// Standard streams.
#[derive(Debug)]
pub(crate) enum Streams {
    /// A terminal that the child opens.
    Tty {
        rows: u16,
        columns: u16,
        handover: Handover,
    },
    /// Descriptors above 2.
    Files {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
}

/// What the parent keeps of a plan.
#[derive(Debug)]
pub(crate) struct Ours {
    /// Read end of the stage pipe.
    pub(crate) stage: OwnedFd,
    pub(crate) subjects: Subjects,
    pub(crate) warnings: Vec<String>,
}

impl<'a> Plan<'a> {
    /// Prepares the first process of a container.
    pub(crate) fn launch(
        spec: &'a ContainerSpec,
        io: LaunchIo,
        cgroup: &'a JoinPlan,
        filter: &'a [SockFilter],
    ) -> Result<(Self, Ours), Error> {
        let capabilities = if spec.security.privileged {
            Mask::ALL
        } else {
            mask(&spec.security.capabilities)?
        };
        let (mut plan, mut ours) = Self::of(spec, &spec.process, io, cgroup, capabilities)?;
        let subjects = &mut ours.subjects;
        plan.order = LAUNCH;
        plan.filter = filter;
        plan.namespaces = namespaces::Plan::of(&spec.namespaces, subjects)?;
        plan.has_new_net = spec.namespaces.net == Namespace::Private;
        plan.host_names = (spec.namespaces.uts == Namespace::Private).then(|| HostNames {
            host: &spec.hostname,
            host_subject: subjects.add(&spec.hostname),
            domain: spec.domainname.as_deref(),
            domain_subject: subjects.add(spec.domainname.as_deref().unwrap_or_default()),
        });
        for (name, value) in &spec.sysctls {
            plan.sysctls.push(sysctl(name, value, subjects)?);
        }
        plan.tree = Some(rootfs::Plan::of(spec, cgroup, subjects)?);
        plan.has_reaper = spec.init;
        Ok((plan, ours))
    }

    /// Prepares another process of a running container.
    pub(crate) fn exec(
        request: &ExecRequest<'a>,
        io: LaunchIo,
        cgroup: &'a JoinPlan,
        filter: &'a [SockFilter],
    ) -> Result<(Self, Ours), Error> {
        let spec = request.spec;
        let capabilities = if request.privileged || spec.security.privileged {
            Mask::ALL
        } else {
            mask(&spec.security.capabilities)?
        };
        let (mut plan, mut ours) = Self::of(spec, request.process, io, cgroup, capabilities)?;
        plan.order = EXEC;
        plan.filter = filter;
        plan.container = Some(request.init);
        // The launch has said them.
        ours.warnings.clear();
        Ok((plan, ours))
    }

    fn of(
        spec: &'a ContainerSpec,
        process: &'a Process,
        io: LaunchIo,
        cgroup: &'a JoinPlan,
        wanted: Mask,
    ) -> Result<(Self, Ours), Error> {
        let mut subjects = Subjects::default();
        let mut warnings = Vec::new();
        let refuse_pipe = |errno| Error::new(Step::Pipe, "the child", errno);
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(refuse_pipe)?;
        let refuse_user = |error: super::user::UserSyntaxError| {
            Error::new(Step::FindUser, error.to_string(), Errno::INVAL)
        };
        let user = UserSpec::parse(&process.user).map_err(refuse_user)?;
        let additional = process
            .groups
            .iter()
            .map(|group| Id::parse(group))
            .collect::<Result<_, _>>();
        let additional: Vec<_> = additional.map_err(refuse_user)?;
        let permitted = own_capabilities()?;
        let plan = Self {
            order: &[],
            stage: above_streams(write).map_err(refuse_pipe)?,
            names: Names::of(process, &user, cgroup, &mut subjects),
            cgroup,
            namespaces: namespaces::Plan::default(),
            container: None,
            has_new_net: false,
            host_names: None,
            oom_score: oom_score(spec, permitted, &mut subjects, &mut warnings)?,
            sysctls: Vec::new(),
            tree: None,
            streams: Streams::of(io)?,
            limits: limits(&spec.rlimits, permitted, &mut subjects, &mut warnings)?,
            user,
            additional,
            passwd: vec![0; NAMES_BYTES_MAX],
            group: vec![0; NAMES_BYTES_MAX],
            wants_home: !process.env.iter().any(|entry| entry.starts_with("HOME=")),
            capabilities: clamp_capabilities(wanted, permitted, &mut warnings),
            no_new_privs: spec.security.no_new_privs,
            filter: &[],
            cwd: c_path(process.cwd.as_ref(), Step::WorkingDirectory)?,
            has_reaper: false,
            arguments: texts(&process.argv)?,
            environment: texts(&process.env)?,
            candidates: candidates(process)?,
        };
        Ok((
            plan,
            Ours {
                stage: read,
                subjects,
                warnings,
            },
        ))
    }

    /// Child: becomes the program. Returns only why it could not.
    pub(crate) fn execute(&self) -> (Step, Errno) {
        let mut outcome = (Step::Execute, Errno::NOENT);
        for candidate in &self.candidates {
            let Err(errno) = self.arguments.execute(candidate, &self.environment);
            match errno {
                // Present, but the file that its first line or its header names is not.
                Errno::NOENT if rustix::fs::stat(candidate.as_c_str()).is_ok() => {
                    outcome = (Step::FindInterpreter, errno);
                }
                Errno::NOENT | Errno::NOTDIR => {}
                // Like a shell: another directory may have one that may be executed.
                Errno::ACCESS => outcome = (Step::Execute, errno),
                errno => return (Step::Execute, errno),
            }
        }
        outcome
    }
}

impl Names {
    fn of(
        process: &Process,
        user: &UserSpec<'_>,
        cgroup: &JoinPlan,
        subjects: &mut Subjects,
    ) -> Self {
        let program = process.argv.first().cloned().unwrap_or_default();
        let group = user
            .group
            .map(|group| group.to_string())
            .unwrap_or_default();
        let user_text = if process.user.is_empty() {
            "root"
        } else {
            &process.user
        };
        let mut list =
            |texts: Vec<String>| texts.into_iter().map(|text| subjects.add(text)).collect();
        let additional = list(process.groups.clone());
        let tasks = list(cgroup.v1_tasks.iter().map(link_text).collect());
        Self {
            process: subjects.add(format!("the process of `{program}`")),
            container: subjects.add("the container's"),
            loopback: subjects.add("lo"),
            procfs: subjects.add("proc"),
            terminal: subjects.add("in /dev/pts"),
            streams: subjects.add("standard streams"),
            passwd: subjects.add("/etc/passwd of the container"),
            group: subjects.add("/etc/group of the container"),
            user: subjects.add(format!("user `{user_text}`")),
            user_part: subjects.add(user.user.to_string()),
            group_part: subjects.add(group),
            additional,
            cwd: subjects.add(&process.cwd),
            program: subjects.add(program),
            tasks,
        }
    }
}

impl Streams {
    fn of(io: LaunchIo) -> Result<Self, Error> {
        match io {
            LaunchIo::Tty { rows, columns } => {
                let handover = Handover::new()
                    .map_err(|errno| Error::new(Step::Pipe, "the terminal", errno))?;
                Ok(Self::Tty {
                    rows,
                    columns,
                    handover,
                })
            }
            LaunchIo::Files {
                stdin,
                stdout,
                stderr,
            } => {
                let lift = |descriptor| {
                    above_streams(descriptor)
                        .map_err(|errno| Error::new(Step::Stdio, "standard streams", errno))
                };
                Ok(Self::Files {
                    stdin: lift(stdin)?,
                    stdout: lift(stdout)?,
                    stderr: lift(stderr)?,
                })
            }
        }
    }
}

fn mask(names: &[String]) -> Result<Mask, Error> {
    Mask::of(names).map_err(|name| Error::new(Step::Capabilities, name, Errno::INVAL))
}

fn own_capabilities() -> Result<Mask, Error> {
    let sets = rustix::thread::capabilities(None)
        .map_err(|errno| Error::new(Step::Capabilities, "the caller's", errno))?;
    Ok(Mask(sets.permitted.bits()))
}

/// A process cannot give what it does not have.
fn clamp_capabilities(wanted: Mask, permitted: Mask, warnings: &mut Vec<String>) -> Mask {
    let given = wanted.and(permitted);
    let missing: Vec<_> = Mask(wanted.0 & !given.0).names().collect();
    if !missing.is_empty() {
        warnings.push(format!("this host does not give {}", missing.join(", ")));
    }
    given
}

fn may_raise(permitted: Mask) -> bool {
    capabilities::number("SYS_RESOURCE").is_some_and(|number| permitted.has(number))
}

fn limits(
    wanted: &[Rlimit],
    permitted: Mask,
    subjects: &mut Subjects,
    warnings: &mut Vec<String>,
) -> Result<Vec<(Limit, Subject)>, Error> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let path = "/proc/sys/fs/nr_open";
    let text = fs_err::read_to_string(path).map_err(|error| Error::new(Step::Read, path, error))?;
    let files_max = text.trim().parse().unwrap_or(u64::MAX);
    let permitted = Permitted {
        may_raise: may_raise(permitted),
        files_max,
    };
    let mut limits = Vec::new();
    for limit in wanted {
        let resource = resource(&limit.name)
            .ok_or_else(|| Error::new(Step::Rlimit, &limit.name, Errno::INVAL))?;
        let current = rustix::process::getrlimit(resource)
            .maximum
            .unwrap_or(u64::MAX);
        let (soft, hard, warning) = clamp(limit, current, permitted);
        warnings.extend(warning);
        limits.push((
            Limit {
                resource,
                soft,
                hard,
            },
            subjects.add(&limit.name),
        ));
    }
    Ok(limits)
}

fn oom_score(
    spec: &ContainerSpec,
    permitted: Mask,
    subjects: &mut Subjects,
    warnings: &mut Vec<String>,
) -> Result<Vec<HostFile>, Error> {
    let Some(mut score) = spec.oom_score_adj else {
        return Ok(Vec::new());
    };
    if !may_raise(permitted) {
        let path = "/proc/self/oom_score_adj";
        let text =
            fs_err::read_to_string(path).map_err(|error| Error::new(Step::Read, path, error))?;
        let own = text.trim().parse().unwrap_or(0);
        if score < own {
            warnings.push(format!(
                "OOM score adjustment is {own}, not {score}: missing CAP_SYS_RESOURCE"
            ));
            score = own;
        }
    }
    Ok(vec![HostFile {
        path: c"self/oom_score_adj".to_owned(),
        text: score.to_string(),
        step: Step::OomScore,
        subject: subjects.add(score.to_string()),
    }])
}

fn sysctl(name: &str, value: &str, subjects: &mut Subjects) -> Result<HostFile, Error> {
    let refuse = || Error::new(Step::Sysctl, name, Errno::INVAL);
    let path = sysctl_path(name).ok_or_else(refuse)?;
    Ok(HostFile {
        path: CString::new(format!("sys/{path}")).map_err(|_nul| refuse())?,
        text: value.to_owned(),
        step: Step::Sysctl,
        subject: subjects.add(format!("{name}={value}")),
    })
}

fn texts(texts: &[String]) -> Result<Texts, Error> {
    let texts = texts.iter().map(|text| {
        CString::new(text.as_str()).map_err(|_nul| {
            Error::new(Step::Execute, text.escape_debug().to_string(), Errno::INVAL)
        })
    });
    Ok(Texts::new(texts.collect::<Result<_, _>>()?))
}

/// Lists where the program may be: itself when it has a slash, otherwise in each directory of PATH. An empty directory is the working
/// directory.
fn candidates(process: &Process) -> Result<Vec<CString>, Error> {
    let program = process.argv.first().map(String::as_str).unwrap_or_default();
    let refuse = || {
        Error::new(
            Step::Execute,
            program.escape_debug().to_string(),
            Errno::INVAL,
        )
    };
    if program.contains('/') {
        return Ok(vec![CString::new(program).map_err(|_nul| refuse())?]);
    }
    let path = process
        .env
        .iter()
        .find_map(|entry| entry.strip_prefix("PATH="));
    let directories = path.unwrap_or(PATH_DEFAULT).split(':');
    directories
        .map(|directory| {
            let directory = if directory.is_empty() { "." } else { directory };
            CString::new(format!("{directory}/{program}")).map_err(|_nul| refuse())
        })
        .collect()
}

fn link_text(descriptor: &OwnedFd) -> String {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    fs_err::read_link(link).map_or_else(|_| "tasks".to_owned(), |path| path.display().to_string())
}
