//! Errors for people: findings in Compose files with excerpts, and `error: intent: cause` with hints.
//!
//! The exit code of every failure is decided here, once.

use compose_spec::{Diagnostic, Drawing, Location, Severity, Sources};
use serde_json::{Value, json};

use super::{MessageFormat, Ui, UiOptions, style};
use crate::protocol::{ErrorReport, FailureKind};

/// Lines of a failed service's log that are shown.
const LOG_LINES_MAX: usize = 20;

/// Returns the exit code of a failure: the table of `stack help`.
pub fn exit_code(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Operation => 1,
        FailureKind::Image => 4,
        FailureKind::Unhealthy => 5,
        FailureKind::Timeout => 6,
        FailureKind::Conflict => 7,
        FailureKind::Unsupported => 8,
    }
}

impl Ui {
    /// Prints an error. `place` is where in a file it comes from, if that is known.
    pub fn error(&self, report: &ErrorReport, place: Option<&Location>) {
        let at = place.map(|place| format!("{}:{}:{}", place.file, place.line, place.column));
        match (self.options.messages, at) {
            (MessageFormat::Json, _) => self.say(&object(report, place).to_string()),
            (MessageFormat::Short, Some(at)) => {
                self.say(&format!("{at}: error: {}", joined(&report.chain)));
            }
            (MessageFormat::Short, None) => self.say(&format!("error: {}", joined(&report.chain))),
            (MessageFormat::Human, at) => self.human_error(report, at.as_deref()),
        }
    }

    fn human_error(&self, report: &ErrorReport, place: Option<&str>) {
        let palette = self.options.err;
        let label = palette.paint(style::ERROR, "error:");
        self.say(&format!("{label} {}", joined(&report.chain)));
        if let Some(place) = place {
            self.say(&format!("  --> {place}"));
        }
        for line in &report.excerpt {
            self.say(line);
        }
        let skipped = report.log.len().saturating_sub(LOG_LINES_MAX);
        if !report.log.is_empty() {
            self.say("last log lines:");
        }
        for line in &report.log[skipped..] {
            self.say(&format!("  {} {line}", palette.paint(style::DIM, "|")));
        }
        for hint in &report.hints {
            let label = palette.paint(style::HINT, "hint:");
            self.say(&format!("{label} {hint}"));
        }
    }

    /// Prints findings about Compose files, and how many errors there were.
    pub fn diagnostics(&self, diagnostics: &[Diagnostic], sources: &Sources) {
        let drawing = self.options.drawing();
        for diagnostic in diagnostics {
            match self.options.messages {
                MessageFormat::Human => self.say(&drawing.draw(diagnostic, sources)),
                MessageFormat::Short => self.say(&compose_spec::short(diagnostic, sources)),
                MessageFormat::Json => {
                    self.say(&compose_spec::json(diagnostic, sources).to_string());
                }
            }
        }
        if self.options.messages != MessageFormat::Human {
            return;
        }
        let errors = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .count();
        match errors {
            0 => {}
            1 => self.say("1 error. Nothing was changed."),
            errors => self.say(&format!("{errors} errors. Nothing was changed.")),
        }
    }
}

/// Joins a chain, leaving out a cause that the message before it says already.
fn joined(chain: &[String]) -> String {
    let mut text = String::new();
    for part in chain {
        if text.is_empty() {
            text.push_str(part);
        } else if !text.ends_with(part.as_str()) {
            text.push_str(": ");
            text.push_str(part);
        }
    }
    text
}

/// Returns `compose.yaml:12:5`, where a finding points.
pub fn place(diagnostic: &Diagnostic, sources: &Sources) -> Option<String> {
    let place = sources.location(diagnostic.primary.as_ref()?.span);
    Some(format!("{}:{}:{}", place.file, place.line, place.column))
}

impl UiOptions {
    fn drawing(&self) -> Drawing {
        Drawing {
            width: usize::from(self.columns),
            colour: self.err.is_enabled(),
            ascii: self.signs == style::Signs::ASCII,
        }
    }
}

/// Returns a warning that is about no file as one object.
pub(super) fn warning_object(text: &str) -> Value {
    json!({
        "severity": "warning", "code": null, "message": text, "file": null, "line": null, "column": null,
        "end_line": null, "end_column": null, "label": "", "related": [], "help": [],
    })
}

/// Returns a failure as one object, with the fields of a finding as far as it has them.
fn object(report: &ErrorReport, place: Option<&Location>) -> Value {
    json!({
        "severity": "error",
        "code": null,
        "message": joined(&report.chain),
        "file": place.map(|place| place.file.to_string()),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "end_line": null,
        "end_column": null,
        "label": "",
        "related": [],
        "help": report.hints,
        "log": report.log,
        "excerpt": report.excerpt,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::testing::{PLAIN, captured};

    #[test]
    fn an_error_is_one_line_with_log_and_hints_below() {
        let (ui, out, err) = captured(PLAIN);
        let report = ErrorReport {
            kind: FailureKind::Unhealthy,
            chain: vec![
                "start service `web`".into(),
                "bind 0.0.0.0:80: address already in use".into(),
                "address already in use".into(),
            ],
            hints: vec!["stack logs web".into()],
            log: (0..30).map(|n| format!("line {n}")).collect(),
            excerpt: Vec::new(),
            config_path: None,
        };
        let place = Location {
            file: "compose.yaml".into(),
            line: 4,
            column: 9,
        };
        ui.error(&report, Some(&place));
        let text = err.text();
        assert_eq!(text.lines().count(), 3 + LOG_LINES_MAX + 1);
        let ends: Vec<&str> = text.lines().take(4).chain(text.lines().last()).collect();
        insta::assert_snapshot!(ends.join("\n"), @r"
        error: start service `web`: bind 0.0.0.0:80: address already in use
          --> compose.yaml:4:9
        last log lines:
          | line 10
        hint: stack logs web
        ");
        assert_eq!(out.text(), "");
    }

    #[test]
    fn programs_read_one_object_a_line_and_editors_one_line_an_error() {
        let report = ErrorReport {
            kind: FailureKind::Conflict,
            chain: vec!["start service `web`".into(), "port 80 is taken".into()],
            hints: vec!["stack ps".into()],
            log: Vec::new(),
            excerpt: Vec::new(),
            config_path: None,
        };
        let place = Location {
            file: "compose.yaml".into(),
            line: 4,
            column: 9,
        };
        let printed = |messages, place| {
            let (ui, _, err) = captured(UiOptions { messages, ..PLAIN });
            ui.error(&report, place);
            err.text()
        };
        assert_eq!(
            printed(MessageFormat::Short, Some(&place)),
            "compose.yaml:4:9: error: start service `web`: port 80 is taken\n"
        );
        assert_eq!(
            printed(MessageFormat::Short, None),
            "error: start service `web`: port 80 is taken\n"
        );
        let object: Value =
            serde_json::from_str(&printed(MessageFormat::Json, Some(&place))).unwrap();
        assert_eq!(object["line"], 4);
        assert_eq!(object["message"], "start service `web`: port 80 is taken");
        assert_eq!(object["help"], json!(["stack ps"]));
    }

    #[test]
    fn exit_codes_are_those_of_the_table() {
        for (kind, code) in [
            (FailureKind::Operation, 1),
            (FailureKind::Image, 4),
            (FailureKind::Unhealthy, 5),
            (FailureKind::Timeout, 6),
            (FailureKind::Conflict, 7),
            (FailureKind::Unsupported, 8),
        ] {
            assert_eq!(exit_code(kind), code);
        }
    }
}
