//! The build cache: which layer a step made the last time.
//!
//! ```text
//! <root>/build/steps/<hex>.json    key of a step -> its layer
//! <root>/build/mounts/<hex>/       directories of RUN --mount=type=cache
//! <root>/build/locks/<hex>         who uses such a directory
//! <root>/build/contexts/<hex>.index  what files of a context hold (see `context`)
//! <root>/build/last/<hex>.json     what a build was made of the last time (see `explain`)
//! ```
//!
//! A key covers the layers below by their diff ids, so an unchanged result upstream is a hit downstream. A step that reads another stage
//! has two keys: by the layers of that stage, which costs nothing, and by the content that it selects.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    context::{self, ContextIndex},
    layers::{Layer, Layers, LayersError},
};
use crate::{
    model::{Digest, Timestamp},
    store::{Root, StoreError, read_json, write_json},
};

/// One remembered step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepRecord {
    /// Schema version.
    pub(crate) version: u32,
    /// What it made; `None` = it changed nothing.
    pub(crate) layer: Option<Digest>,
    /// When it was made: the time of its history entry, so that a cached build is the same image.
    pub(crate) created: Timestamp,
    /// The instruction, for people who look.
    pub(crate) step: String,
    /// Every key of the step, this record's own too; empty in records of older versions.
    #[serde(default)]
    pub(crate) keys: Vec<Digest>,
}

const VERSION: u32 = 1;
/// Hexadecimal digits of the digest of a part: enough to tell whether it changed.
const PART_DIGITS: usize = 16;

/// Identifies a step and everything that its result depends on.
///
/// The document holds names, digests and expanded text; never a secret, and no value of a build argument that the image's own history would
/// not show. It is not stored: what is kept of it are digests of its parts ([`Key::parts`]).
#[derive(Debug, Clone)]
pub(crate) struct Key {
    digest: Digest,
    document: serde_json::Value,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.digest.fmt(f)
    }
}

impl Key {
    /// Digests a document. The caller writes its fields always in the same order.
    pub(crate) fn of(document: serde_json::Value) -> Self {
        let bytes = document.to_string();
        Self {
            digest: Digest::from_sha256(&Sha256::digest(bytes).into()),
            document,
        }
    }

    /// Returns what names the record.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns its parts by name, as digests: `env A` for each variable, otherwise one for each field.
    pub(crate) fn parts(&self) -> BTreeMap<String, String> {
        let digest = |text: &str| {
            let digest = Digest::from_sha256(&Sha256::digest(text).into());
            digest.hex()[..PART_DIGITS].to_owned()
        };
        let mut parts = BTreeMap::new();
        for (name, value) in self.document.as_object().into_iter().flatten() {
            match value.as_array() {
                Some(lines) if name == "env" => {
                    for line in lines.iter().filter_map(serde_json::Value::as_str) {
                        let (variable, value) = line.split_once('=').unwrap_or((line, ""));
                        parts.insert(format!("env {variable}"), digest(value));
                    }
                }
                _ => drop(parts.insert(name.clone(), digest(&value.to_string()))),
            }
        }
        parts
    }
}

/// What the cache says of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Its layer, which is in the store or comes from a cache; `None` = it changed nothing.
    pub(crate) layer: Option<Layer>,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// Every key of the step.
    pub(crate) keys: Vec<Digest>,
}

/// The cache of one state root.
#[derive(Debug)]
pub(crate) struct Cache {
    steps: PathBuf,
    mounts: PathBuf,
    contexts: PathBuf,
    /// The indexes of directories that this build reads.
    opened: Mutex<BTreeMap<PathBuf, Arc<ContextIndex>>>,
    /// Records that could not be read: reported once, at the end.
    malformed: Mutex<Vec<PathBuf>>,
}

impl Cache {
    pub(crate) fn open(root: &Root) -> Self {
        let directory = root.state().join("build");
        Self {
            steps: directory.join("steps"),
            mounts: directory.join("mounts"),
            contexts: directory.join("contexts"),
            opened: Mutex::default(),
            malformed: Mutex::new(Vec::new()),
        }
    }

    /// Returns the directory of cache mounts.
    pub(crate) fn mounts(&self) -> &Path {
        &self.mounts
    }

    pub(super) fn steps(&self) -> &Path {
        &self.steps
    }

    pub(super) fn contexts(&self) -> &Path {
        &self.contexts
    }

    /// Returns the index of a context directory, the same for all steps of the build.
    pub(crate) fn context(&self, directory: &Path) -> Arc<ContextIndex> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let index = opened
            .entry(directory.to_owned())
            .or_insert_with(|| Arc::new(ContextIndex::open(&self.contexts, directory)));
        Arc::clone(index)
    }

    /// Writes what was learnt about context directories. A full disk costs the next build time, not this one its result.
    pub(crate) fn save_contexts(&self) {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        for index in opened.values() {
            if let Err(error) = index.save() {
                tracing::warn!(%error, "the index of a context was not written");
            }
        }
    }

    /// Looks a step up; a record whose layer is gone is none.
    pub(crate) fn find(&self, key: &Key, layers: &dyn Layers) -> Result<Option<Hit>, CacheError> {
        let path = self.path(key.digest());
        let record: StepRecord = match read_json(&path) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            // A damaged record costs one step, not the build.
            Err(StoreError::Malformed { .. }) => {
                if let Ok(mut malformed) = self.malformed.lock() {
                    malformed.push(path);
                }
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let layer = match record.layer {
            None => None,
            Some(diff_id) => match layers.layer(&diff_id).map_err(CacheError::Layers)? {
                None => return Ok(None),
                Some(path) => Some(Layer {
                    diff_id,
                    path: Some(path),
                }),
            },
        };
        // The time of last use is that of the file: no record has to be rewritten for it.
        context::touch(&path);
        let keys = match record.keys {
            none if none.is_empty() => vec![key.digest().clone()],
            keys => keys,
        };
        Ok(Some(Hit {
            layer,
            created: record.created,
            keys,
        }))
    }

    /// Remembers what a step made, under all of its keys.
    pub(crate) fn save(&self, hit: &Hit, step: &str) -> Result<(), StoreError> {
        let record = StepRecord {
            version: VERSION,
            layer: hit.layer.as_ref().map(|layer| layer.diff_id.clone()),
            created: hit.created,
            step: step.to_owned(),
            keys: hit.keys.clone(),
        };
        for key in &hit.keys {
            write_json(&self.path(key), &record)?;
        }
        Ok(())
    }

    /// Takes the records that could not be read.
    pub(crate) fn take_malformed(&self) -> Vec<PathBuf> {
        self.malformed
            .lock()
            .map(|mut paths| std::mem::take(&mut *paths))
            .unwrap_or_default()
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.steps.join(format!("{}.json", key.hex()))
    }
}

/// Returns the lock that everyone shares who uses a cache mount. It lies beside what it protects, because that is removed as a whole.
pub(super) fn mount_lock(mounts: &Path, hex: &str) -> PathBuf {
    mounts.with_file_name("locks").join(hex)
}

/// The cache could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Layers(LayersError),
}

/// Returns the layers that cached steps refer to: removing images keeps these.
pub fn cached_layers(root: &Root) -> Result<Vec<Digest>, StoreError> {
    let steps = Cache::open(root).steps;
    let io_error = |source| StoreError::Io {
        intent: "list the build cache",
        source,
    };
    let entries = match fs_err::read_dir(&steps) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        outcome => outcome.map_err(io_error)?,
    };
    let mut layers = Vec::new();
    for entry in entries {
        let path = entry.map_err(io_error)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
            && let Ok(Some(record)) = read_json::<StepRecord>(&path)
        {
            layers.extend(record.layer);
        }
    }
    layers.sort();
    layers.dedup();
    Ok(layers)
}
