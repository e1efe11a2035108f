//! What the facts mean. Pure: a table in code, one function a line of the output.

use super::facts::{Facts, MODULES, Module};

/// Oldest kernel that the tests run on.
const KERNEL_TESTED: (u32, u32) = (6, 1);
/// Oldest kernel that has every interface without which nothing works (mount_setattr(2)).
const KERNEL_NEEDED: (u32, u32) = (5, 12);
/// overlayfs takes idmapped layers from here on.
const KERNEL_IDMAPPED_OVERLAY: (u32, u32) = (5, 19);
/// Controllers whose absence makes a limit have no effect.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];
/// Free space below which a pull is likely to fail.
const DISK_BYTES_LOW: u64 = 2 << 30;
/// Free space below which nothing can be made.
const DISK_BYTES_MIN: u64 = 64 << 20;
/// Free inodes below which a pull is likely to fail.
const DISK_FILES_LOW: u64 = 50_000;
/// Open files that databases and web servers ask for.
const FILES_USUAL: u64 = 65_536;

/// How well something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// As needed.
    Ok,
    /// Something works less well.
    Warn,
    /// Containers do not work without it.
    Missing,
}

impl Level {
    /// The word that is printed.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Missing => "missing",
        }
    }
}

/// One line of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) what: &'static str,
    pub(super) found: String,
    /// What to do about it, or what follows from it.
    pub(super) hint: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            what,
            found: found.into(),
            hint: None,
        }
    }

    fn warn(what: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            what,
            found: found.into(),
            hint: Some(hint.into()),
        }
    }

    fn missing(what: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            level: Level::Missing,
            ..Self::warn(what, found, hint)
        }
    }
}

/// Judges everything, in the order in which it is printed.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        kernel(facts),
        architecture(facts),
        privileges(facts),
        cgroup_layout(facts),
        controllers(facts),
        devices(facts),
    ];
    findings.extend(MODULES.iter().map(|(name, _)| module(facts, name)));
    findings.extend([
        idmapped_layers(facts),
        user_namespaces(facts),
        seccomp(facts),
        forwarding(facts),
        bridge_filter(facts),
        open_files(facts),
        mandatory_access(facts),
        disk(facts),
        dns(facts),
    ]);
    findings
}

fn kernel(facts: &Facts) -> Finding {
    let (what, found) = ("kernel", facts.release.as_str());
    match version(found) {
        Some(version) if version >= KERNEL_TESTED => Finding::ok(what, found),
        Some(version) if version >= KERNEL_NEEDED => {
            Finding::warn(what, found, "the oldest kernel that is tested is 6.1")
        }
        _ => Finding::missing(what, found, "install Linux 6.1 or later"),
    }
}

/// The first two numbers of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn architecture(facts: &Facts) -> Finding {
    match facts.machine.as_str() {
        machine @ "x86_64" => Finding::ok("architecture", machine),
        machine => Finding::warn(
            "architecture",
            machine,
            "there is no system call filter for it: services need `security_opt: [seccomp=unconfined]`",
        ),
    }
}

fn privileges(facts: &Facts) -> Finding {
    let what = "privileges";
    let lacks = |names: &[&'static str]| {
        let lacking = names
            .iter()
            .filter(|name| !facts.capabilities.contains(*name));
        lacking.copied().collect::<Vec<_>>().join(", ")
    };
    let needed = lacks(&[
        "CHOWN",
        "DAC_OVERRIDE",
        "MKNOD",
        "NET_ADMIN",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_ADMIN",
        "SYS_CHROOT",
    ]);
    if !needed.is_empty() {
        return Finding::missing(what, format!("no {needed}"), "run as root");
    }
    if !lacks(&["SYS_RESOURCE"]).is_empty() {
        return Finding::warn(
            what,
            "no SYS_RESOURCE",
            "`ulimits` above this host's hard limits and a negative `oom_score_adj` are clamped",
        );
    }
    Finding::ok(what, "root with the capabilities needed")
}

fn cgroup_layout(facts: &Facts) -> Finding {
    let what = "cgroups";
    let has_v1 = facts.v1.iter().any(|name| !name.starts_with("name="));
    match (has_v1, &facts.v2) {
        (false, Some(_)) => Finding::ok(what, "v2"),
        (true, Some(_)) => Finding::ok(what, "hybrid: controllers in v1, v2 beside them"),
        (true, None) => Finding::warn(what, "v1", "killing all of a container is not atomic"),
        (false, None) => Finding::missing(
            what,
            "not mounted",
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        ),
    }
}

fn controllers(facts: &Facts) -> Finding {
    let has = |name: &str| {
        let v1_name = if name == "io" { "blkio" } else { name };
        facts.v1.contains(v1_name) || facts.v2.as_ref().is_some_and(|v2| v2.contains(name))
    };
    let (there, lacking): (Vec<_>, Vec<_>) = CONTROLLERS.into_iter().partition(|name| has(name));
    if lacking.is_empty() {
        return Finding::ok("controllers", there.join(", "));
    }
    Finding::warn(
        "controllers",
        format!("no {}", lacking.join(", ")),
        "limits of these have no effect",
    )
}

fn devices(facts: &Facts) -> Finding {
    let what = "device rules";
    if facts.v1.contains("devices") {
        return Finding::ok(what, "v1 controller");
    }
    if facts.v2.is_none() {
        return Finding::warn(
            what,
            "none",
            "a container can open every device that it can make",
        );
    }
    if facts.capabilities.contains("SYS_ADMIN") || facts.capabilities.contains("BPF") {
        return Finding::ok(what, "program on the v2 group");
    }
    Finding::warn(
        what,
        "no BPF",
        "a container can open every device that it can make",
    )
}

fn module(facts: &Facts, name: &'static str) -> Finding {
    match facts.modules.get(name) {
        Some(Module::There) => Finding::ok(name, "there"),
        Some(Module::Loadable) => Finding::ok(name, "loaded when needed"),
        Some(Module::Absent) => Finding::missing(
            name,
            "not in this kernel",
            "install the kernel's modules, or a kernel that has it",
        ),
        Some(Module::Unknown) | None => Finding::warn(
            name,
            "unknown",
            "neither the kernel's configuration nor its modules can be read",
        ),
    }
}

fn idmapped_layers(facts: &Facts) -> Finding {
    let what = "idmapped layers";
    match version(&facts.release) {
        Some(version) if version >= KERNEL_IDMAPPED_OVERLAY => {
            Finding::ok(what, "overlayfs has them")
        }
        _ => Finding::warn(what, "no", "user namespaces of containers need Linux 5.19"),
    }
}

fn user_namespaces(facts: &Facts) -> Finding {
    let what = "user namespaces";
    match facts.user_namespaces {
        Some(0) => Finding::warn(what, "off", "sysctl -w user.max_user_namespaces=15000"),
        Some(count) => Finding::ok(what, format!("at most {count}")),
        None => Finding::warn(what, "not in this kernel", "`x-stack.userns` does not work"),
    }
}

fn seccomp(facts: &Facts) -> Finding {
    let what = "seccomp";
    if facts.seccomp_actions.contains("errno") {
        return Finding::ok(what, "filters");
    }
    Finding::missing(
        what,
        "no filters",
        "use a kernel with CONFIG_SECCOMP_FILTER, or `security_opt: [seccomp=unconfined]`",
    )
}

fn forwarding(facts: &Facts) -> Finding {
    match facts.ip_forward {
        Some(0) => Finding::ok("IP forwarding", "off; the first network turns it on"),
        Some(_) => Finding::ok("IP forwarding", "on"),
        None => Finding::missing("IP forwarding", "no IPv4", "use a kernel with CONFIG_INET"),
    }
}

fn bridge_filter(facts: &Facts) -> Finding {
    match facts.bridge_calls_iptables {
        None | Some(0) => Finding::ok("bridge filter", "bridged packets skip iptables"),
        Some(_) => Finding::warn(
            "bridge filter",
            "bridged packets pass iptables",
            "a foreign FORWARD policy can drop them: sysctl -w net.bridge.bridge-nf-call-iptables=0",
        ),
    }
}

fn open_files(facts: &Facts) -> Finding {
    match facts.files_hard {
        Some(hard) if hard < FILES_USUAL => Finding::warn(
            "open files",
            format!("hard limit {hard}"),
            "raise it with `ulimit -Hn` before the supervisor starts",
        ),
        Some(u64::MAX) | None => Finding::ok("open files", "unlimited"),
        Some(hard) => Finding::ok("open files", format!("hard limit {hard}")),
    }
}

fn mandatory_access(facts: &Facts) -> Finding {
    let what = "access control";
    match (facts.apparmor, facts.selinux) {
        (_, Some(true)) => Finding::warn(
            what,
            "SELinux enforces",
            "containers run without a label of their own: binds may need `chcon -t container_file_t`",
        ),
        (true, _) => Finding::warn(
            what,
            "AppArmor",
            "containers run unconfined by it; the other confinement holds",
        ),
        (false, Some(false)) => Finding::ok(what, "SELinux, permissive"),
        (false, None) => Finding::ok(what, "no AppArmor, no SELinux"),
    }
}

fn disk(facts: &Facts) -> Finding {
    let place = facts.disk.display();
    let (Some(bytes), Some(files)) = (facts.disk_bytes, facts.disk_files) else {
        return Finding::missing("disk", format!("{place} cannot be read"), "check the mount");
    };
    let mebibytes = bytes >> 20;
    let found = format!("{mebibytes} MiB free at {place}");
    let hint = "`--root` or STACK_ROOT moves the state elsewhere";
    if bytes < DISK_BYTES_MIN {
        return Finding::missing("disk", found, hint);
    }
    if bytes < DISK_BYTES_LOW {
        return Finding::warn("disk", found, hint);
    }
    if files < DISK_FILES_LOW {
        return Finding::warn("disk", format!("{files} inodes free at {place}"), hint);
    }
    Finding::ok("disk", found)
}

fn dns(facts: &Facts) -> Finding {
    if facts.name_servers.is_empty() {
        return Finding::warn(
            "DNS",
            "no name server in /etc/resolv.conf",
            "containers find each other, but no other host",
        );
    }
    Finding::ok("DNS", format!("asks {}", facts.name_servers.join(", ")))
}
