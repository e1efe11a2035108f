//! Removes containers.

use std::time::Duration;

use runtime::cgroup::Cgroup;

use super::{
    ApplyError, Context, Job,
    container::{is_live, read},
    queue::Done,
    volumes,
};
use crate::{
    container,
    model::{ContainerId, ContainerRecord, ContainerRole, Subject},
    store,
};

/// How long a monitor may take to leave after its container has ended.
const MONITOR_LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Removes a container that does not run: kernel objects first, the record last of what others look at.
pub(super) async fn remove(
    context: &Context,
    job: &Job,
    subject: &Subject,
    id: &ContainerId,
    volumes: &[String],
) -> Result<Done, ApplyError> {
    let Some(record) = read(context, id)? else {
        return Ok(Done::default());
    };
    job.working(subject, "removing").await;
    if is_live(context, id)? {
        return Err(ApplyError::StillRunning { name: record.name });
    }
    monitor_left(context, &record).await?;
    let wire = |source| ApplyError::Wire {
        service: record.service.clone(),
        source,
    };
    context.fabric.detach(id).await.map_err(wire)?;
    context.fabric.remove_netns(&record).await.map_err(wire)?;
    let (root, gone) = (context.root.clone(), id.clone());
    let one_off_log = matches!(record.role, ContainerRole::OneOff { remove: true, .. })
        .then(|| record.spec.log.dir.clone())
        .flatten();
    let directories = tokio::task::spawn_blocking(move || {
        container::remove(&root, &gone).map_err(|source| ApplyError::Container {
            name: gone.short().to_owned(),
            source,
        })?;
        one_off_log.map_or(Ok(()), |log| {
            store::remove_tree(&log).map_err(ApplyError::Store)
        })
    });
    directories
        .await
        .expect("removing directories does not panic")?;
    context.journal.did(&record, "destroy", &[]);
    for volume in volumes {
        match volumes::remove(&context.root, volume).await {
            Err(error) if error.is_refusal() => job.warn(format!("{error}: it is kept")).await,
            other => other.map_err(ApplyError::VolumeChange)?,
        }
    }
    Ok(Done::text("removed"))
}

/// Waits until nobody serves the container, and ends what a killed monitor left behind.
pub(super) async fn monitor_left(
    context: &Context,
    record: &ContainerRecord,
) -> Result<(), ApplyError> {
    let path = context.root.container(&record.id).join("monitor.lock");
    let wait = tokio::task::spawn_blocking(move || store::lock(&path));
    let lock = tokio::time::timeout(MONITOR_LEAVE_TIMEOUT, wait)
        .await
        .map_err(|_elapsed| ApplyError::StillRunning {
            name: record.name.clone(),
        })?
        .expect("taking a lock does not panic")
        .map_err(ApplyError::Store)?;
    let place = record.spec.cgroup.clone();
    let swept = tokio::task::spawn_blocking(move || Cgroup::open(&place)?.remove())
        .await
        .expect("removing a control group does not panic");
    drop(lock);
    swept.map_err(|source| ApplyError::Cgroup {
        name: record.name.clone(),
        source,
    })
}
