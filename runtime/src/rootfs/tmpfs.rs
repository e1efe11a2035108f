//! Options of a tmpfs: what goes to the filesystem, and what to the mount.

use std::borrow::Cow;

use rustix::io::Errno;

use super::mounts::{Source, settings};
use crate::namespaces::users::Users;
use crate::sys::mount::{
    Attributes, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, RDONLY, STRICTATIME,
};

/// Options that tmpfs itself takes, with a value.
const KEYS: [&str; 7] = [
    "gid",
    "huge",
    "mode",
    "nr_blocks",
    "nr_inodes",
    "size",
    "uid",
];

/// Options of a tmpfs, split.
///
/// As in Docker, a tmpfs has no devices, set-id programs or programs at all unless `dev`, `suid` or `exec` asks for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TmpfsOptions {
    /// Key and value for the filesystem.
    pub settings: Vec<(String, String)>,
    /// Flags of the mount.
    pub attributes: Attributes,
}

impl TmpfsOptions {
    /// Splits options, or returns the first that is unknown.
    pub fn parse(options: &[String]) -> Result<Self, &str> {
        let mut settings = Vec::new();
        let mut attributes = NODEV | NOSUID | NOEXEC;
        for option in options {
            if let Some((key, value)) = option.split_once('=') {
                let is_value = !value.is_empty()
                    && value
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '%' | '_'));
                if !KEYS.contains(&key) || !is_value {
                    return Err(option);
                }
                settings.push((key.to_owned(), value.to_owned()));
                continue;
            }
            match option.as_str() {
                "ro" => attributes |= RDONLY,
                "rw" => attributes -= RDONLY,
                "nosuid" => attributes |= NOSUID,
                "suid" => attributes -= NOSUID,
                "nodev" => attributes |= NODEV,
                "dev" => attributes -= NODEV,
                "noexec" => attributes |= NOEXEC,
                "exec" => attributes -= NOEXEC,
                "noatime" => attributes = (attributes - STRICTATIME) | NOATIME,
                "nodiratime" => attributes |= NODIRATIME,
                "strictatime" => attributes = (attributes - NOATIME) | STRICTATIME,
                "relatime" => attributes -= NOATIME | STRICTATIME,
                "private" | "rprivate" => {}
                _ => return Err(option),
            }
        }
        Ok(Self {
            settings,
            attributes,
        })
    }
}

/// Splits the options; owners become the host's users that they are. `None` for an owner whom the container does not have.
pub(crate) fn outside(options: &[String], users: Option<&Users>) -> Option<TmpfsOptions> {
    let mut options = TmpfsOptions::parse(options).ok()?;
    let Some(users) = users else {
        return Some(options);
    };
    for (key, value) in &mut options.settings {
        let outside = match key.as_str() {
            "uid" => users.map().uid(value.parse().ok()?),
            "gid" => users.map().gid(value.parse().ok()?),
            _ => continue,
        };
        *value = outside?.to_string();
    }
    Some(options)
}

/// Describes a tmpfs.
pub(crate) fn source(
    size_bytes: Option<u64>,
    mode: u32,
    options: &TmpfsOptions,
    is_read_only: bool,
) -> Result<Source, Errno> {
    let mut pairs = vec![("mode", format!("{mode:o}"))];
    pairs.extend(size_bytes.map(|size| ("size", size.to_string())));
    pairs.extend(
        options
            .settings
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone())),
    );
    let mut attributes = options.attributes;
    attributes.set(RDONLY, is_read_only || attributes.contains(RDONLY));
    Ok(Source::New {
        filesystem: Cow::Borrowed(c"tmpfs"),
        settings: settings(&pairs)?,
        attributes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<TmpfsOptions, String> {
        let options: Vec<_> = options.iter().map(ToString::to_string).collect();
        TmpfsOptions::parse(&options).map_err(ToOwned::to_owned)
    }

    #[test]
    fn nothing_is_trusted_by_default() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.attributes, NODEV | NOSUID | NOEXEC);
        assert_eq!(
            parse(&["exec", "suid", "dev"]).unwrap().attributes,
            Attributes::empty()
        );
    }

    #[test]
    fn settings_go_to_the_filesystem_in_order() {
        let options = parse(&["uid=1000", "ro", "size=50%"]).unwrap();
        assert_eq!(
            options.settings,
            [("uid".into(), "1000".into()), ("size".into(), "50%".into())]
        );
        assert!(options.attributes.contains(RDONLY));
    }

    #[test]
    fn unknown_options_are_refused() {
        for option in [
            "bogus",
            "lowerdir=/etc",
            "size=",
            "size=1,mode=777",
            "mode=0 x",
            "",
        ] {
            assert_eq!(parse(&[option]), Err(option.to_owned()));
        }
    }
}
