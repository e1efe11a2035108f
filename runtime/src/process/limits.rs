//! Resource limits: names, and how much of what was asked for this host permits.

use rustix::process::Resource;

use crate::spec::Rlimit;

/// Limits by their lower-case names.
const RESOURCES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// Finds a limit by its lower-case name.
pub fn resource(name: &str) -> Option<Resource> {
    RESOURCES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, resource)| *resource)
}

/// A limit that the child sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) resource: Resource,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

impl Limit {
    /// Child: sets it.
    pub(crate) fn set(&self) -> Result<(), rustix::io::Errno> {
        let bound = |value| (value != u64::MAX).then_some(value);
        let limit = rustix::process::Rlimit {
            current: bound(self.soft),
            maximum: bound(self.hard),
        };
        rustix::process::setrlimit(self.resource, limit)
    }
}

/// What this host permits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permitted {
    /// The caller has CAP_SYS_RESOURCE, so hard limits may rise.
    pub(crate) may_raise: bool,
    /// /proc/sys/fs/nr_open: not even root gets a higher `nofile`.
    pub(crate) files_max: u64,
}

/// Cuts a limit down to what is permitted; the text says so. `current` is the caller's own hard limit.
pub(crate) fn clamp(
    wanted: &Rlimit,
    current: u64,
    permitted: Permitted,
) -> (u64, u64, Option<String>) {
    let ceiling = match (permitted.may_raise, wanted.name.as_str()) {
        (true, "nofile") => permitted.files_max,
        (true, _) => u64::MAX,
        (false, "nofile") => current.min(permitted.files_max),
        (false, _) => current,
    };
    let (soft, hard) = (wanted.soft.min(ceiling), wanted.hard.min(ceiling));
    let warning = (hard < wanted.hard).then(|| {
        let why = if permitted.may_raise {
            "fs.nr_open"
        } else {
            "missing CAP_SYS_RESOURCE"
        };
        format!(
            "hard limit of {} is {hard}, not {}: {why}",
            wanted.name,
            amount(wanted.hard)
        )
    });
    (soft, hard, warning)
}

fn amount(value: u64) -> String {
    if value == u64::MAX {
        "unlimited".to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clamped(
        name: &str,
        soft: u64,
        hard: u64,
        current: u64,
        may_raise: bool,
    ) -> (u64, u64, bool) {
        let wanted = Rlimit {
            name: name.into(),
            soft,
            hard,
        };
        let (soft, hard, warning) = clamp(
            &wanted,
            current,
            Permitted {
                may_raise,
                files_max: 1000,
            },
        );
        (soft, hard, warning.is_some())
    }

    #[test]
    fn hard_limits_do_not_rise_without_the_capability() {
        assert_eq!(clamped("nproc", 5, 5, 10, false), (5, 5, false));
        assert_eq!(clamped("nproc", 20, 30, 10, false), (10, 10, true));
        assert_eq!(clamped("nproc", 5, 30, 10, false), (5, 10, true));
        assert_eq!(
            clamped("nproc", 20, u64::MAX, 10, true),
            (20, u64::MAX, false)
        );
        assert_eq!(clamped("nofile", 20, u64::MAX, 10, true), (20, 1000, true));
        assert_eq!(
            clamped("nofile", 2000, 3000, 5000, false),
            (1000, 1000, true)
        );
    }

    #[test]
    fn the_warning_says_what_and_why() {
        let wanted = Rlimit {
            name: "nofile".into(),
            soft: 1,
            hard: u64::MAX,
        };
        let (_, _, warning) = clamp(
            &wanted,
            50,
            Permitted {
                may_raise: false,
                files_max: 1000,
            },
        );
        assert_eq!(
            warning.as_deref(),
            Some("hard limit of nofile is 50, not unlimited: missing CAP_SYS_RESOURCE")
        );
    }
}
