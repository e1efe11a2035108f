//! One load: the images of an archive or layout directory, their configs and layers, into the store.

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::{
    LoadError, Source,
    intake::{Candidate, Intake},
};
use crate::{
    image::{
        config, digest,
        manifest::CONFIG_BYTES_MAX,
        reference::Reference,
        store::{ImageStore, NewImage, Workspace},
    },
    model::Digest,
};

/// One load.
pub(super) struct Load<'a> {
    pub(super) store: &'a ImageStore,
    pub(super) intake: &'a Intake<'a>,
    pub(super) workspace: &'a Workspace,
    pub(super) source: Source,
}

/// An image found in an archive.
pub(super) struct Found {
    pub(super) config: Vec<u8>,
    pub(super) manifest: Option<Digest>,
    /// Digest of what a name stands for.
    pub(super) named: Option<Digest>,
    pub(super) blobs: BTreeSet<Digest>,
    /// Files, the lowest layer first, with the digest that they must have where it is known.
    pub(super) layers: Vec<(String, Option<Digest>)>,
    pub(super) references: Vec<String>,
    /// What a layout calls it, which need not be a reference.
    pub(super) tag: Option<String>,
}

impl Load<'_> {
    pub(super) fn run(&mut self) -> Result<Vec<String>, LoadError> {
        let mut names = Vec::new();
        for image in self.images()? {
            names.extend(self.add(image)?);
        }
        Ok(names)
    }

    /// Adds one image without a name: the one that is wanted, the only one, or the latest.
    pub(super) fn one(
        &mut self,
        path: &Path,
        wanted: Option<&str>,
    ) -> Result<Vec<String>, LoadError> {
        let mut image = self.chosen(path, wanted)?;
        image.references.clear();
        self.add(image)
    }

    /// Finds the image that is wanted, the only one, or the latest.
    pub(super) fn chosen(&self, path: &Path, wanted: Option<&str>) -> Result<Found, LoadError> {
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

    pub(super) fn images(&self) -> Result<Vec<Found>, LoadError> {
        if self.exists("manifest.json") {
            super::docker::images(self)
        } else if self.exists("index.json") {
            super::oci::images(self)
        } else {
            Err(LoadError::Unknown(PathBuf::new()))
        }
    }

    pub(super) fn add(&mut self, image: Found) -> Result<Vec<String>, LoadError> {
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
    pub(super) fn candidate(
        &mut self,
        file: &str,
        diff_id: &Digest,
    ) -> Result<Option<Candidate>, LoadError> {
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
    pub(super) fn read(&self, file: &str) -> Result<Vec<u8>, LoadError> {
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
    pub(super) fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, LoadError> {
        let bytes = self.read(&blob_file(digest))?;
        let found = digest::of(&bytes);
        if found == *digest {
            Ok(bytes)
        } else {
            Err(LoadError::Corrupt {
                wanted: digest.clone(),
                found,
            })
        }
    }

    pub(super) fn exists(&self, file: &str) -> bool {
        self.read(file).is_ok()
    }
}

/// Files of a layer and its compressed form, as they are to be committed.
pub(super) type Checked = (
    Option<crate::image::store::Staged>,
    Option<(Digest, PathBuf)>,
);

/// Compares a layer with what manifest and config say.
pub(super) fn checked(
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

pub(super) fn open_below(root: &OwnedFd, file: &str) -> Result<std::fs::File, LoadError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(root.as_fd(), file, flags, Mode::empty(), resolve);
    let opened = opened.map_err(io::Error::from).map(std::fs::File::from);
    opened.map_err(file_error(file))
}

pub(super) fn file_error(file: impl std::fmt::Display) -> impl FnOnce(io::Error) -> LoadError {
    let file = file.to_string();
    move |source| LoadError::File { file, source }
}

/// Returns where a layout keeps a blob.
pub(super) fn blob_file(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
