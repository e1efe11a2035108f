//! Images from files and into files: `docker save` archives, OCI archives, and OCI layout directories.
//!
//! An archive is read once and may be a pipe: layers are unpacked as they come by (see `scan`), with the same care as
//! those of a registry. A layout directory is read below its root, whatever links somebody has put into it.

mod docker;
mod error;
mod intake;
mod layout;
mod oci;
mod save;
mod scan;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use fs_err as fs;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use super::{
    config,
    manifest::CONFIG_BYTES_MAX,
    reference::Reference,
    store::{ImageStore, NewImage, Workspace},
};
use crate::model::Digest;
use intake::{Candidate, Intake};
use scan::Scan;

pub use error::{LoadError, SaveError};
pub(crate) use layout::{LayoutImage, write_layout};
pub use save::{SaveFormat, save};

/// Bytes between two reports of progress.
const REPORT_BYTES: u64 = 4 << 20;

/// How much of an archive was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes so far.
    pub bytes: u64,
    /// All of them, where that is known.
    pub total: Option<u64>,
}

/// Loads every image of an archive or layout directory; returns their names, or ids of those that have none.
///
/// Blocks. Of images for several platforms, this machine's is loaded. The path may be a pipe.
pub fn load(
    store: &ImageStore,
    path: &Path,
    progress: &dyn Fn(LoadProgress),
) -> Result<Vec<String>, LoadError> {
    open_input(path)
        .and_then(|input| load_input(store, input, progress, run_all))
        .map_err(|error| error.of_archive(path, store.state()))
}

fn open_input(path: &Path) -> Result<Input, LoadError> {
    let read = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = fs::metadata(path).map_err(read)?;
    if metadata.is_dir() {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty()).map_err(|errno| read(errno.into()))?;
        return Ok(Input::Directory(root));
    }
    let total = metadata.is_file().then_some(metadata.len());
    let file = fs::File::open(path).map_err(read)?;
    Ok(Input::Stream(Box::new(file), total))
}

/// Loads every image of an archive that is read from `source`; `name` is what messages call it.
pub fn load_stream(
    store: &ImageStore,
    (name, source): (&str, Box<dyn Read + Send>),
    progress: &dyn Fn(LoadProgress),
) -> Result<Vec<String>, LoadError> {
    load_input(store, Input::Stream(source, None), progress, run_all)
        .map_err(|error| error.of_archive(Path::new(name), store.state()))
}

/// A function of its own: the method's path would be one of a single lifetime.
fn run_all(load: &mut Load<'_>) -> Result<Vec<String>, LoadError> {
    load.run()
}

/// What is loaded.
enum Input {
    Directory(OwnedFd),
    Stream(Box<dyn Read + Send>, Option<u64>),
}

fn load_input<T>(
    store: &ImageStore,
    input: Input,
    progress: &dyn Fn(LoadProgress),
    work: impl FnOnce(&mut Load<'_>) -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    let _lease = store.lease()?;
    let workspace = store.workspace()?;
    let intake = Intake::new(store, &workspace);
    let source = match input {
        Input::Directory(root) => Source::Directory(root),
        Input::Stream(inner, total) => {
            let counted = Counted {
                inner,
                total,
                bytes: 0,
                reported: 0,
                progress,
            };
            Source::Archive(Scan::read(counted, &intake)?)
        }
    };
    work(&mut Load {
        store,
        intake: &intake,
        workspace: &workspace,
        source,
    })
}

/// Where the files of a load are.
enum Source {
    Directory(OwnedFd),
    /// Read already.
    Archive(Scan),
}

/// Loads one image of a layout directory or archive without giving it a name, and returns its id.
///
/// `wanted` is a tag or a digest; without one it is the only image, or the one tagged `latest`. Blocks.
pub fn load_one(
    store: &ImageStore,
    path: &Path,
    wanted: Option<&str>,
) -> Result<String, LoadError> {
    open_input(path)
        .and_then(|input| {
            load_input(store, input, &|_| {}, |load| {
                let names = load.one(path, wanted)?;
                Ok(names.into_iter().next().unwrap_or_default())
            })
        })
        .map_err(|error| error.of_archive(path, store.state()))
}

/// One load.
struct Load<'a> {
    store: &'a ImageStore,
    intake: &'a Intake<'a>,
    workspace: &'a Workspace,
    source: Source,
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

impl Load<'_> {
    fn run(&mut self) -> Result<Vec<String>, LoadError> {
        let mut names = Vec::new();
        for image in self.images()? {
            names.extend(self.add(image)?);
        }
        Ok(names)
    }

    /// Adds one image without a name: the one that is wanted, the only one, or the latest.
    fn one(&mut self, path: &Path, wanted: Option<&str>) -> Result<Vec<String>, LoadError> {
        let mut image = self.chosen(path, wanted)?;
        image.references.clear();
        self.add(image)
    }

    /// Finds the image that is wanted, the only one, or the latest.
    fn chosen(&self, path: &Path, wanted: Option<&str>) -> Result<Found, LoadError> {
        let mut images = self.images()?;
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
        Ok(images.swap_remove(at))
    }

    fn images(&self) -> Result<Vec<Found>, LoadError> {
        if self.exists("manifest.json") {
            docker::images(self)
        } else if self.exists("index.json") {
            oci::images(self)
        } else {
            Err(LoadError::Unknown(PathBuf::new()))
        }
    }

    fn add(&mut self, image: Found) -> Result<Vec<String>, LoadError> {
        let parsed = config::parse(&image.config)?;
        if parsed.diff_ids.len() != image.layers.len() {
            return Err(LoadError::LayerCount {
                layers: image.layers.len(),
                diff_ids: parsed.diff_ids.len(),
            });
        }
        let mut pending = HashMap::new();
        let mut finished = Vec::new();
        let mut kept = Vec::new();
        let mut blobs = image.blobs;
        let mut seen = BTreeSet::new();
        for ((file, digest), diff_id) in image.layers.iter().zip(&parsed.diff_ids) {
            // The blob of a layer that the store has may be new to it.
            let is_known = self.store.has_layer(diff_id)
                && digest
                    .as_ref()
                    .is_none_or(|digest| self.store.has_blob(digest));
            if let Some(digest) = digest {
                blobs.insert(digest.clone());
            }
            if !seen.insert(diff_id) || is_known {
                continue;
            }
            let Some(candidate) = self.candidate(file, diff_id)? else {
                continue;
            };
            let (layer, blob) = checked(candidate, file, (digest.as_ref(), diff_id))?;
            // Without a manifest nothing says which layer a blob is of.
            kept.extend(blob.filter(|_| digest.is_some()));
            match layer {
                Some(staged) if staged.links.is_empty() => finished.push(staged),
                Some(staged) => drop(pending.insert(diff_id.clone(), staged)),
                None => {}
            }
        }
        self.store.commit_layers(&finished)?;
        for (digest, file) in kept {
            self.store.adopt_blob(&file, &digest)?;
        }
        let references = image.references.clone();
        let new = NewImage {
            config: image.config,
            manifest: image.manifest,
            digest: image.named,
            blobs,
            references: image.references,
            origin: None,
        };
        let record = self.store.add_image(self.workspace, new, pending)?;
        if references.is_empty() {
            return Ok(vec![record.id.to_string()]);
        }
        let familiar = |name: &String| {
            name.parse::<Reference>()
                .map_or_else(|_| name.clone(), |reference| reference.familiar())
        };
        Ok(references.iter().map(familiar).collect())
    }

    /// Returns a layer of the archive; `None` when an image before had it too and it is in the store by now.
    fn candidate(&mut self, file: &str, diff_id: &Digest) -> Result<Option<Candidate>, LoadError> {
        let missing = || file_error(file)(io::ErrorKind::NotFound.into());
        match &mut self.source {
            Source::Archive(scan) => match scan.layer(file.as_bytes()) {
                Some(candidate) => Ok(Some(candidate)),
                None if self.store.has_layer(diff_id) => Ok(None),
                None => match scan.small(file.as_bytes()) {
                    // Too small or too strange for a layer: say what is wrong with it.
                    Some(mut bytes) => {
                        let size = bytes.len() as u64;
                        self.intake.read(&mut bytes, size, None).map(Some)
                    }
                    None => Err(missing()),
                },
            },
            Source::Directory(root) => {
                let mut source = open_below(root, file)?;
                let size = source.metadata().map_err(file_error(file))?.len();
                self.intake.read(&mut source, size, None).map(Some)
            }
        }
    }

    /// Reads a small file.
    fn read(&self, file: &str) -> Result<Vec<u8>, LoadError> {
        match &self.source {
            Source::Archive(scan) => scan
                .small(file.as_bytes())
                .map(<[u8]>::to_vec)
                .ok_or_else(|| file_error(file)(io::ErrorKind::NotFound.into())),
            Source::Directory(root) => {
                let mut bytes = Vec::new();
                open_below(root, file)?
                    .take(CONFIG_BYTES_MAX)
                    .read_to_end(&mut bytes)
                    .map_err(file_error(file))?;
                Ok(bytes)
            }
        }
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
        self.read(file).is_ok()
    }
}

/// Files of a layer and its compressed form, as they are to be committed.
type Checked = (Option<super::store::Staged>, Option<(Digest, PathBuf)>);

/// Compares a layer with what manifest and config say.
fn checked(
    candidate: Candidate,
    file: &str,
    (digest, diff_id): (Option<&Digest>, &Digest),
) -> Result<Checked, LoadError> {
    if let Some(wanted) = digest.filter(|wanted| **wanted != candidate.digest) {
        return Err(LoadError::Corrupt {
            wanted: wanted.clone(),
            found: candidate.digest,
        });
    }
    let content = candidate.content.map_err(|source| LoadError::Layer {
        layer: file.to_owned(),
        source,
    })?;
    if content.diff_id != *diff_id {
        return Err(LoadError::DiffId {
            layer: file.to_owned(),
            wanted: diff_id.clone(),
            found: content.diff_id,
        });
    }
    let blob = candidate.blob.map(|file| (candidate.digest, file));
    Ok((content.staged, blob))
}

fn open_below(root: &OwnedFd, file: &str) -> Result<std::fs::File, LoadError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(root.as_fd(), file, flags, Mode::empty(), resolve);
    let opened = opened.map_err(io::Error::from).map(std::fs::File::from);
    opened.map_err(file_error(file))
}

fn file_error(file: impl std::fmt::Display) -> impl FnOnce(io::Error) -> LoadError {
    let file = file.to_string();
    move |source| LoadError::File { file, source }
}

/// Returns where a layout keeps a blob.
fn blob_file(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Tells how far the reading is.
struct Counted<'a> {
    inner: Box<dyn Read + Send>,
    total: Option<u64>,
    bytes: u64,
    reported: u64,
    progress: &'a dyn Fn(LoadProgress),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        if self.bytes - self.reported >= REPORT_BYTES {
            self.reported = self.bytes;
            (self.progress)(LoadProgress {
                bytes: self.bytes,
                total: self.total,
            });
        }
        Ok(count)
    }
}
