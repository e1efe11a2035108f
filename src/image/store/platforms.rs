//! A name that stands for images of several platforms, built together: an index that a push sends with all of them.

use serde_json::json;

use super::{ImageError, ImageStore, Outgoing};
use crate::{
    image::{platform::Platform, reference::Reference},
    model::{Digest, ImageId},
};

pub(crate) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// An index ready to be sent, with the images in it.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingIndex {
    /// The index, byte for byte.
    pub(crate) bytes: Vec<u8>,
    /// Its digest.
    pub(crate) digest: Digest,
    /// What it is.
    pub(crate) media_type: &'static str,
    /// The images, in the order of the index.
    pub(crate) images: Vec<Outgoing>,
}

impl ImageStore {
    /// Lets names stand for several images: the one that they name already, and those of `others`, one for each further platform; none leaves the one.
    ///
    /// # Errors
    ///
    /// References that are none. Names that name nothing are left alone.
    pub fn add_platforms(&self, names: &[String], others: &[ImageId]) -> Result<(), ImageError> {
        let names: Vec<String> = names
            .iter()
            .map(|name| name.parse::<Reference>().map(|name| name.to_string()))
            .collect::<Result<_, _>>()?;
        let _lock = self.lock_index()?;
        let mut index = self.index()?;
        let mut changed = false;
        for name in names {
            if let Some(entry) = index.references.get_mut(&name)
                && entry.platforms != others
            {
                entry.platforms = others.to_vec();
                changed = true;
            }
        }
        // A build from the cache changes nothing.
        if changed {
            index.write(&self.index_path())?;
        }
        Ok(())
    }

    /// Lists the images that a name stands for, each with its platform; the first runs here.
    pub fn platform_images(&self, name: &str) -> Result<Vec<(String, ImageId)>, ImageError> {
        let reference = name.parse::<Reference>()?.to_string();
        let index = self.index()?;
        let missing = || ImageError::NotFound(name.to_owned());
        let entry = index.references.get(&reference).ok_or_else(missing)?;
        let ids = std::iter::once(&entry.image).chain(&entry.platforms);
        let images = ids.map(|id| {
            let image = index.images.get(id).ok_or_else(missing)?;
            Ok((image.platform.clone(), id.clone()))
        });
        images.collect()
    }

    /// Makes the images of all platforms of a name ready to be sent; `None` when it stands for one image. Blocks. The caller holds a lease.
    pub(crate) fn outgoing_index(
        &self,
        reference: &Reference,
    ) -> Result<Option<OutgoingIndex>, ImageError> {
        let index = self.index()?;
        let Some(entry) = index.references.get(&reference.to_string()) else {
            return Ok(None);
        };
        if entry.platforms.is_empty() {
            return Ok(None);
        }
        let mut images = Vec::new();
        let mut manifests = Vec::new();
        for id in std::iter::once(&entry.image).chain(&entry.platforms) {
            let missing = || ImageError::NotFound(id.to_string());
            let platform = index.images.get(id).ok_or_else(missing)?.platform.clone();
            let outgoing = self.outgoing_image(id, &|_, _, _, _| {})?;
            let outgoing = outgoing.ok_or_else(missing)?;
            manifests.push(json!({
                "mediaType": outgoing.media_type,
                "digest": outgoing.digest,
                "size": outgoing.manifest.len(),
                "platform": platform_json(&platform),
            }));
            images.push(outgoing);
        }
        let document = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests});
        let bytes = document.to_string().into_bytes();
        Ok(Some(OutgoingIndex {
            digest: crate::image::digest::of(&bytes),
            bytes,
            media_type: INDEX_TYPE,
            images,
        }))
    }
}

/// Returns a platform as an index writes it.
pub(crate) fn platform_json(platform: &str) -> serde_json::Value {
    let normal = platform
        .parse::<Platform>()
        .map(|platform| platform.to_string());
    let text = normal.unwrap_or_else(|_| platform.to_owned());
    let mut parts = text.splitn(3, '/');
    let mut value = json!({"os": parts.next(), "architecture": parts.next()});
    if let Some(variant) = parts.next() {
        value["variant"] = json!(variant);
    }
    value
}
