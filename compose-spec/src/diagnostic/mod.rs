//! What is wrong with a Compose file, where, and what to type instead.
//!
//! Deciding code pushes [`Diagnostic`]s into a [`Sink`] and goes on, so that a user sees all errors of a file at once.
//! Nothing is printed here: [`Drawing`], [`short`] and [`json`] turn a finding into text for those who print. Values that came out of the environment are never part
//! of a message, unless they name a service, network or volume; messages quote the file as it is written.

mod code;
mod draw;
mod machine;
mod sink;
mod source;
mod suggest;
mod text;

pub use code::Code;
pub use draw::{Drawing, plain};
pub use machine::{json, short};
pub(crate) use sink::Sink;
pub use source::{Location, Source, SourceId, Sources, Span};
pub(crate) use suggest::nearest;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The project cannot be used.
    Error,
    /// The project can be used, but something in it has no effect or is deprecated.
    Warning,
}

/// A place in a file with a few words about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The bytes that are meant.
    pub span: Span,
    /// The words; may be empty.
    pub text: String,
}

/// One finding about a Compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable number, for documentation and tests.
    pub code: Code,
    /// One sentence naming the object, lower case, no period.
    pub message: String,
    /// The place that must change; `None` when it is not in a file (a flag, a missing file).
    pub primary: Option<Label>,
    /// Further places that explain it (the first of two equal keys).
    pub secondary: Vec<Label>,
    /// What to do about it, one suggestion each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// Creates an error.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            primary: None,
            secondary: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Creates a warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// Sets the place that must change.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.primary = Some(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds a place that explains it.
    #[must_use]
    pub fn and(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds a suggestion.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Adds "did you mean" when one of `candidates` is close to `written`.
    #[must_use]
    pub(crate) fn did_you_mean<'a>(
        self,
        written: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        match nearest(written, candidates) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }
}
