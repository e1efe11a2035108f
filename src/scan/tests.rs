use std::io::Write;

use fs_err as fs;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::inventory::{Distro, Kind, Package, SourcePackage};

/// Debian 12 with a library, two Python packages, a module of Go and a package of npm.
fn inventory() -> Inventory {
    let mut ssl = Package::new(Kind::Deb, "libssl3", "3.0.11-1~deb12u2");
    ssl.source = Some(SourcePackage {
        name: "openssl".into(),
        version: Some("3.0.11-1~deb12u2".into()),
    });
    Inventory {
        distro: Some(Distro {
            id: "debian".into(),
            version_id: Some("12".into()),
            name: "Debian 12".into(),
            ..Distro::default()
        }),
        packages: vec![
            ssl,
            Package::new(Kind::Pypi, "Jinja_2", "2.10"),
            Package::new(Kind::Pypi, "odd", "not-a-version"),
            Package::new(Kind::Npm, "left-pad", "1.0.0"),
            Package::new(Kind::Golang, "stdlib", "1.21.0"),
        ],
        ..Inventory::default()
    }
}

fn record(id: &str, ecosystem: &str, name: &str, fixed: &str) -> Value {
    json!({"id": id, "modified": "2026-01-02T03:04:05Z", "affected": [{
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
    }]})
}

fn with(mut record: Value, key: &str, value: Value) -> Value {
    record[key] = value;
    record
}

fn scan_records(records: &[Value]) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    fs::write(directory.path().join("x.json"), lines.join("\n")).unwrap();
    scan(&inventory(), directory.path()).unwrap()
}

fn told(report: &Report) -> Vec<String> {
    let lines = report.findings.iter().map(|finding| {
        let fixed = finding.fixed.as_deref().unwrap_or("-");
        format!(
            "{} {} {} {fixed}",
            finding.id, finding.package, finding.severity
        )
    });
    lines.collect()
}

#[test]
fn records_of_the_release_and_of_the_source_count() {
    let report = scan_records(&[
        record(
            "DEBIAN-CVE-2024-1",
            "Debian:12",
            "openssl",
            "3.0.11-1~deb12u3",
        ),
        record(
            "DEBIAN-CVE-2024-2",
            "Debian:12",
            "openssl",
            "3.0.11-1~deb12u2",
        ),
        record("DEBIAN-CVE-2024-3", "Debian:11", "openssl", "9"),
        record("DEBIAN-CVE-2024-4", "Debian:12", "libssl3", "9"),
        with(
            record("DEBIAN-CVE-2024-5", "Debian:12", "openssl", "9"),
            "withdrawn",
            "2026-01-01T00:00:00Z".into(),
        ),
        record("GO-2024-1", "Go", "stdlib", "1.21.1"),
    ]);
    assert_eq!(
        told(&report),
        [
            "CVE-2024-1 libssl3 unknown 3.0.11-1~deb12u3",
            "GO-2024-1 stdlib unknown 1.21.1"
        ]
    );
    let covers: Vec<_> = (report.covers.iter())
        .map(|cover| (&*cover.ecosystem, cover.packages, cover.records))
        .collect();
    assert_eq!(
        covers,
        [
            ("Debian:12", 1, 4),
            ("PyPI", 2, 0),
            ("npm", 1, 0),
            ("Go", 1, 1)
        ]
    );
    assert_eq!(
        (report.packages_covered(), report.packages_not_covered()),
        (2, 3)
    );
    assert_eq!(report.database.records, 6);
    assert_eq!(
        report.database.latest.as_deref(),
        Some("2026-01-02T03:04:05Z")
    );
}

#[test]
fn records_about_the_same_vulnerability_are_one_finding() {
    let report = scan_records(&[
        with(
            record("GHSA-a", "PyPI", "jinja-2", "2.10.1"),
            "aliases",
            json!(["CVE-2019-1", "PYSEC-1"]),
        ),
        with(
            record("PYSEC-1", "PyPI", "Jinja.2", "2.11"),
            "aliases",
            json!(["GHSA-a"]),
        ),
        with(
            with(
                record("DSA-1-1", "Debian:12", "openssl", "3.0.11-1~deb12u4"),
                "upstream",
                json!(["CVE-2023-1", "CVE-2023-2"]),
            ),
            "summary",
            "two of them".into(),
        ),
        with(
            record(
                "DEBIAN-CVE-2023-1",
                "Debian:12",
                "openssl",
                "3.0.11-1~deb12u3",
            ),
            "severity",
            json!([{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]),
        ),
        record("GHSA-b", "npm", "left-pad", "2.0.0"),
        with(
            record("SNYK-b", "npm", "left-pad", "2.0.0"),
            "aliases",
            json!(["GHSA-b"]),
        ),
    ]);
    assert_eq!(
        told(&report),
        [
            "CVE-2023-1 libssl3 critical 3.0.11-1~deb12u4",
            "CVE-2019-1 Jinja_2 unknown 2.11",
            "GHSA-b left-pad unknown 2.0.0",
            "CVE-2023-2 libssl3 unknown 3.0.11-1~deb12u4",
        ]
    );
    assert_eq!(report.findings[1].records, ["GHSA-a", "PYSEC-1"]);
    assert_eq!(report.findings[2].records, ["GHSA-b", "SNYK-b"]);
    assert_eq!(report.findings[0].summary, "two of them");
}

#[test]
fn the_newer_of_two_copies_of_a_record_counts() {
    let newer = with(
        record("GHSA-b", "npm", "left-pad", "3.0.0"),
        "modified",
        "2026-02-01T00:00:00Z".into(),
    );
    let older = record("GHSA-b", "npm", "left-pad", "2.0.0");
    for records in [[newer.clone(), older.clone()], [older, newer]] {
        assert_eq!(
            told(&scan_records(&records)),
            ["GHSA-b left-pad unknown 3.0.0"]
        );
    }
}

#[test]
fn versions_of_another_form_are_undecided_not_safe() {
    let report = scan_records(&[
        record("GHSA-o", "PyPI", "odd", "9"),
        record("GHSA-p", "PyPI", "jinja-2", "not a version"),
        json!({"id": "GHSA-q", "affected": [{"package": {"ecosystem": "npm", "name": "left-pad"}}]}),
    ]);
    assert_eq!(told(&report), [""; 0]);
    assert_eq!(
        report.undecided,
        [
            "Jinja_2 2.10 (GHSA-p)",
            "left-pad 1.0.0 (GHSA-q)",
            "odd not-a-version (GHSA-o)"
        ]
    );
}

#[test]
fn databases_come_in_many_packages() {
    let one = record("GHSA-b", "npm", "left-pad", "2.0.0");
    let two = record("GO-2024-1", "Go", "stdlib", "1.21.1");
    let lines = format!("{one}\n{two}\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines.as_bytes()).unwrap();
    let pretty = format!("{one:#}");
    let archive = crate::inventory::zip_archive(&[
        ("GHSA-b.json", pretty.as_bytes()),
        ("GO-2024-1.json", two.to_string().as_bytes()),
        ("README", b"no record"),
    ]);
    for (name, bytes) in [
        ("x.json", lines.clone().into_bytes()),
        ("x.json", format!("[{one:#},{two}]").into_bytes()),
        ("x.ndjson.gz", gzip.finish().unwrap()),
        (
            "x.jsonl.zst",
            zstd::encode_all(lines.as_bytes(), 1).unwrap(),
        ),
        ("all.zip", archive),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("osv-scanner/npm");
        fs::create_dir_all(&below).unwrap();
        let file = below.join(name);
        fs::write(&file, bytes).unwrap();
        for path in [directory.path(), &file] {
            let report = scan(&inventory(), path).unwrap();
            assert_eq!(
                (report.findings.len(), report.database.unread),
                (2, 0),
                "{name}"
            );
        }
    }
}

#[test]
fn what_is_no_database_is_an_error_and_what_is_damaged_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let error = |path: &Path| scan(&inventory(), path).unwrap_err();
    assert!(matches!(
        error(&at("a", "hello")),
        DatabaseError::Form { .. }
    ));
    assert!(matches!(
        error(&at("b", "{\"id\": ")),
        DatabaseError::Form { .. }
    ));
    assert!(matches!(
        error(&at("c", "PK\x03\x04 not")),
        DatabaseError::Form { .. }
    ));
    assert!(matches!(error(&at("d", "")), DatabaseError::Empty(_)));
    assert!(matches!(
        error(&directory.path().join("missing")),
        DatabaseError::Io(_)
    ));
    assert!(matches!(
        error(&at("e", "{\"no\": \"record\"}")),
        DatabaseError::Empty(_)
    ));
    let good = record("GHSA-b", "npm", "left-pad", "2.0.0");
    let report = scan(
        &inventory(),
        &at("f", &format!("{{}}\n{good}\n{{\"id\": 1}}")),
    )
    .unwrap();
    assert_eq!((report.findings.len(), report.database.unread), (1, 2));
    assert!(
        report.database.problems[0].contains("no OSV record"),
        "{:?}",
        report.database
    );
}

#[test]
fn sarif_has_a_rule_for_each_vulnerability() {
    let report = scan_records(&[
        with(
            record("GHSA-b", "npm", "left-pad", "2.0.0"),
            "database_specific",
            json!({"severity": "HIGH"}),
        ),
        record("GO-2024-1", "Go", "stdlib", "1.21.1"),
    ]);
    let document = sarif(&report.findings, "app:1");
    let run = &document["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "GHSA-b");
    assert_eq!(run["results"][0]["level"], "error");
    assert_eq!(
        run["results"][1]["message"]["text"],
        "stdlib 1.21.0 in app:1: GO-2024-1 (unknown), fixed in 1.21.1"
    );
    assert_eq!(run["results"][1]["ruleIndex"], 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_record_is_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        event in "[a-z]{0,9}",
        version in ".{0,12}",
    ) {
        let odd = json!({"id": "x", "affected": [{
            "package": {"ecosystem": "PyPI", "name": "odd"}, "versions": [version],
            "ranges": [{"type": "ECOSYSTEM", "events": [{event: version}, {"introduced": version}]}],
        }]});
        let report = scan_records(&[odd]);
        prop_assert_eq!(report.database.records, 1);
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("x.json"), bytes).unwrap();
        drop(scan(&inventory(), directory.path()));
    }
}
