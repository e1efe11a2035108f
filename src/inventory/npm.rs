//! npm: `package.json` of everything in a `node_modules`, and `package-lock.json` where nothing is installed beside it.

use serde::Deserialize;
use serde_json::Value;

use super::{
    InventoryError, Kind, Package,
    files::{Candidate, Collector},
    path::shown,
};

/// Largest `package.json`: they have some kB.
const PACKAGE_BYTES_MAX: u64 = 4 << 20;
/// Largest lock file: those of big projects have 3 MB.
const LOCK_BYTES_MAX: u64 = 64 << 20;

/// Deepest nesting of a lock file of version 1.
const DEPTH_MAX: usize = 64;

#[derive(Deserialize)]
struct Described {
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    license: Value,
    /// How it was written before 2014.
    #[serde(default)]
    licenses: Value,
    #[serde(default)]
    author: Value,
    #[serde(default)]
    homepage: Value,
}

/// Adds the packages of npm.
pub(super) fn read(collector: &mut Collector<'_>) -> Result<(), InventoryError> {
    let candidates = std::mem::take(&mut collector.found.npm);
    let mut installed: Vec<Vec<u8>> = Vec::new();
    for (path, _) in &candidates {
        if let Some(at) = find(path, b"/node_modules/") {
            installed.push(path[..at].to_vec());
        }
    }
    for candidate in collector.not_of_distro(candidates) {
        installed_package(collector, &candidate)?;
    }
    let locks = std::mem::take(&mut collector.found.npm_locks);
    for candidate in collector.not_of_distro(locks) {
        let directory = candidate.0.strip_suffix(b"/package-lock.json");
        // What is installed is the truth; a lock file names packages for development and other platforms too.
        let is_installed = installed
            .iter()
            .any(|path| path == directory.unwrap_or_default());
        if !is_installed {
            lock_file(collector, &candidate)?;
        }
    }
    Ok(())
}

fn find(path: &[u8], part: &[u8]) -> Option<usize> {
    path.windows(part.len()).position(|window| window == part)
}

fn installed_package(
    collector: &mut Collector<'_>,
    candidate: &Candidate,
) -> Result<(), InventoryError> {
    let Some(text) = collector.text(candidate, PACKAGE_BYTES_MAX)? else {
        return Ok(());
    };
    let (path, node) = candidate;
    let described: Described = match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(described) => described,
        Err(error) => {
            collector.unread(path, format!("not the JSON of a package: {error}"));
            return Ok(());
        }
    };
    if let Some(mut package) = package(described) {
        package.location = shown(path);
        package.layer = node.layer;
        collector.add(package);
        if let Some(directory) = path.strip_suffix(b"/package.json") {
            collector.own_below(directory);
        }
    }
    // Without name and version it only tells Node the type of modules of a directory.
    Ok(())
}

fn package(described: Described) -> Option<Package> {
    let (name, version) = (described.name?, described.version?);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let licence = |value: &Value| text(value).or_else(|| text(&value["type"]));
    let mut licences: Vec<String> = licence(&described.license).into_iter().collect();
    if let (true, Some(old)) = (licences.is_empty(), described.licenses.as_array()) {
        licences.extend(old.iter().filter_map(licence));
    }
    Some(Package {
        licences,
        supplier: text(&described.author).or_else(|| text(&described.author["name"])),
        homepage: text(&described.homepage),
        ..Package::new(Kind::Npm, name, version)
    })
}

fn lock_file(collector: &mut Collector<'_>, candidate: &Candidate) -> Result<(), InventoryError> {
    let Some(text) = collector.text(candidate, LOCK_BYTES_MAX)? else {
        return Ok(());
    };
    let (path, node) = candidate;
    let lock: Value = match serde_json::from_str(&text) {
        Ok(lock) => lock,
        Err(error) => {
            collector.unread(path, format!("not the JSON of a lock file: {error}"));
            return Ok(());
        }
    };
    for (name, version) in locked(&lock) {
        collector.add(Package {
            location: shown(path),
            layer: node.layer,
            declared_only: true,
            ..Package::new(Kind::Npm, name, version)
        });
    }
    Ok(())
}

/// Returns what a lock file asks for at run time: of versions 2 and 3 from `packages`, of version 1 from `dependencies`.
fn locked(lock: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let wanted = |entry: &Value| {
        let is = |key: &str| entry[key].as_bool().unwrap_or(false);
        !is("dev") && !is("devOptional") && !is("link")
    };
    if let Some(packages) = lock["packages"].as_object() {
        for (path, entry) in packages {
            let last = path.rsplit_once("node_modules/").map(|(_, name)| name);
            let name = entry["name"].as_str().or(last);
            if let (Some(name), Some(version), true) = (
                name,
                entry["version"].as_str(),
                wanted(entry) && last.is_some(),
            ) {
                found.push((name.to_owned(), version.to_owned()));
            }
        }
        return found;
    }
    let mut waiting = vec![(&lock["dependencies"], 0)];
    while let Some((dependencies, depth)) = waiting.pop() {
        for (name, entry) in dependencies.as_object().into_iter().flatten() {
            if let (Some(version), true) = (entry["version"].as_str(), wanted(entry)) {
                found.push((name.clone(), version.to_owned()));
                if depth < DEPTH_MAX {
                    waiting.push((&entry["dependencies"], depth + 1));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_have_had_three_forms() {
        let of = |text: &str| package(serde_json::from_str(text).unwrap()).map(|p| p.licences);
        assert_eq!(
            of(r#"{"name":"a","version":"1","license":"MIT"}"#).unwrap(),
            ["MIT"]
        );
        assert_eq!(
            of(r#"{"name":"a","version":"1","license":{"type":"ISC"}}"#).unwrap(),
            ["ISC"]
        );
        assert_eq!(
            of(r#"{"name":"a","version":"1","licenses":[{"type":"MIT"},{"type":"X"}]}"#).unwrap(),
            ["MIT", "X"]
        );
        assert_eq!(of(r#"{"type":"module"}"#), None);
    }

    #[test]
    fn lock_files_of_all_versions_leave_out_development() {
        let new = serde_json::json!({"lockfileVersion": 3, "packages": {
            "": {"name": "app", "version": "1.0.0"},
            "node_modules/a": {"version": "1.2.3"},
            "node_modules/a/node_modules/@s/b": {"version": "2.0.0"},
            "node_modules/alias": {"name": "real", "version": "3.0.0"},
            "node_modules/dev": {"version": "1.0.0", "dev": true},
            "packages/x": {"version": "1.0.0"},
            "node_modules/x": {"link": true},
        }});
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            locked(&new),
            [
                pair("a", "1.2.3"),
                pair("@s/b", "2.0.0"),
                pair("real", "3.0.0")
            ]
        );
        let old = serde_json::json!({"dependencies": {
            "a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}},
            "dev": {"version": "1.0.0", "dev": true},
        }});
        assert_eq!(locked(&old), [pair("a", "1.0.0"), pair("b", "2.0.0")]);
    }
}
