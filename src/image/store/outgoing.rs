//! What leaves the store for a registry: an image as manifest, config and compressed layers.
//!
//! An image that came with a manifest leaves with the same bytes. One that was built, or whose compressed layers are gone, gets a
//! manifest of its own family; its layers are compressed once, by one compressor with one setting, so that the same layer
//! always is the same blob. Both are recorded as the image's own: the next push, or a push of an image that shares the
//! layers, finds them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufWriter, Read, Write},
    path::PathBuf,
    sync::Mutex,
};

use flate2::{Compression, GzBuilder};
use fs_err as fs;
use serde_json::json;

use super::{ImageError, ImageStore, LayerBlob, Workspace, index::ImageEntry};
use crate::{
    image::{
        digest::Hashing,
        manifest::{self, Document, Family},
        reference::Reference,
    },
    model::{Digest, ImageId},
};

/// Bytes compressed at a time.
const CHUNK: usize = 256 << 10;
/// Level of gzip: what registries hold nearly always, and half the time of the highest for two hundredths of the size.
const LEVEL: u32 = 6;
/// Layers compressed at the same time, where there are as many cores.
const COMPRESSORS_MAX: usize = 4;
/// What gzip calls an unknown system (RFC 1952 section 2.3.1): the same everywhere.
const SYSTEM_UNKNOWN: u8 = 255;

/// An image ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// The image.
    pub(crate) id: ImageId,
    /// Its manifest, byte for byte.
    pub(crate) manifest: Vec<u8>,
    /// Digest of the manifest.
    pub(crate) digest: Digest,
    /// What kind of manifest it is.
    pub(crate) media_type: String,
    /// Compressed layers, the lowest first; foreign ones are not among them.
    pub(crate) layers: Vec<OutgoingBlob>,
    /// Its config.
    pub(crate) config: OutgoingBlob,
}

/// A blob in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutgoingBlob {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its number of bytes.
    pub(crate) size: u64,
    /// Where it lies.
    pub(crate) path: PathBuf,
}

/// Told when a layer is compressed and when that is done: its place, the number of layers, its diff id, and whether it is done.
pub(crate) type Told<'a> = &'a (dyn Fn(usize, usize, &Digest, bool) + Sync);

impl ImageStore {
    /// Makes the image behind a name ready to be sent; `None` when there is none. Blocks. The caller holds a lease.
    pub(crate) fn outgoing(
        &self,
        reference: &Reference,
        told: Told<'_>,
    ) -> Result<Option<Outgoing>, ImageError> {
        let index = self.index()?;
        let named = index.references.get(&reference.to_string());
        let id = match named {
            Some(named) => Some(named.image.clone()),
            // `name@sha256:…` is there when its tag is.
            None if reference.digest().is_some() => super::resolve(&index, &reference.to_string())?,
            None => None,
        };
        match id {
            Some(id) => self.outgoing_image(&id, told),
            None => Ok(None),
        }
    }

    /// Makes an image ready to be sent; `None` when there is none. Blocks. The caller holds a lease.
    pub(crate) fn outgoing_image(
        &self,
        id: &ImageId,
        told: Told<'_>,
    ) -> Result<Option<Outgoing>, ImageError> {
        let index = self.index()?;
        let Some(entry) = index.images.get(id) else {
            return Ok(None);
        };
        let own = match &entry.manifest {
            Some(digest) => self.read_blob(digest)?.map(|bytes| (digest.clone(), bytes)),
            None => None,
        };
        let mut family = Family::Oci;
        if let Some((digest, bytes)) = own {
            family = Family::of(&bytes);
            if let Some(outgoing) = self.as_it_came(id, digest, bytes)? {
                return Ok(Some(outgoing));
            }
        }
        self.made_anew(id, entry, family, told).map(Some)
    }

    /// Makes layers of the store ready to be sent with a config of their own, as an image that the store itself does not have. Blocks.
    ///
    /// The caller holds a lease for as long as it needs the blobs. Layers that no image has in compressed form are compressed every time.
    pub(crate) fn outgoing_parts(
        &self,
        config: &[u8],
        diff_ids: &[Digest],
    ) -> Result<Outgoing, ImageError> {
        let id = self.write_blob(config)?;
        let layers = self.compressed(diff_ids, &|_, _, _, _| {})?;
        self.described(&id, config.len(), layers, Family::Oci)
    }

    /// Uses the manifest that an image has, if every blob of it is there.
    fn as_it_came(
        &self,
        id: &ImageId,
        digest: Digest,
        bytes: Vec<u8>,
    ) -> Result<Option<Outgoing>, ImageError> {
        let Ok(Document::Image(parsed)) = manifest::parse(&bytes, None) else {
            return Ok(None);
        };
        let blob = |descriptor: &manifest::Descriptor| OutgoingBlob {
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            path: self.blob(&descriptor.digest),
        };
        let sent = parsed.layers.iter().filter(|layer| !layer.is_foreign());
        let layers: Vec<OutgoingBlob> = sent.map(blob).collect();
        let config = blob(&parsed.config);
        let is_there = |blob: &OutgoingBlob| {
            fs::metadata(&blob.path).is_ok_and(|file| file.len() == blob.size)
        };
        if self.read_blob(&config.digest)?.is_none() || !layers.iter().all(is_there) {
            return Ok(None);
        }
        Ok(Some(Outgoing {
            id: id.clone(),
            media_type: manifest::media_type(&bytes),
            manifest: bytes,
            digest,
            layers,
            config,
        }))
    }

    /// Compresses what has no compressed form, writes a manifest, and records both as the image's own.
    fn made_anew(
        &self,
        id: &ImageId,
        entry: &ImageEntry,
        family: Family,
        told: Told<'_>,
    ) -> Result<Outgoing, ImageError> {
        let config = self
            .read_blob(id)?
            .ok_or_else(|| ImageError::NotFound(id.to_string()))?;
        let layers = self.compressed(&entry.diff_ids, told)?;
        let outgoing = self.described(id, config.len(), layers, family)?;
        let digest = outgoing.digest.clone();
        let _lock = self.lock_index()?;
        let mut index = self.index()?;
        if let Some(entry) = index.images.get_mut(id) {
            entry.manifest = Some(digest.clone());
            let blobs = outgoing.layers.iter().map(|layer| layer.digest.clone());
            entry.blobs.extend(blobs.chain([digest]));
            index.write(&self.index_path())?;
        }
        Ok(outgoing)
    }

    /// Writes the manifest of a config, `size` bytes long, and compressed layers.
    fn described(
        &self,
        id: &ImageId,
        size: usize,
        layers: Vec<OutgoingBlob>,
        family: Family,
    ) -> Result<Outgoing, ImageError> {
        let mut descriptors = Vec::new();
        for layer in &layers {
            descriptors.push(json!({
                "mediaType": family.layer(&layer.path)?,
                "size": layer.size,
                "digest": layer.digest,
            }));
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": family.manifest(),
            "config": {"mediaType": family.config(), "size": size, "digest": id},
            "layers": descriptors,
        });
        let manifest = manifest.to_string().into_bytes();
        let digest = self.write_blob(&manifest)?;
        Ok(Outgoing {
            id: id.clone(),
            media_type: family.manifest().to_owned(),
            manifest,
            digest,
            layers,
            config: OutgoingBlob {
                digest: id.clone(),
                size: size as u64,
                path: self.blob(id),
            },
        })
    }

    /// Returns a compressed form of every layer, several made at once.
    fn compressed(
        &self,
        diff_ids: &[Digest],
        told: Told<'_>,
    ) -> Result<Vec<OutgoingBlob>, ImageError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workspace = self.workspace()?;
        let waiting = Mutex::new(diff_ids.iter().enumerate().rev().collect::<Vec<_>>());
        let next = || waiting.lock().expect("no holder of this lock panics").pop();
        let done = Mutex::new(BTreeMap::new());
        let work = || -> Result<(), ImageError> {
            while let Some((at, diff_id)) = next() {
                let blob = if let Some(known) = self.layer_blob(diff_id)? {
                    let LayerBlob { digest, size, path } = known;
                    OutgoingBlob { digest, size, path }
                } else {
                    told(at, diff_ids.len(), diff_id, false);
                    let blob = self.compress(&workspace, at, diff_id)?;
                    told(at, diff_ids.len(), diff_id, true);
                    blob
                };
                done.lock()
                    .expect("no holder of this lock panics")
                    .insert(at, blob);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..cores.min(COMPRESSORS_MAX).min(diff_ids.len()))
                .map(|_| scope.spawn(work))
                .collect();
            let mut result = Ok(());
            for thread in threads {
                let ended = thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result = result.and(ended);
            }
            result
        })?;
        let done = done.into_inner().expect("no holder of this lock panics");
        Ok(done.into_values().collect())
    }

    /// Writes a layer's gzip form into the store. Its stream is checked against the diff id on the way.
    fn compress(
        &self,
        workspace: &Workspace,
        at: usize,
        diff_id: &Digest,
    ) -> Result<OutgoingBlob, ImageError> {
        let failed = || ImageError::io("compress a layer");
        let mut stream = self.layer_stream(diff_id)?;
        let path = workspace.path().join(format!("layer-{at}.gz"));
        let file = fs::File::create_new(&path).map_err(failed())?;
        let mut gzip = GzBuilder::new()
            .mtime(0)
            .operating_system(SYSTEM_UNKNOWN)
            .write(
                Hashing::new(BufWriter::with_capacity(CHUNK, file)),
                Compression::new(LEVEL),
            );
        let mut chunk = vec![0; CHUNK];
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => gzip.write_all(&chunk[..count]).map_err(failed())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ImageError::io("read a layer again")(error)),
            }
        }
        let (digest, size, file) = gzip.finish().map_err(failed())?.finish();
        file.into_inner()
            .map_err(|error| failed()(error.into_error()))?;
        self.publish(&path, &digest)?;
        let path = self.blob(&digest);
        Ok(OutgoingBlob { digest, size, path })
    }

    /// Returns the repositories of a registry that should have blobs, by blob.
    pub(crate) fn origins(
        &self,
        registry: &str,
    ) -> Result<BTreeMap<Digest, BTreeSet<String>>, ImageError> {
        let prefix = format!("{registry}/");
        let mut origins: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
        for image in self.index()?.images.into_values() {
            for path in image
                .origins
                .iter()
                .filter_map(|name| name.strip_prefix(&prefix))
            {
                for blob in &image.blobs {
                    origins
                        .entry(blob.clone())
                        .or_default()
                        .insert(path.to_owned());
                }
            }
        }
        Ok(origins)
    }

    /// Records that a repository has an image now, and what its tag means there.
    pub(crate) fn record_pushed(
        &self,
        reference: &Reference,
        outgoing: &Outgoing,
    ) -> Result<(), ImageError> {
        let _lock = self.lock_index()?;
        let mut index = self.index()?;
        if let Some(image) = index.images.get_mut(&outgoing.id) {
            image.origins.insert(reference.name());
        }
        // The name may mean another image by now.
        if let Some(named) = index.references.get_mut(&reference.to_string())
            && named.image == outgoing.id
        {
            named.digest = Some(outgoing.digest.clone());
        }
        index.write(&self.index_path())
    }

    /// Returns the references of a repository, all its tags.
    pub(crate) fn tags_of(&self, reference: &Reference) -> Result<Vec<Reference>, ImageError> {
        let names = self.index()?.references.into_keys();
        let parsed = names.filter_map(|name| name.parse::<Reference>().ok());
        Ok(parsed
            .filter(|other| other.name() == reference.name() && other.digest().is_none())
            .collect())
    }
}
