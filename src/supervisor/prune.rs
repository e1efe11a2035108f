//! Removing images that nothing uses. What a container has is never touched.

use super::images::{blocking, image_failure};
use crate::{
    apply::Context,
    build, container,
    image::Kept,
    model::{ImageId, PruneFilter},
    protocol::Outcome,
};

pub(super) async fn images(context: &Context, filter: PruneFilter) -> Outcome {
    let in_use: Vec<ImageId> = match container::read_all(&context.root) {
        Ok(records) => records
            .iter()
            .flat_map(|record| record.images().cloned())
            .collect(),
        Err(error) => return image_failure(&error),
    };
    let cached = match build::cached_layers(&context.root) {
        Ok(cached) => cached,
        Err(error) => return image_failure(&error),
    };
    let store = context.images.clone();
    let prune = move || {
        let kept = Kept {
            images: &in_use,
            layers: &cached,
        };
        store.prune(&filter, &kept)
    };
    match blocking(prune).await {
        Ok((names, reclaimed_bytes)) => Outcome {
            names,
            reclaimed_bytes,
            ..Outcome::default()
        },
        Err(error) => image_failure(&error),
    }
}
