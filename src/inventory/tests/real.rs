//! What is really installed on this machine, against what its package manager says.
#![expect(
    clippy::disallowed_methods,
    reason = "the package manager is a program"
)]

use std::process::Command;

use super::*;

fn said(program: &str, arguments: &[&str]) -> Vec<String> {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    assert!(output.status.success(), "{program}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Every package of a Debian system with its version, architecture and source, as dpkg-query(1) lists them.
#[test]
fn the_packages_of_debian_are_those_that_dpkg_lists() {
    let format = "${db:Status-Status}|${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\n";
    let mut expected: Vec<String> = said("dpkg-query", &["-W", "-f", format])
        .iter()
        .filter_map(|line| line.strip_prefix("installed|").map(str::to_owned))
        .collect();
    expected.sort();
    assert!(expected.len() > 50, "{expected:?}");
    let status = fs::read("/var/lib/dpkg/status").unwrap();
    let release = fs::read("/etc/os-release").unwrap();
    let image = Image::new(&[&[
        ("var/lib/dpkg/status", &*status),
        ("etc/os-release", &*release),
    ]]);
    let mut found: Vec<String> = (image.read().packages.iter())
        .map(|package| {
            let source = package.source.as_ref().expect("dpkg names a source");
            let architecture = package.architecture.as_deref().unwrap_or_default();
            let source_version = source.version.as_deref().unwrap_or_default();
            format!(
                "{} {} {architecture} {} {source_version}",
                package.name, package.version, source.name
            )
        })
        .collect();
    found.sort();
    assert_eq!(found, expected);
}
