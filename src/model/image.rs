//! Images as planning and the effects see them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

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
    /// `repository@digest` for what registries called it, full.
    pub repo_digests: Vec<String>,
}

/// Everything that is known of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageDetails {
    /// Names, times and size.
    pub summary: ImageSummary,
    /// The config document as it came, every field included.
    pub document: serde_json::Value,
    /// Digest of the manifest it came with.
    pub manifest: Option<Digest>,
    /// `os/arch[/variant]`.
    pub platform: String,
    /// Layers, the lowest first: diff id and bytes of file content.
    pub layers: Vec<(Digest, u64)>,
    /// Directories to mount, the topmost first.
    pub directories: Vec<PathBuf>,
}

/// What an image takes of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDisk {
    /// Which, and its names.
    pub summary: ImageSummary,
    /// Bytes of its layers and blobs.
    pub bytes: u64,
    /// Of them those of layers and blobs that other images use too.
    pub shared_bytes: u64,
    /// Its layers and blobs, with their bytes.
    pub parts: BTreeMap<String, u64>,
}

/// What the image store takes of the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreDisk {
    /// Each image.
    pub images: Vec<ImageDisk>,
    /// All layers and blobs, each once; those that no image names too.
    pub bytes: u64,
    /// Bytes that no image names: of builds, interrupted work and removed images.
    pub unnamed_bytes: u64,
}

impl StoreDisk {
    /// Returns what the disk gets back when these images go: what they share among themselves, but not with others.
    pub fn bytes_of(&self, removed: &BTreeSet<ImageId>) -> u64 {
        let (gone, kept): (Vec<&ImageDisk>, Vec<&ImageDisk>) = self
            .images
            .iter()
            .partition(|image| removed.contains(&image.summary.id));
        let kept: BTreeSet<&String> = kept.iter().flat_map(|image| image.parts.keys()).collect();
        let parts: BTreeMap<&String, u64> = gone
            .iter()
            .flat_map(|image| &image.parts)
            .filter(|(part, _)| !kept.contains(part))
            .map(|(part, bytes)| (part, *bytes))
            .collect();
        parts.values().sum()
    }
}

/// Which images are pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneFilter {
    /// Also images with names.
    pub all: bool,
    /// Only those made before.
    pub until: Option<Timestamp>,
    /// `key` or `key=value`, all of which an image must have; with `!` in front, none of which.
    pub labels: Vec<String>,
}

impl PruneFilter {
    /// Tells whether labels are as the filter wants them.
    pub fn takes_labels(&self, labels: &IndexMap<String, String>) -> bool {
        let has = |text: &str| match text.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(text),
        };
        self.labels
            .iter()
            .all(|label| match label.strip_prefix('!') {
                Some(unwanted) => !has(unwanted),
                None => has(label),
            })
    }

    /// Tells whether the filter wants something that was made then.
    pub fn takes_time(&self, made: Timestamp) -> bool {
        self.until.is_none_or(|until| made < until)
    }
}
