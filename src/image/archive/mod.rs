//! Images from files: `docker save` archives, OCI archives, and OCI layout directories.
//!
//! An archive is unpacked into a work directory with the same care as a layer, and then read like a layout. Every
//! file in it is opened below that directory, whatever links the archive has brought along.

mod docker;
mod error;
mod oci;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Display,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use fs_err as fs;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use super::{
    config,
    decode::Decoder,
    manifest::CONFIG_BYTES_MAX,
    pipeline::unpack_layer,
    pull::{LayerPhase, PullProgress},
    reference::Reference,
    store::{ImageError, ImageStore, LayerMeta, NewImage, Staged, Workspace, stage},
    unpack::{Limits, unpack},
};
use crate::model::Digest;

pub use error::LoadError;

/// Loads every image of an archive or layout directory; returns their names, or ids of those that have none.
///
/// Blocks. Of images for several platforms, this machine's is loaded.
pub fn load(
    store: &ImageStore,
    path: &Path,
    progress: &dyn Fn(PullProgress),
) -> Result<Vec<String>, LoadError> {
    let loaded = Load::open(store, path, progress).and_then(|load| load.run());
    loaded.map_err(|error| {
        if error.is_no_space() {
            LoadError::NoSpace {
                path: path.to_owned(),
                state: store.state().to_owned(),
            }
        } else {
            error
        }
    })
}

/// Loads one image of a layout directory or archive without giving it a name, and returns its id.
///
/// `wanted` is a tag or a digest; without one it is the only image, or the one tagged `latest`. Blocks.
pub fn load_one(
    store: &ImageStore,
    path: &Path,
    wanted: Option<&str>,
) -> Result<String, LoadError> {
    let load = Load::open(store, path, &|_| {})?;
    let mut images = load.images()?;
    let is_wanted = |image: &Found| {
        let wanted = wanted.unwrap_or("latest");
        let digests = image.named.iter().chain(&image.manifest);
        image.tag.as_deref() == Some(wanted)
            || digests.into_iter().any(|digest| digest.as_str() == wanted)
            || image.references.iter().any(|name| {
                let parsed = name.parse::<Reference>();
                name == wanted || parsed.is_ok_and(|reference| reference.tag() == Some(wanted))
            })
    };
    let at = match images.iter().position(is_wanted) {
        Some(at) => at,
        None if wanted.is_none() && images.len() == 1 => 0,
        None => {
            return Err(LoadError::NoImage {
                path: path.to_owned(),
                wanted: wanted.unwrap_or("latest").to_owned(),
            });
        }
    };
    let mut image = images.swap_remove(at);
    image.references.clear();
    let names = load.add(image)?;
    Ok(names.into_iter().next().unwrap_or_default())
}

/// One load.
struct Load<'a> {
    store: &'a ImageStore,
    path: &'a Path,
    progress: &'a dyn Fn(PullProgress),
    workspace: Workspace,
    _lease: super::store::Lease,
    /// The layout, given or unpacked.
    root: OwnedFd,
}

/// An image found in an archive.
struct Found {
    config: Vec<u8>,
    manifest: Option<Digest>,
    /// Digest of what a name stands for.
    named: Option<Digest>,
    blobs: BTreeSet<Digest>,
    /// Files, the lowest layer first, with the digest that they must have where it is known.
    layers: Vec<(String, Option<Digest>)>,
    references: Vec<String>,
    /// What a layout calls it, which need not be a reference.
    tag: Option<String>,
}

impl<'a> Load<'a> {
    fn open(
        store: &'a ImageStore,
        path: &'a Path,
        progress: &'a dyn Fn(PullProgress),
    ) -> Result<Self, LoadError> {
        let lease = store.lease()?;
        let workspace = store.workspace()?;
        let read = |source| LoadError::Read {
            path: path.to_owned(),
            source,
        };
        let directory = if fs::metadata(path).map_err(read)?.is_dir() {
            path.to_owned()
        } else {
            unpack_archive(path, &workspace)?
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(&directory, flags, Mode::empty()).map_err(|errno| read(errno.into()))?;
        Ok(Self {
            store,
            path,
            progress,
            workspace,
            _lease: lease,
            root,
        })
    }

    fn run(&self) -> Result<Vec<String>, LoadError> {
        let mut names = Vec::new();
        for image in self.images()? {
            names.extend(self.add(image)?);
        }
        Ok(names)
    }

    fn images(&self) -> Result<Vec<Found>, LoadError> {
        if self.exists("manifest.json") {
            docker::images(self)
        } else if self.exists("index.json") {
            oci::images(self)
        } else {
            Err(LoadError::Unknown(self.path.to_owned()))
        }
    }

    fn add(&self, image: Found) -> Result<Vec<String>, LoadError> {
        let parsed = config::parse(&image.config)?;
        if parsed.diff_ids.len() != image.layers.len() {
            return Err(LoadError::LayerCount {
                layers: image.layers.len(),
                diff_ids: parsed.diff_ids.len(),
            });
        }
        let mut pending = HashMap::new();
        let mut finished = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, (layer, diff_id)) in image.layers.iter().zip(&parsed.diff_ids).enumerate() {
            let count = image.layers.len();
            let report = |phase| {
                (self.progress)(PullProgress {
                    layer: diff_id.clone(),
                    index,
                    layers: count,
                    phase,
                });
            };
            if self.store.has_layer(diff_id) || !seen.insert(diff_id) {
                report(LayerPhase::Exists);
                continue;
            }
            report(LayerPhase::Unpacking);
            let staged = self.unpack(&layer.0, layer.1.as_ref(), diff_id)?;
            if staged.links.is_empty() {
                finished.push(staged);
            } else {
                pending.insert(diff_id.clone(), staged);
            }
            report(LayerPhase::Done);
        }
        self.store.commit_layers(&finished)?;
        let references = image.references.clone();
        let new = NewImage {
            config: image.config,
            manifest: image.manifest,
            digest: image.named,
            blobs: image.blobs,
            references: image.references,
            origin: None,
        };
        let record = self.store.add_image(&self.workspace, new, pending)?;
        if references.is_empty() {
            return Ok(vec![record.id.to_string()]);
        }
        let familiar = |name: &String| {
            name.parse::<Reference>()
                .map_or_else(|_| name.clone(), |reference| reference.familiar())
        };
        Ok(references.iter().map(familiar).collect())
    }

    fn unpack(
        &self,
        file: &str,
        digest: Option<&Digest>,
        diff_id: &Digest,
    ) -> Result<Staged, LoadError> {
        let source = self.open_file(file)?;
        let size = source.metadata().map_err(file_error(file))?.len();
        let (directory, fs_path) = stage(&self.workspace)?;
        let mut stream = super::digest::Hashing::new(source);
        let unpacked =
            unpack_layer(&mut stream, size, &fs_path).map_err(|source| LoadError::Layer {
                layer: file.to_owned(),
                source,
            });
        let unpacked = match unpacked {
            Err(error) if error.is_no_space() => return Err(error),
            unpacked => unpacked,
        };
        // Content that does not unpack is read to its end as well: a wrong digest is the better message.
        io::copy(&mut stream, &mut io::sink()).map_err(file_error(file))?;
        let (compressed, _, _) = stream.finish();
        if let Some(wanted) = digest.filter(|wanted| **wanted != compressed) {
            return Err(LoadError::Corrupt {
                wanted: wanted.clone(),
                found: compressed,
            });
        }
        let (found, unpacked) = unpacked?;
        if found != *diff_id {
            let (layer, wanted) = (file.to_owned(), diff_id.clone());
            return Err(LoadError::DiffId {
                layer,
                wanted,
                found,
            });
        }
        for note in &unpacked.notes {
            tracing::warn!(layer = file, note, "unpacked with a difference");
        }
        let meta = LayerMeta::new(found, &unpacked);
        Ok(Staged {
            directory,
            meta,
            links: unpacked.external_links,
        })
    }

    /// Reads a small file.
    fn read(&self, file: &str) -> Result<Vec<u8>, LoadError> {
        let mut bytes = Vec::new();
        let source = self.open_file(file)?;
        source
            .take(CONFIG_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(file_error(file))?;
        Ok(bytes)
    }

    /// Reads a blob by digest and checks it.
    fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, LoadError> {
        let bytes = self.read(&blob_file(digest))?;
        let found = super::digest::of(&bytes);
        if found == *digest {
            Ok(bytes)
        } else {
            Err(LoadError::Corrupt {
                wanted: digest.clone(),
                found,
            })
        }
    }

    fn exists(&self, file: &str) -> bool {
        self.open_file(file).is_ok()
    }

    fn open_file(&self, file: &str) -> Result<std::fs::File, LoadError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let opened = openat2(self.root.as_fd(), file, flags, Mode::empty(), resolve);
        let opened = opened.map_err(io::Error::from).map(std::fs::File::from);
        opened.map_err(file_error(file))
    }
}

fn file_error(file: impl Display) -> impl FnOnce(io::Error) -> LoadError {
    let file = file.to_string();
    move |source| LoadError::File { file, source }
}

/// Returns where a layout keeps a blob.
fn blob_file(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Unpacks an archive, compressed or not, into the work directory.
fn unpack_archive(path: &Path, workspace: &Workspace) -> Result<PathBuf, LoadError> {
    let read = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(read)?;
    let size = file.metadata().map_err(read)?.len();
    let directory = workspace.path().join("archive");
    fs::create_dir(&directory).map_err(ImageError::io("make a work directory"))?;
    let target = fs::File::open(&directory).map_err(read)?;
    let decoder = Decoder::new(file).map_err(read)?;
    unpack(decoder, target.as_fd(), &Limits::for_compressed(size)).map_err(|source| {
        LoadError::Archive {
            path: path.to_owned(),
            source,
        }
    })?;
    Ok(directory)
}
