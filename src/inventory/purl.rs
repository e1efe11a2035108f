//! Package URLs, `pkg:type/namespace/name@version?qualifiers`, by the rules of each type (purl-spec, PURL-TYPES).

use super::{Distro, Kind, Package};
use crate::model::Digest;

/// Returns the package URL of a package.
pub fn of_package(package: &Package, distro: Option<&Distro>) -> String {
    let vendor = distro.map(|distro| distro.id.to_lowercase());
    let (mut namespace, mut name) = (Vec::new(), package.name.clone());
    let mut version = package.version.clone();
    let mut qualifiers = Vec::new();
    match package.kind {
        Kind::Deb | Kind::Apk | Kind::Rpm => {
            namespace.extend(vendor);
            if package.kind != Kind::Rpm {
                name = name.to_lowercase();
            } else if let Some((epoch, rest)) = package.version.split_once(':') {
                qualifiers.push(("epoch", epoch.to_owned()));
                rest.clone_into(&mut version);
            }
            if let Some(architecture) = &package.architecture {
                qualifiers.push(("arch", architecture.clone()));
            }
            if let Some(distro) = distro {
                qualifiers.push(("distro", distro.slug()));
            }
        }
        Kind::Pypi => name = name.to_lowercase().replace('_', "-"),
        Kind::Npm => {
            name = name.to_lowercase();
            split(&mut namespace, &mut name, '/');
        }
        Kind::Golang => {
            name = name.to_lowercase();
            split(&mut namespace, &mut name, '/');
        }
        Kind::Maven => split(&mut namespace, &mut name, ':'),
        Kind::Cargo => {}
    }
    write(
        package.kind.as_str(),
        &namespace,
        &name,
        &version,
        qualifiers,
    )
}

/// Returns the package URL of an image; `repository` is a full name without tag: `docker.io/library/redis`.
pub fn of_image(
    repository: &str,
    digest: &Digest,
    architecture: &str,
    tag: Option<&str>,
) -> String {
    let name = repository.rsplit('/').next().unwrap_or_default();
    let mut qualifiers = vec![
        ("arch", architecture.to_owned()),
        ("repository_url", repository.to_owned()),
    ];
    qualifiers.extend(tag.map(|tag| ("tag", tag.to_owned())));
    write(
        "oci",
        &[],
        &name.to_lowercase(),
        digest.as_str(),
        qualifiers,
    )
}

/// Moves everything before the last separator from the name into the namespace.
fn split(namespace: &mut Vec<String>, name: &mut String, separator: char) {
    if let Some((before, last)) = name.rsplit_once(separator) {
        namespace.extend(before.split('/').map(str::to_owned));
        *name = last.to_owned();
    }
}

fn write(
    kind: &str,
    namespace: &[String],
    name: &str,
    version: &str,
    mut qualifiers: Vec<(&str, String)>,
) -> String {
    let mut text = format!("pkg:{kind}");
    for part in namespace.iter().filter(|part| !part.is_empty()) {
        text.push('/');
        encode(part, &mut text);
    }
    text.push('/');
    encode(name, &mut text);
    if !version.is_empty() {
        text.push('@');
        encode(version, &mut text);
    }
    qualifiers.sort();
    let stated = qualifiers.iter().filter(|(_, value)| !value.is_empty());
    for (number, (key, value)) in stated.enumerate() {
        text.push(if number == 0 { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        for (number, part) in value.split('/').enumerate() {
            if number > 0 {
                text.push('/');
            }
            encode(part, &mut text);
        }
    }
    text
}

/// Everything but letters, digits, `.-_~` and `:` is percent-encoded; in qualifiers `/` stays too.
fn encode(part: &str, text: &mut String) {
    for byte in part.bytes() {
        match byte {
            b'.' | b'-' | b'_' | b'~' | b':' => text.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            byte => {
                text.push('%');
                for digit in [byte >> 4, byte & 0xf] {
                    let digit = char::from_digit(u32::from(digit), 16).expect("four bits");
                    text.push(digit.to_ascii_uppercase());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_rules() {
        let distro = |id: &str, version: &str| Distro {
            id: id.to_owned(),
            version_id: Some(version.to_owned()),
            ..Distro::default()
        };
        let with = |kind, name: &str, version: &str, architecture: Option<&str>| Package {
            architecture: architecture.map(str::to_owned),
            ..Package::new(kind, name, version)
        };
        let debian = distro("debian", "12");
        for (package, distro, expected) in [
            (
                with(Kind::Deb, "libstdc++6", "12.2.0-14+deb12u1", Some("amd64")),
                Some(&debian),
                "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12",
            ),
            (
                with(Kind::Deb, "apt", "1:2.6~rc1", None),
                None,
                "pkg:deb/apt@1:2.6~rc1",
            ),
            (
                with(Kind::Rpm, "openssl-libs", "1:3.0.7-24.el9", Some("x86_64")),
                Some(&distro("rocky", "9.3")),
                "pkg:rpm/rocky/openssl-libs@3.0.7-24.el9?arch=x86_64&distro=rocky-9.3&epoch=1",
            ),
            (
                with(Kind::Apk, "musl", "1.2.4-r2", Some("x86_64")),
                Some(&distro("alpine", "3.19.1")),
                "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.19.1",
            ),
            (
                with(Kind::Pypi, "Flask_Login", "0.6", None),
                None,
                "pkg:pypi/flask-login@0.6",
            ),
            (
                with(Kind::Npm, "@babel/core", "7.1.0", None),
                Some(&debian),
                "pkg:npm/%40babel/core@7.1.0",
            ),
            (
                with(
                    Kind::Golang,
                    "github.com/Masterminds/semver/v3",
                    "v3.2.0",
                    None,
                ),
                None,
                "pkg:golang/github.com/masterminds/semver/v3@v3.2.0",
            ),
            (
                with(Kind::Maven, "org.apache:commons", "1.0", None),
                None,
                "pkg:maven/org.apache/commons@1.0",
            ),
            (
                with(Kind::Cargo, "serde", "1.0.0+x", None),
                None,
                "pkg:cargo/serde@1.0.0%2Bx",
            ),
        ] {
            assert_eq!(of_package(&package, distro), expected);
        }
        let digest = Digest::from_sha256(&[0xab; 32]);
        let expected = format!(
            "pkg:oci/redis@{digest}?arch=amd64&repository_url=docker.io/library/redis&tag=7"
        );
        assert_eq!(
            of_image("docker.io/library/redis", &digest, "amd64", Some("7")),
            expected
        );
    }
}
