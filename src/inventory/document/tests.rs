use super::*;
use crate::inventory::{Coverage, Distro, Kind, SourcePackage, Unread};

fn sample() -> (Inventory, About) {
    let digest = |byte: u8| Digest::from_sha256(&[byte; 32]);
    let packages = vec![
        Package {
            architecture: Some("amd64".into()),
            source: Some(SourcePackage {
                name: "gcc-12".into(),
                version: Some("12.2.0-14".into()),
            }),
            licences: vec!["GPL-3+".into(), "strange".into(), "MIT or ISC".into()],
            supplier: Some("Debian GCC <x@y>".into()),
            homepage: Some("http://gcc.gnu.org/".into()),
            location: "/var/lib/dpkg/status".into(),
            ..Package::new(Kind::Deb, "libstdc++6", "12.2.0-14")
        },
        Package {
            licences: vec!["MIT OR Apache-2.0".into()],
            homepage: Some("not an address".into()),
            location: "/app/node_modules/@a/b/package.json".into(),
            layer: 1,
            ..Package::new(Kind::Npm, "@a/b", "1.0.0")
        },
    ];
    let inventory = Inventory {
        distro: Some(Distro {
            id: "debian".into(),
            version_id: Some("12".into()),
            name: "Debian 12".into(),
            ..Distro::default()
        }),
        packages,
        coverage: Coverage {
            binaries: 9,
            binaries_without_package: 2,
            unread: vec![Unread {
                path: "/x".into(),
                reason: "y".into(),
            }],
            ..Coverage::default()
        },
    };
    let about = About {
        name: "registry.example/app:1".into(),
        id: digest(1),
        manifest: Some(digest(2)),
        purl: Some("pkg:oci/app@sha256:02".into()),
        platform: "linux/amd64".into(),
        layers: vec![digest(3), digest(4)],
        time: Timestamp(1_700_000_000_999),
    };
    (inventory, about)
}

#[test]
fn spdx_says_which_layer_brought_what() {
    let (inventory, about) = sample();
    let document = spdx(&inventory, &about);
    assert_eq!(document["creationInfo"]["created"], "2023-11-14T22:13:20Z");
    let relations: Vec<String> = (document["relationships"].as_array().unwrap().iter())
        .map(|relation| {
            let text = |key: &str| relation[key].as_str().unwrap().to_owned();
            let parts = ["spdxElementId", "relationshipType", "relatedSpdxElement"];
            parts.map(text).join(" ")
        })
        .collect();
    // Their last part is a digest of the package: what a document calls it does not depend on the others.
    insta::assert_snapshot!(relations.join("\n"), @r"
    SPDXRef-DOCUMENT DESCRIBES SPDXRef-Image
    SPDXRef-Image CONTAINS SPDXRef-Layer-0
    SPDXRef-Image CONTAINS SPDXRef-Layer-1
    SPDXRef-Image CONTAINS SPDXRef-OperatingSystem
    SPDXRef-Layer-0 CONTAINS SPDXRef-Package-deb-libstdc--6-f0af347860c5ebb9
    SPDXRef-Layer-1 CONTAINS SPDXRef-Package-npm--a-b-a9fd6d198812bff4
    ");
}

#[test]
fn licences_are_expressions_or_names() {
    let (inventory, about) = sample();
    let spdx = spdx(&inventory, &about);
    let declared = |number: usize| spdx["packages"][number]["licenseDeclared"].clone();
    let reference = spdx["hasExtractedLicensingInfos"][0]["licenseId"]
        .as_str()
        .unwrap();
    assert_eq!(
        declared(4),
        format!("GPL-3.0-or-later AND {reference} AND (MIT OR ISC)")
    );
    assert_eq!(declared(5), "MIT OR Apache-2.0");
    let cyclonedx = cyclonedx(&inventory, &about);
    let components = cyclonedx["components"].as_array().unwrap();
    assert_eq!(
        components[1]["licenses"],
        serde_json::json!([
            {"license": {"id": "GPL-3.0-or-later"}},
            {"license": {"name": "strange"}},
            {"license": {"name": "MIT OR ISC"}},
        ])
    );
    assert_eq!(
        components[2]["licenses"],
        serde_json::json!([{"expression": "MIT OR Apache-2.0"}])
    );
    assert_eq!(components[2]["group"], "@a");
    assert_eq!(
        components[2].get("externalReferences"),
        None,
        "not an address"
    );
}

#[test]
fn documents_are_the_same_each_time_and_differ_with_what_they_say() {
    let (inventory, about) = sample();
    let write = |inventory: &Inventory, about: &About| {
        (
            spdx(inventory, about).to_string(),
            cyclonedx(inventory, about).to_string(),
        )
    };
    assert_eq!(write(&inventory, &about), write(&inventory, &about));
    let mut other = inventory.clone();
    other.packages.pop();
    assert_ne!(about.uuid(&inventory), about.uuid(&other));
    let mut twice = inventory.clone();
    twice.packages.push(Package {
        location: "/other/package.json".into(),
        ..inventory.packages[1].clone()
    });
    let document = cyclonedx(&twice, &about);
    let refs: Vec<&serde_json::Value> = (document["components"].as_array().unwrap().iter())
        .map(|component| &component["bom-ref"])
        .collect();
    assert_ne!(refs[2], refs[3], "the same package in two places");
}

#[test]
fn what_is_not_known_is_in_the_documents() {
    let (inventory, about) = sample();
    let expected = "2 of 9 programs and shared libraries belong to no package that was found\n/x was not read: y";
    assert_eq!(spdx(&inventory, &about)["comment"], expected);
    let document = cyclonedx(&inventory, &about);
    assert_eq!(document["compositions"][0]["aggregate"], "incomplete");
    assert_eq!(
        document["metadata"]["properties"][1]["value"],
        "/x was not read: y"
    );
}
