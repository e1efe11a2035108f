//! Errors for people: findings in Compose files with excerpts, and `error: intent: cause` with hints.
//!
//! The exit code of every failure is decided here, once.

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle,
};
use compose_spec::{Diagnostic, Label, Severity, Sources};

use super::{Ui, UiOptions, style};
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
    /// Prints an error. `place` is where in a file it comes from (`compose.yaml:12:5`), if that is known.
    pub fn error(&self, report: &ErrorReport, place: Option<&str>) {
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
        for diagnostic in diagnostics {
            self.say(&render(diagnostic, sources, &self.options));
            self.say("");
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

fn render(diagnostic: &Diagnostic, sources: &Sources, options: &UiOptions) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(
        level
            .primary_title(&diagnostic.message)
            .id(diagnostic.code.as_str()),
    );
    for snippet in snippets(diagnostic, sources) {
        group = group.element(snippet);
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    renderer(options).render(&[group])
}

/// Returns one excerpt for each file that the finding points at, the one that must change first.
fn snippets<'a>(
    diagnostic: &'a Diagnostic,
    sources: &'a Sources,
) -> Vec<Snippet<'a, Annotation<'a>>> {
    let primary = diagnostic
        .primary
        .iter()
        .map(|label| (label, AnnotationKind::Primary));
    let secondary = diagnostic
        .secondary
        .iter()
        .map(|label| (label, AnnotationKind::Context));
    let labels: Vec<(&Label, AnnotationKind)> = primary.chain(secondary).collect();
    let mut files = Vec::new();
    for (label, _) in &labels {
        if !files.contains(&label.span.source) {
            files.push(label.span.source);
        }
    }
    files
        .into_iter()
        .map(|file| {
            let source = sources.source(file);
            let annotations = labels
                .iter()
                .filter(|(label, _)| label.span.source == file)
                .map(|(label, kind)| annotation(label, *kind));
            Snippet::source(&*source.text)
                .path(&*source.name)
                .annotations(annotations)
        })
        .collect()
}

fn annotation(label: &Label, kind: AnnotationKind) -> Annotation<'_> {
    let annotation = kind.span(label.span.start as usize..label.span.end as usize);
    if label.text.is_empty() {
        annotation
    } else {
        annotation.label(&label.text)
    }
}

fn renderer(options: &UiOptions) -> Renderer {
    let renderer = if options.err.is_enabled() {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let decor = if options.signs == style::Signs::ASCII {
        DecorStyle::Ascii
    } else {
        DecorStyle::Unicode
    };
    renderer
        .decor_style(decor)
        .term_width(usize::from(options.columns))
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
        ui.error(&report, Some("compose.yaml:4:9"));
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
