//! File systems of volumes: mounted before a container is made or started with them, unmounted when nobody has them any more.

use std::net::IpAddr;

use runtime::spec::ContainerState;
use tracing::{debug, warn};

use super::{ApplyError, Context, storage::blocking};
use crate::{
    container::{self, ContainerError},
    image::resolve_host,
    model::{Backing, ContainerRecord, chain},
    store::Root,
    volume::{self, VolumeError},
};

/// Mounts the file system of a volume that has one. Under [`volume::hold_uses`].
pub(super) async fn ensure(context: &Context, name: &str) -> Result<(), ApplyError> {
    let failed = |source| ApplyError::Volume {
        name: name.to_owned(),
        source,
    };
    let record = volume::find(&context.root, name).map_err(failed)?;
    let backing = record.and_then(|record| record.wanted.as_ref().map(Backing::of));
    let Some(Ok(Backing::Mount(mount))) = backing else {
        return Ok(());
    };
    let mut server: Option<IpAddr> = None;
    if let Some(host) = &mount.server {
        let found = resolve_host(host).await;
        let found = found.map_err(|source| ApplyError::VolumeServer {
            name: name.to_owned(),
            source,
        })?;
        server = found.first().copied();
    }
    let (root, volume) = (context.root.clone(), name.to_owned());
    blocking(move || volume::mount(&root, &volume, server))
        .await
        .map_err(failed)
}

/// Unmounts the file systems of volumes that no container has that lives or is about to start. What cannot be unmounted now is tried
/// again at the next occasion.
pub async fn settle_mounts(context: &Context) {
    let root = context.root.clone();
    let settled = tokio::task::spawn_blocking(move || settle(&root));
    let settled = settled.await.expect("unmounting does not panic");
    if let Err(error) = settled {
        warn!(error = chain(&error).join(": "), "volumes stay mounted");
    }
}

/// Why file systems stay mounted.
#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    Container(#[from] ContainerError),
}

fn settle(root: &Root) -> Result<(), SettleError> {
    // Nearly always there is none, and nobody needs to be kept from making containers.
    if volume::mounted(root)?.is_empty() {
        return Ok(());
    }
    let _frozen = volume::freeze_uses(root)?;
    let mut needed = Vec::new();
    for container in container::read_all(root)? {
        if needs_its_volumes(root, &container)? {
            needed.extend(container.used_volumes().cloned());
        }
    }
    for name in volume::mounted(root)? {
        if !needed.contains(&name) {
            volume::unmount(root, &name)?;
            debug!(volume = name, "unmounted");
        }
    }
    Ok(())
}

fn needs_its_volumes(root: &Root, container: &ContainerRecord) -> Result<bool, ContainerError> {
    let (state, _) = container::read_state(root, &container.id)?;
    // What was filled for a container that has not started yet must be there when it does.
    Ok(state.is_live() || matches!(state, ContainerState::Created))
}
