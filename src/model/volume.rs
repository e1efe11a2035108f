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
            "" | "none" | "bind" if is_bind => {
                let known = |flag| matches!(flag, "bind" | "rbind" | "rw" | "");
                if let Some(flag) = flags.split(',').find(|flag| !known(*flag)) {
                    return unsupported(
                        "driver_opts",
                        format!("mount option `{flag}` of a bound volume"),
                    );
                }
                if !device.starts_with('/') {
                    return unsupported(
                        "driver_opts",
                        format!(
                            "`{device}` as the device of a bound volume: it must be an absolute path"
                        ),
                    );
                }
                Ok(Self::Bind(device.into()))
            }
            "" | "none" => unsupported(
                "driver_opts",
                "a volume with options but without `o: bind`".to_owned(),
            ),
            other => unsupported("driver_opts", format!("a volume of type `{other}`")),
        }
    }
}
