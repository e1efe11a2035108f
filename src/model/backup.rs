//! What is said about volumes in an archive of them.
//!
//! ```text
//! backup.json               BackupHead: the first member
//! volumes/<name>/           the data, with the attributes of the volume's own directory
//! summary.json              BackupSummary: the last member
//! ```
//!
//! The archive is one tar stream (POSIX pax, holes as GNU tar writes them), compressed with zstd: `tar --zstd -x` unpacks it.

use compose_spec::model::ProjectName;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Digest, Timestamp, VolumeRecord};

/// `backup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHead {
    /// Version of the form.
    pub format: u32,
    /// Version of the stack that wrote it.
    pub stack: String,
    /// When it was begun.
    pub created: Timestamp,
    /// Names of the containers that were frozen meanwhile.
    pub frozen: Vec<String>,
    /// Names of the containers that ran on, and may have written while their volumes were read.
    pub running: Vec<String>,
    /// What is in it.
    pub volumes: Vec<BackedUpVolume>,
}

impl BackupHead {
    /// The version of the form that this build writes, and the highest that it reads.
    pub const FORMAT: u32 = 1;
    /// Name of its member.
    pub const MEMBER: &'static str = "backup.json";
}

/// One volume of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUpVolume {
    /// Its name.
    pub name: String,
    /// The project that it belongs to.
    pub project: Option<ProjectName>,
    /// Its key in the project's file.
    pub key: Option<String>,
    /// Its own labels.
    pub labels: IndexMap<String, String>,
    /// Options of its driver; the restored volume does not get them, its data lies in a directory of its own.
    pub driver_opts: IndexMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
}

impl From<&VolumeRecord> for BackedUpVolume {
    fn from(record: &VolumeRecord) -> Self {
        let wanted = record.wanted.as_ref();
        Self {
            name: record.name.clone(),
            project: record.project.clone(),
            key: record.key.clone(),
            labels: wanted.map_or_else(IndexMap::new, |wanted| wanted.labels.clone()),
            driver_opts: wanted
                .map_or_else(IndexMap::new, |wanted| without_secrets(&wanted.driver_opts)),
            created: record.created,
        }
    }
}

/// Returns options without the passwords of network file systems: archives go to places that must not know them.
fn without_secrets(options: &IndexMap<String, String>) -> IndexMap<String, String> {
    let hidden = |flag: &str| match flag.split_once('=') {
        Some((name @ ("password" | "pass" | "password2"), _)) => format!("{name}=***"),
        _ => flag.to_owned(),
    };
    let cleaned = options.iter().map(|(key, value)| {
        let value = if key == "o" {
            let flags: Vec<String> = value.split(',').map(hidden).collect();
            flags.join(",")
        } else {
            value.clone()
        };
        (key.clone(), value)
    });
    cleaned.collect()
}

/// `summary.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSummary {
    /// What was written of each volume.
    pub volumes: Vec<BackupCount>,
    /// SHA-256 of the uncompressed archive up to this member.
    pub digest: Digest,
}

impl BackupSummary {
    /// Name of its member.
    pub const MEMBER: &'static str = "summary.json";
}

/// How much of a volume is in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupCount {
    /// Its name.
    pub name: String,
    /// Files, directories and links, its own directory among them.
    pub entries: u64,
    /// Bytes of files, holes included.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_do_not_travel_with_an_archive() {
        let options = [
            ("type", "cifs"),
            ("o", "username=a,password=hunter2,pass=x=y,ro"),
        ];
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let cleaned = without_secrets(&options.into());
        assert_eq!(cleaned["o"], "username=a,password=***,pass=***,ro");
        assert_eq!(cleaned["type"], "cifs");
    }
}
