//! CycloneDX 1.6 as JSON (cyclonedx.org/docs/1.6/json).

use serde_json::{Value, json};

use super::{About, caveats, fingerprint, spdx::is_address};
use crate::inventory::{
    Inventory, Package,
    licence::{Stated, together},
    purl,
};

const SYSTEM: &str = "operating-system";

/// Writes the document.
pub fn document(inventory: &Inventory, about: &About) -> Value {
    let image = about.version().as_str();
    let mut components = Vec::new();
    if let Some(distro) = &inventory.distro {
        let mut system = json!({
            "type": "operating-system",
            "bom-ref": SYSTEM,
            "name": distro.id,
            "description": distro.name,
        });
        if let Some(version) = &distro.version_id {
            system["version"] = version.clone().into();
        }
        components.push(system);
    }
    components
        .extend((inventory.packages.iter()).map(|package| component(package, inventory, about)));
    let caveats = caveats(inventory);
    // What is not known to be there cannot be said to be all.
    let aggregate = if caveats.is_empty() {
        "unknown"
    } else {
        "incomplete"
    };
    let properties: Vec<Value> = caveats
        .iter()
        .map(|text| property("stack:caveat", text))
        .collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", about.uuid(inventory)),
        "version": 1,
        "metadata": {
            "timestamp": about.time(),
            "tools": {"components": [{
                "type": "application", "name": "stack", "version": env!("CARGO_PKG_VERSION"),
            }]},
            "component": container(about),
            "properties": properties,
        },
        "components": components,
        "compositions": [{"aggregate": aggregate, "assemblies": [image]}],
    })
}

fn container(about: &About) -> Value {
    let digest = about.version();
    let mut properties = vec![
        property("stack:image:id", about.id.as_str()),
        property("stack:image:platform", &about.platform),
    ];
    for (number, layer) in about.layers.iter().enumerate() {
        properties.push(property(
            &format!("stack:image:layer:{number}"),
            layer.as_str(),
        ));
    }
    let mut container = json!({
        "type": "container",
        "bom-ref": digest.as_str(),
        "name": about.name,
        "version": digest.as_str(),
        "hashes": [{"alg": "SHA-256", "content": digest.hex()}],
        "properties": properties,
    });
    if let Some(purl) = &about.purl {
        container["purl"] = purl.clone().into();
    }
    container
}

fn component(package: &Package, inventory: &Inventory, about: &About) -> Value {
    let purl = purl::of_package(package, inventory.distro.as_ref());
    let (group, name) = grouped(package);
    let mut component = json!({
        "type": "library",
        "bom-ref": format!("{purl}#{}", fingerprint(package)),
        "name": name,
        "version": package.version,
        "purl": purl,
    });
    if let Some(group) = group {
        component["group"] = group.into();
    }
    if let Some(supplier) = &package.supplier {
        component["supplier"] = json!({"name": supplier});
    }
    if package.declared_only {
        component["scope"] = "optional".into();
    }
    let licences = licences(package);
    if !licences.is_empty() {
        component["licenses"] = licences.into();
    }
    if let Some(page) = package.homepage.as_ref().filter(|page| is_address(page)) {
        component["externalReferences"] = json!([{"type": "website", "url": page}]);
    }
    let mut properties = vec![property("stack:location", &package.location)];
    if let Some(layer) = about.layers.get(package.layer) {
        properties.push(property("stack:layer:index", &package.layer.to_string()));
        properties.push(property("stack:layer:diffId", layer.as_str()));
    }
    if let Some(source) = &package.source {
        properties.push(property("stack:source:name", &source.name));
        properties.extend((source.version.iter()).map(|v| property("stack:source:version", v)));
    }
    if package.declared_only {
        properties.push(property("stack:declaredOnly", "true"));
    }
    component["properties"] = properties.into();
    component
}

/// Splits the scope of npm and the group of Maven off, as the format wants them.
fn grouped(package: &Package) -> (Option<&str>, &str) {
    use crate::inventory::Kind;
    let split = match package.kind {
        Kind::Npm => package.name.split_once('/'),
        Kind::Maven => package.name.split_once(':'),
        _ => None,
    };
    match split {
        Some((group, name)) => (Some(group), name),
        None => (None, &package.name),
    }
}

/// The format takes either one expression or a list of single licences.
fn licences(package: &Package) -> Vec<Value> {
    let stated = together(&package.licences);
    if let [Stated::Expression(expression)] = &stated[..] {
        return vec![json!({"expression": expression})];
    }
    let licences = stated.into_iter().map(|stated| match stated {
        Stated::Id(id) => json!({"license": {"id": id}}),
        Stated::Expression(text) | Stated::Other(text) => json!({"license": {"name": text}}),
    });
    licences.collect()
}

fn property(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}
