//! Writes what `config` prints, as YAML or JSON.

use serde_json::{Map, Value};

/// Keys of the top level in the order of the YAML output; what is not named follows.
const TOP_ORDER: [&str; 7] = [
    "name", "services", "networks", "volumes", "secrets", "configs", "models",
];

/// Returns a project as YAML.
pub fn yaml(value: &Value) -> String {
    let mut out = String::new();
    let options = serde_saphyr::ser_options! { folded_wrap_chars: 1_000_000 };
    let ordered = ordered(value);
    // Writing plain data to a String cannot fail.
    let written = serde_saphyr::to_fmt_writer_with_options(&mut out, &ordered, options);
    debug_assert!(written.is_ok(), "plain data is always written");
    out
}

/// Returns a project as JSON, indented by two blanks. As Compose does, `x-*` keys of services are left to the YAML output.
pub fn json(value: &Value) -> String {
    let mut value = value.clone();
    if let Some(services) = value.get_mut("services").and_then(Value::as_object_mut) {
        for (_, service) in services.iter_mut() {
            if let Some(service) = service.as_object_mut() {
                service.retain(|key, _| !key.starts_with("x-"));
            }
        }
    }
    escaped(&serde_json::to_string_pretty(&value).unwrap_or_default())
}

/// Escapes characters that JSON allows and YAML does not, so that the output is also a Compose file.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(
            c,
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
        ) {
            let code = format!("\\u{:04x}", u32::from(c));
            out.push_str(&code);
        } else {
            out.push(c);
        }
    }
    out
}

fn ordered(value: &Value) -> Value {
    let Value::Object(map) = value else {
        return value.clone();
    };
    let known = TOP_ORDER
        .iter()
        .filter_map(|key| map.get(*key).map(|value| (*key, value)));
    let rest = map
        .iter()
        .filter(|(key, _)| !TOP_ORDER.contains(&key.as_str()));
    let all = known.chain(rest.map(|(key, value)| (key.as_str(), value)));
    Value::Object(
        all.map(|(key, value)| (key.to_owned(), value.clone()))
            .collect::<Map<_, _>>(),
    )
}
