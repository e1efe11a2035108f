//! What an attached `up` shows, and what ends it.

use compose_spec::model::ServiceName;

use crate::ui::progress::ProgressOptions;

/// What is shown, and what ends the command.
#[derive(Debug)]
pub(in crate::cli) struct Attached {
    /// Services whose logs are shown.
    pub(in crate::cli) shown: Vec<ServiceName>,
    /// Services whose containers are waited for.
    pub(in crate::cli) ends: Vec<ServiceName>,
    /// When it is over.
    pub(in crate::cli) rule: EndRule,
    /// Logs with colours, if the stream can.
    pub(in crate::cli) colour: bool,
    /// Logs with names.
    pub(in crate::cli) prefix: bool,
    /// Logs with times.
    pub(in crate::cli) timestamps: bool,
    /// What of the progress is left out.
    pub(in crate::cli) progress: ProgressOptions,
}

/// When an attached `up` is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum EndRule {
    /// When all containers have ended; the exit code is 0.
    LastExit,
    /// When the first one has ended; then the others are stopped.
    FirstExit {
        /// Whose exit code the command ends with; `None` = that of the first.
        code_of: Option<ServiceName>,
    },
    /// When the first one has ended with an error; then the others are stopped.
    FirstFailure,
}
