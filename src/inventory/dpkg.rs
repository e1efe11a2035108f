//! dpkg: `/var/lib/dpkg/status` (deb822(5)), and `status.d/`, where distroless images keep one file a package.

use super::{
    InventoryError, Kind, Package, ReadAt, ReadError, SourcePackage, StoredFile,
    files::{Candidate, Collector, Owner, text},
    licence,
    origin::{Listed, read_list},
    path::{printable, shown},
    stanza::{Stanza, stanzas},
};

const STATUS: &[u8] = b"var/lib/dpkg/status";
const INFO: &[u8] = b"var/lib/dpkg/info";
const STATUS_D: &[u8] = b"var/lib/dpkg/status.d";

/// Largest `status`: that of a Debian desktop has 4 MB.
const STATUS_BYTES_MAX: u64 = 128 << 20;
/// Largest list of a package's files: that of a kernel has 0.5 MB.
const LIST_BYTES_MAX: u64 = 32 << 20;
/// Largest copyright file: that of a browser has 1 MB.
const COPYRIGHT_BYTES_MAX: u64 = 4 << 20;

/// Adds the packages of dpkg.
pub(super) fn read(collector: &mut Collector<'_>) -> Result<(), InventoryError> {
    read_list(collector, STATUS, parse_status)?;
    lists(collector)?;
    distroless(collector)?;
    licences(collector)
}

fn parse_status(file: &StoredFile) -> Result<Vec<Listed>, ReadError> {
    let text = text(file.all(STATUS_BYTES_MAX)?);
    let listed = stanzas(&text).filter(is_installed).filter_map(|stanza| {
        Some(Listed {
            package: package(&stanza)?,
            files: Vec::new(),
        })
    });
    Ok(listed.collect())
}

/// The third word of Status: of a removed package only configuration files are left.
fn is_installed(stanza: &Stanza<'_>) -> bool {
    let state = stanza.field("Status").map(|status| {
        let state = status.split_ascii_whitespace().nth(2);
        state.unwrap_or_default().to_owned()
    });
    !matches!(
        state.as_deref(),
        Some("config-files" | "not-installed" | "")
    )
}

fn package(stanza: &Stanza<'_>) -> Option<Package> {
    let (name, version) = (stanza.field("Package")?, stanza.field("Version")?);
    let owned = |field: &str| stanza.field(field).map(str::to_owned);
    Some(Package {
        architecture: owned("Architecture"),
        source: Some(source(stanza.field("Source"), name, version)),
        supplier: owned("Maintainer"),
        homepage: owned("Homepage"),
        ..Package::new(Kind::Deb, name, version)
    })
}

/// `Source: glibc (2.36-9)`; without it, or without the version, they are those of the package itself.
fn source(field: Option<&str>, name: &str, version: &str) -> SourcePackage {
    let (name, rest) = match field.map(|field| field.split_once(' ').unwrap_or((field, ""))) {
        Some((name, rest)) => (name, rest),
        None => (name, ""),
    };
    let inner = rest.trim().strip_prefix('(');
    let inner = inner.and_then(|rest| rest.strip_suffix(')'));
    SourcePackage {
        name: name.to_owned(),
        version: Some(inner.unwrap_or(version).to_owned()),
    }
}

/// Marks the files of `info/*.list`.
fn lists(collector: &mut Collector<'_>) -> Result<(), InventoryError> {
    let Some((info, _)) = collector.tree.resolve(INFO)? else {
        return Ok(());
    };
    for (name, node) in collector.tree.list(&info)? {
        if !node.kind.is_file() || !name.ends_with(b".list") {
            continue;
        }
        let path = super::path::join(&info, &name);
        let read = collector.tree.open_file(&path, &node)?.all(LIST_BYTES_MAX);
        let Some(list) = collector.or_unread(&path, read) else {
            continue;
        };
        for file in list.split(|byte| *byte == b'\n') {
            collector.own(file, Owner::Distro)?;
        }
    }
    Ok(())
}

/// Adds the packages of distroless images: `status.d/NAME` is a paragraph, `status.d/NAME.md5sums` names the files.
fn distroless(collector: &mut Collector<'_>) -> Result<(), InventoryError> {
    let Some((directory, _)) = collector.tree.resolve(STATUS_D)? else {
        return Ok(());
    };
    for (name, node) in collector.tree.list(&directory)? {
        if !node.kind.is_file() {
            continue;
        }
        let candidate: Candidate = (super::path::join(&directory, &name), node);
        let Some(text) = collector.text(&candidate, LIST_BYTES_MAX)? else {
            continue;
        };
        if name.ends_with(b".md5sums") {
            for file in text.lines().filter_map(|line| line.split_once("  ")) {
                collector.own(file.1.as_bytes(), Owner::Distro)?;
            }
            continue;
        }
        let found = stanzas(&text).find_map(|stanza| package(&stanza));
        match found {
            Some(mut package) => {
                package.location = shown(&candidate.0);
                package.layer = node.layer;
                collector.add(package);
            }
            None => collector.unread(&candidate.0, "it names no package"),
        }
    }
    Ok(())
}

/// Adds the licences that machine-readable copyright files name. Copyright files of other forms state none: they are prose.
fn licences(collector: &mut Collector<'_>) -> Result<(), InventoryError> {
    let tree = collector.tree;
    for package in collector.packages_of(Kind::Deb) {
        let path = format!("usr/share/doc/{}/copyright", package.name);
        let Some((path, node)) = tree.file(path.as_bytes())? else {
            continue;
        };
        let file = tree.open_file(&path, &node)?;
        if let Ok(bytes) = file.all(COPYRIGHT_BYTES_MAX) {
            let licences = licence::of_copyright(&text(bytes)).into_iter();
            package.licences = licences.map(|name| printable(&name)).collect();
        }
    }
    Ok(())
}
