//! Records in OSV's format (ossf.github.io/osv-schema, 1.7), as far as judging a package takes.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

/// The little of a record that tells whether it is of interest: all of a database is read as far as this.
#[derive(Debug, Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) modified: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) withdrawn: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) affected: Vec<AffectedHead<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AffectedHead<'a> {
    /// Absent where only a git repository is named.
    #[serde(borrow, default)]
    pub(super) package: Option<PackageHead<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PackageHead<'a> {
    #[serde(borrow)]
    pub(super) ecosystem: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
}

/// A record that names a package of the image.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    #[serde(default)]
    pub(super) modified: String,
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    /// What a distribution's record is about.
    #[serde(default)]
    pub(super) upstream: Vec<String>,
    #[serde(default)]
    pub(super) summary: String,
    #[serde(default)]
    pub(super) severity: Vec<Score>,
    #[serde(default)]
    pub(super) affected: Vec<Affected>,
    #[serde(default)]
    pub(super) database_specific: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct Score {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) score: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Affected {
    #[serde(default)]
    pub(super) package: Option<Named>,
    #[serde(default)]
    pub(super) ranges: Vec<Range>,
    #[serde(default)]
    pub(super) versions: Vec<String>,
    #[serde(default)]
    pub(super) severity: Vec<Score>,
    #[serde(default)]
    pub(super) ecosystem_specific: Value,
    #[serde(default)]
    pub(super) database_specific: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) ecosystem: String,
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Range {
    /// SEMVER, ECOSYSTEM or GIT.
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) events: Vec<Event>,
}

/// One of its fields is set.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(default)]
    pub(super) introduced: Option<String>,
    #[serde(default)]
    pub(super) fixed: Option<String>,
    #[serde(default)]
    pub(super) last_affected: Option<String>,
}
