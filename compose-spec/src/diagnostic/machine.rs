//! Findings for programs: JSON with stable fields, and the one-line form that editors read.

use serde_json::{Value, json};

use super::{Diagnostic, Label, Severity, Sources, text};

/// Returns a finding as one object. Fields are only ever added.
///
/// | field | value |
/// |---|---|
/// | `severity` | `error` or `warning` |
/// | `code` | `S0301` |
/// | `message` | one sentence |
/// | `file`, `line`, `column`, `end_line`, `end_column` | the place that must change, from 1, columns in characters; null when it is in no file. The end is behind the last character |
/// | `label` | words about the place; may be empty |
/// | `related` | places that explain it: objects with `file` … `label` |
/// | `help` | suggestions, one text each |
pub fn json(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let mut object = match &diagnostic.primary {
        Some(label) => place(label, sources),
        None => json!({
            "file": null, "line": null, "column": null, "end_line": null, "end_column": null, "label": "",
        }),
    };
    let related: Vec<Value> = diagnostic
        .secondary
        .iter()
        .map(|label| place(label, sources))
        .collect();
    object["severity"] = word(diagnostic.severity).into();
    object["code"] = diagnostic.code.as_str().into();
    object["message"] = diagnostic.message.as_str().into();
    object["related"] = related.into();
    object["help"] = diagnostic.help.clone().into();
    object
}

/// Returns a finding as one line: `compose.yaml:4:5: error[S0301]: unknown key …`, without the place when there is none.
pub fn short(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let mut line = format!(
        "{}[{}]: {}",
        word(diagnostic.severity),
        diagnostic.code,
        text::safe(&diagnostic.message)
    );
    for help in &diagnostic.help {
        line.push_str("; ");
        line.push_str(&text::safe(help));
    }
    match &diagnostic.primary {
        None => line,
        Some(label) => {
            let place = sources.location(label.span);
            let name = text::safe(&place.file);
            format!("{name}:{}:{}: {line}", place.line, place.column)
        }
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn place(label: &Label, sources: &Sources) -> Value {
    let start = sources.location(label.span);
    let end = sources.location(label.span.behind());
    json!({
        "file": &*start.file,
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "label": label.text,
    })
}
