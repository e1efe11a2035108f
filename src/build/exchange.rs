//! Caches that travel: steps with their keys and layers, as a registry, a directory or an image carries them.
//!
//! ```text
//! <a cache>   an OCI image: its layers are those that steps made, in no order that matters
//!   config    architecture, os, rootfs.diff_ids as in any image, and
//!             "stack.build.cache.v1": [{"keys": [digest, …], "layer": diff id | null, "created": ms, "step": "RUN make"}, …]
//! <inline>    any image whose config has this field: the steps that the image itself is made of
//! ```
//! A key is the digest of everything that the step depends on (see `cache`), so whoever asks for the same step finds it, and nobody else
//! does. Other builders pull such an image or leave it alone; the keys of BuildKit's caches are digests of its own graph, so neither
//! understands the other's.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::layers::LayersError;
use crate::model::{Digest, Timestamp};

/// The field of a config that holds the steps.
const FIELD: &str = "stack.build.cache.v1";

/// A step of a cache that travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedStep {
    /// Every key that stands for it.
    pub keys: Vec<Digest>,
    /// The layer that it made; `None` = it changed nothing.
    pub layer: Option<Digest>,
    /// When it was made.
    pub created: Timestamp,
    /// The instruction, for people who look.
    pub step: String,
}

/// A step of a build that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeStep {
    /// The step.
    pub step: CachedStep,
    /// The image itself is made of it, rather than something that the image was copied from.
    pub in_image: bool,
}

/// Brings a layer of a cache into the store; false when the cache does not have it.
pub type FetchLayer<'a> = Box<dyn Fn(&Digest) -> Result<bool, LayersError> + Send + Sync + 'a>;

/// A cache that was made elsewhere.
pub struct ImportedCache<'a> {
    /// Where it comes from, for people.
    pub name: String,
    /// What it knows.
    pub steps: Vec<CachedStep>,
    /// How its layers are had.
    pub fetch: FetchLayer<'a>,
}

impl std::fmt::Debug for ImportedCache<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportedCache")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Reads the steps that a config carries; `None` = it carries none.
pub fn steps_of(config: &[u8]) -> Option<Result<Vec<CachedStep>, serde_json::Error>> {
    let mut document: Value = match serde_json::from_slice(config) {
        Ok(document) => document,
        Err(error) => return Some(Err(error)),
    };
    let steps = document.get_mut(FIELD)?.take();
    Some(serde_json::from_value(steps))
}

/// Adds steps to the config of the image that is made of them.
pub(super) fn add_inline(config: &mut Value, steps: &[CachedStep]) {
    config[FIELD] = json!(steps);
}

/// Makes the config of a cache, and lists the layers that belong to it. `platform` is `os/architecture[/variant]`.
pub fn cache_config(steps: &[CachedStep], platform: &str) -> (Vec<u8>, Vec<Digest>) {
    let mut seen = BTreeSet::new();
    let layers = steps.iter().filter_map(|step| step.layer.clone());
    let layers: Vec<Digest> = layers.filter(|layer| seen.insert(layer.clone())).collect();
    let mut platform = platform.splitn(3, '/');
    let mut config = json!({
        "os": platform.next(),
        "architecture": platform.next(),
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": layers},
    });
    if let Some(variant) = platform.next() {
        config["variant"] = json!(variant);
    }
    config[FIELD] = json!(steps);
    (config.to_string().into_bytes(), layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_sha256(&[byte; 32])
    }

    #[test]
    fn steps_survive_the_way_through_a_config() {
        let step = |key, layer: Option<u8>| CachedStep {
            keys: vec![digest(key)],
            layer: layer.map(digest),
            created: Timestamp(7),
            step: "RUN x".to_owned(),
        };
        let steps = [
            step(1, Some(9)),
            step(2, None),
            step(3, Some(9)),
            step(4, Some(8)),
        ];
        let (config, layers) = cache_config(&steps, "linux/arm/v7");
        assert_eq!(layers, [digest(9), digest(8)]);
        assert_eq!(steps_of(&config).unwrap().unwrap(), steps);
        let document: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(document["variant"], "v7");
        let mut image = json!({"os": "linux"});
        add_inline(&mut image, &steps[..1]);
        let inline = steps_of(image.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!(inline, steps[..1]);
    }

    #[test]
    fn configs_of_others_carry_no_steps_and_damaged_ones_are_errors() {
        assert!(steps_of(b"{}").is_none());
        assert!(steps_of(b"{").unwrap().is_err());
        let wrong = json!({ FIELD: [{"keys": ["x"]}] }).to_string();
        assert!(steps_of(wrong.as_bytes()).unwrap().is_err());
    }
}
