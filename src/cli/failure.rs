//! Why a command did not do what was asked, and the exit code that says so.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | the operation failed |
//! | 2 | wrong usage |
//! | 3 | the Compose file is invalid |
//! | 4 | an image could not be pulled or built |
//! | 5 | a service did not become ready |
//! | 6 | time was up |
//! | 7 | a port, name or lock is taken |
//! | 8 | not permitted, or not possible on this host |
//! | 9 | `image scan` found vulnerabilities |
//! | 125, 126, 127 | `run`, `exec`: could not be started; not executable; not found |
//! | 130 | interrupted |
//! | others | the container's own, for `run`, `exec` and `up --exit-code-from` |

use std::error::Error;

use compose_spec::{LoadError, Location};

use crate::{
    client::ClientError,
    protocol::{ErrorReport, FailureKind},
    ui::{OutputError, Ui, report},
};

/// Exit code of an interrupted command: 128 + SIGINT.
pub(super) const INTERRUPTED: u8 = 130;

/// Why a command ends with something else than 0.
#[derive(Debug)]
pub(super) enum Failure {
    /// Flags or arguments that make no sense together.
    Usage(String),
    /// The Compose file has errors.
    Compose(Box<LoadError>),
    /// Something did not work; the code is of the first report unless given.
    Reports {
        /// What did not work, with the place in a file that it comes from.
        reports: Vec<(ErrorReport, Option<Location>)>,
        /// Exit code in place of the report's.
        code: Option<u8>,
    },
    /// A container's exit code, or that of an interrupted command; nothing is printed.
    Status(u8),
    /// Standard output cannot take more.
    Output(OutputError),
}

impl Failure {
    /// Makes one of an error with its causes.
    pub(super) fn error(error: &dyn Error) -> Self {
        Self::of(ErrorReport::of(FailureKind::Operation, error))
    }

    /// Makes one of what was intended and the error with its causes.
    pub(super) fn intent(intent: impl Into<String>, error: &dyn Error) -> Self {
        let mut report = ErrorReport::of(FailureKind::Operation, error);
        report.chain.insert(0, intent.into());
        Self::of(report)
    }

    /// Makes one of a message.
    pub(super) fn message(text: impl Into<String>) -> Self {
        Self::of(ErrorReport {
            kind: FailureKind::Operation,
            chain: vec![text.into()],
            hints: Vec::new(),
            log: Vec::new(),
            excerpt: Vec::new(),
            config_path: None,
        })
    }

    /// Makes one of a report.
    pub(super) fn of(report: ErrorReport) -> Self {
        Self::Reports {
            reports: vec![(report, None)],
            code: None,
        }
    }

    /// Adds the next thing to do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Reports { reports, .. } = &mut self
            && let Some((report, _)) = reports.last_mut()
        {
            report.hints.push(hint.into());
        }
        self
    }

    /// Sets the exit code.
    pub(super) fn with_code(mut self, new: u8) -> Self {
        if let Self::Reports { code, .. } = &mut self {
            *code = Some(new);
        }
        self
    }

    /// Prints it and returns the exit code.
    pub(super) fn report(self, ui: &Ui) -> u8 {
        match self {
            Self::Usage(text) => {
                ui.error(&usage(text), None);
                2
            }
            Self::Compose(error) => {
                ui.diagnostics(&error.diagnostics, &error.sources);
                3
            }
            Self::Reports { reports, code } => {
                for (report, place) in &reports {
                    ui.error(report, place.as_ref());
                }
                let first = reports
                    .first()
                    .map(|(report, _)| report::exit_code(report.kind));
                code.or(first).unwrap_or(1)
            }
            Self::Status(code) => code,
            Self::Output(OutputError::Closed) => 0,
            Self::Output(error) => {
                ui.error(&ErrorReport::of(FailureKind::Operation, &error), None);
                1
            }
        }
    }
}

fn usage(text: String) -> ErrorReport {
    ErrorReport {
        kind: FailureKind::Operation,
        chain: vec![text],
        hints: vec!["try `stack --help`".into()],
        log: Vec::new(),
        excerpt: Vec::new(),
        config_path: None,
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let mut report = ErrorReport::of(FailureKind::Operation, &error);
        report.hints = error.hints();
        Self::of(report)
    }
}

impl From<crate::container::logs::LogError> for Failure {
    fn from(error: crate::container::logs::LogError) -> Self {
        Self::error(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::testing::load,
        ui::testing::{PLAIN, captured},
    };

    #[test]
    fn an_invalid_file_is_shown_with_excerpts_and_code_3() {
        let yaml = "services:\n  web:\n    image: a\n    enviroment: {A: b}\n    depends_on: [databse]\n  database:\n    image: a\n";
        let (ui, out, err) = captured(PLAIN);
        let failure = Failure::Compose(Box::new(load(yaml).unwrap_err()));
        assert_eq!(failure.report(&ui), 3);
        assert_eq!(out.text(), "");
        insta::assert_snapshot!(err.text(), @r#"
        error[S0301]: unknown key `enviroment` in `services.web`
          --> compose.yaml:4:5
        4 |     enviroment: {A: b}
          |     ^^^^^^^^^^ a service has no such key
          = help: did you mean `environment`?

        error[S0501]: service `web` needs `databse`, which is not defined
          --> compose.yaml:5:18
        5 |     depends_on: [databse]
          |                  ^^^^^^^
          = help: did you mean `database`?

        2 errors. Nothing was changed.
        "#);
    }

    #[test]
    fn every_failure_has_its_code() {
        let operation = || Failure::message("x");
        let closed = OutputError::Closed;
        let full = OutputError::Io(std::io::ErrorKind::StorageFull.into());
        for (failure, code) in [
            (Failure::Usage("x".into()), 2),
            (operation(), 1),
            (operation().with_code(127), 127),
            (Failure::Status(42), 42),
            (Failure::Output(closed), 0),
            (Failure::Output(full), 1),
        ] {
            let (ui, _, _) = captured(PLAIN);
            assert_eq!(failure.report(&ui), code);
        }
    }
}
