//! Rules for single texts, and what old or misplaced keys are called today.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    model::DeviceRule,
    schema::{Kind, Rule, SERVICE, Section},
    yaml::{Node, Value},
};

/// A container name: at least one letter, digit, `_`, `.` or `-` behind a letter or digit.
pub(crate) static CONTAINER_NAME: Rule = Rule {
    holds: |text| {
        let mut chars = text.chars();
        let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        first && text.len() > 1 && chars.all(fits)
    },
    wanted: "a container name: at least two letters, digits, `_`, `.` or `-`, a letter or digit \
             first",
    words: &[],
};

/// `no`, `always`, `on-failure[:N]`, `unless-stopped`; empty is `no`.
pub(crate) static RESTART: Rule = Rule {
    holds: |text| {
        let attempts = text.strip_prefix("on-failure:");
        matches!(text, "" | "no" | "always" | "on-failure" | "unless-stopped")
            || attempts.is_some_and(|attempts| attempts.parse::<u32>().is_ok())
    },
    wanted: "a restart policy: no, always, on-failure, on-failure:N, unless-stopped",
    words: &["no", "always", "on-failure", "unless-stopped"],
};

const PULL_POLICIES: [&str; 8] = [
    "always",
    "never",
    "build",
    "if_not_present",
    "missing",
    "refresh",
    "daily",
    "weekly",
];

/// `always`, `never`, `missing`, …, `every_3d12h`.
pub(crate) static PULL_POLICY: Rule = Rule {
    holds: |text| PULL_POLICIES.contains(&text) || pull_interval_seconds(text).is_some(),
    wanted: "a pull policy: always, never, missing, if_not_present, build, daily, weekly, \
             every_<duration>",
    words: &PULL_POLICIES,
};

/// A signal by name, with or without `SIG`, or by number.
pub(crate) static STOP_SIGNAL: Rule = Rule {
    holds: is_signal,
    wanted: "a signal such as SIGTERM or 15",
    words: &[
        "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGWINCH",
        "SIGALRM", "SIGPWR", "SIGSTOP", "SIGCONT", "SIGABRT", "SIGRTMIN", "SIGRTMAX",
    ],
};

/// `bridge`, `host`, `none`, `service:x`, `container:x`.
pub(crate) static NETWORK_MODE: Rule = Rule {
    holds: |text| matches!(text, "bridge" | "host" | "none" | "default") || is_other(text),
    wanted: "a network mode: bridge, host, none, service:NAME, container:NAME; a network is named \
             under `networks`",
    words: &["bridge", "host", "none"],
};

/// `host`, `private`, `shareable`, `none`, `service:x`, `container:x`.
pub(crate) static IPC: Rule = Rule {
    holds: |text| matches!(text, "" | "host" | "private" | "shareable" | "none") || is_other(text),
    wanted: "an IPC mode: host, private, shareable, none, service:NAME, container:NAME",
    words: &["host", "private", "shareable", "none"],
};

/// `host`, `service:x`, `container:x`.
pub(crate) static PID: Rule = Rule {
    holds: |text| matches!(text, "" | "host" | "private") || is_other(text),
    wanted: "a PID mode: host, service:NAME, container:NAME",
    words: &["host"],
};

/// `host`.
pub(crate) static UTS: Rule = Rule {
    holds: |text| matches!(text, "" | "host" | "private"),
    wanted: "a UTS mode: host",
    words: &["host"],
};

/// `host`; empty is what the engine is set up for.
pub(crate) static USERNS: Rule = Rule {
    holds: |text| matches!(text, "" | "host"),
    wanted: "a user namespace mode: host",
    words: &["host"],
};

/// `c 189:* rwm`
pub(crate) static DEVICE_RULE: Rule = Rule {
    holds: |text| DeviceRule::parse(text).is_some(),
    wanted: "a device rule such as `c 189:* rwm`: a, b or c, major:minor, access",
    words: &[],
};

/// An IPv4 address.
pub(crate) static IPV4: Rule = Rule {
    holds: |text| text.parse::<Ipv4Addr>().is_ok(),
    wanted: "an IPv4 address",
    words: &[],
};

/// An IPv6 address.
pub(crate) static IPV6: Rule = Rule {
    holds: |text| text.parse::<Ipv6Addr>().is_ok(),
    wanted: "an IPv6 address",
    words: &[],
};

/// Returns the seconds of `every_3d12h`.
pub(crate) fn pull_interval_seconds(text: &str) -> Option<u64> {
    let mut rest = text
        .strip_prefix("every_")
        .filter(|rest| !rest.is_empty())?;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let seconds = match rest.as_bytes()[digits] {
            b'w' => 7 * 24 * 3600,
            b'd' => 24 * 3600,
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        let number: u64 = rest[..digits].parse().ok()?;
        total = total.checked_add(number.checked_mul(seconds)?)?;
        rest = &rest[digits + 1..];
    }
    Some(total)
}

fn is_signal(text: &str) -> bool {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = name
        .parse::<u8>()
        .is_ok_and(|number| (1..=64).contains(&number));
    number || NAMES.contains(&name) || name.starts_with("RTMIN") || name.starts_with("RTMAX")
}

fn is_other(text: &str) -> bool {
    ["service:", "container:"].iter().any(|prefix| {
        text.strip_prefix(prefix)
            .is_some_and(|name| !name.is_empty())
    })
}

/// Returns how a value of the wrong form becomes one of the right form.
pub(super) fn form_help(node: &Node, expects: &str) -> Option<String> {
    let text = match &node.value {
        Value::Scalar(scalar) => scalar.shown(),
        _ => "",
    };
    let list = matches!(node.value, Value::Sequence(_));
    let mapping = matches!(node.value, Value::Mapping(_));
    if expects.contains("key=value") && !expects.starts_with("a mapping") && mapping {
        return Some("write `KEY=value`, or leave the dashes out".to_owned());
    }
    if expects.starts_with("a duration") && text.parse::<u32>().is_ok() {
        return Some(format!("give it a unit: `{text}s`"));
    }
    if expects.starts_with("a list") && mapping {
        return Some("put a dash and a blank in front of each item: `- …`".to_owned());
    }
    if expects.starts_with("a list") && !text.is_empty() {
        let quoted = if text.parse::<f64>().is_ok() {
            format!("\"{text}\"")
        } else {
            text.to_owned()
        };
        return Some(format!("put it in brackets: `[{quoted}]`"));
    }
    if expects.starts_with("a mapping") && list && !expects.contains("list") {
        let of_mappings = node.items().iter().any(|item| item.as_mapping().is_some());
        return of_mappings.then(|| "leave the dash out".to_owned());
    }
    if let ("a text" | "a number" | "an integer" | "true or false", [only]) =
        (expects, node.items())
        && let Value::Scalar(scalar) = &only.value
    {
        return Some(format!(
            "leave the brackets or the dash out: `{}`",
            scalar.shown()
        ));
    }
    if expects.contains("a mapping") && expects.contains("key=value") {
        return text
            .split_once('=')
            .map(|(key, _)| format!("write `{key}: …` below it, or `[{text}]`"));
    }
    if expects.starts_with("a mapping") && text.contains(':') && !text.contains(' ') {
        return Some("a blank is missing behind the colon".to_owned());
    }
    None
}

/// Returns what a key of another tool or time is called in the specification.
pub(super) fn renamed(key: &str) -> Option<&'static str> {
    Some(match key {
        "env" | "envs" | "environments" => "environment",
        "cmd" => "command",
        "volume" | "mounts" | "mount" => "volumes",
        "port" | "publish" => "ports",
        "net" => "network_mode",
        "network" => "networks",
        "depends" | "requires" | "after" => "depends_on",
        "health" | "health_check" => "healthcheck",
        "workdir" | "cwd" | "work_dir" => "working_dir",
        "memory" | "memory_limit" => "mem_limit",
        "cpu" => "cpus",
        "log_driver" | "log_opt" | "log" => "logging",
        "name" => "container_name",
        "restart_policy" => "restart",
        "privilege" => "privileged",
        "service" => "services",
        "secret" => "secrets",
        "config" => "configs",
        "label" => "labels",
        "test_cmd" | "cmd_shell" | "command" => "test",
        "path" => "file",
        "src" => "source",
        "dst" | "destination" => "target",
        _ => return None,
    })
}

/// Returns the section that has the key, when another one than `section` has it.
pub(super) fn home_of(key: &str, section: &Section) -> Option<String> {
    if matches!(key, "subnet" | "gateway" | "ip_range") {
        return Some("`ipam.config`".to_owned());
    }
    if !std::ptr::eq(section, &raw const SERVICE) && SERVICE.field(key).is_some() {
        return Some("a service".to_owned());
    }
    SERVICE.fields.iter().find_map(|field| {
        let inner = match &field.kind {
            Kind::Section(inner) | Kind::OptionalSection(inner) => *inner,
            Kind::Short(short) => match &short.long {
                Kind::Section(inner) => *inner,
                _ => return None,
            },
            _ => return None,
        };
        let known = !std::ptr::eq(inner, section) && inner.field(key).is_some();
        known.then(|| format!("`{}`", field.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_judged() {
        for (rule, good, bad) in [
            (
                &RESTART,
                &["no", "on-failure:5", ""][..],
                &["never", "on-failure:x"][..],
            ),
            (
                &PULL_POLICY,
                &["daily", "every_1w2d", "missing"],
                &["v", "every_", "every_3", "every_3x"],
            ),
            (
                &STOP_SIGNAL,
                &["SIGTERM", "term", "15", "SIGRTMIN+3"],
                &["v", "0", "65"],
            ),
            (
                &CONTAINER_NAME,
                &["ab", "a.b-c_1"],
                &["x", "-ab", "ab/c", ""],
            ),
            (
                &NETWORK_MODE,
                &["host", "service:a"],
                &["v", "service:", ""],
            ),
            (&IPC, &["shareable", "container:x"], &["v"]),
            (&PID, &["host", "service:x"], &["v"]),
            (&UTS, &["host"], &["v"]),
            (&IPV4, &["10.0.0.1"], &["10.0.0", "::1"]),
            (&IPV6, &["::1"], &["10.0.0.1"]),
        ] {
            for text in good {
                assert!((rule.holds)(text), "{text}");
            }
            for text in bad {
                assert!(!(rule.holds)(text), "{text}");
            }
        }
        assert_eq!(pull_interval_seconds("every_1d12h"), Some(36 * 3600));
    }
}
