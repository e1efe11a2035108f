//! Known vulnerabilities of an image's packages, from records in OSV's format that the user has on disk.
//!
//! ```text
//! inventory -> scopes: (ecosystem, name) that records may speak of
//! database  -> records, streamed; those that name a package of a scope are judged -> matches -> findings, one a package and CVE
//! ```
//! Nothing is downloaded. What surprises: "no findings" is only said of packages whose ecosystem the database has records of;
//! the others are *not covered*, and a database that covers none of an image's packages is an error, not a clean result.

mod cvss;
mod database;
mod ecosystem;
mod finding;
mod frames;
mod ignore;
mod judge;
mod range;
mod record;
mod sarif;
mod severity;
mod version;

use serde::Serialize;

use crate::inventory::Inventory;

pub use database::{DatabaseError, DatabaseFacts};
pub use finding::Finding;
pub use ignore::{IgnoreError, IgnoreList};
pub use sarif::document as sarif;
pub use severity::Severity;

use std::path::Path;

/// A group of packages that the same records speak of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cover {
    /// The ecosystem in OSV's words: `Debian:12`; of distributions that OSV does not have, their name.
    pub ecosystem: String,
    /// Packages of the image in it.
    pub packages: usize,
    /// Records of the database about it; 0 = nothing can be said of these packages.
    pub records: u64,
}

/// What a scan found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Vulnerabilities, the most severe first.
    pub findings: Vec<Finding>,
    /// What the database covers of the image.
    pub covers: Vec<Cover>,
    /// What the database is.
    pub database: DatabaseFacts,
    /// Packages with a version that could not be compared with a record that names them: `name version (record)`.
    pub undecided: Vec<String>,
}

impl Report {
    /// Counts packages that no record of the database could speak of.
    pub fn packages_not_covered(&self) -> usize {
        let uncovered = self.covers.iter().filter(|cover| cover.records == 0);
        uncovered.map(|cover| cover.packages).sum()
    }

    /// Counts packages that records could speak of.
    pub fn packages_covered(&self) -> usize {
        let covered = self.covers.iter().filter(|cover| cover.records > 0);
        covered.map(|cover| cover.packages).sum()
    }
}

/// Compares the packages of an inventory with the records at a path: a file (JSON, several JSON documents, ZIP) or a directory of
/// such files.
pub fn scan(inventory: &Inventory, path: &Path) -> Result<Report, DatabaseError> {
    let scopes = ecosystem::scopes(inventory);
    let mut matches = judge::Matches::new(inventory, &scopes);
    let facts = database::read(path, &mut |bytes| matches.take(bytes))?;
    Ok(matches.end(facts))
}

#[cfg(test)]
mod tests;
