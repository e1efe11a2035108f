//! Which of OSV's ecosystems a package is in, by which names records speak of it, and how its versions are ordered
//! (ossf.github.io/osv-schema, "Defined ecosystems").

use super::version::Order;
use crate::inventory::{Distro, Inventory, Kind, Package};

/// Which ecosystems of records are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    /// This one; of distributions also without its release, which then means every release.
    Exact(String),
    /// This one, and those that go on with a colon: Red Hat's repositories.
    Below(String),
    /// Those of SUSE's products that end with this release.
    Suse(String),
    /// OSV has no such ecosystem.
    None,
}

/// By which of its names records speak of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    Binary,
    Source,
    Either,
}

/// An ecosystem that packages of the image are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) kind: Kind,
    /// For people.
    pub(super) label: String,
    pub(super) ecosystem: Match,
    pub(super) order: Order,
    naming: Naming,
}

impl Scope {
    /// Tells whether a record's ecosystem is this one.
    pub(super) fn covers(&self, ecosystem: &str) -> bool {
        match &self.ecosystem {
            Match::None => false,
            Match::Exact(own) => {
                let is_any_release = || own.split(':').next() == Some(ecosystem);
                // Ubuntu marks releases with long support: `Ubuntu:22.04:LTS`.
                own == ecosystem || is_any_release() || ecosystem.strip_suffix(":LTS") == Some(own)
            }
            Match::Below(own) => ecosystem
                .strip_prefix(own.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '.'])),
            Match::Suse(release) => {
                ecosystem.starts_with("SUSE:Linux Enterprise") && ecosystem.ends_with(release)
            }
        }
    }

    /// Returns the names by which records speak of a package, with the version to compare for each.
    pub(super) fn names<'a>(&self, package: &'a Package) -> Vec<(String, &'a str)> {
        let mut names = Vec::new();
        if self.naming != Naming::Source {
            names.push((normal(self.kind, &package.name), &*package.version));
        }
        if self.naming != Naming::Binary {
            let source = package.source.as_ref();
            let name = source.map_or(&package.name, |source| &source.name);
            let version = source.and_then(|source| source.version.as_deref());
            // rpm's file name of the source has no epoch of its own: the package's own version is the surer one.
            let version = match self.kind {
                Kind::Rpm => &package.version,
                _ => version.unwrap_or(&package.version),
            };
            if !names.iter().any(|(known, _)| known == name) {
                names.push((name.clone(), version));
            }
        }
        names
    }
}

/// Returns a name as its ecosystem compares it: PyPI's names have many spellings (PEP 503).
pub(super) fn normal(kind: Kind, name: &str) -> String {
    if kind != Kind::Pypi {
        return name.to_owned();
    }
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase()
}

/// Returns the ecosystems of an image, one for each kind of package that it has.
pub(super) fn scopes(inventory: &Inventory) -> Vec<Scope> {
    let mut found = Vec::new();
    for kind in Kind::ALL {
        if inventory
            .packages
            .iter()
            .any(|package| package.kind == kind)
        {
            found.push(scope(kind, inventory.distro.as_ref()));
        }
    }
    found
}

fn scope(kind: Kind, distro: Option<&Distro>) -> Scope {
    let (label, order) = match kind {
        Kind::Pypi => ("PyPI", Order::Pep440),
        Kind::Npm => ("npm", Order::Semver),
        Kind::Golang => ("Go", Order::Semver),
        Kind::Cargo => ("crates.io", Order::Semver),
        Kind::Maven => ("Maven", Order::Maven),
        Kind::Deb => return of_distro(kind, Order::Dpkg, distro),
        Kind::Apk => return of_distro(kind, Order::Apk, distro),
        Kind::Rpm => return of_distro(kind, Order::Rpm, distro),
    };
    Scope {
        kind,
        label: label.to_owned(),
        ecosystem: Match::Exact(label.to_owned()),
        order,
        naming: Naming::Binary,
    }
}

fn of_distro(kind: Kind, order: Order, distro: Option<&Distro>) -> Scope {
    let (ecosystem, naming) = match distro {
        Some(distro) => known(distro),
        None => (Match::None, Naming::Source),
    };
    let label = match (&ecosystem, distro) {
        (Match::Exact(name) | Match::Below(name), _) => name.clone(),
        (Match::Suse(release), _) => format!("SUSE:Linux Enterprise {release}"),
        (Match::None, Some(distro)) => distro.name.clone(),
        (Match::None, None) => format!("{} packages of an unknown distribution", kind.as_str()),
    };
    Scope {
        kind,
        label,
        ecosystem,
        order,
        naming,
    }
}

/// Releases of Debian by codename: images of testing have no number.
const DEBIAN: [(&str, &str); 6] = [
    ("buster", "10"),
    ("bullseye", "11"),
    ("bookworm", "12"),
    ("trixie", "13"),
    ("forky", "14"),
    ("duke", "15"),
];

fn known(distro: &Distro) -> (Match, Naming) {
    let version = distro.version_id.as_deref().unwrap_or_default();
    let major = version.split('.').next().unwrap_or_default();
    let exact = |name: &str, release: &str| match release {
        "" => Match::None,
        release => Match::Exact(format!("{name}:{release}")),
    };
    match distro.id.as_str() {
        "debian" => {
            let named = DEBIAN
                .iter()
                .find(|(name, _)| Some(*name) == distro.codename.as_deref());
            let release = if version.is_empty() {
                named.map_or("", |(_, release)| release)
            } else {
                version
            };
            (exact("Debian", release), Naming::Source)
        }
        "ubuntu" => (exact("Ubuntu", version), Naming::Source),
        "alpine" => {
            let branch: Vec<&str> = version.split('.').take(2).collect();
            let is_release = branch.len() == 2 && !version.contains('_');
            let release = if is_release {
                format!("v{}", branch.join("."))
            } else {
                String::new()
            };
            (exact("Alpine", &release), Naming::Source)
        }
        "wolfi" => (Match::Exact("Wolfi".to_owned()), Naming::Either),
        "chainguard" => (Match::Exact("Chainguard".to_owned()), Naming::Either),
        "minimos" => (Match::Exact("MinimOS".to_owned()), Naming::Either),
        "rocky" => (exact("Rocky Linux", major), Naming::Source),
        "almalinux" => (exact("AlmaLinux", major), Naming::Binary),
        "rhel" if !major.is_empty() => {
            let name = format!("Red Hat:enterprise_linux:{major}");
            (Match::Below(name), Naming::Binary)
        }
        "opensuse-leap" => (
            exact("openSUSE", &format!("Leap {version}")),
            Naming::Either,
        ),
        "opensuse-tumbleweed" => (exact("openSUSE", "Tumbleweed"), Naming::Either),
        "sles" | "sle-micro" if !major.is_empty() => {
            let release = match version.split_once('.') {
                Some((major, pack)) => format!(" {major} SP{pack}"),
                None => format!(" {version}"),
            };
            (Match::Suse(release), Naming::Either)
        }
        "mageia" => (exact("Mageia", version), Naming::Either),
        "photon" => (exact("Photon OS", version), Naming::Either),
        "azurelinux" | "mariner" => (exact("Azure Linux", major), Naming::Either),
        "openEuler" => {
            // `openEuler 24.03 (LTS-SP1)` is `24.03-LTS-SP1`.
            let inner = distro
                .name
                .split_once('(')
                .and_then(|(_, rest)| rest.split_once(')'));
            let release = match inner {
                Some((pack, _)) => format!("{version}-{pack}"),
                None => version.to_owned(),
            };
            (exact("openEuler", &release), Naming::Either)
        }
        _ => (Match::None, Naming::Source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distro(id: &str, version: &str, name: &str) -> Distro {
        Distro {
            id: id.to_owned(),
            version_id: Some(version.to_owned()).filter(|version| !version.is_empty()),
            codename: Some(name.to_owned()),
            name: name.to_owned(),
            ..Distro::default()
        }
    }

    #[test]
    fn distributions_are_known_by_osvs_names() {
        for (id, version, name, covered, not) in [
            ("debian", "12", "bookworm", "Debian:12", "Debian:11"),
            ("debian", "", "forky", "Debian:14", "Debian:13"),
            (
                "ubuntu",
                "22.04",
                "",
                "Ubuntu:22.04:LTS",
                "Ubuntu:Pro:22.04:LTS",
            ),
            ("ubuntu", "24.10", "", "Ubuntu:24.10", "Ubuntu:24.04:LTS"),
            ("alpine", "3.19.1", "", "Alpine:v3.19", "Alpine:v3.1"),
            ("rocky", "9.3", "", "Rocky Linux:9", "Rocky Linux:8"),
            ("almalinux", "8.9", "", "AlmaLinux:8", "AlmaLinux:9"),
            (
                "rhel",
                "9.4",
                "",
                "Red Hat:enterprise_linux:9::baseos",
                "Red Hat:enterprise_linux:90",
            ),
            (
                "rhel",
                "10.0",
                "",
                "Red Hat:enterprise_linux:10.0",
                "Red Hat:rhel_eus:10.0",
            ),
            (
                "sles",
                "15.5",
                "",
                "SUSE:Linux Enterprise Server 15 SP5",
                "SUSE:Linux Enterprise Server 15 SP6",
            ),
            (
                "opensuse-leap",
                "15.6",
                "",
                "openSUSE:Leap 15.6",
                "openSUSE:Leap 15.5",
            ),
            (
                "openEuler",
                "24.03",
                "openEuler 24.03 (LTS-SP1)",
                "openEuler:24.03-LTS-SP1",
                "openEuler:24.03-LTS",
            ),
        ] {
            let scope = scope(Kind::Rpm, Some(&distro(id, version, name)));
            assert!(
                scope.covers(covered),
                "{id} {version}: {covered}, {scope:?}"
            );
            assert!(!scope.covers(not), "{id} {version}: {not}");
        }
        for (id, version) in [
            ("fedora", "40"),
            ("amzn", "2023"),
            ("centos", "9"),
            ("alpine", "3.21_alpha2"),
            ("raspbian", "12"),
        ] {
            let scope = scope(Kind::Rpm, Some(&distro(id, version, "X")));
            assert_eq!(scope.ecosystem, Match::None, "{id}");
            assert_eq!(scope.label, "X");
        }
    }

    #[test]
    fn records_speak_of_sources_or_of_binaries() {
        let mut package = Package::new(Kind::Deb, "libssl3", "3.0.11-1+b1");
        package.source = Some(crate::inventory::SourcePackage {
            name: "openssl".into(),
            version: Some("3.0.11-1".into()),
        });
        let debian = scope(Kind::Deb, Some(&distro("debian", "12", "")));
        assert_eq!(debian.names(&package), [("openssl".to_owned(), "3.0.11-1")]);
        let python = scope(Kind::Pypi, None);
        let package = Package::new(Kind::Pypi, "Flask__Login.x", "1");
        assert_eq!(python.names(&package), [("flask-login-x".to_owned(), "1")]);
    }
}
