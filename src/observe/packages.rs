//! The packages in an image's files.

use super::ObserveError;
use crate::{
    image::ImageStore,
    inventory::{self, Inventory, LayerFiles},
    model::ImageDetails,
    store::Root,
};

/// Reads the packages of an image from its layers, which stay in the store meanwhile.
pub fn packages(root: &Root, name: &str) -> Result<(ImageDetails, Inventory), ObserveError> {
    let store = ImageStore::open(root);
    let _lease = store.lease().map_err(ObserveError::Image)?;
    let details = store.details(name).map_err(ObserveError::Image)?;
    // The topmost first, and without those that an opaque root hides.
    let numbers = (0..details.layers.len()).rev();
    let layers: Vec<LayerFiles> = numbers
        .zip(&details.directories)
        .map(|(number, directory)| LayerFiles {
            number,
            directory: directory.clone(),
        })
        .collect();
    let inventory = inventory::read(&layers).map_err(ObserveError::Packages)?;
    Ok((details, inventory))
}
