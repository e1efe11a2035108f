//! Collects findings while a file is read.

use std::collections::HashSet;

use super::{Code, Diagnostic, Severity, Span};

/// Most findings that are kept: a broken generator must not flood the terminal.
const FINDINGS_MAX: usize = 200;

/// The findings so far. One place is reported once per code, also when aliases bring it to many services.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    seen: HashSet<(Code, Span)>,
    damaged: HashSet<String>,
}

impl Sink {
    /// Takes a finding, unless the same place was reported with the same code.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        if let Some(label) = &diagnostic.primary
            && !self.seen.insert((diagnostic.code, label.span))
        {
            return;
        }
        let list = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        if list.len() < FINDINGS_MAX {
            list.push(diagnostic);
        }
    }

    /// Returns how many errors there are, to see whether a pass found one.
    pub(crate) fn errors(&self) -> usize {
        self.errors.len()
    }

    /// Notes that a part of the section at `path` was reported as wrong and left out.
    pub(crate) fn damage(&mut self, path: &str) {
        if !self.damaged.contains(path) {
            self.damaged.insert(path.to_owned());
        }
    }

    /// Returns whether a part of the section at `path` was left out, so that nobody misses it.
    pub(crate) fn is_damaged(&self, path: &str) -> bool {
        self.damaged.contains(path)
    }

    /// Returns whether further errors are dropped, so that nobody has to think of good words for them.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() >= FINDINGS_MAX
    }

    /// Returns errors and warnings, each in the order of the files.
    pub(crate) fn finish(mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let place = |d: &Diagnostic| d.primary.as_ref().map(|label| label.span);
        self.errors.sort_by_key(place);
        self.warnings.sort_by_key(place);
        (self.errors, self.warnings)
    }
}
