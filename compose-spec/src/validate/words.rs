//! Words that the kernel or a registry knows: capabilities, limits, settings, names of images.

use crate::{diagnostic::nearest, yaml::Node};

/// capabilities(7), Linux 6.18, without the prefix.
#[rustfmt::skip]
const CAPABILITIES: &[&str] = &[
    "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN", "DAC_OVERRIDE",
    "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN",
    "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT",
    "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
];

/// setrlimit(2).
#[rustfmt::skip]
pub(super) const ULIMITS: &[&str] = &[
    "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
];

/// Settings of the kernel that belong to an IPC namespace, sysctl(5).
#[rustfmt::skip]
const IPC_SETTINGS: &[&str] = &[
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Options of tmpfs(5) and mount(8) that take no value.
#[rustfmt::skip]
const MOUNT_FLAGS: &[&str] = &[
    "rw", "ro", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "sync", "async", "atime", "noatime", "diratime",
    "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime", "mand", "nomand", "bind", "rbind", "private",
    "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable", "defaults", "remount", "noswap",
];
/// Options of tmpfs(5) that take a value.
const TMPFS_VALUES: &[&str] = &[
    "size",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
    "mpol",
    "huge",
];

/// Returns whether a capability exists; the case and the prefix `CAP_` do not count.
pub(super) fn is_capability(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    bare == "ALL" || CAPABILITIES.contains(&bare)
}

/// Returns a suggestion for a capability that does not exist.
pub(super) fn near_capability(text: &str) -> Option<String> {
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let near = nearest(bare, CAPABILITIES.iter().copied());
    near.map(|near| format!("did you mean `{near}`?"))
}

/// Returns what to write in place of an option that does not exist.
pub(super) fn security_option_fault(text: &str) -> Option<String> {
    const NAMES: [&str; 6] = [
        "no-new-privileges",
        "seccomp",
        "apparmor",
        "label",
        "systempaths",
        "writable-cgroups",
    ];
    let (name, value) = match text.split_once(['=', ':']) {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let listed = || format!("options are {}", NAMES.join(", "));
    match (name, value) {
        ("no-new-privileges" | "writable-cgroups", None | Some("true" | "false")) => None,
        ("no-new-privileges" | "writable-cgroups", _) => Some(format!("write `{name}:true`")),
        ("seccomp" | "apparmor" | "label", Some(value)) if !value.is_empty() => None,
        ("label", None) if value.is_none() => Some("write `label=disable`".to_owned()),
        ("seccomp" | "apparmor", _) => Some(format!("write `{name}=unconfined`")),
        ("systempaths", Some("unconfined")) => None,
        ("systempaths", _) => Some("write `systempaths=unconfined`".to_owned()),
        _ => Some(match nearest(name, NAMES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => listed(),
        }),
    }
}

/// `c 1:3 rwm`, as in the kernel's devices controller.
pub(super) fn is_device_rule(text: &str) -> bool {
    let parts: Vec<&str> = text.split(' ').collect();
    let [kind, numbers, access] = parts[..] else {
        return false;
    };
    let number = |text: &str| text == "*" || text.parse::<u32>().is_ok();
    let numbers = numbers
        .split_once(':')
        .is_some_and(|(major, minor)| number(major) && number(minor));
    let access = (1..=3).contains(&access.len()) && access.chars().all(|c| "rwm".contains(c));
    matches!(kind, "a" | "b" | "c") && numbers && access
}

/// Six pairs of hexadecimal digits of a single interface.
pub(super) fn is_mac_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let pair = |part: &&str| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit());
    let single = parts
        .first()
        .and_then(|first| u8::from_str_radix(first, 16).ok())
        .is_some_and(|first| first & 1 == 0);
    parts.len() == 6 && parts.iter().all(pair) && single
}

/// Returns what is wrong with an option of a tmpfs.
pub(super) fn tmpfs_option_fault(option: &str) -> Option<String> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let digits = |value: &str, radix| !value.is_empty() && value.chars().all(|c| c.is_digit(radix));
    match (name, value) {
        ("mode", Some(value)) if !digits(value, 8) || value.len() > 5 => {
            Some("`mode` is octal, for example 1777".to_owned())
        }
        ("uid" | "gid", Some(value)) if !digits(value, 10) => Some(format!("`{name}` is a number")),
        ("size", Some(value)) => {
            let percent = value
                .strip_suffix('%')
                .is_some_and(|value| digits(value, 10));
            let bare = value.trim_end_matches(|c: char| "kmgtKMGT".contains(c));
            let size = digits(bare, 10) && value.len() - bare.len() <= 1;
            (!percent && !size).then(|| "`size` is a size such as 64m".to_owned())
        }
        (_, Some(_)) if TMPFS_VALUES.contains(&name) => None,
        (_, None) if MOUNT_FLAGS.contains(&name) => None,
        (_, None) if TMPFS_VALUES.contains(&name) => Some(format!("`{name}` needs a value")),
        _ => {
            let known = MOUNT_FLAGS.iter().chain(TMPFS_VALUES).copied();
            Some(match nearest(name, known) {
                Some(near) => format!("`{name}` is unknown; did you mean `{near}`?"),
                None => format!("`{name}` is unknown"),
            })
        }
    }
}

/// Returns why a setting cannot be made in a container: what is known about it, or an empty text.
pub(super) fn sysctl_fault(key: &str) -> Option<&'static str> {
    let dotted = if key.contains('.') {
        key.to_owned()
    } else {
        key.replace('/', ".")
    };
    let own = IPC_SETTINGS.contains(&dotted.as_str())
        || dotted.starts_with("net.")
        || dotted.starts_with("fs.mqueue.")
        || dotted == "kernel.domainname";
    if own {
        return None;
    }
    Some(match dotted.as_str() {
        "kernel.hostname" => "write `hostname:`",
        "vm.max_map_count" | "vm.overcommit_memory" | "vm.swappiness" | "fs.file-max" => {
            "it holds for the whole machine: set it there, in /etc/sysctl.d"
        }
        _ => "",
    })
}

/// Returns what shares the namespace of a setting with the host.
pub(super) fn shared_namespace<'t>(key: &str, service: &'t Node) -> Option<&'t Node> {
    let attribute = if key.starts_with("net") {
        "network_mode"
    } else {
        "ipc"
    };
    service
        .get(attribute)
        .filter(|node| node.as_text() == Some("host"))
}

/// Returns what is wrong with a platform.
pub(super) fn platform_fault(text: &str) -> Option<&'static str> {
    let parts: Vec<&str> = text.split('/').collect();
    let word = |part: &&str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    (parts.len() > 3 || !parts.iter().all(word))
        .then_some("the form is `OS/ARCHITECTURE[/VARIANT]`, for example linux/arm64")
}

/// Returns what is wrong with the name of an image: `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`.
pub(super) fn image_fault(text: &str) -> Option<&'static str> {
    // What is left of a variable that could not be replaced was reported.
    if text.contains('$') {
        return None;
    }
    if text.contains(char::is_whitespace) {
        return Some("there is a blank in it");
    }
    if text.contains("://") {
        return Some("a registry is named without `https://`");
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Some("behind `@` stands `sha256:` and 64 hexadecimal digits");
    }
    let last = name.rfind('/').map_or(0, |at| at + 1);
    let (repository, tag) = match name[last..].split_once(':') {
        Some((_, tag)) => (&name[..name.len() - tag.len() - 1], Some(tag)),
        None => (name, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Some("a tag consists of letters, digits, `_`, `.` and `-`");
    }
    let mut parts: Vec<&str> = repository.split('/').collect();
    let registry = parts.len() > 1
        && (parts[0].contains(['.', ':'])
            || parts[0] == "localhost"
            || parts[0] != parts[0].to_lowercase());
    if registry {
        parts.remove(0);
    }
    if parts.iter().any(|part| part.is_empty()) {
        return Some("a part of it is empty");
    }
    if parts
        .iter()
        .any(|part| part.chars().any(|c| c.is_ascii_uppercase()))
    {
        return Some("the repository must be in lower case");
    }
    (!parts.iter().all(|part| is_component(part))).then_some(
        "a repository consists of lower-case letters, digits and single `.`, `_`, `-` between them",
    )
}

fn is_component(part: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    ends(part.chars().next())
        && ends(part.chars().last())
        && part.chars().all(fits)
        && !part.contains("..")
}

fn is_tag(tag: &str) -> bool {
    let first = tag
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    first && tag.len() <= 128 && tag.chars().all(fits)
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty() && hex.len() >= 32 && hex.chars().all(|c| c.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_those_that_registries_take() {
        for good in [
            "nginx",
            "nginx:1.29",
            "library/nginx",
            "docker.io/library/nginx:1.29-alpine",
            "localhost/x",
            "localhost:5000/a/b:c",
            "ghcr.io/Org2/x".to_lowercase().as_str(),
            "a__b",
            "a--b",
            "x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "REG.example/x",
        ] {
            assert_eq!(image_fault(good), None, "{good}");
        }
        for bad in [
            "Nginx",
            "nginx:",
            "ngi nx",
            "https://x/y",
            "x@sha256:1",
            "/x",
            "x//y",
            "x:a b",
            "-x",
            "x:-",
            "a..b",
            "ghcr.io/Org/x",
        ] {
            assert!(image_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn kernel_words_are_known() {
        for good in ["ALL", "net_admin", "CAP_SYS_PTRACE", "cap_bpf"] {
            assert!(is_capability(good), "{good}");
        }
        assert!(!is_capability("NET_ADMN"));
        assert_eq!(
            near_capability("NET_ADMN").as_deref(),
            Some("did you mean `NET_ADMIN`?")
        );
        for good in [
            "no-new-privileges",
            "no-new-privileges:true",
            "seccomp=unconfined",
            "label:disable",
            "apparmor=x",
        ] {
            assert_eq!(security_option_fault(good), None, "{good}");
        }
        for bad in ["no-new-privilege", "seccomp", "systempaths=x", "nope"] {
            assert!(security_option_fault(bad).is_some(), "{bad}");
        }
        for (rule, fits) in [
            ("c 1:3 mr", true),
            ("a *:* rwm", true),
            ("c 1 r", false),
            ("x 1:1 r", false),
        ] {
            assert_eq!(is_device_rule(rule), fits, "{rule}");
        }
        for (text, fits) in [
            ("02:42:ac:11:00:02", true),
            ("02-42-ac-11-00-02", true),
            ("03:42:ac:11:00:02", false),
            ("x", false),
        ] {
            assert_eq!(is_mac_address(text), fits, "{text}");
        }
        for good in [
            "size=64m",
            "mode=1777",
            "uid=1000",
            "noexec",
            "size=50%",
            "nr_inodes=1k",
        ] {
            assert_eq!(tmpfs_option_fault(good), None, "{good}");
        }
        for bad in ["size=lots", "mode=9", "nooexec", "uid=me", "size"] {
            assert!(tmpfs_option_fault(bad).is_some(), "{bad}");
        }
        for good in [
            "net.core.somaxconn",
            "kernel.shmmax",
            "fs.mqueue.msg_max",
            "net/ipv4/ip_forward",
        ] {
            assert_eq!(sysctl_fault(good), None, "{good}");
        }
        assert!(sysctl_fault("vm.max_map_count").is_some());
    }
}
