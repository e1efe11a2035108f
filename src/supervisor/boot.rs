//! Takes over what an earlier supervisor left: running containers, their sockets, unfinished files.

use std::collections::BTreeSet;

use compose_spec::model::ProjectName;
use runtime::{monitor::protocol::Request, spec::ContainerState};
use tracing::{info, warn};

use super::{desired, images::blocking};
use crate::{
    apply::{self, Context},
    container::{self, ContainerError},
    image::ImageStore,
    model::{ContainerRecord, NetworkRecord, chain},
    network::HeldSocket,
    store::{self, Root, StoreError},
};

/// Prefixes of unfinished directories in `tmp/` that only a supervisor makes.
const OWN_LITTER: [&str; 6] = [
    "container-",
    "files-",
    "mount-points-",
    "removed-",
    "step-",
    "volume-",
];

/// What was left could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BootError {
    #[error("read the containers")]
    Containers(#[source] ContainerError),
    #[error("read the networks")]
    Networks(#[source] StoreError),
    #[error("read the projects")]
    Projects(#[source] StoreError),
}

/// Adopts every running container: its state, its endpoints, the sockets its monitor holds.
pub(super) async fn adopt(context: &Context) -> Result<(), BootError> {
    container::end_orphan_steps(&context.root).await;
    wipe_litter(&context.root);
    let records = container::read_all(&context.root).map_err(BootError::Containers)?;
    let networks = store::read_networks(&context.root).map_err(BootError::Networks)?;
    let mut live = Vec::new();
    for record in records {
        let (state, _) =
            container::read_state(&context.root, &record.id).map_err(BootError::Containers)?;
        context.journal.look(&record, &state);
        if state.is_live() {
            live.push(record);
        }
    }
    for network in networks_in_use(&live, &networks) {
        if let Err(error) = context.fabric.ensure_network(network).await {
            warn!(network = network.name, %error, "not adopted");
        }
    }
    for record in &live {
        adopt_container(context, record).await;
    }
    apply::settle_mounts(context).await;
    if let Err(error) = context.fabric.settle().await {
        warn!(%error, "the packet filter is not as it should be");
    }
    Ok(())
}

/// Gives up what an earlier boot did not bring to the disk, and brings there what an earlier supervisor of this boot did not.
///
/// Failing is no reason not to start: whoever wants to use an image tries again and says what is wrong.
pub(super) async fn settle_images(images: &ImageStore) {
    let images = images.clone();
    let recovered = blocking(move || images.recover().map(|()| images.write_back()));
    if let Err(error) = recovered.await {
        warn!("{}", chain(&error).join(": "));
    }
}

/// Waits for the disk: what it does not have when the machine stops is gone.
pub(super) async fn flush_images(images: &ImageStore) {
    let images = images.clone();
    if let Err(error) = blocking(move || images.flush()).await {
        warn!("{}", chain(&error).join(": "));
    }
}

/// Notices a reboot for every project, before the first look at one.
pub(super) fn note_boot(root: &Root) -> Result<(), BootError> {
    for name in desired::wanted_projects(root).map_err(BootError::Projects)? {
        desired::note_boot(root, &name).map_err(BootError::Projects)?;
    }
    Ok(())
}

/// Returns the projects to look at: those of which something is wanted, and those with containers.
pub(super) fn projects(root: &Root) -> Result<BTreeSet<ProjectName>, BootError> {
    let wanted = desired::wanted_projects(root).map_err(BootError::Projects)?;
    let records = container::read_all(root).map_err(BootError::Containers)?;
    Ok(wanted
        .into_iter()
        .chain(records.into_iter().map(|record| record.project))
        .collect())
}

fn networks_in_use<'a>(
    live: &'a [ContainerRecord],
    networks: &'a [NetworkRecord],
) -> impl Iterator<Item = &'a NetworkRecord> {
    networks.iter().filter(|network| {
        live.iter()
            .flat_map(|record| &record.endpoints)
            .any(|endpoint| endpoint.network == network.name)
    })
}

async fn adopt_container(context: &Context, record: &ContainerRecord) {
    let name = &record.name;
    let receiver = match context.live.follow(&record.id).await {
        Ok(receiver) => receiver,
        Err(error) => {
            warn!(container = name, %error, "not adopted; the project's loop will look at it");
            return;
        }
    };
    if !record.endpoints.is_empty() {
        adopt_network(context, record).await;
    }
    let state = receiver.borrow().state.clone();
    // It may have ended and been started again since its record was read; only what follows is told as a change.
    context.journal.look(record, &state);
    let running = matches!(state, ContainerState::Running { .. });
    if let Err(error) = context.fabric.set_running(&record.id, running).await {
        warn!(container = name, %error, "publish");
    }
    info!(container = name, "adopted");
}

async fn adopt_network(context: &Context, record: &ContainerRecord) {
    let name = &record.name;
    let sockets = match context.live.held(&record.id).await {
        Ok((names, fds)) => names
            .into_iter()
            .zip(fds)
            .map(|(name, fd)| HeldSocket { name, fd })
            .collect(),
        Err(error) => {
            warn!(container = name, %error, "its sockets are lost");
            Vec::new()
        }
    };
    match context.fabric.adopt(record, sockets).await {
        Ok(attached) => {
            let (names, fds): (Vec<_>, Vec<_>) = attached
                .sockets
                .into_iter()
                .map(|held| (held.name, held.fd))
                .unzip();
            if let Err(error) = context
                .live
                .call(&record.id, &Request::Hold { names }, &fds)
                .await
            {
                warn!(container = name, %error, "its sockets would not survive this supervisor");
            }
        }
        Err(error) => warn!(container = name, %error, "its network is not as it should be"),
    }
}

/// Removes what a killed supervisor was making. Litter is no reason not to start.
fn wipe_litter(root: &Root) {
    let Ok(entries) = fs_err::read_dir(root.tmp()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if OWN_LITTER.iter().any(|prefix| name.starts_with(prefix))
            && let Err(error) = store::remove_tree(&entry.path())
        {
            warn!(%error, "remove litter");
        }
    }
}
