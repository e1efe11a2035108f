//! Which records are about packages of the image.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Cover, DatabaseFacts, Report,
    database::Taken,
    ecosystem::{Scope, normal},
    finding::{self, Match},
    range::{Verdict, verdict},
    record::{Affected, Head, Record},
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
