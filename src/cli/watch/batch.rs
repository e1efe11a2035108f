//! Which changes matter to whom. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use compose_spec::model::{ServiceName, WatchAction};

use crate::watch::{Change, Rule};

/// Paths that are named in a message.
const NAMED_MAX: usize = 3;

/// Changes that came together.
pub(super) struct Batch<'a> {
    hits: Vec<Hit<'a>>,
}

/// A rule and the changes that it is about, parents before what is in them.
#[derive(Debug, Clone)]
pub(super) struct Hit<'a> {
    pub(super) rule: &'a Rule,
    pub(super) changes: Vec<(&'a Path, &'a Path, Change)>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(rules: Vec<&'a Rule>, changes: &'a BTreeMap<PathBuf, Change>) -> Self {
        let hits = rules.into_iter().filter_map(|rule| {
            let of_rule = changes
                .iter()
                .filter_map(|(path, change)| Some((path.as_path(), rule.place_of(path)?, *change)));
            let changes: Vec<_> = of_rule.collect();
            (!changes.is_empty()).then_some(Hit { rule, changes })
        });
        Self {
            hits: hits.collect(),
        }
    }

    /// Returns the services to build anew, with what has changed.
    pub(super) fn rebuilds(&self) -> BTreeMap<&'a ServiceName, String> {
        let hits = self
            .hits
            .iter()
            .filter(|hit| hit.rule.action == WatchAction::Rebuild);
        hits.map(|hit| (&hit.rule.service, hit.paths())).collect()
    }

    /// Returns what the other services have to do: a new container has every change.
    pub(super) fn others(
        &self,
        rebuilt: &BTreeMap<&'a ServiceName, String>,
    ) -> BTreeMap<&'a ServiceName, Vec<Hit<'a>>> {
        let mut services: BTreeMap<&ServiceName, Vec<Hit<'_>>> = BTreeMap::new();
        for hit in &self.hits {
            if !rebuilt.contains_key(&hit.rule.service) {
                services
                    .entry(&hit.rule.service)
                    .or_default()
                    .push(hit.clone());
            }
        }
        services
    }
}

impl Hit<'_> {
    /// Names what has changed, for people.
    pub(super) fn paths(&self) -> String {
        let base = self.rule.path.file_name().unwrap_or_default();
        let named = self.changes.iter().map(|(_, relative, _)| {
            let path = if relative.as_os_str().is_empty() {
                Path::new(base)
            } else {
                relative
            };
            path.display().to_string()
        });
        listed(named.collect())
    }
}

/// Lists the first names, and how many more there are.
pub(super) fn listed(names: BTreeSet<String>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let mut shown: Vec<String> = names.into_iter().take(NAMED_MAX).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}
