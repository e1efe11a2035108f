//! Parts of a [`super::plan::Plan`] that depend on what this host permits, and texts for execve(2).

use std::ffi::CString;

use rustix::io::Errno;

use super::limits::{Limit, Permitted, clamp, resource};
use super::plan::HostFile;
use crate::check::sysctl_path;
use crate::error::{Error, Step};
use crate::fault::{Subject, Subjects};
use crate::security::capabilities::{self, Mask};
use crate::spec::{ContainerSpec, Process, Rlimit};
use crate::sys::arguments::Arguments;
use crate::sys::exec::Texts;

/// PATH of a process that has none, as in Docker.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) fn mask(names: &[String]) -> Result<Mask, Error> {
    Mask::of(names).map_err(|name| Error::new(Step::Capabilities, name, Errno::INVAL))
}

pub(crate) fn own_capabilities() -> Result<Mask, Error> {
    let sets = rustix::thread::capabilities(None)
        .map_err(|errno| Error::new(Step::Capabilities, "the caller's", errno))?;
    Ok(Mask(sets.permitted.bits()))
}

/// A process cannot give what it does not have.
pub(crate) fn clamp_capabilities(
    wanted: Mask,
    permitted: Mask,
    warnings: &mut Vec<String>,
) -> Mask {
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

pub(crate) fn limits(
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

pub(crate) fn oom_score(
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

pub(crate) fn sysctl(name: &str, value: &str, subjects: &mut Subjects) -> Result<HostFile, Error> {
    let refuse = || Error::new(Step::Sysctl, name, Errno::INVAL);
    let path = sysctl_path(name).ok_or_else(refuse)?;
    Ok(HostFile {
        path: CString::new(format!("sys/{path}")).map_err(|_nul| refuse())?,
        text: value.to_owned(),
        step: Step::Sysctl,
        subject: subjects.add(format!("{name}={value}")),
    })
}

pub(crate) fn texts(texts: &[String]) -> Result<Texts, Error> {
    let texts = texts.iter().map(|text| {
        CString::new(text.as_str()).map_err(|_nul| {
            Error::new(Step::Execute, text.escape_debug().to_string(), Errno::INVAL)
        })
    });
    Ok(Texts::new(texts.collect::<Result<_, _>>()?))
}

/// Lists where the program may be: itself when it has a slash, otherwise in each directory of PATH. An empty directory is the working
/// directory.
pub(crate) fn candidates(process: &Process) -> Result<Vec<CString>, Error> {
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

/// Finds this process's own command line in memory.
pub(crate) fn own_arguments() -> Result<Option<Arguments>, Error> {
    let path = "/proc/self/stat";
    let stat = fs_err::read_to_string(path).map_err(|error| Error::new(Step::Read, path, error))?;
    Ok(Arguments::of_stat(&stat))
}
