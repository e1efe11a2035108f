//! Images as commands name them.

use std::collections::{BTreeMap, BTreeSet};

use super::{ImageError, ImageStore, index::Index, resolve};
use crate::{
    image::reference::Reference,
    model::{Digest, ImageId},
};

/// An image with everything that an archive of it needs.
#[derive(Debug)]
pub(crate) struct SavedImage {
    /// Digest of its config.
    pub(crate) id: ImageId,
    /// The config, byte for byte.
    pub(crate) config: Vec<u8>,
    /// The manifest it came with, byte for byte.
    pub(crate) manifest: Option<Vec<u8>>,
    /// Everything in `blobs/` that belongs to it.
    pub(crate) blobs: BTreeSet<Digest>,
    /// Diff ids, the lowest first.
    pub(crate) diff_ids: Vec<Digest>,
    /// Full references by which it was asked for.
    pub(crate) references: Vec<String>,
    /// `os/architecture[/variant]`.
    pub(crate) platform: String,
    /// Those of the references that stand for further platforms too, with their images.
    pub(crate) platforms: BTreeMap<String, Vec<SavedImage>>,
}

impl SavedImage {
    /// Returns what people call it.
    pub(crate) fn name(&self) -> String {
        let familiar = |name: &String| Some(name.parse::<Reference>().ok()?.familiar());
        self.references
            .first()
            .and_then(familiar)
            .unwrap_or_else(|| self.id.short().to_owned())
    }
}

impl ImageStore {
    /// Finds images by references and ids, each once, in the order of the names. A bare repository means all its tags.
    pub(crate) fn select(&self, names: &[String]) -> Result<Vec<SavedImage>, ImageError> {
        let index = self.index()?;
        let mut found: Vec<SavedImage> = Vec::new();
        for name in names {
            for (id, reference) in named(&index, name)? {
                let known = found.iter().position(|image| image.id == id);
                let at = if let Some(at) = known {
                    at
                } else {
                    found.push(self.saved(&index, id, name)?);
                    found.len() - 1
                };
                let image = &mut found[at];
                if let Some(reference) = reference.filter(|name| !image.references.contains(name)) {
                    let others = &index.references[&reference].platforms;
                    let others: Result<Vec<_>, _> = others
                        .iter()
                        .map(|id| self.saved(&index, id.clone(), name))
                        .collect();
                    let others = others?;
                    if !others.is_empty() {
                        image.platforms.insert(reference.clone(), others);
                    }
                    image.references.push(reference);
                }
            }
        }
        Ok(found)
    }

    fn saved(&self, index: &Index, id: ImageId, name: &str) -> Result<SavedImage, ImageError> {
        let missing = || ImageError::NotFound(name.to_owned());
        let entry = index.images.get(&id).ok_or_else(missing)?;
        let config = self.read_blob(&id)?.ok_or_else(missing)?;
        let manifest = match &entry.manifest {
            Some(manifest) => self.read_blob(manifest)?,
            None => None,
        };
        Ok(SavedImage {
            id,
            config,
            manifest,
            blobs: entry.blobs.clone(),
            diff_ids: entry.diff_ids.clone(),
            references: Vec::new(),
            platform: entry.platform.clone(),
            platforms: BTreeMap::new(),
        })
    }
}

/// Returns the images that a name stands for, with the reference that it stands for; ids stand for none.
fn named(index: &Index, name: &str) -> Result<Vec<(ImageId, Option<String>)>, ImageError> {
    if let Ok(reference) = name.parse::<Reference>() {
        let full = reference.to_string();
        let is_bare = reference.digest().is_none() && !has_tag(name);
        let stands_for = |other: &String| {
            *other == full
                || (is_bare
                    && other
                        .parse::<Reference>()
                        .is_ok_and(|other| other.name() == reference.name()))
        };
        let found: Vec<_> = index
            .references
            .iter()
            .filter(|(other, _)| stands_for(other))
            .map(|(other, entry)| (entry.image.clone(), Some(other.clone())))
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let id = resolve(index, name)?.ok_or_else(|| ImageError::NotFound(name.to_owned()))?;
    Ok(vec![(id, None)])
}

/// Tells whether a name has a tag: a colon after its last slash.
fn has_tag(name: &str) -> bool {
    name.rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'))
}
