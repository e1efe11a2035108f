//! Confinement: capabilities, security options, kernel parameters.

use compose_spec::model::{Namespace, NetworkMode, Service};
use runtime::spec::{CAPABILITIES, CAPABILITIES_DEFAULT, Seccomp, Security};

use super::{
    LowerInput, ProfileUse,
    error::{Checks, Refusal},
};

/// Lowers capabilities and security options. Also returns the profile that takes the place of the default filter.
pub(super) fn lower(
    input: &LowerInput<'_>,
    checks: &mut Checks<'_>,
) -> (Security, Option<ProfileUse>) {
    let service = &input.new.service;
    let capabilities = capabilities(service, checks);
    let mut security = Security {
        privileged: service.privileged,
        capabilities,
        no_new_privs: false,
        seccomp: if service.privileged {
            Seccomp::Unconfined
        } else {
            Seccomp::Default
        },
        mask_paths: !service.privileged,
        exact: None,
    };
    let mut profile = None;
    for (index, option) in service.security_opt.iter().enumerate() {
        let path = format!("security_opt[{index}]");
        if let Some(file) = profile_path(option) {
            profile = Some(ProfileUse {
                file: input.project.working_dir.join(file),
                path: checks.path(path),
            });
        } else {
            apply_option(option, path, &mut security, checks);
        }
    }
    (security, profile)
}

/// Returns the file that an option names as system call filter.
fn profile_path(option: &str) -> Option<&str> {
    let (name, value) = option.split_once(['=', ':'])?;
    let is_file = !matches!(value, "" | "unconfined" | "builtin");
    (name == "seccomp" && is_file).then_some(value)
}

fn apply_option(option: &str, path: String, security: &mut Security, checks: &mut Checks<'_>) {
    let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
    match (name, value) {
        ("no-new-privileges", "" | "true") => security.no_new_privs = true,
        ("no-new-privileges", "false") => security.no_new_privs = false,
        ("seccomp", "unconfined") => security.seccomp = Seccomp::Unconfined,
        ("seccomp", "builtin") => security.seccomp = Seccomp::Default,
        ("seccomp", _) => {
            checks.invalid(
                path,
                "seccomp profile",
                value,
                "it is a file, `builtin` or `unconfined`",
            );
        }
        ("systempaths", "unconfined") => security.mask_paths = false,
        // stack loads neither AppArmor profiles nor SELinux labels, so there is nothing to switch off.
        ("apparmor", "unconfined") | ("label", "disable") => {}
        ("apparmor", _) => checks.unsupported(path, format!("AppArmor profile `{value}`")),
        ("label", _) => checks.unsupported(path, format!("SELinux label `{value}`")),
        _ => checks.refuse(
            path,
            Refusal::Unknown {
                kind: "security option",
                name: option.to_owned(),
            },
        ),
    }
}

/// As Docker: `ALL` added wins over single drops, `ALL` dropped leaves what is added.
fn capabilities(service: &Service, checks: &mut Checks<'_>) -> Vec<String> {
    let add = normalise(&service.cap_add, "cap_add", checks);
    let drop = normalise(&service.cap_drop, "cap_drop", checks);
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    if service.privileged {
        return owned(&CAPABILITIES);
    }
    let has = |set: &[&str], name: &str| set.contains(&name);
    let mut result: Vec<&str> = if has(&add, "ALL") {
        CAPABILITIES
            .iter()
            .copied()
            .filter(|name| !has(&drop, name))
            .collect()
    } else if has(&drop, "ALL") {
        add.clone()
    } else {
        CAPABILITIES_DEFAULT
            .iter()
            .copied()
            .filter(|name| !has(&drop, name))
            .chain(add.iter().copied())
            .collect()
    };
    // By number, each once: the same set always reads the same.
    result.sort_unstable_by_key(|name| CAPABILITIES.iter().position(|known| known == name));
    result.dedup();
    owned(&result)
}

fn normalise(names: &[String], field: &str, checks: &mut Checks<'_>) -> Vec<&'static str> {
    let mut known = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare == "ALL" {
            known.push("ALL");
        } else if let Some(found) = CAPABILITIES.iter().find(|candidate| **candidate == bare) {
            known.push(*found);
        } else {
            checks.refuse(
                format!("{field}[{index}]"),
                Refusal::Unknown {
                    kind: "capability",
                    name: name.clone(),
                },
            );
        }
    }
    known
}

const SYSCTLS_ALLOWED: &str = "net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*, kernel.domainname, and no namespace of the host";

/// Lowers kernel parameters; only those that belong to the container's own namespaces are allowed.
pub(super) fn sysctls(service: &Service, checks: &mut Checks<'_>) -> Vec<(String, String)> {
    let mut result = Vec::new();
    let own_network = matches!(
        service.network,
        NetworkMode::Networks(_) | NetworkMode::None
    );
    let mut default = |name: &str, value: &str| {
        if own_network && !service.sysctls.contains_key(name) {
            result.push((name.to_owned(), value.to_owned()));
        }
    };
    // Docker's defaults: ping and low ports without capabilities.
    default("net.ipv4.ping_group_range", "0 2147483647");
    default("net.ipv4.ip_unprivileged_port_start", "0");
    for (name, value) in &service.sysctls {
        let place = format!("sysctls.{name}");
        // A line break could set another parameter wherever the value is replayed (CVE-2022-0811).
        if value.is_empty() || value.chars().any(|c| c.is_control() && c != '\t') {
            checks.invalid(
                place,
                "value",
                value,
                "it must be one line that is not empty",
            );
        } else if is_own(name, service) {
            result.push((name.clone(), value.clone()));
        } else {
            let name = name.clone();
            let allowed = SYSCTLS_ALLOWED;
            checks.refuse(place, Refusal::SysctlNotNamespaced { name, allowed });
        }
    }
    result
}

/// Tells whether a kernel parameter belongs to a namespace that the container has for itself.
fn is_own(name: &str, service: &Service) -> bool {
    // As in sysctl(8) the first separator decides which of `.` and `/` separates; the other one is part of a name (`eth0.1`).
    let Some(separator) = name.chars().find(|c| matches!(c, '.' | '/')) else {
        return false;
    };
    let other = if separator == '.' { '/' } else { '.' };
    let is_part = |part: &&str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-') || c == other;
        !part.is_empty() && !matches!(*part, "." | ".." | "/" | "//") && part.chars().all(is_letter)
    };
    let parts: Vec<&str> = name.split(separator).collect();
    if !parts.iter().all(is_part) {
        return false;
    }
    match parts[..] {
        ["net", _, ..] => service.network != NetworkMode::Host,
        ["fs", "mqueue", _] => service.ipc != Namespace::Host,
        ["kernel", "domainname"] => service.uts != Namespace::Host,
        [
            "kernel",
            "sem" | "shm_rmid_forced" | "msgmax" | "msgmnb" | "msgmni" | "shmall" | "shmmax"
            | "shmmni",
        ] => service.ipc != Namespace::Host,
        _ => false,
    }
}
