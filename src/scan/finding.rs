//! What is told of a package: one finding for a vulnerability, however many records speak of it.

use std::{cmp::Ordering, collections::BTreeMap};

use serde::Serialize;

use super::{Severity, version::Order};
use crate::inventory::{Inventory, Kind, package_purl};

/// A vulnerability of a package.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Its CVE, or the id of a record where it has none.
    pub id: String,
    /// How severe it is, the worst of what the records say.
    pub severity: Severity,
    /// Its CVSS base score, the highest of the records.
    pub score: Option<f64>,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Its kind.
    pub kind: Kind,
    /// Its package URL.
    pub purl: String,
    /// The file of the image that names it.
    pub location: String,
    /// The layer that brought it, the lowest is 0.
    pub layer: usize,
    /// The version in which it is fixed, by all records that name one.
    pub fixed: Option<String>,
    /// The records that say so.
    pub records: Vec<String>,
    /// Its other names.
    pub aliases: Vec<String>,
    /// A line about it.
    pub summary: String,
}

/// A record that is about a package.
#[derive(Debug, Clone)]
pub(super) struct Match {
    pub(super) aliases: Vec<String>,
    pub(super) upstream: Vec<String>,
    pub(super) summary: String,
    pub(super) modified: String,
    pub(super) fixed: Option<String>,
    pub(super) order: Order,
    pub(super) severity: Severity,
    pub(super) score: Option<f64>,
}

/// Brings records about the same vulnerability of a package together.
///
/// An advisory of a distribution that is about several CVEs counts for each. Records without a CVE belong to those that share
/// an alias with them.
pub(super) fn merge(
    inventory: &Inventory,
    found: BTreeMap<(usize, String), Match>,
) -> Vec<Finding> {
    let mut groups: BTreeMap<(usize, String), Vec<(String, Match)>> = BTreeMap::new();
    let mut without = Vec::new();
    for ((package, id), matched) in found {
        let cves = cves(&id, &matched);
        if cves.is_empty() {
            without.push((package, id, matched));
            continue;
        }
        for cve in cves {
            let group = groups.entry((package, cve)).or_default();
            group.push((id.clone(), matched.clone()));
        }
    }
    for (package, id, matched) in without {
        let is_same = |group: &[(String, Match)]| {
            group.iter().any(|(other, known)| {
                *other == id
                    || matched.aliases.contains(other)
                    || known.aliases.contains(&id)
                    || known
                        .aliases
                        .iter()
                        .any(|alias| matched.aliases.contains(alias))
            })
        };
        let own = groups.range_mut((package, String::new())..(package + 1, String::new()));
        let same = own.map(|(_, group)| group).find(|group| is_same(group));
        match same {
            Some(group) => group.push((id, matched)),
            None => drop(groups.insert((package, id.clone()), vec![(id, matched)])),
        }
    }
    let mut findings: Vec<Finding> = (groups.into_iter())
        .map(|((package, id), group)| finding(inventory, package, &id, &group))
        .collect();
    findings.sort_by(|a, b| {
        let by_name = || (&a.package, &a.id, &a.location).cmp(&(&b.package, &b.id, &b.location));
        b.severity.cmp(&a.severity).then_with(by_name)
    });
    findings
}

/// Returns the CVEs that a record is about: its own id, also as `DEBIAN-CVE-…`, its aliases, what it takes from upstream.
fn cves(id: &str, matched: &Match) -> Vec<String> {
    let names = [&matched.aliases[..], &matched.upstream].concat();
    let all = std::iter::once(id).chain(names.iter().map(String::as_str));
    let mut cves: Vec<String> = all.filter_map(cve).collect();
    cves.sort();
    cves.dedup();
    cves
}

fn cve(id: &str) -> Option<String> {
    let rest = &id[id.find("CVE-")? + "CVE-".len()..];
    let (year, number) = rest.split_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (year.len() == 4 && is_number(year) && is_number(number)).then(|| format!("CVE-{rest}"))
}

fn finding(inventory: &Inventory, package: usize, id: &str, group: &[(String, Match)]) -> Finding {
    let found = &inventory.packages[package];
    let mut records: Vec<String> = group.iter().map(|(id, _)| id.clone()).collect();
    records.sort();
    let mut aliases: Vec<String> = (group.iter())
        .flat_map(|(record, matched)| std::iter::once(record).chain(&matched.aliases))
        .filter(|alias| *alias != id)
        .cloned()
        .collect();
    aliases.sort();
    aliases.dedup();
    let fixed = group
        .iter()
        .filter_map(|(_, matched)| Some((matched.fixed.as_ref()?, matched.order)));
    let fixed = fixed.max_by(|(a, order), (b, _)| order.compare(a, b).unwrap_or(Ordering::Equal));
    let scores = group.iter().filter_map(|(_, matched)| matched.score);
    let summary = group.iter().map(|(_, matched)| &matched.summary);
    Finding {
        id: printable(id),
        severity: group
            .iter()
            .map(|(_, matched)| matched.severity)
            .max()
            .unwrap_or_default(),
        score: scores.max_by(f64::total_cmp),
        package: found.name.clone(),
        version: found.version.clone(),
        kind: found.kind,
        purl: package_purl(found, inventory.distro.as_ref()),
        location: found.location.clone(),
        layer: found.layer,
        fixed: fixed.map(|(fixed, _)| printable(fixed)),
        records,
        aliases,
        summary: summary
            .max_by_key(|text| !text.is_empty())
            .cloned()
            .unwrap_or_default(),
    }
}

/// Replaces control characters: what a record says is printed on terminals.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
