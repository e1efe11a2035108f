//! Java archives: `pom.properties` of Maven, else the manifest, else the name of the file; archives in archives too.

use super::{
    Archive, InventoryError, Kind, Package, ReadAt, ReadError,
    files::{Collector, text},
    path::shown,
};

/// Largest archive inside of an archive.
const INNER_BYTES_MAX: u64 = 256 << 20;
/// Largest `pom.properties` or manifest: signed ones list every file.
const TEXT_BYTES_MAX: u64 = 16 << 20;
/// How deep archives are in each other: an application server's has three.
const DEPTH_MAX: usize = 4;
/// Bytes of inner archives that are unpacked for one file of the image.
const TOTAL_BYTES_MAX: u64 = 2 << 30;

/// Adds the packages of Java.
pub(super) fn read(collector: &mut Collector<'_>) -> Result<(), InventoryError> {
    let candidates = std::mem::take(&mut collector.found.java);
    for (path, node) in collector.not_of_distro(candidates) {
        let file = collector.tree.open_file(&path, &node)?;
        let mut reading = Reading {
            place: shown(&path),
            left: TOTAL_BYTES_MAX,
            packages: Vec::new(),
            unread: Vec::new(),
        };
        let read = reading.archive(&file, 0);
        if let Err(error) = read {
            collector.unread(&path, error.to_string());
        }
        for reason in reading.unread {
            collector.unread(&path, reason);
        }
        for mut package in reading.packages {
            package.layer = node.layer;
            collector.add(package);
        }
    }
    Ok(())
}

struct Reading {
    /// The archive, with those that it is in: `/app.war!/WEB-INF/lib/a.jar`.
    place: String,
    left: u64,
    packages: Vec<Package>,
    unread: Vec<String>,
}

impl Reading {
    fn archive(&mut self, file: &dyn ReadAt, depth: usize) -> Result<(), ReadError> {
        let archive = Archive::open(file)?;
        let mut found = Vec::new();
        let mut manifest = None;
        for entry in archive.entries() {
            let entry = entry?;
            let name = String::from_utf8_lossy(&entry.name).into_owned();
            if name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties") {
                found.extend(pom(&text(archive.read(&entry, TEXT_BYTES_MAX)?)));
            } else if name == "META-INF/MANIFEST.MF" {
                manifest = Some(text(archive.read(&entry, TEXT_BYTES_MAX)?));
            } else if [".jar", ".war", ".ear"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                self.inner(&archive, &entry, &name, depth)?;
            }
        }
        if found.is_empty() {
            found.extend(described(
                manifest.as_deref().unwrap_or_default(),
                &self.place,
            ));
        }
        for package in &mut found {
            package.location.clone_from(&self.place);
        }
        self.packages.extend(found);
        Ok(())
    }

    fn inner(
        &mut self,
        archive: &Archive<'_>,
        entry: &super::zip::Entry,
        name: &str,
        depth: usize,
    ) -> Result<(), ReadError> {
        if depth >= DEPTH_MAX {
            self.unread
                .push(format!("`{name}` is too deep inside of other archives"));
            return Ok(());
        }
        let Some(left) = self.left.checked_sub(entry.size) else {
            self.unread
                .push(format!("`{name}`: too many bytes in inner archives"));
            return Ok(());
        };
        self.left = left;
        let content = archive.read(entry, INNER_BYTES_MAX)?;
        let outer = self.place.clone();
        self.place = format!("{outer}!/{name}");
        let read = self.archive(&content, depth + 1);
        self.place = outer;
        if let Err(error) = read {
            self.unread.push(format!("`{name}`: {error}"));
        }
        Ok(())
    }
}

fn pom(text: &str) -> Option<Package> {
    let field = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let mut values = lines.filter(|(key, _)| key.trim() == name);
        Some(values.next()?.1.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let name = format!("{}:{}", field("groupId")?, field("artifactId")?);
    Some(Package::new(Kind::Maven, name, field("version")?))
}

/// Makes a package of a manifest and the name of the file; `None` when neither tells a version.
fn described(manifest: &str, place: &str) -> Option<Package> {
    // The main section ends at the first blank line; long lines go on after a blank.
    let text = manifest.replace("\r\n", "\n").replace("\n ", "");
    let main = text.split("\n\n").next().unwrap_or_default();
    let field = |name: &str| {
        let mut fields = main.lines().filter_map(|line| line.split_once(": "));
        let value = fields
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?
            .1
            .trim();
        (!value.is_empty() && !value.contains("${")).then(|| value.to_owned())
    };
    let stem = place.rsplit(['/']).next()?.rsplit_once('.')?.0;
    let named = split_name(stem);
    let version = named
        .map(|(_, version)| version.to_owned())
        .or_else(|| field("Implementation-Version"))
        .or_else(|| field("Bundle-Version"))
        .or_else(|| field("Specification-Version"))?;
    let artifact = named.map_or(stem, |(name, _)| name);
    let group = field("Implementation-Vendor-Id");
    let name = match group {
        Some(group) => format!("{group}:{artifact}"),
        None => artifact.to_owned(),
    };
    let mut package = Package::new(Kind::Maven, name, version);
    package.supplier = field("Implementation-Vendor").or_else(|| field("Bundle-Vendor"));
    Some(package)
}

/// `commons-lang3-3.12.0`: the version begins at the first `-` before a digit.
fn split_name(stem: &str) -> Option<(&str, &str)> {
    let at = stem
        .match_indices('-')
        .find(|(at, _)| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?
        .0;
    Some((&stem[..at], &stem[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_known_by_pom_manifest_or_name() {
        let package = pom("#x\ngroupId=org.a\nartifactId = b\nversion=1.2\n").unwrap();
        assert_eq!((&*package.name, &*package.version), ("org.a:b", "1.2"));
        let manifest = "Manifest-Version: 1.0\r\nImplementation-Vendor-Id: org.lo\r\n ng\r\nImplementation-Version: 2.0\r\n\r\nName: x\r\nImplementation-Version: 9\r\n";
        let package = described(manifest, "/a/lib.jar").unwrap();
        assert_eq!((&*package.name, &*package.version), ("org.long:lib", "2.0"));
        let package = described("", "/a.war!/WEB-INF/lib/commons-lang3-3.12.0.jar").unwrap();
        assert_eq!(
            (&*package.name, &*package.version),
            ("commons-lang3", "3.12.0")
        );
        assert_eq!(described("", "/a/lib.jar"), None);
    }

    #[test]
    fn archives_in_archives_are_read() {
        use crate::inventory::zip::tests::archive;
        let pom = b"groupId=org.a\nartifactId=b\nversion=1.2\n";
        let inner = archive(&[("META-INF/maven/org.a/b/pom.properties", pom)]);
        let named = archive(&[("x.class", b"")]);
        let outer = archive(&[
            ("META-INF/MANIFEST.MF", b"Implementation-Version: 7\n"),
            ("WEB-INF/lib/b-1.2.jar", &inner),
            ("WEB-INF/lib/c-3.jar", &named),
            ("WEB-INF/lib/broken.jar", b"x"),
        ]);
        let mut reading = Reading {
            place: "/app.war".to_owned(),
            left: TOTAL_BYTES_MAX,
            packages: Vec::new(),
            unread: Vec::new(),
        };
        reading.archive(&outer, 0).unwrap();
        let found: Vec<String> = (reading.packages.iter())
            .map(|package| format!("{} {} {}", package.name, package.version, package.location))
            .collect();
        assert_eq!(
            found,
            [
                "org.a:b 1.2 /app.war!/WEB-INF/lib/b-1.2.jar",
                "c 3 /app.war!/WEB-INF/lib/c-3.jar",
                "app 7 /app.war",
            ]
        );
        assert_eq!(
            reading.unread,
            ["`WEB-INF/lib/broken.jar`: not a ZIP archive"]
        );
        // A bomb of archives ends at its limit.
        reading.left = 10;
        reading.unread.clear();
        reading.archive(&outer, 0).unwrap();
        assert_eq!(
            reading.unread[0],
            "`WEB-INF/lib/b-1.2.jar`: too many bytes in inner archives"
        );
    }
}
