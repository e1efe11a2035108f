//! The config of an image: what it says about containers, and the diff ids of its layers.
//!
//! Only what containers need is typed. The bytes stay in the blob store as they came, so that unknown fields survive.

use std::time::Duration;

use indexmap::IndexMap;
use serde::Deserialize;

use super::platform::Platform;
use crate::model::{Digest, ImageConfig, ImageHealth, Timestamp};

/// A parsed config blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParsedConfig {
    /// What it says about containers.
    pub(super) config: ImageConfig,
    /// Where it runs.
    pub(super) platform: Platform,
    /// Diff ids, the lowest first.
    pub(super) diff_ids: Vec<Digest>,
    /// When it was made; 0 = unknown.
    pub(super) created: Timestamp,
}

/// Bytes that are no image config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or a field has the wrong form.
    #[error("malformed image config")]
    Malformed(#[source] serde_json::Error),
    /// A root filesystem of another kind.
    #[error("image config has a root filesystem of type `{0}`, not `layers`")]
    Rootfs(String),
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    config: Option<RawConfig>,
    rootfs: RawRootfs,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawConfig {
    #[serde(default)]
    entrypoint: Option<Vec<String>>,
    #[serde(default)]
    cmd: Option<Vec<String>>,
    #[serde(default)]
    env: Option<Vec<String>>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    working_dir: Option<String>,
    #[serde(default)]
    exposed_ports: Option<IndexMap<String, serde_json::Value>>,
    #[serde(default)]
    volumes: Option<IndexMap<String, serde_json::Value>>,
    #[serde(default)]
    labels: Option<IndexMap<String, Option<String>>>,
    #[serde(default)]
    stop_signal: Option<String>,
    #[serde(default)]
    healthcheck: Option<RawHealth>,
    #[serde(default)]
    shell: Option<Vec<String>>,
}

/// Durations are nanoseconds, as Go writes them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawHealth {
    #[serde(default)]
    test: Option<Vec<String>>,
    #[serde(default)]
    interval: Option<i64>,
    #[serde(default)]
    timeout: Option<i64>,
    #[serde(default)]
    start_period: Option<i64>,
    #[serde(default)]
    start_interval: Option<i64>,
    #[serde(default)]
    retries: Option<i64>,
}

/// Parses a config blob.
pub(super) fn parse(bytes: &[u8]) -> Result<ParsedConfig, ConfigError> {
    let raw: Raw = serde_json::from_slice(bytes).map_err(ConfigError::Malformed)?;
    if let Some(kind) = raw.rootfs.kind.filter(|kind| kind != "layers") {
        return Err(ConfigError::Rootfs(kind));
    }
    let host = Platform::host();
    let platform = Platform::new(
        raw.os
            .as_deref()
            .filter(|os| !os.is_empty())
            .unwrap_or("linux"),
        raw.architecture
            .as_deref()
            .filter(|name| !name.is_empty())
            .unwrap_or(&host.architecture),
        raw.variant.as_deref(),
    );
    Ok(ParsedConfig {
        config: container_config(raw.config.unwrap_or_default()),
        platform,
        diff_ids: raw.rootfs.diff_ids.unwrap_or_default(),
        created: created(raw.created.as_deref()),
    })
}

fn container_config(raw: RawConfig) -> ImageConfig {
    let keys = |map: Option<IndexMap<String, serde_json::Value>>| {
        map.unwrap_or_default().into_keys().collect()
    };
    ImageConfig {
        entrypoint: raw.entrypoint.filter(|words| !words.is_empty()),
        cmd: raw.cmd.filter(|words| !words.is_empty()),
        env: raw.env.unwrap_or_default(),
        user: raw.user.unwrap_or_default(),
        working_dir: raw.working_dir.unwrap_or_default(),
        exposed_ports: keys(raw.exposed_ports),
        volumes: keys(raw.volumes),
        labels: raw
            .labels
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.unwrap_or_default()))
            .collect(),
        stop_signal: raw.stop_signal.filter(|signal| !signal.is_empty()),
        health: raw.healthcheck.and_then(health),
        shell: raw.shell.unwrap_or_default(),
    }
}

fn health(raw: RawHealth) -> Option<ImageHealth> {
    let nanos = |value: Option<i64>| {
        Duration::from_nanos(
            value
                .and_then(|nanos| u64::try_from(nanos).ok())
                .unwrap_or(0),
        )
    };
    // An empty test inherits, and an image has nothing to inherit from once it is built.
    let test = raw.test.filter(|test| !test.is_empty())?;
    Some(ImageHealth {
        test,
        interval: nanos(raw.interval),
        timeout: nanos(raw.timeout),
        start_period: nanos(raw.start_period),
        start_interval: nanos(raw.start_interval),
        retries: raw
            .retries
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0),
    })
}

fn created(text: Option<&str>) -> Timestamp {
    let parsed = text.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let millis = parsed.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    Timestamp(millis.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_field_is_read() {
        let text = r#"{
            "architecture": "arm64", "os": "linux", "variant": "v8", "created": "2024-05-01T10:00:00.5Z",
            "future": {"kept": true},
            "config": {
                "User": "redis:redis", "ExposedPorts": {"6379/tcp": {}, "53/udp": {}}, "Env": ["A=1", "B="],
                "Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["redis-server"], "Volumes": {"/data": {}},
                "WorkingDir": "/data", "Labels": {"a": "b", "n": null}, "StopSignal": "SIGQUIT", "Shell": ["/bin/bash", "-c"],
                "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5000000000, "Retries": 3, "Timeout": -1}
            },
            "rootfs": {"type": "layers", "diff_ids": ["sha256:0000000000000000000000000000000000000000000000000000000000000001"]}
        }"#;
        let parsed = parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.platform.to_string(), "linux/arm64");
        assert_eq!(parsed.created, Timestamp(1_714_557_600_500));
        assert_eq!(parsed.diff_ids.len(), 1);
        let config = parsed.config;
        assert_eq!(config.entrypoint.unwrap(), ["docker-entrypoint.sh"]);
        assert_eq!(config.cmd.unwrap(), ["redis-server"]);
        assert_eq!(config.env, ["A=1", "B="]);
        assert_eq!(config.user, "redis:redis");
        assert_eq!(config.working_dir, "/data");
        assert_eq!(config.exposed_ports, ["6379/tcp", "53/udp"]);
        assert_eq!(config.volumes, ["/data"]);
        assert_eq!(config.labels["a"], "b");
        assert_eq!(config.labels["n"], "");
        assert_eq!(config.stop_signal.unwrap(), "SIGQUIT");
        assert_eq!(config.shell, ["/bin/bash", "-c"]);
        let health = config.health.unwrap();
        assert_eq!(health.test, ["CMD-SHELL", "true"]);
        assert_eq!(health.interval, Duration::from_secs(5));
        assert_eq!(health.timeout, Duration::ZERO);
        assert_eq!(health.retries, 3);
    }

    #[test]
    fn absent_and_null_mean_not_set() {
        for text in [
            r#"{"rootfs": {}}"#,
            r#"{"config": null, "rootfs": {"diff_ids": null}}"#,
            r#"{"config": {"Env": null, "Cmd": null, "Entrypoint": [], "Volumes": null, "Labels": null}, "rootfs": {}}"#,
        ] {
            let parsed = parse(text.as_bytes()).unwrap();
            assert_eq!(parsed.config, ImageConfig::default(), "{text}");
            assert_eq!(parsed.created, Timestamp(0));
        }
        assert!(parse(b"{}").is_err());
        assert!(parse(br#"{"rootfs": {"type": "windows"}}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let outcome = parse(&bytes);
            prop_assert!(outcome.is_ok() || outcome.is_err());
        }
    }
}
