//! Reads environment files through [`Files`] and turns their faults into diagnostics.

use std::path::Path;

use super::dotenv::{Assignment, LineError, Scope, parse, parse_raw};
use crate::{
    Files,
    diagnostic::{Code, Diagnostic, Sink, Sources, Span},
};

/// Largest environment file.
const BYTES_MAX: usize = 4 << 20;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Quotes, comments and interpolation.
    Compose,
    /// Nothing is special (`format: raw`).
    Raw,
}

/// A file to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnvFile<'a> {
    /// Absolute path.
    pub(crate) path: &'a Path,
    /// Name in messages.
    pub(crate) name: &'a str,
    /// Where the Compose file names it.
    pub(crate) named_at: Option<Span>,
    /// How it is written.
    pub(crate) format: Format,
}

/// Reads one file; `None` when it was reported as broken.
pub(crate) fn read(
    file: EnvFile<'_>,
    files: &dyn Files,
    scope: Scope<'_>,
    sources: &mut Sources,
    sink: &mut Sink,
) -> Option<Vec<Assignment>> {
    let bytes = match files.read(file.path, BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let code = if missing {
                Code::FileMissing
            } else {
                Code::FileUnreadable
            };
            let fact = if missing {
                "no such file".to_owned()
            } else {
                error.to_string()
            };
            let mut diagnostic =
                Diagnostic::error(code, format!("env file `{}`: {fact}", file.name));
            if let Some(span) = file.named_at {
                diagnostic = diagnostic.at(span, "");
            }
            sink.push(diagnostic);
            return None;
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) if text.len() <= BYTES_MAX => text,
        outcome => {
            let fact = if outcome.is_ok() {
                "larger than 4 MiB"
            } else {
                "not UTF-8"
            };
            let message = format!("env file `{}` is {fact}", file.name);
            sink.push(Diagnostic::error(Code::FileUnreadable, message));
            return None;
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let outcome = match file.format {
        Format::Compose => parse(text, scope),
        Format::Raw => parse_raw(text, scope),
    };
    match outcome {
        Ok(assignments) => Some(assignments),
        Err(error) => {
            let diagnostic = line_error(&error, file.name, text, sources);
            if let Some(label) = &diagnostic.primary {
                sources.set_named_at(label.span.source, file.named_at);
            }
            sink.push(diagnostic);
            None
        }
    }
}

/// The excerpt shows the faulty name; every other byte of the file is masked, since it may be a secret.
fn line_error(error: &LineError, name: &str, text: &str, sources: &mut Sources) -> Diagnostic {
    let shown = error.start..error.end;
    let masked: String = text
        .char_indices()
        .flat_map(|(at, c)| {
            let keep = shown.contains(&at) || c == '\n';
            std::iter::repeat_n(
                if keep { c } else { '*' },
                if keep { 1 } else { c.len_utf8() },
            )
        })
        .collect();
    let id = sources.add(name, &masked);
    Diagnostic::error(
        Code::BadEnvFile,
        format!("env file `{name}`: {}", error.message),
    )
    .at(Span::new(id, error.start, error.end), "")
}
