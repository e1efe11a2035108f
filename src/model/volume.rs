//! Volumes: the record of a directory that holds data.

use std::path::PathBuf;

use compose_spec::model::{ProjectName, Volume};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Docker's label of volumes that nobody named.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// `volumes/<name>/volume.json`; the data is in `volumes/<name>/_data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Schema version.
    pub version: u32,
    /// Full name: `shop_data`; 64 hexadecimal digits for an anonymous one.
    pub name: String,
    /// The project it belongs to; `None` = made by hand.
    pub project: Option<ProjectName>,
    /// Its key in the Compose file; `None` = anonymous.
    pub key: Option<String>,
    /// The volume as it was wanted when it was made; `None` = anonymous.
    pub wanted: Option<Volume>,
    /// When it was made.
    pub created: Timestamp,
    /// Nothing removes it until `stack volume unprotect`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
}

impl VolumeRecord {
    /// The schema version that this build writes.
    pub const VERSION: u32 = 1;

    /// Tells whether nobody named it: a mount without a source, a VOLUME of an image, or `stack volume create` without a name.
    pub fn is_anonymous(&self) -> bool {
        let is_marked = |wanted: &Volume| wanted.labels.contains_key(ANONYMOUS_LABEL);
        self.key.is_none() && self.wanted.as_ref().is_none_or(is_marked)
    }

    /// Tells whether the Compose file forbids the removal of a volume: `x-stack: {protect: true}`.
    ///
    /// # Errors
    ///
    /// The value when it is neither true nor false.
    pub fn wants_protection(volume: &Volume) -> Result<bool, String> {
        let section = volume.extensions.get("x-stack");
        match section.and_then(|section| section.get("protect")) {
            None => Ok(false),
            Some(serde_json::Value::Bool(protect)) => Ok(*protect),
            Some(other) => Err(other.to_string()),
        }
    }

    /// Returns its labels as others see them: the user's own, and Compose's.
    pub fn all_labels(&self) -> IndexMap<String, String> {
        let wanted = self.wanted.as_ref();
        let mut labels = wanted.map_or_else(IndexMap::new, |wanted| wanted.labels.clone());
        let mut add = |name: &str, value: String| {
            labels.insert(name.to_owned(), value);
        };
        if let Some(project) = &self.project {
            add("com.docker.compose.project", project.to_string());
        }
        match &self.key {
            Some(key) => add("com.docker.compose.volume", key.clone()),
            None if wanted.is_none() => add(ANONYMOUS_LABEL, String::new()),
            None => {}
        }
        labels
    }

    /// Tells whether a text can be the name of a volume (Docker's rule): it is also the name of a directory.
    pub fn is_name(text: &str) -> bool {
        text.len() <= 255
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
    }
}

/// Where the data of a volume lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backing {
    /// In the volume's own directory.
    Local,
    /// In a directory of the host (`driver_opts` of `type: none, o: bind`); `_data` is a symlink to it.
    Bind(PathBuf),
    /// In a file system that is mounted on `_data` while a container has the volume.
    Mount(VolumeMount),
}

/// A file system, as mount(8) would be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    /// `tmpfs`, `nfs`, `ext4`, …; `bind` or `rbind` for a directory of the host that is mounted a second time, with other attributes.
    pub filesystem: String,
    /// A block device, an export of a server, a directory; any word for `tmpfs`.
    pub device: String,
    /// Options in their order, without that of the server: name, and value where there is one.
    pub options: Vec<(String, Option<String>)>,
    /// Name or address of the server of a network file system.
    pub server: Option<String>,
}

/// Mount options that a bound volume may have, beside those that say what is so anyway: attributes of a mount, not of a file system.
pub const BIND_OPTIONS: [&str; 7] = [
    "ro",
    "nosuid",
    "nodev",
    "noexec",
    "noatime",
    "nodiratime",
    "strictatime",
];
/// Mount options that say what is so without them, or are for mount(8) itself.
pub const IDLE_OPTIONS: [&str; 13] = [
    "rw", "suid", "dev", "exec", "async", "atime", "diratime", "relatime", "defaults", "auto",
    "noauto", "nofail", "_netdev",
];

impl VolumeMount {
    /// Tells whether it is a directory of the host, and no file system of its own.
    pub fn is_bind(&self) -> bool {
        matches!(self.filesystem.as_str(), "bind" | "rbind")
    }

    /// Reads what the `local` driver is told of a directory of the host.
    fn parse_bind(flags: &str, device: &str) -> Result<Backing, String> {
        if !device.starts_with('/') {
            return Err(format!(
                "`{device}` as the device of a bound volume: it must be an absolute path"
            ));
        }
        let (mut filesystem, mut options) = ("bind", Vec::new());
        for flag in flags.split(',') {
            match flag {
                "bind" | "" => {}
                "rbind" => filesystem = "rbind",
                flag if IDLE_OPTIONS.contains(&flag) => {}
                flag if BIND_OPTIONS.contains(&flag) => options.push((flag.to_owned(), None)),
                flag => return Err(format!("mount option `{flag}` of a bound volume")),
            }
        }
        if options.is_empty() {
            return Ok(Backing::Bind(device.into()));
        }
        Ok(Backing::Mount(Self {
            filesystem: filesystem.to_owned(),
            device: device.to_owned(),
            options,
            server: None,
        }))
    }

    /// Reads what the `local` driver is told of a file system.
    fn parse(kind: &str, flags: &str, device: &str) -> Result<Self, String> {
        let is_nfs = matches!(kind, "nfs" | "nfs4");
        let is_cifs = matches!(kind, "cifs" | "smb3");
        let mut server = None;
        let mut options = Vec::new();
        for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            match name {
                "addr" if is_nfs || is_cifs => server = value,
                "bind" | "rbind" | "move" | "remount" => {
                    return Err(format!(
                        "mount option `{name}` of a volume of type `{kind}`"
                    ));
                }
                _ => options.push((name.to_owned(), value)),
            }
        }
        if is_nfs {
            let (host, _path) = device.split_once(":/").ok_or_else(|| {
                format!("`{device}` as the device of an NFS volume: it has the form `:/PATH` or `SERVER:/PATH`")
            })?;
            server = server.or_else(|| Some(host.to_owned()));
        } else if is_cifs {
            let share = device
                .strip_prefix("//")
                .and_then(|rest| rest.split_once('/'));
            let (host, _) = share.ok_or_else(|| {
                format!(
                    "`{device}` as the device of a CIFS volume: it has the form `//SERVER/SHARE`"
                )
            })?;
            server = server.or_else(|| Some(host.to_owned()));
        }
        if (is_nfs || is_cifs) && server.as_deref().unwrap_or_default().is_empty() {
            return Err("a network volume without `addr=SERVER` among its options".to_owned());
        }
        if device.is_empty() && kind != "tmpfs" {
            return Err(format!("a volume of type `{kind}` without a device"));
        }
        Ok(Self {
            filesystem: kind.to_owned(),
            device: if device.is_empty() { kind } else { device }.to_owned(),
            options,
            server: server.map(|server| server.trim_matches(['[', ']']).to_owned()),
        })
    }
}

/// A kind of volume that stack cannot make.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not supported")]
pub struct UnsupportedBacking {
    /// `driver` or `driver_opts`.
    pub field: &'static str,
    /// What.
    pub what: String,
}

impl Backing {
    /// Tells where the data of a volume lies, from its driver and options (those of Docker's `local` driver).
    pub fn of(volume: &Volume) -> Result<Self, UnsupportedBacking> {
        let unsupported = |field, what: String| Err(UnsupportedBacking { field, what });
        match volume.driver.as_deref() {
            None | Some("" | "local") => {}
            Some(other) => return unsupported("driver", format!("volume driver `{other}`")),
        }
        let option = |name| volume.driver_opts.get(name).map_or("", String::as_str);
        for name in volume.driver_opts.keys() {
            if !matches!(name.as_str(), "type" | "o" | "device") {
                return unsupported("driver_opts", format!("volume option `{name}`"));
            }
        }
        let (kind, flags, device) = (option("type"), option("o"), option("device"));
        let is_bind = flags
            .split(',')
            .any(|flag| matches!(flag, "bind" | "rbind"));
        match kind {
            "" | "none" if volume.driver_opts.is_empty() => Ok(Self::Local),
            "" | "none" | "bind" if is_bind => VolumeMount::parse_bind(flags, device)
                .or_else(|what| unsupported("driver_opts", what)),
            "" | "none" => unsupported(
                "driver_opts",
                "a volume with options but without `o: bind`".to_owned(),
            ),
            kind => VolumeMount::parse(kind, flags, device)
                .map(Self::Mount)
                .or_else(|what| unsupported("driver_opts", what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[(&str, &str)]) -> Result<Backing, String> {
        let pairs = options
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Backing::of(&Volume {
            name: "x".to_owned(),
            external: false,
            driver: None,
            driver_opts: pairs.collect(),
            labels: IndexMap::new(),
            extensions: IndexMap::new(),
        })
        .map_err(|unsupported| unsupported.what)
    }

    #[test]
    fn options_say_what_is_mounted_as_with_docker() {
        let mount = |filesystem: &str, device: &str, options: &[(&str, Option<&str>)], server| {
            let owned = options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
            Ok(Backing::Mount(VolumeMount {
                filesystem: filesystem.to_owned(),
                device: device.to_owned(),
                options: owned.collect(),
                server: Option::<&str>::map(server, str::to_owned),
            }))
        };
        let size = [("size", Some("1m")), ("uid", Some("5")), ("noexec", None)];
        for (kind, o, device, expected) in [
            (
                "tmpfs",
                "size=1m,uid=5,noexec",
                "tmpfs",
                mount("tmpfs", "tmpfs", &size, None),
            ),
            ("tmpfs", "", "", mount("tmpfs", "tmpfs", &[], None)),
            (
                "ext4",
                "ro",
                "/dev/sdb1",
                mount("ext4", "/dev/sdb1", &[("ro", None)], None),
            ),
            (
                "nfs",
                "addr=nas.local,rw,nfsvers=4",
                ":/export",
                mount(
                    "nfs",
                    ":/export",
                    &[("rw", None), ("nfsvers", Some("4"))],
                    Some("nas.local"),
                ),
            ),
            (
                "nfs4",
                "",
                "[fd00::1]:/e",
                mount("nfs4", "[fd00::1]:/e", &[], Some("fd00::1")),
            ),
            (
                "cifs",
                "username=a,password=b=c",
                "//nas/share",
                mount(
                    "cifs",
                    "//nas/share",
                    &[("username", Some("a")), ("password", Some("b=c"))],
                    Some("nas"),
                ),
            ),
        ] {
            assert_eq!(
                of(&[("type", kind), ("o", o), ("device", device)]),
                expected
            );
        }
    }

    #[test]
    fn a_directory_is_only_mounted_where_an_option_asks_for_it() {
        for plain in ["bind", "rbind,rw", "rw,bind,defaults", "bind,"] {
            let bound = of(&[("type", "none"), ("o", plain), ("device", "/x")]);
            assert_eq!(bound, Ok(Backing::Bind("/x".into())), "{plain}");
        }
        for (o, filesystem, options) in [
            ("bind,ro", "bind", &["ro"][..]),
            (
                "noexec,rbind,rw,nosuid,nodev",
                "rbind",
                &["noexec", "nosuid", "nodev"],
            ),
        ] {
            let options = options.iter().map(|option| ((*option).to_owned(), None));
            let expected = VolumeMount {
                filesystem: filesystem.to_owned(),
                device: "/x".to_owned(),
                options: options.collect(),
                server: None,
            };
            let bound = of(&[("type", "none"), ("o", o), ("device", "/x")]);
            assert_eq!(bound, Ok(Backing::Mount(expected)), "{o}");
        }
    }

    #[test]
    fn what_cannot_be_mounted_is_refused_with_its_reason() {
        for (kind, o, device, reason) in [
            ("nfs", "", ":/export", "addr=SERVER"),
            ("nfs", "addr=nas", "/export", "SERVER:/PATH"),
            ("cifs", "", "share", "//SERVER/SHARE"),
            ("ext4", "", "", "without a device"),
            ("ext4", "bind", "/dev/sdb", "`bind`"),
            ("none", "", "/x", "without `o: bind`"),
            ("none", "bind", "x", "absolute"),
            ("none", "bind,size=1m", "/x", "`size=1m`"),
            ("none", "bind,bogus", "/x", "`bogus`"),
        ] {
            let refused = of(&[("type", kind), ("o", o), ("device", device)]).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
        assert!(of(&[("size", "1")]).unwrap_err().contains("`size`"));
    }
}
