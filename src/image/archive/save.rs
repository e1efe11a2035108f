//! Images into an archive that `docker load`, `podman load`, skopeo and `stack load` read.
//!
//! [`SaveFormat::Docker`] is both things at once, as Docker writes it since version 25: an OCI layout with uncompressed
//! layers, and the `manifest.json` of old. [`SaveFormat::Oci`] keeps compressed layers and manifests where the store has
//! them, so digests survive the way through a file.
//!
//! ```text
//! blobs/sha256/<hex>   layers, config, manifest of each image; each once
//! index.json oci-layout      manifest.json repositories (Docker only)
//! ```

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, Read, Write},
};

use serde_json::{Value, json};

use super::{SaveError, blob_file};
use crate::{
    image::{
        digest,
        reference::Reference,
        store::{INDEX_TYPE, ImageStore, SavedImage, member_header, platform_json},
    },
    model::Digest,
};

/// Bytes copied at a time.
const CHUNK: usize = 256 << 10;
const BLOCK: usize = 512;
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveFormat {
    /// What `docker save` writes; an OCI layout too.
    Docker,
    /// An OCI layout with the layers as they came.
    Oci,
}

/// Writes images, named by reference or id, into one archive. A repository without a tag stands for all of its tags.
///
/// Blocks. Nothing is swept meanwhile. The archive is complete only when this succeeds.
pub fn save(
    store: &ImageStore,
    names: &[String],
    format: SaveFormat,
    out: &mut dyn Write,
) -> Result<(), SaveError> {
    let _lease = store.lease()?;
    let images = store.select(names)?;
    let mut archive = Archive {
        store,
        out,
        written: HashSet::new(),
        manifests: Vec::new(),
        items: Vec::new(),
        repositories: BTreeMap::new(),
    };
    for directory in ["blobs/", "blobs/sha256/"] {
        archive.put(&member_header(directory, 0))?;
    }
    for image in &images {
        archive.image(image, format)?;
    }
    archive.finish(format)
}

struct Archive<'a> {
    store: &'a ImageStore,
    out: &'a mut dyn Write,
    written: HashSet<Digest>,
    /// For `index.json`.
    manifests: Vec<Value>,
    /// For `manifest.json`.
    items: Vec<Value>,
    /// For `repositories`: repository -> tag -> topmost layer.
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

impl Archive<'_> {
    fn image(&mut self, image: &SavedImage, format: SaveFormat) -> Result<(), SaveError> {
        let entry = self.manifest(image, format)?;
        if image.references.is_empty() {
            self.manifests.push(entry.clone());
        }
        let mut tags = Vec::new();
        for name in &image.references {
            let Ok(reference) = name.parse::<Reference>() else {
                continue;
            };
            let familiar = reference.familiar();
            let mut entry = match image.platforms.get(name) {
                Some(others) if format == SaveFormat::Oci => self.index(image, &entry, others)?,
                _ => entry.clone(),
            };
            let tag = reference.tag().unwrap_or("latest");
            entry["annotations"] =
                json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
            self.manifests.push(entry);
            if let Some((repository, tag)) = familiar.rsplit_once(':')
                && reference.digest().is_none()
            {
                let top = image.diff_ids.last().map_or("", Digest::hex);
                let tags = self.repositories.entry(repository.to_owned()).or_default();
                tags.insert(tag.to_owned(), top.to_owned());
            }
            if reference.digest().is_none() {
                tags.push(familiar);
            }
        }
        let layers: Vec<String> = image.diff_ids.iter().map(blob_file).collect();
        self.items.push(json!({
            "Config": blob_file(&image.id),
            "RepoTags": if tags.is_empty() { Value::Null } else { tags.into() },
            "Layers": layers,
        }));
        Ok(())
    }

    /// Writes layers, config and manifest of an image, and returns what points to it.
    fn manifest(&mut self, image: &SavedImage, format: SaveFormat) -> Result<Value, SaveError> {
        let original = match format {
            SaveFormat::Oci => self.original(image)?,
            SaveFormat::Docker => None,
        };
        let manifest = match original {
            Some(manifest) => manifest,
            None => self.plain(image)?,
        };
        self.small(&image.id, &image.config)?;
        let digest = digest::of(&manifest);
        self.small(&digest, &manifest)?;
        Ok(json!({"mediaType": MANIFEST_TYPE, "digest": digest, "size": manifest.len()}))
    }

    /// Writes the images of further platforms and the index of all of them, and returns what points to it.
    fn index(
        &mut self,
        image: &SavedImage,
        entry: &Value,
        others: &[SavedImage],
    ) -> Result<Value, SaveError> {
        let mut manifests = Vec::new();
        for one in std::iter::once(image).chain(others) {
            let mut entry = if one.id == image.id {
                entry.clone()
            } else {
                self.manifest(one, SaveFormat::Oci)?
            };
            entry["platform"] = platform_json(&one.platform);
            manifests.push(entry);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests});
        let index = index.to_string().into_bytes();
        let digest = digest::of(&index);
        self.small(&digest, &index)?;
        Ok(json!({"mediaType": INDEX_TYPE, "digest": digest, "size": index.len()}))
    }

    /// Writes the layers as they came and returns the manifest as it came, where the store has all of that.
    fn original(&mut self, image: &SavedImage) -> Result<Option<Vec<u8>>, SaveError> {
        let Some(manifest) = &image.manifest else {
            return Ok(None);
        };
        let mut blobs = Vec::new();
        for diff_id in &image.diff_ids {
            match self.store.layer_blob(diff_id)? {
                Some(blob) if image.blobs.contains(&blob.digest) => blobs.push((diff_id, blob)),
                _ => return Ok(None),
            }
        }
        for (diff_id, blob) in blobs {
            let layer = |source| SaveError::Layer {
                image: image.name(),
                layer: diff_id.clone(),
                source,
            };
            if !self.written.insert(blob.digest.clone()) {
                continue;
            }
            let file = fs_err::File::open(&blob.path).map_err(layer)?;
            let mut stream = digest::Hashing::new(file);
            self.member(&blob_file(&blob.digest), blob.size, &mut stream, &layer)?;
            let (found, _, _) = stream.finish();
            if found != blob.digest {
                let damaged = io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the store's copy is damaged: pull the image again",
                );
                return Err(layer(damaged));
            }
        }
        Ok(Some(manifest.clone()))
    }

    /// Writes the layers uncompressed and returns a manifest of them.
    fn plain(&mut self, image: &SavedImage) -> Result<Vec<u8>, SaveError> {
        let mut layers = Vec::new();
        for diff_id in &image.diff_ids {
            let size = self.store.layer_stream_bytes(diff_id)?;
            layers.push(json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": diff_id, "size": size,
            }));
            if !self.written.insert(diff_id.clone()) {
                continue;
            }
            let layer = |source| SaveError::Layer {
                image: image.name(),
                layer: diff_id.clone(),
                source,
            };
            let mut stream = self.store.layer_stream(diff_id)?;
            self.member(&blob_file(diff_id), size, &mut stream, &layer)?;
        }
        let config = json!({
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": image.id, "size": image.config.len(),
        });
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers});
        Ok(manifest.to_string().into_bytes())
    }

    fn finish(mut self, format: SaveFormat) -> Result<(), SaveError> {
        let index = json!({
            "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": self.manifests,
        });
        self.file("index.json", index.to_string().as_bytes())?;
        if format == SaveFormat::Docker {
            let items = Value::Array(std::mem::take(&mut self.items)).to_string();
            self.file("manifest.json", items.as_bytes())?;
        }
        self.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        if format == SaveFormat::Docker && !self.repositories.is_empty() {
            let repositories = json!(self.repositories).to_string();
            self.file("repositories", repositories.as_bytes())?;
        }
        self.put(&[0; 2 * BLOCK])?;
        self.out.flush().map_err(SaveError::Write)
    }

    fn small(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), SaveError> {
        if self.written.insert(digest.clone()) {
            self.file(&blob_file(digest), bytes)?;
        }
        Ok(())
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), SaveError> {
        let mut source = bytes;
        self.member(name, bytes.len() as u64, &mut source, &SaveError::Write)
    }

    /// Writes one member, whose source must have exactly the size that was announced.
    fn member(
        &mut self,
        name: &str,
        size: u64,
        source: &mut dyn Read,
        failed: &dyn Fn(io::Error) -> SaveError,
    ) -> Result<(), SaveError> {
        self.put(&member_header(name, size))?;
        let mut buffer = vec![0; CHUNK];
        let mut done = 0;
        loop {
            let count = match source.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result.map_err(failed)?,
            };
            done += count as u64;
            if done > size || (count == 0 && done < size) {
                return Err(failed(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("it has another size than {size} bytes"),
                )));
            }
            if count == 0 {
                break;
            }
            self.put(&buffer[..count])?;
        }
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.put(&[0; BLOCK][..usize::try_from(padding).unwrap_or(0)])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), SaveError> {
        self.out.write_all(bytes).map_err(SaveError::Write)
    }
}
