//! Compares two services field by field.

use compose_spec::model::{RestartPolicy, Service};
use serde_json::{Map, Value};

use super::Change;

/// Fields that are not part of a container: where the image comes from (its id and reference are compared), how many there are,
/// what comes first, how they are replaced, what is shown.
const NOT_OF_THE_CONTAINER: [&str; 10] = [
    "image",
    "pull_policy",
    "replicas",
    "depends_on",
    "update",
    "rollback",
    "watch",
    "profiles",
    "attach",
    "extensions",
];

/// Lists whose order means nothing.
const UNORDERED: [&str; 12] = [
    "ports",
    "mounts",
    "secrets",
    "configs",
    "expose",
    "cap_add",
    "cap_drop",
    "security_opt",
    "devices",
    "device_cgroup_rules",
    "group_add",
    "extra_hosts",
];

/// Returns a service as a value that is equal for equal containers.
pub(in crate::plan) fn comparable(service: &Service) -> Value {
    let mut service = service.clone();
    // To the monitor they are one; which of them it is only decides what happens after the user stopped it.
    if service.restart == RestartPolicy::UnlessStopped {
        service.restart = RestartPolicy::Always;
    }
    let mut value = serde_json::to_value(&service).expect("a service has string keys only");
    let fields = value.as_object_mut().expect("a service is an object");
    for field in NOT_OF_THE_CONTAINER {
        fields.shift_remove(field);
    }
    for field in UNORDERED {
        if let Some(Value::Array(items)) = fields.get_mut(field) {
            items.sort_by_cached_key(Value::to_string);
        }
    }
    value
}

/// Returns every difference that matters to a container.
pub(in crate::plan) fn differences(old: &Service, new: &Service) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", &comparable(old), &comparable(new), &mut changes);
    changes
}

fn compare(path: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Value::Object(old), Value::Object(new)) if !is_duration(old) && !is_duration(new) => {
            for (key, value) in old {
                let path = below(path, key);
                match new.get(key) {
                    Some(new) => compare(&path, value, new, changes),
                    // Also for null, a variable that was removed: absent means the image's.
                    None => changes.push(Change::of_values(&path, &shown(value), "(none)")),
                }
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                changes.push(Change::of_values(
                    &below(path, key),
                    "(none)",
                    &shown(value),
                ));
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(&format!("{path}[{index}]"), old, new, changes);
            }
        }
        _ => changes.push(Change::of_values(path, &shown(old), &shown(new))),
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn is_duration(object: &Map<String, Value>) -> bool {
    object.len() == 2 && object.contains_key("secs") && object.contains_key("nanos")
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        Value::Object(object) if is_duration(object) => {
            let secs = object["secs"].as_u64().unwrap_or(0);
            let millis = object["nanos"].as_u64().unwrap_or(0) / 1_000_000;
            match (secs, millis) {
                (secs, 0) => format!("{secs}s"),
                (0, millis) => format!("{millis}ms"),
                (secs, millis) => format!("{secs}.{millis:03}s"),
            }
        }
        other => other.to_string(),
    }
}
