//! What is in an image, and what is known to be wrong with it: `image sbom` and `image scan`.

use serde_json::{Value, json};

use crate::support::World;

const DOCKERFILE: &str = "FROM scratch\nCOPY base /\nCOPY app /\nRUN [\"/bin/busybox\", \"true\"]\nENTRYPOINT [\"/must-not-run\"]\n";

/// An image of three layers: Debian's database, then another one and a package of npm.
fn world() -> World {
    let world = World::new("services: {}");
    let paragraph = |name: &str, version: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
        )
    };
    let base = paragraph("zlib1g", "1:1.2.13.dfsg-1");
    world.write("base/var/lib/dpkg/status", &base);
    world.write(
        "base/etc/os-release",
        "ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian 12\"\n",
    );
    let both = base + &paragraph("curl", "7.88.1-10+deb12u5");
    world.write("app/var/lib/dpkg/status", &both);
    let package = "app/srv/node_modules/left-pad/package.json";
    world.write(
        package,
        r#"{"name": "left-pad", "version": "1.0.0", "license": "WTFPL"}"#,
    );
    fs_err::create_dir(world.project().join("app/bin")).unwrap();
    fs_err::copy("/usr/bin/busybox", world.project().join("app/bin/busybox")).unwrap();
    world.write("Dockerfile", DOCKERFILE);
    world.stack(&["image", "build", "-t", "app:1", "."]).ok();
    world
}

fn record(id: &str, ecosystem: &str, name: &str, fixed: &str) -> Value {
    json!({"id": id, "modified": "2026-01-02T03:04:05Z", "affected": [{
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
    }], "database_specific": {"severity": "HIGH"}})
}

#[test]
fn packages_are_listed_with_the_layer_that_brought_them() {
    let world = world();
    let listed = world.stack(&["image", "sbom", "app:1"]).ok();
    let lines: Vec<String> = (listed.stdout.lines().skip(1))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "curl 7.88.1-10+deb12u5 deb 1",
            "zlib1g 1:1.2.13.dfsg-1 deb 0",
            "left-pad 1.0.0 npm 1 WTFPL",
        ]
    );
    assert!(
        listed.stderr.contains("3 packages, Debian 12"),
        "{listed:?}"
    );
    let unowned =
        "1 of 1 programs and shared libraries belong to no package, such as `/bin/busybox`";
    assert!(listed.stderr.contains(unowned), "{listed:?}");

    // The same bytes each time, in a file or not.
    for format in ["spdx", "cyclonedx"] {
        let command = ["image", "sbom", "app:1", "--format", format];
        let run = |more: &[&str]| {
            let mut run = world.command(&[&command, more].concat());
            let output = run.env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap();
            assert!(output.status.success(), "{output:?}");
            output.stdout
        };
        let document = run(&[]);
        assert_eq!(run(&["-o", "out.json"]), b"");
        assert_eq!(
            fs_err::read(world.project().join("out.json")).unwrap(),
            document
        );
        let document: Value = serde_json::from_slice(&document).unwrap();
        let text = document.to_string();
        assert!(text.contains("2023-11-14T22:13:20Z") && text.contains("pkg:npm/left-pad@1.0.0"));
        let digest = world
            .stack(&["image", "inspect", "-f", "{{.Id}}", "app:1"])
            .ok();
        assert!(text.contains(digest.stdout.trim()), "{text}");
    }
    let missing = world.stack(&["image", "sbom", "nothing:1"]).fails(1);
    assert!(
        missing.stderr.contains("no image `nothing:1`"),
        "{missing:?}"
    );
    world.finish();
}

#[test]
fn what_is_known_to_be_wrong_is_found_and_fails() {
    let world = world();
    let records = [
        record(
            "DEBIAN-CVE-2024-1",
            "Debian:12",
            "curl",
            "7.88.1-10+deb12u6",
        ),
        record(
            "DEBIAN-CVE-2024-2",
            "Debian:12",
            "curl",
            "7.88.1-10+deb12u5",
        ),
    ];
    let lines = records.map(|record| record.to_string()).join("\n");
    world.write("db/Debian/all.json", &lines);
    let scan =
        |more: &[&str]| world.stack(&[&["image", "scan", "app:1", "--db", "db"], more].concat());

    let found = scan(&[]).fails(9);
    let row = found.stdout.lines().nth(1).unwrap_or_default();
    let row: Vec<&str> = row.split_whitespace().collect();
    let expected = [
        "curl",
        "7.88.1-10+deb12u5",
        "CVE-2024-1",
        "high",
        "7.88.1-10+deb12u6",
        "deb",
        "1",
    ];
    assert_eq!(row, expected, "{found:?}");
    let summary = "1 vulnerability in 2 packages that the database covers: 1 high";
    assert!(found.stderr.contains(summary), "{found:?}");
    let gap = "1 package not covered: the database has no records of npm";
    assert!(found.stderr.contains(gap), "{found:?}");

    scan(&["--fail-on", "high"]).fails(9);
    scan(&["--fail-on", "critical"]).ok();
    scan(&["--fail-on", "never"]).ok();
    let hidden = scan(&["--severity", "critical"]).ok();
    assert!(
        hidden
            .stderr
            .contains("1 less severe or unknown, not shown"),
        "{hidden:?}"
    );
    world.write(
        "ignored",
        "CVE-2024-1 package=curl until=2999-01-01 # known\n",
    );
    let ignored = scan(&["--ignore", "ignored"]).ok();
    assert!(ignored.stderr.contains("; 1 ignored"), "{ignored:?}");
    world.write("ignored", "CVE-2024-1 curl\n");
    scan(&["--ignore", "ignored"]).fails(1);
    let report: Value = serde_json::from_str(&scan(&["--format", "json"]).fails(9).stdout).unwrap();
    assert_eq!(report["findings"][0]["fixed"], "7.88.1-10+deb12u6");
    assert_eq!(report["covers"][1]["records"], 0);

    // Nothing is never called safe without anything known about it.
    world.write(
        "other.json",
        &record("GHSA-1", "Maven", "a:b", "1").to_string(),
    );
    let uncovered = world
        .stack(&["image", "scan", "app:1", "--db", "other.json"])
        .fails(1);
    assert!(
        uncovered
            .stderr
            .contains("no records about this image's packages"),
        "{uncovered:?}"
    );
    let none = world.stack(&["image", "scan", "app:1"]).fails(2);
    assert!(none.stderr.contains("--db"), "{none:?}");
    world
        .stack(&["image", "scan", "app:1", "--db", "missing"])
        .fails(1);
    let empty = world
        .stack(&["image", "scan", "busybox", "--db", "db"])
        .fails(1);
    assert!(
        empty.stderr.contains("no packages were found in the image"),
        "{empty:?}"
    );
    world.finish();
}
