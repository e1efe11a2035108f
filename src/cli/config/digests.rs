//! `config --resolve-image-digests` and `--lock-image-digests`: images pinned to what their registries have now.

use serde_json::{Map, Value};

use crate::{
    cli::{failure::Failure, session::Session},
    protocol::{PinRequest, Request},
    ui::progress::ProgressOptions,
};

/// Puts digests behind the images of all services. Images that have one, and those that are only built, stay as they are.
pub(super) fn resolve(session: &Session<'_>, canonical: &mut Value) -> Result<(), Failure> {
    let mut images: Vec<String> = services_mut(canonical)
        .filter_map(|service| service["image"].as_str().map(str::to_owned))
        .filter(|image| !image.contains('@') && !image.contains('$'))
        .collect();
    images.sort();
    images.dedup();
    if images.is_empty() {
        return Ok(());
    }
    let request = Request::Pin(PinRequest {
        images: images.clone(),
    });
    let pinned = session
        .call(&request, ProgressOptions::default(), None)?
        .names;
    for service in services_mut(canonical) {
        let image = service["image"].as_str();
        let found = image.and_then(|image| images.iter().position(|known| known == image));
        if let Some(pinned) = found.and_then(|at| pinned.get(at)) {
            service["image"] = Value::String(pinned.clone());
        }
    }
    Ok(())
}

/// Leaves only the images of services: an override file that locks them.
pub(super) fn keep_images_only(canonical: &mut Value) {
    let Some(top) = canonical.as_object_mut() else {
        return;
    };
    top.retain(|key, _| key == "services");
    for service in services_mut(canonical) {
        if let Some(service) = service.as_object_mut() {
            service.retain(|key, _| key == "image");
        }
    }
}

fn services_mut(canonical: &mut Value) -> impl Iterator<Item = &mut Value> {
    canonical
        .get_mut("services")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut)
}
