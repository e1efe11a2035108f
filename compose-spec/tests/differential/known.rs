//! Deliberate differences, as code. The identifiers are those of `tests/compose-differences.txt`, which has the reasons.

use serde_json::{Map, Value};

use crate::{generate::Case, oracle::Answer};

/// What compose refuses though it is right, by a part of its message.
const REFUSED_BY_COMPOSE: [(&str, &str); 7] = [
    ("R1-later-files-complete", "missing property"),
    ("R1-later-files-complete", "must be a integer or string"),
    (
        "R2-quoted-numbers",
        "expected type 'uint16', got unconvertible type 'string'",
    ),
    (
        "R3-ssh-json",
        "error calling MarshalJSON for type types.SSHKey",
    ),
    ("R3-ssh-json", "build.ssh"),
    ("R4-one-or-many", "cannot override services."),
    ("R5-null-keeps", "must be a"),
];

/// D1: what compose prints and then fails at, or never notices, is refused at load. These codes say nothing else: values that
/// their attribute cannot have, ports, mounts, addresses and quantities, and what only one container can have.
const REFUSED_HERE: [&str; 8] = [
    "S0303", "S0309", "S0310", "S0311", "S0312", "S0511", "S0512", "S0513",
];

/// Returns whether the two answers may differ.
pub(crate) fn is_deliberate(case: &Case, ours: &Answer, theirs: &Answer) -> bool {
    match (ours, theirs) {
        (Answer::Accepted(_), Answer::Refused(why)) => {
            let several = case.files.len() > 1;
            let known = |(id, part): &&(&str, &str)| {
                let only_merged = matches!(
                    *id,
                    "R1-later-files-complete" | "R4-one-or-many" | "R5-null-keeps"
                );
                why.contains(part) && (several || !only_merged)
            };
            REFUSED_BY_COMPOSE.iter().any(|rule| known(&rule))
        }
        (Answer::Refused(why), Answer::Accepted(_)) => {
            REFUSED_HERE.iter().any(|code| why.contains(code))
        }
        _ => false,
    }
}

/// Returns the parts of a canonical project that are compared.
pub(crate) fn comparable(mut project: Value) -> Value {
    let Some(top) = project.as_object_mut() else {
        return project;
    };
    // J1: compose leaves `models` out of JSON, though not out of YAML.
    top.remove("models");
    let services = top.get_mut("services").and_then(Value::as_object_mut);
    for (_, service) in services.into_iter().flatten() {
        container(service);
        let hooks = service.get_mut("pre_start").and_then(Value::as_array_mut);
        for hook in hooks.into_iter().flatten() {
            container(hook);
            init_container(hook);
        }
    }
    project
}

fn container(service: &mut Value) {
    let Some(service) = service.as_object_mut() else {
        return;
    };
    // J2: compose writes `Path`, `Rate` and `Weight`, which it does not read.
    if let Some(blkio) = service
        .get_mut("blkio_config")
        .and_then(Value::as_object_mut)
    {
        for (_, devices) in blkio.iter_mut() {
            for device in devices.as_array_mut().into_iter().flatten() {
                *device = lower_keys(device);
            }
        }
    }
    // J3: compose lists a host with one address twice when two files say it.
    if let Some(Value::Array(hosts)) = service.get_mut("extra_hosts") {
        hosts.dedup();
    }
}

/// J4: compose leaves `env_file` of init containers unread, gives secrets of their own no target, lists a device twice whose
/// target the service has too, and keeps inherited networks beside a `network_mode`.
fn init_container(hook: &mut Value) {
    let Some(hook) = hook.as_object_mut() else {
        return;
    };
    for key in ["env_file", "environment", "devices", "secrets", "configs"] {
        hook.remove(key);
    }
    if hook.contains_key("network_mode") {
        hook.remove("networks");
    }
}

fn lower_keys(value: &Value) -> Value {
    let Some(object) = value.as_object() else {
        return value.clone();
    };
    let lower = |(key, value): (&String, &Value)| (key.to_lowercase(), value.clone());
    Value::Object(object.iter().map(lower).collect::<Map<_, _>>())
}
