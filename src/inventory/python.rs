//! Python: METADATA of `*.dist-info` and PKG-INFO of `*.egg-info` (the core metadata specification of PyPA).

use super::{
    InventoryError, Kind, Package,
    files::{Candidate, Collector, Owner},
    path::{join, shown},
    stanza::stanzas,
};

/// Largest METADATA: it has the project's whole description, at most some 100 kB.
const METADATA_BYTES_MAX: u64 = 8 << 20;
/// Largest RECORD: that of a browser driver has 1 MB.
const RECORD_BYTES_MAX: u64 = 32 << 20;

/// Longest text that counts as the name of a licence: some projects put the whole licence there.
const LICENCE_CHARACTERS_MAX: usize = 120;

/// Adds the packages of Python.
pub(super) fn read(collector: &mut Collector<'_>) -> Result<(), InventoryError> {
    let candidates = std::mem::take(&mut collector.found.python);
    for candidate in collector.not_of_distro(candidates) {
        let Some(text) = collector.text(&candidate, METADATA_BYTES_MAX)? else {
            continue;
        };
        let (path, node) = &candidate;
        let Some(mut package) = parse(&text) else {
            collector.unread(path, "it names no package and version");
            continue;
        };
        package.location = shown(path);
        package.layer = node.layer;
        collector.add(package);
        own_files(collector, &candidate)?;
    }
    Ok(())
}

fn parse(text: &str) -> Option<Package> {
    let stanza = stanzas(text).next()?;
    let stated = |field: &str| {
        let value = stanza.field(field).filter(|value| *value != "UNKNOWN");
        value.map(str::to_owned)
    };
    let licence = stated("License-Expression").or_else(|| {
        let licence = stated("License")?;
        (licence.chars().count() <= LICENCE_CHARACTERS_MAX).then_some(licence)
    });
    let classified = stanza.all("Classifier").filter_map(|line| {
        let name = line.strip_prefix("License :: ")?.rsplit(" :: ").next()?;
        (name != "OSI Approved").then(|| name.to_owned())
    });
    let licences = match licence {
        Some(licence) => vec![licence],
        None => classified.collect(),
    };
    Some(Package {
        licences,
        supplier: stated("Author").or_else(|| stated("Maintainer")),
        homepage: stated("Home-page"),
        ..Package::new(Kind::Pypi, stanza.field("Name")?, stanza.field("Version")?)
    })
}

/// Marks the files of RECORD: paths relative to the directory that holds the `*.dist-info`, quoted where they have commas.
fn own_files(collector: &mut Collector<'_>, (path, _): &Candidate) -> Result<(), InventoryError> {
    let Some(info) = path.strip_suffix(b"/METADATA") else {
        return Ok(());
    };
    let record = join(info, b"RECORD");
    let Some((record, node)) = collector.tree.file(&record)? else {
        return Ok(());
    };
    let Some(text) = collector.text(&(record, node), RECORD_BYTES_MAX)? else {
        return Ok(());
    };
    let at = info.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    for line in text.lines() {
        let file = match line.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => line.split(',').next(),
        };
        let file = file.unwrap_or_default();
        let file = if file.starts_with('/') {
            file.as_bytes().to_vec()
        } else {
            join(&info[..at], file.as_bytes())
        };
        collector.own(&file, Owner::Language)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn metadata_of_all_ages_is_read() {
        let new = parse("Metadata-Version: 2.4\nName: Flask\nVersion: 3.1.0\nLicense-Expression: BSD-3-Clause\nAuthor: A\n\nVersion: 9\n").unwrap();
        assert_eq!((&*new.name, &*new.version), ("Flask", "3.1.0"));
        assert_eq!(new.licences, ["BSD-3-Clause"]);
        let old = parse("Name: x\nVersion: 1\nLicense: UNKNOWN\nHome-page: UNKNOWN\nClassifier: License :: OSI Approved\nClassifier: License :: OSI Approved :: MIT License\n").unwrap();
        assert_eq!(old.licences, ["MIT License"]);
        assert_eq!(old.homepage, None);
        assert_eq!(parse("Name: x\n"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,400}") {
            drop(parse(&text));
        }
    }
}
