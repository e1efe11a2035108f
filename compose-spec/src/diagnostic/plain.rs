//! Findings as plain text: for logs, tests and places without a terminal. The CLI draws richer ones from the same data.

use std::fmt::Write as _;

use super::{Diagnostic, Label, Severity, Sources};

/// Returns one finding with its excerpts as text.
pub fn plain(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let word = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut out = format!("{word}[{}]: {}\n", diagnostic.code, diagnostic.message);
    if let Some(label) = &diagnostic.primary {
        excerpt(&mut out, label, '^', sources);
    }
    for label in &diagnostic.secondary {
        excerpt(&mut out, label, '-', sources);
    }
    for help in &diagnostic.help {
        let _ = writeln!(out, "  help: {help}");
    }
    out
}

fn excerpt(out: &mut String, label: &Label, mark: char, sources: &Sources) {
    let place = sources.location(label.span);
    let line = sources.source(label.span.source).line(place.line);
    let rest = line
        .chars()
        .count()
        .saturating_sub(place.column as usize - 1);
    let marks = sources
        .slice(label.span)
        .lines()
        .next()
        .map_or(0, |first| first.chars().count());
    let marks = marks.min(rest).max(1);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  --> {}:{}:{}", place.file, place.line, place.column);
    let _ = writeln!(out, "   | {line}");
    let gap: String = line
        .chars()
        .take(place.column as usize - 1)
        .map(|c| if c == '\t' { c } else { ' ' })
        .collect();
    let marks: String = std::iter::repeat_n(mark, marks).collect();
    let drawn = format!("   | {gap}{marks} {}", label.text);
    let _ = writeln!(out, "{}", drawn.trim_end());
}
