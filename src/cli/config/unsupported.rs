//! `config --unsupported`: keys that are accepted and have no effect on this machine.

use compose_spec::{Code, Configuration, Diagnostic};
use serde_json::{Value, json};

use crate::ui::{lines, report};

/// Returns one line a key, `FILE:LINE:COLUMN: KEY: REASON`, or an array of objects. The places are what editors read.
pub(super) fn text(found: &Configuration, json: bool) -> String {
    let without_effect = found
        .warnings
        .iter()
        .filter(|warning| warning.code == Code::NoEffect);
    if json {
        let objects: Vec<Value> = without_effect
            .map(|warning| object(warning, found))
            .collect();
        return format!("{:#}\n", Value::Array(objects));
    }
    lines(without_effect.map(|warning| {
        let place = report::place(warning, &found.sources).unwrap_or_default();
        format!("{place}: {}{}", key(warning), suffix(warning))
    }))
}

fn object(warning: &Diagnostic, found: &Configuration) -> Value {
    let place = warning
        .primary
        .as_ref()
        .map(|label| found.sources.location(label.span));
    json!({
        "key": key(warning),
        "reason": reason(warning),
        "file": place.as_ref().map(|place| place.file.to_string()),
        "line": place.as_ref().map(|place| place.line),
        "column": place.as_ref().map(|place| place.column),
    })
}

/// The path of the key stands between the first two backquotes of the message.
fn key(warning: &Diagnostic) -> &str {
    warning
        .message
        .split('`')
        .nth(1)
        .unwrap_or(&warning.message)
}

fn reason(warning: &Diagnostic) -> &str {
    warning
        .primary
        .as_ref()
        .map_or("", |label| label.text.as_str())
}

fn suffix(warning: &Diagnostic) -> String {
    match reason(warning) {
        "" => String::new(),
        reason => format!(": {reason}"),
    }
}
