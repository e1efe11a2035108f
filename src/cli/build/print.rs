//! `stack build --print`: the builds of a project as a bake file (JSON), for tools that read these.

use compose_spec::model::{Build, ImageSource, Project};
use serde_json::{Map, Value, json};

use crate::plan::image_reference;

/// Returns the builds of the services that `wanted` holds.
pub(super) fn bake(project: &Project, wanted: &dyn Fn(&str) -> bool) -> Value {
    let mut targets = Map::new();
    for service in project.services.values() {
        if let ImageSource::Build { build, .. } = &service.image
            && wanted(service.name.as_str())
        {
            let tag = image_reference(&project.name, service);
            targets.insert(service.name.as_str().to_owned(), target(build, &tag));
        }
    }
    let names: Vec<&String> = targets.keys().collect();
    json!({ "group": { "default": { "targets": names } }, "target": targets })
}

fn target(build: &Build, tag: &str) -> Value {
    let mut tags = vec![tag.to_owned()];
    tags.extend(build.tags.iter().cloned());
    let mut target = json!({
        "context": build.context,
        "tags": tags,
        "output": ["type=docker"],
    });
    let mut set = |key: &str, value: Value| {
        let empty = match &value {
            Value::Null => true,
            Value::Bool(on) => !on,
            Value::Array(values) => values.is_empty(),
            Value::Object(values) => values.is_empty(),
            _ => false,
        };
        if !empty {
            target[key] = value;
        }
    };
    match (&build.dockerfile_inline, &build.dockerfile) {
        (Some(text), _) => set("dockerfile-inline", json!(text)),
        (None, file) => set("dockerfile", json!(file.as_deref().unwrap_or("Dockerfile"))),
    }
    let args = build.args.iter().filter_map(|(name, value)| {
        let value = value.as_ref()?;
        Some((name.clone(), json!(value)))
    });
    set("args", Value::Object(args.collect()));
    set("contexts", json!(build.additional_contexts));
    set("labels", json!(build.labels));
    set("target", json!(build.target));
    set("network", json!(build.network));
    set("platforms", json!(build.platforms));
    set("no-cache", json!(build.no_cache));
    set("no-cache-filter", json!(build.no_cache_filter));
    set("pull", json!(build.pull));
    set("entitlements", json!(build.entitlements));
    set(
        "shm-size",
        json!(build.shm_size_bytes.map(|bytes| bytes.to_string())),
    );
    target
}
