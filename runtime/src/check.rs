//! Every refusal that needs no system call. What passes here is worth trying.
//!
//! Pure: looks at the description only. What depends on the host (a missing source, a limit that is too high) is refused or degraded
//! by the launch.

mod error;
mod exact;
mod resources;

use std::path::Path;

pub use error::CheckError;

use crate::process::limits;
use crate::process::user::{Id, UserSpec};
use crate::rootfs::tmpfs::TmpfsOptions;
use crate::security::{capabilities, seccomp};
use crate::spec::{
    ContainerSpec, MountKind, Namespace, Namespaces, ProbeTest, Process, Resources, Rootfs, Seccomp,
};

/// A description that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked(ContainerSpec);

impl Checked {
    /// Returns the description.
    pub fn spec(&self) -> &ContainerSpec {
        &self.0
    }

    /// Gives the description back.
    pub fn into_spec(self) -> ContainerSpec {
        self.0
    }
}

/// Layers that overlayfs takes (`OVL_MAX_STACK`).
const LAYERS_MAX: usize = 500;

/// The last real-time signal (signal(7)).
const SIGNAL_MAX: i32 = 64;

/// Bytes that the kernel takes as host name.
const HOST_NAME_BYTES_MAX: usize = 64;

/// Files of /proc over which programs such as lxcfs bind a container's own view.
const PROC_FILES: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// Judges a description.
pub fn check(spec: ContainerSpec) -> Result<Checked, CheckError> {
    if spec.version > ContainerSpec::VERSION {
        return Err(CheckError::Version {
            found: spec.version,
        });
    }
    check_names(&spec)?;
    check_rootfs(&spec.rootfs)?;
    check_process(&spec.process)?;
    check_namespaces(&spec.namespaces)?;
    check_mounts(&spec)?;
    check_limits(&spec)?;
    check_monitor(&spec)?;
    check_resources(&spec.resources)?;
    resources::check_devices(&spec.devices)?;
    resources::check_hooks(&spec)?;
    resources::check_users(&spec)?;
    if let Seccomp::Profile(profile) = &spec.security.seccomp {
        seccomp::custom::check(profile).map_err(CheckError::Seccomp)?;
    }
    for (name, value) in &spec.sysctls {
        check_sysctl(name, value, &spec.namespaces)?;
    }
    check_capabilities(&spec.security.capabilities)?;
    if let Some(security) = &spec.security.exact {
        exact::check(security)?;
    }
    Ok(Checked(spec))
}

/// Judges limits by themselves, for a group that exists.
pub fn check_resources(limits: &Resources) -> Result<(), CheckError> {
    resources::check(limits)?;
    exact::check_limits(&limits.exact)
}

/// Judges a process: the first one, an exec or a probe.
pub fn check_process(process: &Process) -> Result<(), CheckError> {
    if process.argv.first().is_none_or(String::is_empty) {
        return Err(CheckError::NoProgram);
    }
    process
        .argv
        .iter()
        .try_for_each(|text| no_nul("argument", text))?;
    for entry in &process.env {
        no_nul("environment entry", entry)?;
        if entry.find('=').is_none_or(|at| at == 0) {
            return Err(CheckError::Environment(entry.clone()));
        }
    }
    absolute("working directory", &process.cwd)?;
    UserSpec::parse(&process.user)?;
    for group in &process.groups {
        Id::parse(group)?;
    }
    Ok(())
}

fn check_names(spec: &ContainerSpec) -> Result<(), CheckError> {
    if !is_plain_name(&spec.id) {
        return Err(CheckError::Id(spec.id.clone()));
    }
    let names = [
        ("hostname", Some(&spec.hostname)),
        ("domainname", spec.domainname.as_ref()),
    ];
    for (what, name) in names {
        let Some(name) = name else { continue };
        let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || name.len() > HOST_NAME_BYTES_MAX || !name.chars().all(is_letter) {
            return Err(CheckError::HostName {
                what,
                name: name.clone(),
            });
        }
    }
    let group = match spec.cgroup.parent.as_str() {
        "" => spec.cgroup.name.clone(),
        parent => format!("{parent}/{}", spec.cgroup.name),
    };
    if !group.split('/').all(is_plain_name) {
        return Err(CheckError::Cgroup(group));
    }
    Ok(())
}

fn check_rootfs(rootfs: &Rootfs) -> Result<(), CheckError> {
    match rootfs {
        Rootfs::Directory(path) => absolute("root filesystem", path),
        Rootfs::Overlay {
            lowers,
            upper,
            work,
            mount_point,
            volatile: _,
        } => {
            if lowers.is_empty() || lowers.len() > LAYERS_MAX {
                return Err(CheckError::Layers(lowers.len()));
            }
            lowers.iter().try_for_each(|path| absolute("layer", path))?;
            absolute("upper directory", upper)?;
            absolute("work directory", work)?;
            absolute("mount point", mount_point)
        }
    }
}

fn check_namespaces(namespaces: &Namespaces) -> Result<(), CheckError> {
    let Namespaces {
        net,
        pid,
        ipc,
        uts,
        cgroup,
    } = namespaces;
    for namespace in [net, pid, ipc, uts, cgroup] {
        if let Namespace::Join(path) = namespace {
            absolute("namespace", path)?;
        }
    }
    Ok(())
}

fn check_mounts(spec: &ContainerSpec) -> Result<(), CheckError> {
    for mount in &spec.mounts {
        absolute("mount target", &mount.target)?;
        let target = plain_path(&mount.target);
        if target == "/" {
            return Err(CheckError::MountOnRoot(mount.target.clone()));
        }
        let is_in_proc = target == "/proc" || target.starts_with("/proc/");
        if is_in_proc && !is_proc_file(&target) {
            return Err(CheckError::MountInProc(mount.target.clone()));
        }
        match &mount.kind {
            MountKind::Bind {
                source, subpath, ..
            } => {
                absolute("mount source", source)?;
                subpath
                    .iter()
                    .try_for_each(|path| no_nul("subpath", path))?;
            }
            MountKind::Exact(mounted) => exact::check_mount(&mount.target, mounted)?,
            MountKind::Image { lowers, subpath } => {
                if lowers.is_empty() || lowers.len() > LAYERS_MAX {
                    return Err(CheckError::Layers(lowers.len()));
                }
                lowers.iter().try_for_each(|path| absolute("layer", path))?;
                subpath
                    .iter()
                    .try_for_each(|path| no_nul("subpath", path))?;
            }
            MountKind::Tmpfs { options, mode, .. } => {
                if *mode > 0o7777 {
                    return Err(CheckError::Range {
                        what: "mode of a tmpfs",
                        value: (*mode).into(),
                        range: "0 to 4095 (07777)",
                    });
                }
                TmpfsOptions::parse(options).map_err(|option| CheckError::TmpfsOption {
                    target: mount.target.clone(),
                    option: option.to_owned(),
                })?;
            }
        }
    }
    Ok(())
}

fn check_capabilities(names: &[String]) -> Result<(), CheckError> {
    match capabilities::Mask::of(names) {
        Ok(_mask) => Ok(()),
        Err(name) => Err(CheckError::Capability(name.to_owned())),
    }
}

fn check_limits(spec: &ContainerSpec) -> Result<(), CheckError> {
    for limit in &spec.rlimits {
        if limits::resource(&limit.name).is_none() {
            return Err(CheckError::Rlimit(limit.name.clone()));
        }
        if limit.soft > limit.hard {
            let (name, soft, hard) = (limit.name.clone(), limit.soft, limit.hard);
            return Err(CheckError::RlimitOrder { name, soft, hard });
        }
    }
    match spec.oom_score_adj {
        Some(score) if !(-1000..=1000).contains(&score) => Err(CheckError::OomScore(score)),
        _ => Ok(()),
    }
}

/// Judges what only the monitor reads.
fn check_monitor(spec: &ContainerSpec) -> Result<(), CheckError> {
    let range = |what, value, is_good, range| {
        if is_good {
            Ok(())
        } else {
            Err(CheckError::Range { what, value, range })
        }
    };
    if !(1..=SIGNAL_MAX).contains(&spec.stop.signal) {
        return Err(CheckError::Signed {
            what: "stop signal",
            value: spec.stop.signal,
            range: "1 to 64",
        });
    }
    if let Some(probe) = &spec.probe {
        let ProbeTest::Exec(argv) = &probe.test;
        if argv.first().is_none_or(String::is_empty) {
            return Err(CheckError::NoProbe);
        }
        argv.iter().try_for_each(|text| no_nul("probe", text))?;
        let times = [
            ("probe interval", probe.interval_ms),
            ("probe timeout", probe.timeout_ms),
            ("probe interval during the start", probe.start_interval_ms),
        ];
        for (what, value) in times {
            range(what, value, value > 0, "1 ms or more")?;
        }
        let retries = probe.retries.into();
        range("probe retries", retries, retries > 0, "1 or more")?;
    }
    if let Some(directory) = &spec.log.dir {
        absolute("log directory", directory)?;
        let (bytes, files) = (spec.log.file_bytes_max, spec.log.files_max);
        range("log file size", bytes, bytes > 0, "1 byte or more")?;
        range("number of log files", files.into(), files > 0, "1 or more")?;
    }
    Ok(())
}

/// Permits what belongs to a namespace that the container has for itself; anything else would change the host.
fn check_sysctl(name: &str, value: &str, namespaces: &Namespaces) -> Result<(), CheckError> {
    let refuse = |reason| {
        Err(CheckError::Sysctl {
            name: name.to_owned(),
            reason,
        })
    };
    let Some(path) = sysctl_path(name) else {
        return refuse("is not a name of letters, digits, `_` and `-` between dots");
    };
    // A second line could set another parameter when somebody stores or replays the value (CVE-2022-0811).
    if value.is_empty() || value.chars().any(|c| c.is_control() && c != '\t') {
        return refuse("has an empty value or one with control characters");
    }
    let owner = match path.as_str() {
        path if path.starts_with("net/") => &namespaces.net,
        path if path.starts_with("fs/mqueue/") => &namespaces.ipc,
        "kernel/sem" | "kernel/shm_rmid_forced" => &namespaces.ipc,
        "kernel/msgmax" | "kernel/msgmnb" | "kernel/msgmni" => &namespaces.ipc,
        "kernel/shmall" | "kernel/shmmax" | "kernel/shmmni" => &namespaces.ipc,
        "kernel/domainname" => &namespaces.uts,
        _ => return refuse("belongs to the whole machine"),
    };
    match owner {
        Namespace::Host => refuse("belongs to a namespace that the container shares with the host"),
        Namespace::Private | Namespace::Join(_) => Ok(()),
    }
}

/// Turns `net.ipv4.ip_forward` or `net/ipv4/conf/eth0.1/forwarding` into a path below /proc/sys. The first separator decides, as in
/// sysctl(8).
pub(crate) fn sysctl_path(name: &str) -> Option<String> {
    let separator = name.chars().find(|c| matches!(c, '.' | '/'))?;
    let other = if separator == '.' { '/' } else { '.' };
    let is_part = |part: &str| {
        let is_letter = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '_' | '-') || (c == '.' && other == '.')
        };
        !part.is_empty() && !matches!(part, "." | "..") && part.chars().all(is_letter)
    };
    name.split(separator)
        .all(is_part)
        .then(|| name.replace(separator, "/"))
}

/// Drops empty and `.` components and resolves `..` by text, as Docker cleans targets.
pub(crate) fn plain_path(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Tells whether a mount may cover this file of /proc.
pub(crate) fn is_proc_file(target: &str) -> bool {
    PROC_FILES.contains(&target)
}

fn is_plain_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '@');
    !name.is_empty() && !matches!(name, "." | "..") && name.chars().all(is_letter)
}

fn absolute(what: &'static str, path: impl AsRef<Path>) -> Result<(), CheckError> {
    let path = path.as_ref();
    let has_nul = path.as_os_str().as_encoded_bytes().contains(&0);
    if path.is_absolute() && !has_nul {
        return Ok(());
    }
    Err(CheckError::Path {
        what,
        path: path.to_string_lossy().escape_debug().to_string(),
    })
}

fn no_nul(what: &'static str, text: &str) -> Result<(), CheckError> {
    if text.contains('\0') {
        return Err(CheckError::Nul {
            what,
            text: text.escape_debug().to_string(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
