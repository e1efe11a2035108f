//! Texts that are not YAML: the scanner's message, and what to do about it.

use crate::diagnostic::{Code, Diagnostic, Span};

/// What to do about a part of the scanner's message.
#[rustfmt::skip]
const SYNTAX_HELP: [(&str, &str); 4] = [
    ("mapping values are not allowed", "a text with `: ` in it must be in quotes; else compare the indentation with the lines above"),
    ("unexpected character", "a text that begins with such a character must be in quotes"),
    ("expected key", "keys of one mapping begin in one column: compare with the lines above"),
    ("multiline quoted scalar", "a quote above is not closed"),
];

/// Returns the error for a place at which the scanner gave up.
pub(super) fn syntax_error(code: Code, info: &str, span: Span, text: &str) -> Diagnostic {
    let info = info.trim_end_matches('.');
    let diagnostic = Diagnostic::error(code, format!("invalid YAML: {info}")).at(span, "");
    let line_start = text[..span.start as usize]
        .rfind('\n')
        .map_or(0, |at| at + 1);
    if text[line_start..].starts_with('\t') {
        return diagnostic.help("YAML is indented with spaces, not with tabs");
    }
    match SYNTAX_HELP.iter().find(|(part, _)| info.contains(part)) {
        Some((_, help)) => diagnostic.help(*help),
        None => diagnostic,
    }
}
