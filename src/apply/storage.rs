//! Networks and volumes.

use std::path::PathBuf;

use super::{ApplyError, Context, mounts, queue::Done, volumes};
use crate::{
    model::{ImageRecord, NetworkRecord, VolumeRecord},
    plan::lower::{Lowered, VolumeUse},
    store::{self, Root},
    volume::{self, Uses, VolumeError},
};

/// Makes a network or repairs it: the record first, so that the kernel objects never lack an owner.
pub(super) async fn ensure_network(
    context: &Context,
    record: &NetworkRecord,
) -> Result<Done, ApplyError> {
    store::write_network(&context.root, record).map_err(ApplyError::Store)?;
    context
        .fabric
        .ensure_network(record)
        .await
        .map_err(|source| ApplyError::Network {
            name: record.name.clone(),
            source,
        })?;
    Ok(Done::text("created"))
}

/// Removes a network: the kernel objects first, so that a record remains as long as anything does.
pub(super) async fn remove_network(
    context: &Context,
    record: &NetworkRecord,
) -> Result<Done, ApplyError> {
    context
        .fabric
        .remove_network(record)
        .await
        .map_err(|source| ApplyError::Network {
            name: record.name.clone(),
            source,
        })?;
    store::remove_network(&context.root, &record.name).map_err(ApplyError::Store)?;
    Ok(Done::text("removed"))
}

/// Keeps all volumes in place until the container that is being made is on record.
pub(super) async fn hold_volumes(context: &Context, container: &str) -> Result<Uses, ApplyError> {
    let root = context.root.clone();
    blocking(move || volume::hold_uses(&root))
        .await
        .map_err(|source| ApplyError::Volume {
            name: container.to_owned(),
            source,
        })
}

/// Makes anonymous volumes, fills empty ones from the image, and checks bind sources.
pub(super) async fn prepare(
    context: &Context,
    lowered: &Lowered,
    image: &ImageRecord,
) -> Result<(), ApplyError> {
    for used in lowered.volumes.clone() {
        let (root, layers, name) = (
            context.root.clone(),
            image.layers.clone(),
            used.name.clone(),
        );
        mounts::ensure(context, &name).await?;
        blocking(move || fill(&root, &used, &layers))
            .await
            .map_err(|source| ApplyError::Volume { name, source })?;
    }
    for bind in lowered.binds.clone() {
        let name = bind.source.display().to_string();
        let path = bind.path.clone();
        blocking(move || volume::bind_source(&bind.source, bind.create))
            .await
            .map_err(|source| ApplyError::Bind { name, path, source })?;
    }
    Ok(())
}

fn fill(root: &Root, used: &VolumeUse, layers: &[PathBuf]) -> Result<(), VolumeError> {
    if let Some(record) = &used.record {
        volume::ensure(root, record)?;
    }
    let place = (used.name.as_str(), used.subpath.as_deref());
    match (&used.copy_up, &used.subpath) {
        (Some(path), _) => volume::copy_up_below(root, place, layers, path),
        (None, Some(subpath)) => volume::ensure_subpath(root, &used.name, subpath),
        (None, None) => match volume::find(root, &used.name)? {
            Some(_) => Ok(()),
            None => Err(VolumeError::Missing {
                name: used.name.clone(),
            }),
        },
    }
}

/// Makes a volume.
pub(super) async fn ensure_volume(
    context: &Context,
    record: &VolumeRecord,
) -> Result<Done, ApplyError> {
    let (root, record) = (context.root.clone(), record.clone());
    let name = record.name.clone();
    let make = move || {
        let _held = volume::hold_uses(&root)?;
        volume::ensure(&root, &record)
    };
    blocking(make)
        .await
        .map_err(|source| ApplyError::Volume { name, source })?;
    Ok(Done::text("created"))
}

/// Removes a volume and its data.
pub(super) async fn remove_volume(context: &Context, name: &str) -> Result<Done, ApplyError> {
    volumes::remove(&context.root, name)
        .await
        .map_err(ApplyError::VolumeChange)?;
    Ok(Done::text("removed"))
}

/// Runs file work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VolumeError> + Send + 'static,
) -> Result<T, VolumeError> {
    tokio::task::spawn_blocking(work)
        .await
        .expect("file work does not panic")
}
