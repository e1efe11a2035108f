//! A layout directory of which single layers are read, and one that an image is written into.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::{Path, PathBuf},
};

use fs_err as fs;
use serde_json::{Value, json};

use super::{Load, LoadError, blob_file, checked, load_input, open_input};
use crate::{
    image::{
        config, digest,
        store::{ImageStore, Outgoing},
    },
    model::Digest,
};

/// What a layout calls an image.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Largest document that is followed when blobs are swept.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// An image of a layout directory whose layers are read one at a time.
#[derive(Debug)]
pub(crate) struct LayoutImage {
    path: PathBuf,
    /// Tag or digest in it.
    wanted: Option<String>,
    pub(crate) config: Vec<u8>,
}

impl LayoutImage {
    /// Reads its config.
    pub(crate) fn open(
        store: &ImageStore,
        path: &Path,
        wanted: Option<&str>,
    ) -> Result<Self, LoadError> {
        let config = with(store, path, |load| Ok(load.chosen(path, wanted)?.config))?;
        Ok(Self {
            path: path.to_owned(),
            wanted: wanted.map(str::to_owned),
            config,
        })
    }

    /// Brings one layer into the store; false when the image has none with this diff id that stands on its own.
    pub(crate) fn fetch_layer(
        &self,
        store: &ImageStore,
        diff_id: &Digest,
    ) -> Result<bool, LoadError> {
        with(store, &self.path, |load| {
            let image = load.chosen(&self.path, self.wanted.as_deref())?;
            let parsed = config::parse(&image.config)?;
            let mut layers = image.layers.iter().zip(&parsed.diff_ids);
            let Some(((file, digest), _)) = layers.find(|(_, other)| *other == diff_id) else {
                return Ok(false);
            };
            let Some(candidate) = load.candidate(file, diff_id)? else {
                return Ok(true);
            };
            let (layer, _blob) = checked(candidate, file, (digest.as_ref(), diff_id))?;
            match layer {
                Some(staged) if staged.links.is_empty() => store.commit_layers(&[staged])?,
                Some(_) => return Ok(false),
                None => {}
            }
            Ok(true)
        })
    }
}

fn with<T>(
    store: &ImageStore,
    path: &Path,
    work: impl FnOnce(&mut Load<'_>) -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    open_input(path)
        .and_then(|input| load_input(store, input, &|_| {}, work))
        .map_err(|error| error.of_archive(path, store.state()))
}

/// Writes an image into a layout directory under a tag, made when it is missing. Other tags stay; what no tag leads to any more goes.
///
/// The tag changes last and at once, so whoever reads meanwhile finds the old image or the new one.
pub(crate) fn write_layout(outgoing: &Outgoing, directory: &Path, tag: &str) -> io::Result<()> {
    fs::create_dir_all(directory.join("blobs/sha256"))?;
    replace(
        &directory.join("oci-layout"),
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    for blob in outgoing.layers.iter().chain([&outgoing.config]) {
        let target = directory.join(blob_file(&blob.digest));
        if fs::metadata(&target).is_ok_and(|file| file.len() == blob.size) {
            continue;
        }
        let unfinished = target.with_extension("unfinished");
        fs::copy(&blob.path, &unfinished)?;
        fs::rename(&unfinished, &target)?;
    }
    let manifest = directory.join(blob_file(&outgoing.digest));
    replace(&manifest, &outgoing.manifest)?;
    let entry = json!({
        "mediaType": outgoing.media_type,
        "digest": outgoing.digest,
        "size": outgoing.manifest.len(),
        "annotations": {REF_NAME: tag},
    });
    let index = directory.join("index.json");
    let mut entries = vec![entry];
    if let Some(Value::Array(others)) = read(&index)?.map(|mut index| index["manifests"].take()) {
        entries.extend(
            others
                .into_iter()
                .filter(|other| other["annotations"][REF_NAME] != tag),
        );
    }
    let document = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": entries,
    });
    replace(&index, document.to_string().as_bytes())?;
    sweep(directory, &document)
}

/// Reads a JSON document; `None` when it is not there.
fn read(path: &Path) -> io::Result<Option<Value>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => Ok(Some(serde_json::from_slice(&bytes?)?)),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&unfinished, path)
}

/// Removes blobs that no entry of the index leads to. Where something cannot be followed, everything stays.
fn sweep(directory: &Path, index: &Value) -> io::Result<()> {
    let mut used = BTreeSet::new();
    if !follow(directory, index, &mut used) {
        return Ok(());
    }
    for entry in fs::read_dir(directory.join("blobs/sha256"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_blob = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_blob && !used.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Collects what a document leads to; false when that cannot be known.
fn follow(directory: &Path, document: &Value, used: &mut BTreeSet<String>) -> bool {
    let list = |key: &str| document[key].as_array().into_iter().flatten();
    for blob in list("layers").chain(Some(&document["config"])) {
        if let Some(Ok(digest)) = blob["digest"].as_str().map(str::parse::<Digest>) {
            used.insert(digest.hex().to_owned());
        }
    }
    list("manifests").all(|entry| {
        let Some(Ok(digest)) = entry["digest"].as_str().map(str::parse::<Digest>) else {
            return false;
        };
        let path = directory.join(blob_file(&digest));
        let small = fs::metadata(&path).is_ok_and(|file| file.len() <= DOCUMENT_BYTES_MAX);
        let Some(bytes) = small.then(|| fs::read(&path).ok()).flatten() else {
            return false;
        };
        if digest::of(&bytes) != digest {
            return false;
        }
        // An entry that was followed is not followed again: a loop ends.
        if !used.insert(digest.hex().to_owned()) {
            return true;
        }
        serde_json::from_slice(&bytes).is_ok_and(|document| follow(directory, &document, used))
    })
}
