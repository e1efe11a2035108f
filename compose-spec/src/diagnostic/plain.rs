//! Findings as plain text: for logs, tests and places without a terminal. The CLI draws richer ones from the same data.

use super::{Diagnostic, Label, Severity, Sources};

/// Returns one finding with its excerpts as text.
pub fn plain(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let word = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut lines = vec![format!(
        "{word}[{}]: {}",
        diagnostic.code, diagnostic.message
    )];
    if let Some(label) = &diagnostic.primary {
        lines.extend(excerpt(label, '^', sources));
    }
    for label in &diagnostic.secondary {
        lines.extend(excerpt(label, '-', sources));
    }
    lines.extend(diagnostic.help.iter().map(|help| format!("  help: {help}")));
    lines.push(String::new());
    lines.join("\n")
}

fn excerpt(label: &Label, mark: char, sources: &Sources) -> [String; 3] {
    let place = sources.location(label.span);
    let line = sources.source(label.span.source).line(place.line);
    let before = place.column as usize - 1;
    let rest = line.chars().count().saturating_sub(before);
    let marks = sources
        .slice(label.span)
        .lines()
        .next()
        .map_or(0, |first| first.chars().count());
    let marks: String = std::iter::repeat_n(mark, marks.min(rest).max(1)).collect();
    let gap: String = line
        .chars()
        .take(before)
        .map(|c| if c == '\t' { c } else { ' ' })
        .collect();
    let drawn = format!("   | {gap}{marks} {}", label.text);
    [
        format!("  --> {}:{}:{}", place.file, place.line, place.column),
        format!("   | {line}"),
        drawn.trim_end().to_owned(),
    ]
}
