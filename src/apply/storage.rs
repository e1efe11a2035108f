//! Networks and volumes.

use super::{ApplyError, Context, queue::Done};
use crate::{
    model::{NetworkRecord, VolumeRecord},
    store,
    volume::{self, VolumeError},
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

/// Makes a volume.
pub(super) async fn ensure_volume(
    context: &Context,
    record: &VolumeRecord,
) -> Result<Done, ApplyError> {
    let (root, record) = (context.root.clone(), record.clone());
    let name = record.name.clone();
    blocking(move || volume::ensure(&root, &record))
        .await
        .map_err(|source| ApplyError::Volume { name, source })?;
    Ok(Done::text("created"))
}

/// Removes a volume and its data.
pub(super) async fn remove_volume(context: &Context, name: &str) -> Result<Done, ApplyError> {
    let (root, name) = (context.root.clone(), name.to_owned());
    let removed = name.clone();
    blocking(move || volume::remove(&root, &removed))
        .await
        .map_err(|source| ApplyError::Volume { name, source })?;
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
