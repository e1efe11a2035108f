//! Refusals: what of a service cannot be run, and where it is written.

use compose_spec::model::ServiceName;

/// A service that cannot be run as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("service `{service}`: {refusal}")]
pub struct LowerError {
    /// The service.
    pub service: ServiceName,
    /// Where it is written: `services.web.cap_add[0]`.
    pub path: String,
    /// What is wrong.
    pub refusal: Refusal,
}

impl LowerError {
    /// Refuses `what`, which is written at `services.<service>.<below>`: it is right, but stack cannot do it (yet).
    pub(in crate::plan) fn unsupported(service: &ServiceName, below: &str, what: &str) -> Self {
        Self {
            service: service.clone(),
            path: format!("services.{service}.{below}"),
            refusal: Refusal::Unsupported {
                what: what.to_owned(),
            },
        }
    }

    /// Tells whether it is something that stack cannot do (yet), rather than something wrong.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.refusal, Refusal::Unsupported { .. })
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is right, but stack cannot do it (yet).
    #[error("{what} is not supported")]
    Unsupported {
        /// What.
        what: String,
    },
    /// It is none of the known names.
    #[error("unknown {kind} `{name}`")]
    Unknown {
        /// `capability`, `signal`, ….
        kind: &'static str,
        /// As written.
        name: String,
    },
    /// It does not have the form or range that it must have.
    #[error("invalid {kind} `{text}`: {reason}")]
    Invalid {
        /// `device`, `size`, ….
        kind: &'static str,
        /// As written.
        text: String,
        /// The rule it breaks.
        reason: String,
    },
    /// A kernel parameter that is not the container's own would be changed for the whole host.
    #[error("sysctl `{name}` is not one of the container's own ({allowed})")]
    SysctlNotNamespaced {
        /// Its name.
        name: String,
        /// What is allowed here.
        allowed: &'static str,
    },
    /// Two settings exclude each other.
    #[error("{first} and {second} exclude each other")]
    Conflict {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// It names something that the project does not have.
    #[error("undefined {kind} `{name}`")]
    Undefined {
        /// `volume`, `secret`, `config`.
        kind: &'static str,
        /// Its key.
        name: String,
    },
    /// Nothing says what to run.
    #[error("no command specified, neither in the service nor in the image")]
    NoCommand,
    /// An environment variable that a secret or config is made of is not set.
    #[error("environment variable `{variable}` of {kind} `{name}` is not set")]
    VariableUnset {
        /// `secret`, `config`.
        kind: &'static str,
        /// Its key.
        name: String,
        /// The variable.
        variable: String,
    },
}

/// Collects what is wrong with one service, so that the user sees all of it at once.
#[derive(Debug)]
pub(super) struct Checks<'a> {
    service: &'a ServiceName,
    pub(super) errors: Vec<LowerError>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Checks<'a> {
    pub(super) fn new(service: &'a ServiceName) -> Self {
        Self {
            service,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Notes an error about `services.<name>.<below>`.
    pub(super) fn refuse(&mut self, below: impl AsRef<str>, refusal: Refusal) {
        self.errors.push(LowerError {
            service: self.service.clone(),
            path: self.path(below),
            refusal,
        });
    }

    /// Notes something that is not supported.
    pub(super) fn unsupported(&mut self, below: impl AsRef<str>, what: impl Into<String>) {
        self.refuse(below, Refusal::Unsupported { what: what.into() });
    }

    /// Notes a malformed value.
    pub(super) fn invalid(
        &mut self,
        below: impl AsRef<str>,
        kind: &'static str,
        text: impl Into<String>,
        reason: impl Into<String>,
    ) {
        self.refuse(
            below,
            Refusal::Invalid {
                kind,
                text: text.into(),
                reason: reason.into(),
            },
        );
    }

    /// Notes two settings that exclude each other.
    pub(super) fn conflict(&mut self, below: impl AsRef<str>, first: &str, second: &str) {
        self.refuse(
            below,
            Refusal::Conflict {
                first: first.to_owned(),
                second: second.to_owned(),
            },
        );
    }

    /// Notes something that works less well than asked for.
    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.warnings
            .push(format!("service `{}`: {}", self.service, text.into()));
    }

    /// Returns the path in the project of something below the service.
    pub(super) fn path(&self, below: impl AsRef<str>) -> String {
        format!("services.{}.{}", self.service, below.as_ref())
    }
}
