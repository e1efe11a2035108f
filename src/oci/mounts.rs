//! Mounts of a bundle. Those that every container of ours has anyway (/proc, /dev, the control groups) are left to the runtime.

use runtime::spec::{ExactMount, ExactSource, Mount, MountKind, Propagation};

use super::{config, map::MapError};

/// Maps the list, in its order.
pub(super) fn map(
    described: &[config::Mount],
    warnings: &mut Vec<String>,
) -> Result<Vec<Mount>, MapError> {
    let mut mounts = Vec::new();
    for mount in described {
        if !is_ours(mount) {
            mounts.push(map_one(mount, warnings)?);
        }
    }
    Ok(mounts)
}

/// The runtime makes these itself, in a way that no image can disturb.
fn is_ours(mount: &config::Mount) -> bool {
    let target = mount.destination.trim_end_matches('/');
    matches!(
        (target, mount.kind.as_str()),
        ("/proc", "proc") | ("/dev", "tmpfs") | ("/sys/fs/cgroup", "cgroup" | "cgroup2")
    )
}

fn map_one(mount: &config::Mount, warnings: &mut Vec<String>) -> Result<Mount, MapError> {
    let value = |value: &str, reason| MapError::Value {
        property: "mounts",
        value: format!("{} {value}", mount.destination),
        reason,
    };
    let target = if mount.destination.starts_with('/') {
        mount.destination.clone()
    } else {
        // Relative destinations are deprecated, and start at the root.
        format!("/{}", mount.destination)
    };
    let options = Options::parse(&mount.options)
        .map_err(|option| value(option, "has an option that this runtime does not know"))?;
    let is_bind = options.bind.is_some() || mount.kind == "bind";
    let source = if is_bind {
        // mount(2) ignores them too.
        warnings.extend(options.data.iter().map(|(key, _)| {
            format!("option `{key}` of the bind mount on `{target}` has no effect: it is for filesystems")
        }));
        ExactSource::Bind {
            path: mount.source.clone().into(),
            recursive: options.bind == Some(Bind::Recursive),
        }
    } else if mount.kind.is_empty() {
        return Err(value("", "has no type"));
    } else {
        ExactSource::Filesystem {
            kind: mount.kind.clone(),
            source: mount.source.clone(),
            options: options.data,
        }
    };
    Ok(Mount {
        target,
        kind: MountKind::Exact(ExactMount {
            source,
            set: options.set,
            cleared: options.cleared,
            set_below: options.set_below,
            propagation: options.propagation,
        }),
        read_only: false,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bind {
    Plain,
    Recursive,
}

/// Options of one mount, sorted by what they mean.
#[derive(Debug, Default)]
struct Options {
    bind: Option<Bind>,
    set: Vec<String>,
    cleared: Vec<String>,
    set_below: Vec<String>,
    propagation: Option<Propagation>,
    data: Vec<(String, String)>,
}

/// Flags, and the names that clear them.
const FLAGS: [(&str, &str); 8] = [
    ("ro", "rw"),
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("noexec", "exec"),
    ("noatime", "atime"),
    ("nodiratime", "diratime"),
    ("strictatime", "nostrictatime"),
    ("nosymfollow", "symfollow"),
];

/// Reads a propagation by its name in mount(8).
pub(super) fn propagation(text: &str) -> Option<Propagation> {
    Some(match text {
        "private" => Propagation::Private,
        "rprivate" => Propagation::Rprivate,
        "slave" => Propagation::Slave,
        "rslave" => Propagation::Rslave,
        "shared" => Propagation::Shared,
        "rshared" => Propagation::Rshared,
        "unbindable" => Propagation::Unbindable,
        "runbindable" => Propagation::Runbindable,
        _ => return None,
    })
}

impl Options {
    /// Sorts options, or returns the first that cannot be had.
    fn parse(options: &[String]) -> Result<Self, &str> {
        let mut parsed = Self::default();
        for option in options {
            parsed.add(option)?;
        }
        Ok(parsed)
    }

    fn add<'a>(&mut self, option: &'a str) -> Result<(), &'a str> {
        if let Some((flag, _)) = FLAGS.iter().find(|(flag, _)| *flag == option) {
            self.cleared.retain(|cleared| cleared != flag);
            self.set.push((*flag).to_owned());
            return Ok(());
        }
        if let Some((flag, _)) = FLAGS.iter().find(|(_, opposite)| *opposite == option) {
            self.set.retain(|set| set != flag);
            self.cleared.push((*flag).to_owned());
            return Ok(());
        }
        // `rro`, `rnosuid`, …: on everything below too.
        if let Some((flag, _)) = FLAGS
            .iter()
            .find(|(flag, _)| option.strip_prefix('r') == Some(flag))
        {
            self.set_below.push((*flag).to_owned());
            return Ok(());
        }
        if let Some(propagation) = propagation(option) {
            self.propagation = Some(propagation);
            return Ok(());
        }
        match option {
            "bind" => self.bind = Some(Bind::Plain),
            "rbind" => self.bind = Some(Bind::Recursive),
            // How it is without any option, and what is only for /etc/fstab.
            "defaults" | "relatime" | "norelatime" | "async" | "loud" | "nomand" => {}
            "idmap" | "ridmap" | "tmpcopyup" | "copy-symlink" | "remount" | "sync" | "dirsync"
            | "mand" | "silent" | "iversion" | "noiversion" | "rrw" | "rsuid" | "rdev"
            | "rexec" | "ratime" | "rdiratime" | "rsymfollow" | "rrelatime" => {
                return Err(option);
            }
            "" => {}
            data => {
                let (key, value) = data.split_once('=').unwrap_or((data, ""));
                self.data.push((key.to_owned(), value.to_owned()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> config::Mount {
        config::Mount {
            destination: destination.into(),
            kind: kind.into(),
            source: source.into(),
            options: options.iter().map(ToString::to_string).collect(),
        }
    }

    fn exact(described: config::Mount) -> ExactMount {
        let mounts = map(&[described], &mut Vec::new()).unwrap();
        match &mounts[..] {
            [
                Mount {
                    kind: MountKind::Exact(exact),
                    ..
                },
            ] => exact.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_runtime_has_anyway_is_left_to_it() {
        let ours = [
            mount("/proc", "proc", "proc", &[]),
            mount("/dev/", "tmpfs", "tmpfs", &["nosuid"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]),
        ];
        let mut warnings = Vec::new();
        assert_eq!(map(&ours, &mut warnings), Ok(vec![]));
        let other = [mount("/dev", "bind", "/x", &["size=1"])];
        assert_eq!(map(&other, &mut warnings).unwrap().len(), 1);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("`size`"), "{warnings:?}");
    }

    #[test]
    fn options_are_flags_propagation_or_data_and_the_last_one_counts() {
        let found = exact(mount(
            "/t",
            "tmpfs",
            "tmpfs",
            &[
                "nosuid", "suid", "ro", "rslave", "mode=755", "relatime", "rnodev",
            ],
        ));
        assert_eq!(found.set, ["ro"]);
        assert_eq!(found.cleared, ["nosuid"]);
        assert_eq!(found.set_below, ["nodev"]);
        assert_eq!(found.propagation, Some(Propagation::Rslave));
        let ExactSource::Filesystem { options, .. } = found.source else {
            panic!("{found:?}");
        };
        assert_eq!(options, [("mode".to_owned(), "755".to_owned())]);
    }

    #[test]
    fn a_bind_is_one_by_type_or_by_option() {
        for (kind, options, wanted) in [
            ("bind", &[][..], false),
            ("bind", &["rbind"], true),
            ("", &["bind"], false),
            ("none", &["rbind", "ro"], true),
        ] {
            let found = exact(mount("/b", kind, "/s", options));
            let ExactSource::Bind { recursive, .. } = found.source else {
                panic!("{found:?}");
            };
            assert_eq!(recursive, wanted, "{kind} {options:?}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        for (kind, options) in [
            ("bind", &["idmap"][..]),
            ("tmpfs", &["tmpcopyup"]),
            ("", &[]),
        ] {
            let described = [mount("/x", kind, "/s", options)];
            let error = map(&described, &mut Vec::new()).unwrap_err();
            assert!(error.to_string().contains("/x"), "{error}");
        }
    }
}
