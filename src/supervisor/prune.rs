//! Removing images that nothing uses. What a container has is never touched.

use runtime::spec::ContainerState;

use super::images::{blocking, image_failure};
use crate::{
    apply::Context,
    build,
    container::{self, ContainerError},
    image::Kept,
    model::{ContainerRecord, ContainerRole, ImageId, PruneFilter},
    protocol::Outcome,
    store::Root,
};

/// Returns the containers that keep images: all but those that go away by themselves since their run has ended.
pub(super) fn users_of_images(root: &Root) -> Result<Vec<ContainerRecord>, ContainerError> {
    let mut records = container::read_all(root)?;
    records.retain(|record| {
        let goes = matches!(record.role, ContainerRole::OneOff { remove: true, .. });
        let state = || container::read_state(root, &record.id);
        !goes || !matches!(state(), Ok((ContainerState::Exited { .. }, _)))
    });
    Ok(records)
}

pub(super) async fn images(context: &Context, filter: PruneFilter) -> Outcome {
    let in_use: Vec<ImageId> = match users_of_images(&context.root) {
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
