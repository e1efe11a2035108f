//! Everything that the child of a launch or exec needs, prepared by the parent.
//!
//! What can fail on the host's side fails here, with texts at hand; what is left for the child are numbers, descriptors and texts that
//! end with a null byte.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use super::attributes::Prepared;
use super::confinement::above_streams;
use super::init::{EXEC, LAUNCH, Stage};
use super::limits::Limit;
use super::names::Names;
use super::prepare::{
    candidates, clamp_capabilities, limits, mask, oom_score, own_arguments, own_capabilities,
    sysctl, texts,
};
use super::streams::Streams;
use super::user::{Id, UserSpec};
use super::{ExecRequest, LaunchIo, SockFilter};
use crate::cgroup::JoinPlan;
use crate::error::{Error, Step};
use crate::fault::{Subject, Subjects};
use crate::namespaces::{self, users::Users};
use crate::rootfs::{self, confine::c_path};
use crate::security::capabilities::Mask;
use crate::spec::{ContainerSpec, Namespace, Process, UserMap};
use crate::sys::arguments::Arguments;
use crate::sys::clone::refuse_threads;
use crate::sys::exec::Texts;

/// File mode mask of a program that is not asked for another.
const UMASK_DEFAULT: u32 = 0o022;
/// Largest /etc/passwd and /etc/group that are read.
const NAMES_BYTES_MAX: usize = 1 << 20;

/// What the child works with.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) order: &'static [Stage],
    /// Write end of the stage pipe.
    pub(crate) stage: OwnedFd,
    /// Of a held launch: where words to go on are read.
    pub(crate) gate: Option<OwnedFd>,
    /// Descriptors after the standard streams that the program gets too.
    pub(crate) kept_files: u32,
    pub(crate) names: Names,
    pub(crate) cgroup: &'a JoinPlan,
    /// Namespaces of a launch.
    pub(crate) namespaces: namespaces::Plan,
    /// PID 1 of the container of an exec.
    pub(crate) container: Option<BorrowedFd<'a>>,
    /// The user namespace of a launch.
    pub(crate) users: Option<Users>,
    /// Users of the container, when they are not the host's.
    pub(crate) user_map: Option<&'a UserMap>,
    pub(crate) has_new_net: bool,
    pub(crate) host_names: Option<HostNames<'a>>,
    pub(crate) oom_score: Vec<HostFile>,
    pub(crate) sysctls: Vec<HostFile>,
    /// The root filesystem of a launch.
    pub(crate) tree: Option<rootfs::Plan>,
    pub(crate) streams: Streams,
    pub(crate) attributes: Prepared,
    pub(crate) limits: Vec<(Limit, Subject)>,
    pub(crate) user: UserSpec<'a>,
    pub(crate) additional: Vec<Id<'a>>,
    /// Buffers for the container's files; the kernel gives them memory only when they are filled.
    pub(crate) passwd: Vec<u8>,
    pub(crate) group: Vec<u8>,
    pub(crate) wants_home: bool,
    /// The bounding set, and all others unless `sets` has them.
    pub(crate) capabilities: Mask,
    pub(crate) sets: Option<Sets>,
    /// File mode mask of the program.
    pub(crate) umask: u32,
    pub(crate) no_new_privs: bool,
    pub(crate) filter: &'a [SockFilter],
    pub(crate) cwd: CString,
    /// PID 1 is ours; the monitor's command line, which it hides, when it could be found.
    pub(crate) has_reaper: bool,
    pub(crate) monitor_arguments: Option<Arguments>,
    pub(crate) arguments: Texts,
    pub(crate) environment: Texts,
    /// Paths at which the program may be, in the order in which they are tried.
    candidates: Vec<CString>,
}

/// Capability sets to the letter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sets {
    pub(crate) permitted: Mask,
    pub(crate) effective: Mask,
    pub(crate) inheritable: Mask,
    pub(crate) ambient: Mask,
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
        plan.use_exact_sets(spec, &mut ours)?;
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
        plan.users = spec.users.as_ref().map(Users::make).transpose()?;
        plan.tree = Some(rootfs::Plan::of(
            spec,
            cgroup,
            plan.users.as_ref(),
            subjects,
        )?);
        plan.has_reaper = spec.init;
        if spec.init {
            plan.monitor_arguments = own_arguments()?;
        }
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
        plan.kept_files = request.kept_files;
        if !request.privileged {
            plan.use_exact_sets(spec, &mut ours)?;
        }
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
        refuse_threads()
            .map_err(|errno| Error::new(Step::Clone, "a process with several threads", errno))?;
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
            gate: None,
            kept_files: 0,
            names: Names::of(process, &user, cgroup, &mut subjects),
            cgroup,
            namespaces: namespaces::Plan::default(),
            container: None,
            users: None,
            user_map: spec.users.as_ref(),
            has_new_net: false,
            host_names: None,
            oom_score: oom_score(spec, permitted, &mut subjects, &mut warnings)?,
            sysctls: Vec::new(),
            tree: None,
            streams: Streams::of(io)?,
            attributes: match &spec.security.exact {
                Some(exact) => Prepared::of(&exact.attributes, &mut subjects)?,
                None => Prepared::default(),
            },
            limits: limits(&spec.rlimits, permitted, &mut subjects, &mut warnings)?,
            user,
            additional,
            passwd: vec![0; NAMES_BYTES_MAX],
            group: vec![0; NAMES_BYTES_MAX],
            wants_home: !process.env.iter().any(|entry| entry.starts_with("HOME=")),
            capabilities: clamp_capabilities(wanted, permitted, &mut warnings),
            sets: None,
            umask: spec
                .security
                .exact
                .as_ref()
                .and_then(|exact| exact.umask)
                .unwrap_or(UMASK_DEFAULT),
            no_new_privs: spec.security.no_new_privs,
            filter: &[],
            cwd: c_path(process.cwd.as_ref(), Step::WorkingDirectory)?,
            has_reaper: false,
            monitor_arguments: None,
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

    /// Takes the capability sets of a description to the letter, as far as this process has them.
    fn use_exact_sets(&mut self, spec: &ContainerSpec, ours: &mut Ours) -> Result<(), Error> {
        let Some(exact) = &spec.security.exact else {
            return Ok(());
        };
        let own = own_capabilities()?;
        let mut given =
            |names: &[String]| Ok(clamp_capabilities(mask(names)?, own, &mut ours.warnings));
        let sets = &exact.capabilities;
        self.capabilities = given(&sets.bounding)?;
        self.sets = Some(Sets {
            permitted: given(&sets.permitted)?,
            effective: given(&sets.effective)?,
            inheritable: given(&sets.inheritable)?,
            ambient: given(&sets.ambient)?,
        });
        // The same lack was told for each set.
        ours.warnings.dedup();
        Ok(())
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
