//! SPDX 2.3 as JSON (spdx.github.io/spdx-spec/v2.3).
//!
//! ```text
//! document DESCRIBES image; image CONTAINS layers and the operating system; a layer CONTAINS the packages that it brought
//! ```

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{About, caveats, fingerprint, hex};
use crate::inventory::{
    Inventory, Package,
    licence::{Stated, together},
    purl,
};
use sha2::{Digest as _, Sha256};

const IMAGE: &str = "SPDXRef-Image";
const SYSTEM: &str = "SPDXRef-OperatingSystem";

/// Writes the document.
pub fn document(inventory: &Inventory, about: &About) -> Value {
    let mut packages = vec![image(about)];
    let mut relationships = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE)];
    for (number, digest) in about.layers.iter().enumerate() {
        let id = layer_id(number);
        packages.push(json!({
            "SPDXID": id,
            "name": digest.as_str(),
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "checksums": [{"algorithm": "SHA256", "checksumValue": digest.hex()}],
            "comment": format!("layer {number}, the lowest is 0; the digest is that of its uncompressed stream"),
        }));
        relationships.push(relation(IMAGE, "CONTAINS", &id));
    }
    if let Some(distro) = &inventory.distro {
        let mut system = json!({
            "SPDXID": SYSTEM,
            "name": distro.id,
            "summary": distro.name,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "primaryPackagePurpose": "OPERATING-SYSTEM",
        });
        put(&mut system, "versionInfo", distro.version_id.clone());
        packages.push(system);
        relationships.push(relation(IMAGE, "CONTAINS", SYSTEM));
    }
    let mut extracted = BTreeMap::new();
    for found in &inventory.packages {
        let entry = package(found, inventory, &mut extracted);
        let id = entry["SPDXID"].as_str().unwrap_or_default().to_owned();
        // A layer of a damaged record: the image has it in any case.
        let owner = if found.layer < about.layers.len() {
            layer_id(found.layer)
        } else {
            IMAGE.to_owned()
        };
        relationships.push(relation(&owner, "CONTAINS", &id));
        packages.push(entry);
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": about.name,
        "documentNamespace": namespace(inventory, about),
        "creationInfo": {
            "created": about.time(),
            "creators": [concat!("Tool: stack-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    let caveats = caveats(inventory);
    if !caveats.is_empty() {
        document["comment"] = caveats.join("\n").into();
    }
    if !extracted.is_empty() {
        let infos = extracted.into_iter().map(|(id, text)| {
            json!({"licenseId": id, "name": text, "extractedText": text,
                "comment": "as the package states it; the text is in the image"})
        });
        document["hasExtractedLicensingInfos"] = infos.collect();
    }
    document
}

/// The place that SPDX gives to those who have none of their own.
fn namespace(inventory: &Inventory, about: &About) -> String {
    let name: String = (about.name.chars())
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') {
                c
            } else {
                '-'
            }
        })
        .collect();
    format!("https://spdx.org/spdxdocs/{name}-{}", about.uuid(inventory))
}

fn layer_id(number: usize) -> String {
    format!("SPDXRef-Layer-{number}")
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

fn image(about: &About) -> Value {
    let digest = about.version();
    let mut image = json!({
        "SPDXID": IMAGE,
        "name": about.name,
        "versionInfo": digest.as_str(),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest.hex()}],
        "comment": format!("image id {}, platform {}", about.id, about.platform),
    });
    if let Some(purl) = &about.purl {
        image["externalRefs"] = json!([reference(purl)]);
    }
    image
}

fn reference(purl: &str) -> Value {
    json!({
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    })
}

fn package(
    package: &Package,
    inventory: &Inventory,
    extracted: &mut BTreeMap<String, String>,
) -> Value {
    let name: String = (package.name.chars())
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
                c
            } else {
                '-'
            }
        })
        .collect();
    let kind = package.kind.as_str();
    let mut entry = json!({
        "SPDXID": format!("SPDXRef-Package-{kind}-{name}-{}", fingerprint(package)),
        "name": package.name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": declared(package, extracted),
        "copyrightText": "NOASSERTION",
        "externalRefs": [reference(&purl::of_package(package, inventory.distro.as_ref()))],
    });
    let version = Some(package.version.clone());
    put(
        &mut entry,
        "versionInfo",
        version.filter(|version| !version.is_empty()),
    );
    let supplier = package.supplier.as_deref().map(one_line);
    let supplier = supplier.map(|supplier| format!("Organization: {supplier}"));
    put(&mut entry, "supplier", supplier);
    let homepage = package.homepage.clone().filter(|page| is_address(page));
    put(&mut entry, "homepage", homepage);
    let mut info = vec![format!("from {}", package.location)];
    if let Some(source) = &package.source {
        let version = source.version.as_deref().unwrap_or_default();
        let text = format!("built from the source package {} {version}", source.name);
        info.push(text.trim_end().to_owned());
    }
    if package.declared_only {
        info.push("a lock file asks for it, it was not found installed".to_owned());
    }
    entry["sourceInfo"] = info.join("; ").into();
    entry
}

/// Returns the licence expression; what SPDX has no identifier for is named by a reference of this document.
fn declared(package: &Package, extracted: &mut BTreeMap<String, String>) -> String {
    let stated = together(&package.licences);
    let is_single = stated.len() == 1;
    let parts: Vec<String> = (stated.into_iter())
        .map(|stated| match stated {
            Stated::Id(id) => id,
            Stated::Expression(expression) if is_single => expression,
            Stated::Expression(expression) => format!("({expression})"),
            Stated::Other(text) => {
                let sum = hex(&Sha256::digest(text.as_bytes())[..6]);
                let id = format!("LicenseRef-{sum}");
                extracted.insert(id.clone(), text);
                id
            }
        })
        .collect();
    if parts.is_empty() {
        return "NOASSERTION".to_owned();
    }
    parts.join(" AND ")
}

fn put(entry: &mut Value, key: &str, value: Option<String>) {
    if let Some(value) = value {
        entry[key] = value.into();
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Both formats want an address; packages write anything.
pub(super) fn is_address(text: &str) -> bool {
    let rest = (text.strip_prefix("https://")).or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        host.contains('.')
            && !host.starts_with('.')
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'))
            && rest
                .bytes()
                .all(|b| b.is_ascii_graphic() && !br#""<>\^`{|}[]"#.contains(&b))
    })
}
