//! Images as planning and the effects see them.

use std::{path::PathBuf, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Digest, ImageId, Timestamp};

/// What an image says about containers made from it (the `config` of an OCI image config, typed).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// ENTRYPOINT; `None` = not set.
    pub entrypoint: Option<Vec<String>>,
    /// CMD; `None` = not set.
    pub cmd: Option<Vec<String>>,
    /// ENV as `NAME=value`.
    pub env: Vec<String>,
    /// USER; empty = root.
    pub user: String,
    /// WORKDIR; empty = `/`.
    pub working_dir: String,
    /// EXPOSE, as `port/proto`.
    pub exposed_ports: Vec<String>,
    /// VOLUME, absolute paths.
    pub volumes: Vec<String>,
    /// LABEL.
    pub labels: IndexMap<String, String>,
    /// STOPSIGNAL.
    pub stop_signal: Option<String>,
    /// HEALTHCHECK; `None` = not set.
    pub health: Option<ImageHealth>,
    /// SHELL; empty = `/bin/sh -c`.
    pub shell: Vec<String>,
}

/// HEALTHCHECK of an image. Zero durations and retries mean "default", as in Docker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageHealth {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", line]`.
    pub test: Vec<String>,
    /// Time between probes.
    pub interval: Duration,
    /// Time one probe may take.
    pub timeout: Duration,
    /// Failures tolerated after the start.
    pub start_period: Duration,
    /// Time between probes in the start period.
    pub start_interval: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
}

/// An image of the store, ready to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Digest of the config.
    pub id: ImageId,
    /// Digest of the manifest it was pulled or loaded with, if any.
    pub manifest: Option<Digest>,
    /// What it says about containers.
    pub config: ImageConfig,
    /// `os/arch[/variant]`.
    pub platform: String,
    /// Overlay-ready layer directories, the **topmost first**.
    pub layers: Vec<PathBuf>,
    /// diff ids, the lowest first.
    pub diff_ids: Vec<Digest>,
    /// When it was made, as the image says; 0 = unknown.
    pub created: Timestamp,
    /// Unpacked size in bytes.
    pub size_bytes: u64,
}

/// A line of `stack images`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSummary {
    /// Digest of the config.
    pub id: ImageId,
    /// Full references that name it (`docker.io/library/redis:7`); empty = dangling.
    pub references: Vec<String>,
    /// When it was made; 0 = unknown.
    pub created: Timestamp,
    /// Unpacked size in bytes.
    pub size_bytes: u64,
    /// When it was last pulled, loaded or built.
    pub fetched: Timestamp,
}
