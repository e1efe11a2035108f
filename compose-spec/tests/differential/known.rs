//! Deliberate differences, as code. The identifiers are those of `tests/compose-differences.txt`, which has the reasons.
//!
//! Every rule names the place and judges the value: what it does not describe exactly fails the test.

use serde_json::Value;

use crate::{generate::Case, oracle::Refusal};

/// Returns whether docker compose may refuse what is accepted here as `ours`.
pub(crate) fn compose_may_refuse(case: &Case, message: &str, ours: &Value) -> bool {
    later_files_complete(case, message) || quoted_numbers(message, ours)
}

/// R1: a file may lack a required key that a later one adds; docker compose judges after each document.
fn later_files_complete(case: &Case, message: &str) -> bool {
    case.is_merged() && message.contains(" missing property '")
}

/// R2: a text that is a number or a boolean is one everywhere; docker compose converts it at the places of a list.
fn quoted_numbers(message: &str, ours: &Value) -> bool {
    let told = message.lines().last().unwrap_or_default();
    let (path, wanted) = if let Some((before, wanted)) = told.split_once(" must be a ") {
        (before.rsplit(": ").next().unwrap_or(before).to_owned(), wanted)
    } else if let Some((path, wanted)) = told.trim().split_once("' expected type '") {
        (path.trim_start_matches('\'').replace('[', ".").replace(']', ""), wanted)
    } else {
        return false;
    };
    let found = path.split('.').try_fold(ours, |value, key| match value {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        value => value.get(key),
    });
    match found {
        Some(Value::Bool(_)) => wanted.starts_with("boolean"),
        Some(Value::Number(_)) => ["number", "integer", "uint16"].iter().any(|kind| wanted.starts_with(kind)),
        _ => false,
    }
}

/// Returns whether an error may be one that docker compose does not have.
pub(crate) fn may_refuse(_found: &Refusal) -> bool {
    false
}

/// Returns whether two values at a place may be printed.
pub(crate) fn may_print(case: &Case, path: &str, ours: &Value, theirs: &Value) -> bool {
    let keys: Vec<&str> = path.split('.').skip(1).collect();
    let json = case.format == "json";
    match keys[..] {
        // J1: docker compose leaves models out of JSON.
        ["models"] => json && theirs.is_null(),
        // J2: it writes `Path`, `Rate` and `Weight`, which it does not read.
        ["services", _, "blkio_config", _] => *ours == lower_keys(theirs),
        // J5: it leaves zeros of limits out of JSON, which then means nothing or something else.
        ["services", _, .., "ulimits", _, "soft" | "hard"] => json && *ours == 0 && theirs.is_null(),
        // J6: it shows the content of secrets and configs in a model.
        ["secrets" | "configs", _, "x-#value"] => case.pass == "--no-interpolate" && ours.is_null(),
        // J7: it completes anonymous volumes when it has read a second document.
        ["services", _, "volumes"] => case.is_merged() && *ours == bare_volumes(theirs),
        // S1: a text is the text that was written.
        ["services", _, "environment" | "labels" | "annotations", _] | ["services", _, "build", "args" | "labels", _] => is_rendered(ours, theirs),
        _ => false,
    }
}

fn lower_keys(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(lower_keys).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.to_lowercase(), value.clone())).collect(),
        _ => value.clone(),
    }
}

fn bare_volumes(value: &Value) -> Value {
    let mut value = value.clone();
    for volume in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        let anonymous = volume.get("source").is_none() && volume.get("type").is_some_and(|kind| kind == "volume");
        if anonymous && volume.get("volume").is_some_and(|options| options.as_object().is_some_and(serde_json::Map::is_empty)) {
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
    let (sign, digits) = digits.strip_prefix('-').map_or((1, digits.trim_start_matches('+')), |rest| (-1, rest));
    let whole = [("0x", 16), ("0b", 2), ("0o", 8), ("0", 8), ("", 10)];
    let whole = whole.iter().find_map(|(prefix, base)| i64::from_str_radix(digits.strip_prefix(prefix)?, *base).ok());
    if whole.is_some_and(|value| (sign * value).to_string() == theirs) {
        return true;
    }
    let float = |text: &str| text.parse::<f64>().ok().filter(|_| text.contains(|c: char| c.is_ascii_digit()));
    let date = theirs.strip_suffix(" 00:00:00 +0000 UTC") == Some(ours);
    date || (float(ours).is_some() && float(ours) == float(theirs))
}
