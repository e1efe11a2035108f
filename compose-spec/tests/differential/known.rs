//! Deliberate differences, as code. The identifiers are those of `tests/compose-differences.txt`, which has the reasons.
//!
//! Every rule names the place and judges the value: what it does not describe exactly fails the test.

use serde_json::{Value, json};

use crate::case::Case;

/// Returns whether docker compose may refuse what is accepted here as `ours`.
pub(crate) fn compose_may_refuse(case: &Case, message: &str, ours: &Value) -> bool {
    later_files_complete(case, message, ours)
        || quoted_numbers(message, ours)
        || one_or_many(case, message, ours)
        || is_empty_ssh(message, ours)
        || is_one_limit(message, ours)
}

/// R5: a limit that is said in one place is not two that differ.
fn is_one_limit(message: &str, ours: &Value) -> bool {
    let told = message
        .strip_prefix("services.")
        .and_then(|told| told.split_once(": can't set distinct values on '"));
    let Some((service, told)) = told else {
        return false;
    };
    let limits = told
        .split_once("' and 'deploy.resources.limits.")
        .and_then(|(plain, rest)| Some((plain, rest.split_once('\'')?.0)));
    limits.is_some_and(|(plain, limit)| {
        let service = &ours["services"][service];
        !service[plain].is_null() && service["deploy"]["resources"]["limits"][limit].is_null()
    })
}

/// R1: a file may lack a required key that a later one adds; docker compose judges after each document.
fn later_files_complete(case: &Case, message: &str, ours: &Value) -> bool {
    let told = message.lines().last().unwrap_or_default();
    let Some((path, key)) = told.split_once(" missing property '") else {
        return false;
    };
    let path = path.rsplit(": ").next().unwrap_or(path);
    let key = key.split('\'').next().unwrap_or_default();
    // The section may be gone altogether, by a `!reset`.
    case.is_merged() && at(ours, path).is_none_or(|section| section.get(key).is_some())
}

/// Returns what is at a path of keys and indices.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        value => value.get(key),
    })
}

/// R2: a text that is a number or a boolean is one everywhere; docker compose converts it at the places of a list.
fn quoted_numbers(message: &str, ours: &Value) -> bool {
    let told = message.lines().last().unwrap_or_default();
    let (path, wanted) = if let Some((before, wanted)) = told.split_once(" must be a ") {
        (
            before.rsplit(": ").next().unwrap_or(before).to_owned(),
            wanted,
        )
    } else if let Some((path, wanted)) = told.trim().split_once("' expected type '") {
        (
            path.trim_start_matches('\'')
                .replace('[', ".")
                .replace(']', ""),
            wanted,
        )
    } else {
        return false;
    };
    let found = at(ours, &path);
    match found {
        // In a model the text is a variable still.
        Some(Value::String(text)) => text.contains('$') && !wanted.starts_with("string"),
        Some(Value::Bool(_)) => wanted.starts_with("boolean"),
        Some(Value::Number(_)) => ["number", "integer", "uint16"]
            .iter()
            .any(|kind| wanted.starts_with(kind)),
        // A zero is left out of what is printed.
        None => [".blkio_config.weight", ".priority", ".gw_priority"]
            .iter()
            .any(|end| path.ends_with(end)),
        _ => false,
    }
}

/// R4: a single text and a list of one are the same also where one is laid over the other.
fn one_or_many(case: &Case, message: &str, ours: &Value) -> bool {
    let Some(path) = message.trim().strip_prefix("cannot override ") else {
        return false;
    };
    let found = path.split('.').try_fold(ours, |value, key| value.get(key));
    let known = [
        "gpus",
        "build.ssh",
        "build.cache_from",
        "build.no_cache_filter",
    ];
    case.is_merged()
        && known.iter().any(|key| path.ends_with(key))
        && found.is_none_or(Value::is_array)
}

/// R3: it cannot print `build.ssh` with a path as JSON.
fn is_empty_ssh(message: &str, ours: &Value) -> bool {
    let services = ours["services"].as_object();
    let has_path = |service: &Value| service["build"]["ssh"].is_array();
    message.contains("error calling MarshalJSON for type types.SSHKey")
        && services.is_some_and(|all| all.values().any(has_path))
}

/// Returns whether two values at a place may be printed; `project` is all that this crate prints.
pub(crate) fn may_print(
    case: &Case,
    project: &Value,
    path: &str,
    ours: &Value,
    theirs: &Value,
) -> bool {
    let keys: Vec<&str> = path.split('.').skip(1).collect();
    let json = case.format == "json";
    match keys[..] {
        // J1: docker compose leaves models out of JSON.
        ["models"] => json && theirs.is_null(),
        // J2: it writes `Path`, `Rate` and `Weight`, which it does not read.
        ["services", _, "blkio_config", _] => *ours == lower_keys(theirs),
        // J5: it leaves zeros of limits out of JSON, which then means nothing or something else.
        ["services", _, .., "ulimits", _, "soft" | "hard"] => {
            json && *ours == 0 && theirs.is_null()
        }
        // J6: it shows the content of secrets and configs in a model.
        ["secrets" | "configs", _, "x-#value"] => case.pass == "--no-interpolate" && ours.is_null(),
        // R7: it looks for what `!reset` names among the keys of a mapping only, not among `KEY=value`.
        [
            "services",
            _,
            "environment" | "labels" | "annotations" | "sysctls",
            key,
        ] if ours.is_null() => case.is_merged() && case.has(&format!("{key}: !reset")),
        ["services", _, attribute @ ("labels" | "environment")]
            if ours.is_null() && case.has(&format!("{attribute}: {{")) && case.has(": !reset") =>
        {
            case.is_merged()
        }
        // R8: an anchor brings back, to it, what `!reset` removes beside `<<`.
        ["services", _, attribute]
            if ours.is_null() && case.resets_anchored().any(|reset| reset == attribute) =>
        {
            true
        }
        // Without a mode there is the default network.
        ["services", _, "networks"] if theirs.is_null() => {
            *ours == json!({"default": null})
                && case.resets_anchored().any(|reset| reset == "network_mode")
        }
        // J11: a name that variables leave empty stays empty.
        ["networks" | "volumes", _, "name"] => theirs.is_null() && case.has("name: '${V}'"),
        // J8: it reads the label files of services that are named on the command line, and of init containers, too late.
        ["services", service, "labels"] if case.services.contains(&service) => {
            let service = &project["services"][service];
            theirs.is_null() && service["profiles"].is_array() && service["label_file"].is_array()
        }
        ["services", _, "pre_start"] => is_like_inherited(ours, theirs),
        // L2: it tells a secret from one with the same place written in full.
        ["services", _, "secrets" | "configs"] => *ours == one_per_target(theirs, keys[2]),
        ["secrets" | "configs", _] => {
            ours.is_null() && (case.has("/run/secrets/") || case.has("target: s"))
        }
        // J7: it completes some short anonymous volumes, and others not.
        ["services", _, "volumes"] => *ours == bare_volumes(theirs),
        // J3: it lists what two documents say twice.
        ["services", _, "extra_hosts"] | ["services", _, "develop", "watch"] => {
            case.is_merged() && *ours == without_repeats(theirs)
        }
        // J9: two forms of one port are two ports to it.
        ["services", _, "ports"] => case.is_merged() && *ours == without_repeats(theirs),
        // J10: in a model it makes a list of pairs that two documents have, of which one is a mapping.
        [
            "services",
            _,
            "environment" | "labels" | "annotations" | "sysctls",
        ]
        | ["services", _, "build", "args" | "labels"]
        | ["services", _, "deploy", "labels"]
        | ["networks" | "volumes" | "secrets" | "configs", _, "labels"] => {
            case.pass == "--no-interpolate" && case.is_merged() && *ours == pairs(theirs)
        }
        // S1: a text is the text that was written.
        ["services", _, "environment" | "labels" | "annotations", _]
        | ["services", _, "build", "args" | "labels", _] => is_rendered(ours, theirs),
        [extension, ..] if extension.starts_with("x-") => is_rendered(ours, theirs),
        _ => false,
    }
}

/// Returns grants without those whose target a later one has.
fn one_per_target(grants: &Value, kind: &str) -> Value {
    let directory = if kind == "secrets" {
        "/run/secrets/"
    } else {
        "/"
    };
    let mut kept: Vec<(String, Value)> = Vec::new();
    for grant in grants.as_array().into_iter().flatten() {
        let target = grant["target"]
            .as_str()
            .or_else(|| grant["source"].as_str())
            .unwrap_or_default();
        let target = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("{directory}{target}")
        };
        match kept.iter_mut().find(|(known, _)| *known == target) {
            Some((_, place)) => *place = grant.clone(),
            None => kept.push((target, grant.clone())),
        }
    }
    kept.into_iter().map(|(_, grant)| grant).collect()
}

/// J4: docker compose leaves the files of init containers (`env_file`, `label_file`) unread, gives their secrets no
/// target, lists a device twice whose target the service has too, and keeps networks beside a `network_mode`.
fn is_like_inherited(ours: &Value, theirs: &Value) -> bool {
    let (Some(ours), Some(theirs)) = (ours.as_array(), theirs.as_array()) else {
        return false;
    };
    let both = ours.iter().zip(theirs);
    ours.len() == theirs.len() && both.into_iter().all(|(ours, theirs)| hook(ours, theirs))
}

fn hook(ours: &Value, theirs: &Value) -> bool {
    let (Some(ours), Some(theirs)) = (ours.as_object(), theirs.as_object()) else {
        return false;
    };
    let none = Value::Null;
    let keys = ours.keys().chain(theirs.keys());
    keys.into_iter().all(|key| {
        let (a, b) = (
            ours.get(key).unwrap_or(&none),
            theirs.get(key).unwrap_or(&none),
        );
        a == b
            || match key.as_str() {
                "env_file" => a.is_null() && b.is_array(),
                "environment" => theirs.contains_key("env_file") && includes(a, b),
                "labels" => theirs.contains_key("label_file") && includes(a, b) || renders(a, b),
                "secrets" | "configs" => *a == targeted(b, key),
                "devices" => *a == one_per_target(b, "devices"),
                "networks" => a.is_null() && theirs.contains_key("network_mode"),
                "annotations" => renders(a, b),
                "blkio_config" => blkio(a) == blkio(b),
                _ => false,
            }
    })
}

fn blkio(value: &Value) -> Value {
    let entries = value.as_object().into_iter().flatten();
    Value::Object(
        entries
            .map(|(key, value)| (key.clone(), lower_keys(value)))
            .collect(),
    )
}

/// Returns whether `ours` has all that `theirs` has, or what replaces nothing.
fn includes(ours: &Value, theirs: &Value) -> bool {
    let entries = theirs.as_object().into_iter().flatten();
    entries.into_iter().all(|(key, value)| {
        value.is_null()
            || ours
                .get(key)
                .is_some_and(|own| own == value || is_rendered(own, value))
    })
}

fn renders(ours: &Value, theirs: &Value) -> bool {
    let len = |value: &Value| value.as_object().map(serde_json::Map::len);
    len(ours) == len(theirs) && includes(ours, theirs)
}

fn targeted(grants: &Value, kind: &str) -> Value {
    let mut grants = grants.clone();
    for grant in grants
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        if kind == "secrets" && !grant.contains_key("target") {
            let source = grant["source"].as_str().unwrap_or_default();
            let target = format!("/run/secrets/{source}");
            grant.insert("target".to_owned(), target.into());
        }
    }
    one_per_target(&grants, kind)
}

fn lower_keys(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(lower_keys).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.to_lowercase(), value.clone()))
            .collect(),
        _ => value.clone(),
    }
}

fn without_repeats(value: &Value) -> Value {
    let mut kept: Vec<&Value> = Vec::new();
    for item in value.as_array().into_iter().flatten() {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept.into_iter().cloned().collect()
}

/// Returns a list of `key=value` as a mapping, with the types that YAML gives to the values.
fn pairs(value: &Value) -> Value {
    let items = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let pair = |item: &str| match item.split_once('=') {
        Some((key, value)) => (
            key.to_owned(),
            serde_yaml::from_str(value).unwrap_or_else(|_| value.into()),
        ),
        None => (item.to_owned(), Value::Null),
    };
    Value::Object(items.map(pair).collect())
}

fn bare_volumes(value: &Value) -> Value {
    let mut value = value.clone();
    for volume in value
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        let anonymous = volume.get("source").is_none()
            && volume.get("type").is_some_and(|kind| kind == "volume");
        if anonymous
            && volume
                .get("volume")
                .is_some_and(|options| options.as_object().is_some_and(serde_json::Map::is_empty))
        {
            volume.remove("volume");
        }
    }
    value
}

/// Returns whether docker compose read a text as a number or a date and wrote it in another way.
fn is_rendered(ours: &Value, theirs: &Value) -> bool {
    let (Some(ours), Some(theirs)) = (ours.as_str(), theirs.as_str()) else {
        return false;
    };
    let digits = ours.replace('_', "");
    let (sign, digits) = digits
        .strip_prefix('-')
        .map_or_else(|| (1, digits.trim_start_matches('+')), |rest| (-1, rest));
    let whole = [("0x", 16), ("0b", 2), ("0o", 8), ("0", 8), ("", 10)];
    let whole = whole
        .iter()
        .find_map(|(prefix, base)| i64::from_str_radix(digits.strip_prefix(prefix)?, *base).ok());
    if whole.is_some_and(|value| (sign * value).to_string() == theirs) {
        return true;
    }
    let float = |text: &str| {
        text.parse::<f64>()
            .ok()
            .filter(|_| text.contains(|c: char| c.is_ascii_digit()))
    };
    let date = [" 00:00:00 +0000 UTC", "T00:00:00Z"]
        .iter()
        .any(|time| theirs.strip_suffix(time) == Some(ours));
    date || (float(ours).is_some() && float(ours) == float(theirs))
}
