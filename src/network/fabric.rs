//! The handle of the fabric: jobs for its thread.

use std::{sync::Arc, thread};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};
use tokio_util::task::TaskTracker;

use crate::{
    model::{ContainerId, ContainerRecord, NetworkRecord},
    store::Root,
};

use super::{
    core::{Begun, Core},
    endpoint::{self, Prepared},
    error::NetworkError,
    netns,
    seat::{Attached, HeldSocket, Returned},
    wiring::netns_path,
};

/// Jobs that wait for the thread.
const JOBS_MAX: usize = 256;

type Job = Box<dyn FnOnce(&mut Core) + Send>;

/// All networks of a state root. Cheap to clone; the last clone ends the thread and the sockets' tasks, and leaves the kernel as it is.
///
/// A supervisor that starts calls [`Fabric::open`], then [`Fabric::ensure_network`] and [`Fabric::adopt`] for what its records say, then
/// [`Fabric::settle`]. Until then the packet filter of its predecessor works on unchanged.
#[derive(Debug, Clone)]
pub struct Fabric {
    root: Root,
    jobs: mpsc::Sender<Job>,
    /// Attachments run to their end even when nobody waits for them any more.
    attachments: TaskTracker,
}

impl Fabric {
    /// Starts the fabric in the calling thread's network namespace, with tasks on the current runtime.
    pub async fn open(root: &Root) -> Result<Self, NetworkError> {
        let (jobs, mut queue) = mpsc::channel::<Job>(JOBS_MAX);
        let (opened, open) = oneshot::channel();
        let (core_root, runtime) = (root.clone(), Handle::current());
        let work = move || match Core::open(core_root, runtime) {
            Ok(mut core) => {
                if opened.send(Ok(())).is_ok() {
                    while let Some(job) = queue.blocking_recv() {
                        job(&mut core);
                    }
                }
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        thread::Builder::new()
            .name("network".to_owned())
            .spawn(work)
            .map_err(|_closed| NetworkError::Closed)?;
        open.await.unwrap_or(Err(NetworkError::Closed))?;
        Ok(Self {
            root: root.clone(),
            jobs,
            attachments: TaskTracker::new(),
        })
    }

    /// Registers a network and makes its bridge, or completes what is there of it.
    pub async fn ensure_network(&self, network: &NetworkRecord) -> Result<(), NetworkError> {
        let network = network.clone();
        self.run(move |core| core.ensure_network(&network)).await
    }

    /// Removes a network without containers, and with the last one everything of ours in the kernel.
    pub async fn remove_network(&self, network: &NetworkRecord) -> Result<(), NetworkError> {
        let network = network.clone();
        self.run(move |core| core.remove_network(&network)).await
    }

    /// Makes a container's network ready: ports bound, namespace made, pinned and wired, resolver listening.
    ///
    /// Its networks were ensured before. A container that is attached already gets the same sockets again; a namespace that survived is
    /// used again. On an error nothing is left. Only [`Self::set_running`] makes others see it.
    pub async fn attach(&self, record: &ContainerRecord) -> Result<Attached, NetworkError> {
        let (fabric, record) = (self.clone(), Arc::new(record.clone()));
        self.to_the_end(fabric.attach_now(record)).await
    }

    /// Takes over a container that the last supervisor attached, with the sockets that its monitor held. What is missing is made again;
    /// the monitor should then hold the answer's sockets.
    pub async fn adopt(
        &self,
        record: &ContainerRecord,
        sockets: Vec<HeldSocket>,
    ) -> Result<Attached, NetworkError> {
        let mut returned = Returned::sort(sockets);
        let record = Arc::new(record.clone());
        let dns = match returned.dns.take() {
            Some(dns) => dns,
            None => self.prepare(&record, true).await?.dns,
        };
        self.run(move |core| core.adopt(&record, returned, dns))
            .await
    }

    /// Ends the start: removes namespaces and bridges that nobody registered and makes the packet filter what is registered.
    pub async fn settle(&self) -> Result<(), NetworkError> {
        self.run(Core::settle).await
    }

    /// Says that a container's process runs, or not: only while it runs, its names are answered and its ports translated.
    pub async fn set_running(&self, id: &ContainerId, running: bool) -> Result<(), NetworkError> {
        let id = id.clone();
        self.run(move |core| core.set_running(&id, running)).await
    }

    /// Forgets a container: its names go, its ports are free unless a monitor still holds them. Its namespace stays.
    pub async fn detach(&self, id: &ContainerId) -> Result<(), NetworkError> {
        let id = id.clone();
        if let Some(tasks) = self.run(move |core| core.detach(&id)).await? {
            tasks.wait().await;
        }
        Ok(())
    }

    /// Removes a detached container's namespace. The kernel lets it go when its last process and socket have ended.
    pub async fn remove_netns(&self, record: &ContainerRecord) -> Result<(), NetworkError> {
        let path = netns_path(&self.root, &record.id);
        let container = record.name.clone();
        spawn_blocking(move || netns::remove(&path))
            .await
            .map_err(|_closed| NetworkError::Closed)?
            .map_err(|source| NetworkError::Namespace { container, source })
    }

    /// Puts back bridges and packet filter when somebody removed them. Cheap when nothing is missing.
    pub async fn repair(&self) -> Result<(), NetworkError> {
        self.run(Core::repair).await
    }

    async fn attach_now(self, record: Arc<ContainerRecord>) -> Result<Attached, NetworkError> {
        let begun = {
            let record = Arc::clone(&record);
            self.run(move |core| core.begin(&record)).await?
        };
        let (bound, wired) = match begun {
            Begun::Ready(attached) => return Ok(attached),
            Begun::Bound { bound, wired } => (bound, wired),
        };
        let prepared = self.prepare(&record, wired).await?;
        self.run(move |core| core.finish(&record, bound, prepared))
            .await
    }

    async fn prepare(
        &self,
        record: &Arc<ContainerRecord>,
        wired: bool,
    ) -> Result<Prepared, NetworkError> {
        let path = netns_path(&self.root, &record.id);
        let record = Arc::clone(record);
        spawn_blocking(move || endpoint::prepare(&path, &record, wired))
            .await
            .map_err(|_closed| NetworkError::Closed)?
    }

    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, NetworkError>> + Send + 'static,
    ) -> Result<T, NetworkError> {
        self.attachments
            .spawn(work)
            .await
            .map_err(|_closed| NetworkError::Closed)?
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Core) -> Result<T, NetworkError> + Send + 'static,
    ) -> Result<T, NetworkError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |core| {
            if answer.send(job(core)).is_err() {
                tracing::debug!("nobody waits for a network job");
            }
        });
        self.jobs
            .send(job)
            .await
            .map_err(|_closed| NetworkError::Closed)?;
        answered.await.unwrap_or(Err(NetworkError::Closed))
    }
}
