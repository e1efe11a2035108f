//! What people are told of a failed step.

use super::ApplyError;
use crate::{
    container::SpawnError,
    model::chain,
    network::NetworkError,
    protocol::{ErrorReport, FailureKind},
};

impl ApplyError {
    /// Tells the error to people: the whole chain, hints, and the kind that decides the exit code.
    pub fn report(&self) -> ErrorReport {
        ErrorReport {
            kind: self.kind(),
            chain: chain(self),
            hints: self.hints(),
            log: self.log(),
            excerpt: self.excerpt(),
            config_path: self.config_path(),
        }
    }

    /// Whether a hook of the user's said that a container must not be stopped.
    pub fn is_veto(&self) -> bool {
        matches!(self, Self::Hook { path, .. } if path.contains(".pre_stop["))
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::Pull(_)
            | Self::Registries(_)
            | Self::Build { .. }
            | Self::ImageMissing { .. } => FailureKind::Image,
            Self::Unhealthy { .. } | Self::DependencyExited { .. } | Self::NotCompleted { .. } => {
                FailureKind::Unhealthy
            }
            Self::Timeout { .. } => FailureKind::Timeout,
            Self::Wire {
                source: NetworkError::PortTaken { .. } | NetworkError::RangeTaken { .. },
                ..
            } => FailureKind::Conflict,
            Self::Protocol { .. } | Self::Lower { .. } => FailureKind::Unsupported,
            _ => FailureKind::Operation,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoHealthCheck { service } => {
                vec![format!(
                    "give `{service}` a `healthcheck:`, or depend on `service_started`"
                )]
            }
            Self::Start {
                source: SpawnError::Silent { log },
                ..
            } => {
                vec![format!("look at {}", log.display())]
            }
            Self::Hook { .. } if self.is_veto() => {
                vec![
                    "the container goes on; `--timeout` gives its hooks more time, `stack kill` ends it without them".to_owned(),
                ]
            }
            Self::Hook { path, name, .. } if path.contains(".pre_start[") => {
                vec![format!(
                    "`{name}` is kept for inspection until the next start"
                )]
            }
            Self::Unhealthy { service, .. } => vec![format!("stack logs {service}")],
            Self::Pull(error) => error.hints(),
            Self::VolumeChange(error) => error.hints(),
            _ => Vec::new(),
        }
    }

    fn log(&self) -> Vec<String> {
        match self {
            Self::DependencyExited { log, .. }
            | Self::Unhealthy { log, .. }
            | Self::NotCompleted { log, .. }
            | Self::Hook { log, .. } => log.clone(),
            Self::Build { source, .. } => source.last_output().to_vec(),
            _ => Vec::new(),
        }
    }

    fn excerpt(&self) -> Vec<String> {
        match self {
            Self::Build { source, .. } => source
                .excerpt()
                .map(|text| text.lines().map(str::to_owned).collect())
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    fn config_path(&self) -> Option<String> {
        match self {
            Self::Lower { sources, .. } => sources.first().map(|error| error.path.clone()),
            Self::Bind { path, .. } | Self::Hook { path, .. } | Self::Link { path, .. } => {
                Some(path.clone())
            }
            _ => None,
        }
    }
}
