//! How health is probed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a service's health is probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As the image's HEALTHCHECK says.
    Inherit,
    /// Not at all (`disable: true` or `test: NONE`).
    Disabled,
    /// As said here; what is `None` comes from the image, else from the defaults.
    Check(HealthCheck),
}

/// A health check. Defaults: interval 30 s, timeout 30 s, retries 3, start period 0, start interval 5 s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The probe; `None` = the image's.
    pub test: Option<HealthTest>,
    /// Time between probes.
    pub interval: Option<Duration>,
    /// Time that one probe may take.
    pub timeout: Option<Duration>,
    /// Failures in a row that make a service unhealthy.
    pub retries: Option<u32>,
    /// Time after the start in which failures do not count.
    pub start_period: Option<Duration>,
    /// Time between probes during the start period.
    pub start_interval: Option<Duration>,
}

/// What a probe runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthTest {
    /// A program with arguments.
    Command(Vec<String>),
    /// A line for the image's shell.
    Shell(String),
}
