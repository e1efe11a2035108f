//! Which records are about a version of a package: the evaluation that OSV's schema describes.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use super::{
    Cover, DatabaseFacts, Report,
    database::Taken,
    ecosystem::{Scope, normal},
    finding::{self, Match},
    record::{Affected, Event, Head, Record},
    severity,
    version::Order,
};
use crate::inventory::Inventory;

/// Undecided comparisons that are named.
const UNDECIDED_MAX: usize = 1000;

/// A package by a name that records use.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    scope: usize,
    package: usize,
    version: &'a str,
}

/// Takes records and keeps those that are about packages of the image.
pub(super) struct Matches<'a> {
    inventory: &'a Inventory,
    scopes: &'a [Scope],
    wanted: HashMap<String, Vec<Wanted<'a>>>,
    /// Records about each scope.
    records: Vec<u64>,
    /// By package and id of the record: a database may have a record in several files.
    found: BTreeMap<(usize, String), Match>,
    undecided: BTreeSet<String>,
}

impl<'a> Matches<'a> {
    pub(super) fn new(inventory: &'a Inventory, scopes: &'a [Scope]) -> Self {
        let mut wanted: HashMap<String, Vec<Wanted<'a>>> = HashMap::new();
        for (package, found) in inventory.packages.iter().enumerate() {
            for (number, scope) in scopes.iter().enumerate() {
                if scope.kind != found.kind {
                    continue;
                }
                for (name, version) in scope.names(found) {
                    wanted.entry(name).or_default().push(Wanted {
                        scope: number,
                        package,
                        version,
                    });
                }
            }
        }
        Self {
            inventory,
            scopes,
            wanted,
            records: vec![0; scopes.len()],
            found: BTreeMap::new(),
            undecided: BTreeSet::new(),
        }
    }

    /// Takes a document of a database.
    pub(super) fn take(&mut self, document: &[u8]) -> Taken {
        let head: Head<'_> = match serde_json::from_slice(document) {
            Ok(head) => head,
            Err(error) => return Taken::Other(format!("a document is no OSV record: {error}")),
        };
        let modified = head.modified.clone().into_owned();
        let is_of_interest = self.look(&head);
        if !is_of_interest || head.withdrawn.is_some() {
            return Taken::Record { modified };
        }
        match serde_json::from_slice::<Record>(document) {
            Ok(record) => {
                self.judge(&record);
                Taken::Record { modified }
            }
            Err(error) => Taken::Other(format!("record `{}`: {error}", head.id)),
        }
    }

    /// Counts a record for the scopes that it is about, and tells whether it names a package of the image.
    fn look(&mut self, head: &Head<'_>) -> bool {
        let mut is_of_interest = false;
        for (number, scope) in self.scopes.iter().enumerate() {
            let named = head
                .affected
                .iter()
                .filter_map(|affected| affected.package.as_ref());
            let mut covered = named
                .filter(|named| scope.covers(&named.ecosystem))
                .peekable();
            if covered.peek().is_none() {
                continue;
            }
            self.records[number] += 1;
            is_of_interest |= covered.any(|named| {
                let wanted = self.wanted.get(&normal(scope.kind, &named.name));
                wanted.is_some_and(|wanted| wanted.iter().any(|wanted| wanted.scope == number))
            });
        }
        is_of_interest
    }

    fn judge(&mut self, record: &Record) {
        let mut undecided = Vec::new();
        for affected in &record.affected {
            let Some(named) = &affected.package else {
                continue;
            };
            for (number, scope) in self.scopes.iter().enumerate() {
                if !scope.covers(&named.ecosystem) {
                    continue;
                }
                let name = normal(scope.kind, &named.name);
                let wanted = self
                    .wanted
                    .get(&name)
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                for wanted in wanted.iter().filter(|wanted| wanted.scope == number) {
                    match verdict(affected, wanted.version, scope.order) {
                        Verdict::Affected { fixed } => {
                            let key = (wanted.package, record.id.clone());
                            let found = matched(record, affected, fixed, scope.order);
                            let newer = (self.found.get(&key))
                                .is_none_or(|known| known.modified <= found.modified);
                            if newer {
                                self.found.insert(key, found);
                            }
                        }
                        Verdict::NotAffected => {}
                        Verdict::Undecided => undecided.push((wanted.package, wanted.version)),
                    }
                }
            }
        }
        for (package, version) in undecided {
            let is_found = self.found.contains_key(&(package, record.id.clone()));
            if !is_found && self.undecided.len() < UNDECIDED_MAX {
                let name = &self.inventory.packages[package].name;
                self.undecided
                    .insert(format!("{name} {version} ({})", record.id));
            }
        }
    }

    /// Ends the scan.
    pub(super) fn end(self, database: DatabaseFacts) -> Report {
        let packages = &self.inventory.packages;
        let covers = self.scopes.iter().zip(&self.records);
        let covers = covers.map(|(scope, records)| Cover {
            ecosystem: scope.label.clone(),
            packages: packages
                .iter()
                .filter(|package| package.kind == scope.kind)
                .count(),
            records: *records,
        });
        Report {
            covers: covers.collect(),
            findings: finding::merge(self.inventory, self.found),
            database,
            undecided: self.undecided.into_iter().collect(),
        }
    }
}

fn matched(record: &Record, affected: &Affected, fixed: Option<String>, order: Order) -> Match {
    let (severity, score) = severity::of_record(record, affected);
    Match {
        aliases: record.aliases.clone(),
        upstream: record.upstream.clone(),
        summary: record.summary.clone(),
        modified: record.modified.clone(),
        fixed,
        order,
        severity,
        score,
    }
}

/// What a record says of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Affected {
        /// The version that ends the range the version is in.
        fixed: Option<String>,
    },
    NotAffected,
    /// A version has another form than its ecosystem's, or the record names neither versions nor ranges of them.
    Undecided,
}

fn verdict(affected: &Affected, version: &str, order: Order) -> Verdict {
    let mut is_undecided = affected.versions.is_empty();
    for range in &affected.ranges {
        if !matches!(range.kind.as_str(), "SEMVER" | "ECOSYSTEM") {
            continue;
        }
        match in_range(&range.events, version, order) {
            Some(Verdict::Affected { fixed }) => return Verdict::Affected { fixed },
            Some(_) => is_undecided = false,
            None => is_undecided = true,
        }
    }
    let listed = affected.versions.iter().any(|listed| {
        listed == version
            || order == Order::Pep440 && order.compare(listed, version) == Some(Ordering::Equal)
    });
    match (listed, is_undecided) {
        (true, _) => Verdict::Affected { fixed: None },
        (false, true) => Verdict::Undecided,
        (false, false) => Verdict::NotAffected,
    }
}

/// Walks the events of a range in the order of their versions; `None` when a version cannot be compared.
fn in_range(events: &[Event], version: &str, order: Order) -> Option<Verdict> {
    // `0` is before every version. The comparison of a version with itself fails if it has another form.
    order.compare(version, version)?;
    let mut sorted: Vec<Bound<'_>> = Vec::new();
    for event in events {
        let bound = match event {
            Event {
                introduced: Some(at),
                ..
            } => Bound {
                at,
                kind: BoundKind::Introduced,
            },
            Event {
                fixed: Some(at), ..
            } => Bound {
                at,
                kind: BoundKind::Fixed,
            },
            Event {
                last_affected: Some(at),
                ..
            } => Bound {
                at,
                kind: BoundKind::LastAffected,
            },
            // `limit` is of git ranges only.
            _ => continue,
        };
        if bound.at != "0" {
            order.compare(bound.at, version)?;
        }
        sorted.push(bound);
    }
    if !sorted
        .iter()
        .any(|bound| bound.kind == BoundKind::Introduced)
    {
        sorted.insert(
            0,
            Bound {
                at: "0",
                kind: BoundKind::Introduced,
            },
        );
    }
    sorted.sort_by(|a, b| match (a.at, b.at) {
        ("0", "0") => Ordering::Equal,
        ("0", _) => Ordering::Less,
        (_, "0") => Ordering::Greater,
        (a, b) => order.compare(a, b).unwrap_or(Ordering::Equal),
    });
    let reached = |at: &str| at == "0" || order.compare(version, at).is_some_and(Ordering::is_ge);
    let mut is_affected = false;
    for bound in sorted {
        match bound.kind {
            BoundKind::Introduced if reached(bound.at) => is_affected = true,
            BoundKind::Fixed if reached(bound.at) => is_affected = false,
            BoundKind::Fixed if is_affected => {
                let fixed = Some(bound.at.to_owned());
                return Some(Verdict::Affected { fixed });
            }
            BoundKind::LastAffected => {
                let order = order.compare(version, bound.at);
                if order.is_some_and(Ordering::is_gt) {
                    is_affected = false;
                } else if is_affected {
                    return Some(Verdict::Affected { fixed: None });
                }
            }
            BoundKind::Introduced | BoundKind::Fixed => {}
        }
    }
    Some(if is_affected {
        Verdict::Affected { fixed: None }
    } else {
        Verdict::NotAffected
    })
}

#[derive(Debug, Clone, Copy)]
struct Bound<'a> {
    at: &'a str,
    kind: BoundKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BoundKind {
    Introduced,
    Fixed,
    LastAffected,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affected(json: serde_json::Value) -> Affected {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn ranges_begin_end_and_begin_again() {
        let range = affected(serde_json::json!({"ranges": [{"type": "SEMVER", "events": [
            {"fixed": "1.2.5"}, {"introduced": "0"}, {"introduced": "2.0.0"}, {"fixed": "2.0.3"}, {"introduced": "3.0.0-rc.1"},
        ]}]}));
        let fixed = |version: &str| Verdict::Affected {
            fixed: Some(version.to_owned()),
        };
        for (version, expected) in [
            ("0.1.0", fixed("1.2.5")),
            ("1.2.5", Verdict::NotAffected),
            ("1.9.0", Verdict::NotAffected),
            ("2.0.0-rc.1", Verdict::NotAffected),
            ("2.0.2", fixed("2.0.3")),
            ("2.0.3", Verdict::NotAffected),
            ("3.0.0", Verdict::Affected { fixed: None }),
            ("odd", Verdict::Undecided),
        ] {
            assert_eq!(
                verdict(&range, version, Order::Semver),
                expected,
                "{version}"
            );
        }
    }

    #[test]
    fn the_last_affected_version_is_affected() {
        let range = affected(
            serde_json::json!({"ranges": [{"type": "ECOSYSTEM", "events": [
                {"introduced": "1.0"}, {"last_affected": "1.4.post1"},
            ]}]}),
        );
        let is_affected =
            |version| verdict(&range, version, Order::Pep440) == Verdict::Affected { fixed: None };
        assert!(!is_affected("0.9") && is_affected("1.0") && is_affected("1.4.post1"));
        assert!(!is_affected("1.4.post2"));
    }

    #[test]
    fn listed_versions_count_beside_ranges() {
        let both = affected(serde_json::json!({"versions": ["2.0", "1.0.0"], "ranges": [
            {"type": "ECOSYSTEM", "events": [{"introduced": "3"}, {"fixed": "4"}]},
            {"type": "GIT", "events": [{"introduced": "abc"}]},
        ]}));
        let of = |version| verdict(&both, version, Order::Pep440);
        assert_eq!(
            of("1.0"),
            Verdict::Affected { fixed: None },
            "written otherwise"
        );
        assert_eq!(of("2.1"), Verdict::NotAffected);
        assert_eq!(
            of("3.5"),
            Verdict::Affected {
                fixed: Some("4".into())
            }
        );
        let only_git = affected(
            serde_json::json!({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}),
        );
        assert_eq!(verdict(&only_git, "1.0", Order::Pep440), Verdict::Undecided);
    }
}
