//! Pulls from a registry in this process. They need root, as unpacking does.

mod access;
mod disk;
mod faults;
mod images;
mod pinned;
mod processes;
mod real;
mod secure;

use std::{io::Write, sync::Mutex, time::Duration};

use serde_json::json;

use super::*;
use crate::{
    image::{
        registry::fake::{Fake, Reply},
        unpack::tests::Tape,
    },
    store::Root,
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A store in a directory of its own, and patience for tests.
struct World {
    directory: tempfile::TempDir,
    store: ImageStore,
    registries: Registries,
    progress: Mutex<Vec<PullProgress>>,
    warnings: Mutex<Vec<String>>,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&Root::below(directory.path()));
        let registries = Registries::default().impatient();
        Self {
            directory,
            store,
            registries,
            progress: Mutex::default(),
            warnings: Mutex::default(),
        }
    }

    async fn pull(&self, name: &str) -> Result<ImageRecord, PullError> {
        self.pull_for(name, Some("linux/amd64")).await
    }

    async fn pull_for(&self, name: &str, platform: Option<&str>) -> Result<ImageRecord, PullError> {
        let report = |event| match event {
            PullEvent::Layer(progress) => self.progress.lock().unwrap().push(progress),
            PullEvent::Warning(text) => self.warnings.lock().unwrap().push(text),
        };
        let pull = pull(&self.store, name, platform, &self.registries, &report);
        tokio::time::timeout(Duration::from_secs(120), pull)
            .await
            .expect("a pull ends")
    }

    /// Lists what is in a directory of the state root.
    fn names(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = fs_err::read_dir(self.directory.path().join(directory)) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Checks that nothing unfinished lies around, but partial downloads where they are expected.
    fn assert_clean(&self, parts: usize) {
        assert_eq!(self.names("tmp"), [""; 0]);
        let names = self.names("ingest");
        assert_eq!(
            names.iter().filter(|name| name.contains(".part")).count(),
            parts,
            "{names:?}"
        );
        assert!(
            !names.iter().any(|name| name.contains(".lock")),
            "{names:?}"
        );
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// Bytes that do not compress, so that a layer has a size.
fn noise(length: usize, seed: u64) -> String {
    let mut state = seed | 1;
    let mut text = String::with_capacity(length);
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push(char::from(b'!' + u8::try_from(state % 90).unwrap()));
    }
    text
}

/// Puts an image of gzip layers into a registry; returns the compressed layers' digests.
fn put(fake: &Fake, tag: &str, layers: &[Vec<u8>]) -> Vec<String> {
    put_as(
        fake,
        tag,
        &layers
            .iter()
            .map(|layer| (gzip(layer), layer.clone()))
            .collect::<Vec<_>>(),
    )
}

fn put_as(fake: &Fake, tag: &str, layers: &[(Vec<u8>, Vec<u8>)]) -> Vec<String> {
    let diff_ids: Vec<_> = layers.iter().map(|(_, plain)| digest_of(plain)).collect();
    let config = config_json("amd64", &diff_ids);
    let manifest = manifest_json(fake, &config, layers);
    fake.put_manifest(tag, MANIFEST, manifest.to_string().as_bytes());
    layers.iter().map(|(blob, _)| digest_of(blob)).collect()
}

fn digest_of(bytes: &[u8]) -> String {
    crate::image::digest::of(bytes).to_string()
}

fn config_json(architecture: &str, diff_ids: &[String]) -> serde_json::Value {
    json!({
        "architecture": architecture, "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": {"Cmd": ["/bin/x"], "Env": ["A=1"]}, "unknown": [1, {"kept": null}],
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
}

fn manifest_json(
    fake: &Fake,
    config: &serde_json::Value,
    layers: &[(Vec<u8>, Vec<u8>)],
) -> serde_json::Value {
    let config = config.to_string().into_bytes();
    let layers: Vec<_> = layers
        .iter()
        .map(|(blob, _)| json!({"mediaType": LAYER, "digest": fake.put_blob(blob), "size": blob.len()}))
        .collect();
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": fake.put_blob(&config), "size": config.len()},
        "layers": layers,
    })
}

fn layer(name: &str, size: usize) -> Vec<u8> {
    let seed = name.bytes().map(u64::from).sum();
    Tape::default()
        .dir("./", 0o755)
        .file(name, &noise(size, seed))
        .end()
}

fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
