//! What every running container does now: one connection to each monitor, one watch channel for whoever waits.
//!
//! A change here only wakes the loop and those who wait; the truth stays in the monitor and in `state.json`.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard},
};

use runtime::{
    monitor::protocol::{Event, Request},
    spec::ContainerState,
};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use super::{Link, LinkError, directory};
use crate::{model::ContainerId, store::Root};

/// What a container does, and how often its policy restarted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What it does.
    pub state: ContainerState,
    /// Restarts by policy since its last start.
    pub restarts: u32,
}

/// A container changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub id: ContainerId,
    /// What it does now.
    pub status: Status,
}

/// A container that stands still; its monitor thaws it when the connection closes.
#[derive(Debug)]
#[must_use = "the container runs on when this is dropped"]
pub struct Frozen {
    _link: Link,
}

/// The connections to all monitors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Live {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: Root,
    /// Who is followed, with the newest status. An entry goes when its monitor does.
    followed: Mutex<HashMap<ContainerId, watch::Receiver<Status>>>,
    changes: mpsc::Sender<Change>,
    tasks: TaskTracker,
    leave: CancellationToken,
}

impl Live {
    /// Makes an empty set; every change also goes to `changes`.
    pub fn new(root: Root, changes: mpsc::Sender<Change>) -> Self {
        Self {
            inner: Arc::new(Inner {
                root,
                followed: Mutex::default(),
                changes,
                tasks: TaskTracker::new(),
                leave: CancellationToken::new(),
            }),
        }
    }

    /// Subscribes to a container's monitor, as its supervisor, and returns once its state is known.
    pub async fn follow(&self, id: &ContainerId) -> Result<watch::Receiver<Status>, LinkError> {
        if let Some(receiver) = self.status(id) {
            return Ok(receiver);
        }
        let link = Link::connect(&self.inner.root.container(id))?;
        link.send(&Request::Subscribe { supervisor: true }, &[])
            .await?;
        let first = next_status(&link).await?;
        let (sender, receiver) = watch::channel(first);
        self.followed().insert(id.clone(), receiver.clone());
        let task = relay(Arc::clone(&self.inner), id.clone(), link, sender);
        drop(self.inner.tasks.spawn(task));
        Ok(receiver)
    }

    /// Returns the newest status of a container whose monitor is followed.
    pub fn status(&self, id: &ContainerId) -> Option<watch::Receiver<Status>> {
        self.followed().get(id).cloned()
    }

    /// Carries out a request on a container's monitor.
    pub async fn call(
        &self,
        id: &ContainerId,
        request: &Request,
        fds: &[OwnedFd],
    ) -> Result<(), LinkError> {
        Link::connect(&self.inner.root.container(id))?
            .call(request, fds)
            .await
    }

    /// Freezes a running container for as long as what is returned lives, and no longer than this process does.
    pub async fn freeze(&self, id: &ContainerId) -> Result<Frozen, LinkError> {
        let link = Link::connect(&self.inner.root.container(id))?;
        link.call(&Request::Freeze, &[]).await?;
        Ok(Frozen { _link: link })
    }

    /// Returns the descriptors that a monitor holds, with their names.
    pub async fn held(&self, id: &ContainerId) -> Result<(Vec<String>, Vec<OwnedFd>), LinkError> {
        let link = Link::connect(&self.inner.root.container(id))?;
        link.send(&Request::Held, &[]).await?;
        loop {
            match link.receive().await? {
                (Event::Held { names }, fds) => return Ok((names, fds)),
                (Event::Failed { message, .. }, _) => return Err(LinkError::Refused { message }),
                _ => {}
            }
        }
    }

    /// Tells every monitor that the supervisor leaves on purpose, and waits until they know.
    pub async fn release(&self) {
        let ids: Vec<ContainerId> = self.followed().keys().cloned().collect();
        for id in ids {
            if let Err(error) = self.call(&id, &Request::Release, &[]).await {
                debug!(container = %id, %error, "not released");
            }
        }
        self.inner.leave.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<ContainerId, watch::Receiver<Status>>> {
        self.inner.followed()
    }
}

impl Inner {
    fn followed(&self) -> MutexGuard<'_, HashMap<ContainerId, watch::Receiver<Status>>> {
        self.followed.lock().expect("no holder of this lock panics")
    }

    /// Publishes a status: first to those who wait for this container, then to the loop, which one more probe with the same outcome need not wake.
    async fn publish(&self, id: &ContainerId, sender: &watch::Sender<Status>, status: Status) {
        let before = sender.send_replace(status.clone());
        let is_same = before.state.is_same_but_for_probes(&status.state);
        if is_same && before.restarts == status.restarts {
            return;
        }
        if self
            .changes
            .send(Change {
                id: id.clone(),
                status,
            })
            .await
            .is_err()
        {
            debug!(container = %id, "nobody follows changes any more");
        }
    }
}

/// Passes on what a monitor says until it goes away, then what it left on disk.
async fn relay(inner: Arc<Inner>, id: ContainerId, link: Link, sender: watch::Sender<Status>) {
    loop {
        let next = tokio::select! {
            next = next_status(&link) => next,
            () = inner.leave.cancelled() => return,
        };
        match next {
            Ok(status) => {
                let ended = matches!(status.state, ContainerState::Exited { .. });
                if ended {
                    inner.followed().remove(&id);
                }
                inner.publish(&id, &sender, status).await;
                if ended {
                    return;
                }
            }
            Err(error) => {
                debug!(container = %id, %error, "monitor connection ended");
                break;
            }
        }
    }
    inner.followed().remove(&id);
    let status = match directory::read_state(&inner.root, &id) {
        Ok((state, restarts)) => Status { state, restarts },
        Err(error) => Status {
            state: ContainerState::Lost {
                reason: error.to_string(),
            },
            restarts: 0,
        },
    };
    inner.publish(&id, &sender, status).await;
}

async fn next_status(link: &Link) -> Result<Status, LinkError> {
    loop {
        match link.receive().await?.0 {
            Event::State {
                state, restarts, ..
            } => return Ok(Status { state, restarts }),
            Event::Failed { message, .. } => return Err(LinkError::Refused { message }),
            _ => {}
        }
    }
}
