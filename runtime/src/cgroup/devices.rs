//! Which device nodes the processes of a group may make and open.
//!
//! The list is Docker's; on v1 it is written to the `devices` controller. v2 has no such controller but programs.

use std::{fmt::Write as _, io, os::fd::AsFd};

use fs_err as fs;

use super::{Cgroup, CgroupError, control, device_program};
use crate::spec::{DeviceAccess, DeviceKind, DeviceRule};
use crate::sys;

/// Which devices a group may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DevicePolicy {
    /// All (privileged containers).
    Everything,
    /// The default devices (null, zero, full, random, urandom, tty, console, ptmx, pseudo-terminals), making any node, and these.
    Listed(Vec<DeviceRule>),
}

/// Default character devices: null, zero, full, random, urandom, tty, console, ptmx.
const DEFAULT_CHARACTER: [(u32, u32); 8] = [
    (1, 3),
    (1, 5),
    (1, 7),
    (1, 8),
    (1, 9),
    (5, 0),
    (5, 1),
    (5, 2),
];
/// Major number of the pseudo-terminals' slave ends.
const PTS_MAJOR: u32 = 136;

impl DevicePolicy {
    /// The rules of a list, the default ones first.
    pub(super) fn rules(extra: &[DeviceRule]) -> Vec<DeviceRule> {
        let rule = |kind, major, minor, access| DeviceRule {
            kind,
            major,
            minor,
            access,
        };
        let mut rules = vec![
            rule(DeviceKind::Character, None, None, DeviceAccess::MAKE),
            rule(DeviceKind::Block, None, None, DeviceAccess::MAKE),
            rule(
                DeviceKind::Character,
                Some(PTS_MAJOR),
                None,
                DeviceAccess::ALL,
            ),
        ];
        rules.extend(DEFAULT_CHARACTER.map(|(major, minor)| {
            rule(
                DeviceKind::Character,
                Some(major),
                Some(minor),
                DeviceAccess::ALL,
            )
        }));
        rules.extend(extra);
        rules
    }
}

/// A rule in the notation of v1's control files: `c 1:3 rwm`.
fn v1_line(rule: &DeviceRule) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let mut line = format!(
        "{} {}:{} ",
        match rule.kind {
            DeviceKind::Character => 'c',
            DeviceKind::Block => 'b',
        },
        number(rule.major),
        number(rule.minor)
    );
    let DeviceAccess { read, write, make } = rule.access;
    for (granted, letter) in [(read, 'r'), (write, 'w'), (make, 'm')] {
        if granted {
            line.write_char(letter).expect("a String takes every write");
        }
    }
    line
}

/// Restricts the group to its devices.
pub(super) fn apply(
    cgroup: &Cgroup,
    policy: &DevicePolicy,
    warnings: &mut Vec<String>,
) -> Result<(), CgroupError> {
    let DevicePolicy::Listed(extra) = policy else {
        return Ok(());
    };
    let Some(directory) = cgroup.v1_directory("devices") else {
        if let Err(reason) = apply_v2(cgroup, extra) {
            warnings.push(format!(
                "the use of device nodes is not restricted: {reason}"
            ));
        }
        return Ok(());
    };
    let failed = |value: &str, source: io::Error| CgroupError::Limit {
        limit: "devices",
        path: directory.to_owned(),
        value: value.to_owned(),
        source,
    };
    control::write(&directory.join("devices.deny"), "a").map_err(|error| failed("none", error))?;
    let allow = directory.join("devices.allow");
    for line in DevicePolicy::rules(extra).iter().map(v1_line) {
        match control::write(&allow, &line) {
            // The group that we live in does not have it itself: nested containers.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => warnings.push(format!(
                "device rule `{line}` has no effect: the parent control group does not permit it"
            )),
            Err(error) => return Err(failed(&line, error)),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Attaches a program to the v2 group; on failure says why the kernel does not let us.
fn apply_v2(cgroup: &Cgroup, extra: &[DeviceRule]) -> Result<(), String> {
    let group = cgroup
        .v2
        .as_ref()
        .ok_or("this host has no control groups that could")?;
    let program =
        sys::bpf::load_device_program(&device_program::program(&DevicePolicy::rules(extra)))
            .map_err(|errno| format!("load a device program: {errno}"))?;
    let directory = fs::File::open(&group.path).map_err(|error| error.to_string())?;
    sys::bpf::attach_device_program(directory.as_fd(), program.as_fd()).map_err(|errno| {
        format!(
            "attach a device program to `{}`: {errno}",
            group.path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_list_is_dockers() {
        let extra = DeviceRule {
            kind: DeviceKind::Block,
            major: Some(8),
            minor: Some(0),
            access: DeviceAccess {
                read: true,
                write: false,
                make: false,
            },
        };
        let lines = DevicePolicy::rules(&[extra])
            .iter()
            .map(v1_line)
            .collect::<Vec<_>>();
        assert_eq!(
            lines,
            [
                "c *:* m",
                "b *:* m",
                "c 136:* rwm",
                "c 1:3 rwm",
                "c 1:5 rwm",
                "c 1:7 rwm",
                "c 1:8 rwm",
                "c 1:9 rwm",
                "c 5:0 rwm",
                "c 5:1 rwm",
                "c 5:2 rwm",
                "b 8:0 r",
            ]
        );
    }
}
