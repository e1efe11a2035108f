//! The network of RUN steps: a bridge that is there while steps use it, and namespaces on it.
//!
//! A step has a namespace to itself, so it never meets the ports of another. Steps of one build use the same ones one after the other:
//! making one costs some milliseconds, taking one that is free costs nothing. With the last namespace the bridge goes, so nothing is left of
//! a build in the kernel; what a killed supervisor left goes when the next one settles, as for containers.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{runtime::Handle, sync::Mutex as AsyncMutex};
use tokio_util::task::TaskTracker;

use crate::{
    build::{StepNetwork, StepNetworkError},
    model::{ContainerId, ContainerRecord, NetworkRecord, chain},
    network::{self, Fabric, HostResolver, NetworkError, netns_path},
    observe,
    plan::{build_network, build_seat},
    store::{self, Root, StoreError},
};

/// The network of build steps of one state root. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BuildNetwork(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: Root,
    fabric: Fabric,
    /// Held while the bridge is made or removed, so that nobody attaches to one that goes.
    state: AsyncMutex<State>,
    /// Removals that no build waits for.
    removals: TaskTracker,
}

/// What is in the kernel.
#[derive(Debug, Default)]
struct State {
    /// The bridge, while there are seats.
    network: Option<NetworkRecord>,
    seats: BTreeMap<ContainerId, Ipv4Addr>,
}

/// The network of a step could not be made.
#[derive(Debug, thiserror::Error)]
enum AttachError {
    #[error("read the networks")]
    Records(#[source] StoreError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("no subnet is free for the network of build steps")]
    NoSubnet,
    #[error("too many build steps run at the same time: no address is free")]
    NoAddress,
    #[error("random bytes")]
    Random(#[source] std::io::Error),
}

impl BuildNetwork {
    /// Makes nothing yet.
    pub fn new(root: Root, fabric: Fabric) -> Self {
        Self(Arc::new(Shared {
            root,
            fabric,
            state: AsyncMutex::default(),
            removals: TaskTracker::new(),
        }))
    }

    /// Returns once nothing of ended builds is left in the kernel. Call it when no build is begun any more.
    pub async fn removed(&self) {
        self.0.removals.close();
        self.0.removals.wait().await;
    }

    /// Makes a namespace on the bridge, and the bridge when it is the first.
    async fn attach(&self) -> Result<(ContainerRecord, Ipv4Addr), AttachError> {
        let Shared {
            root,
            fabric,
            state,
            ..
        } = &*self.0;
        let mut bytes = [0; 32];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| AttachError::Random(errno.into()))?;
        let mut state = state.lock().await;
        let network = if let Some(network) = &state.network {
            network.clone()
        } else {
            let network = choose(root)?;
            fabric.ensure_network(&network).await?;
            state.network = Some(network.clone());
            network
        };
        let taken = state.seats.values().copied().collect();
        let seat = build_seat(&network, &taken, ContainerId::from_bytes(bytes));
        let seat = seat.ok_or(AttachError::NoAddress)?;
        let address = seat.endpoints[0].address;
        state.seats.insert(seat.id.clone(), address);
        drop(state);
        match fabric.attach(&seat).await {
            Ok(_sockets) => Ok((seat, network.gateway)),
            Err(error) => {
                self.forget(&seat).await;
                Err(error.into())
            }
        }
    }

    /// Removes a namespace, and the bridge with the last one.
    async fn detach(&self, seat: &ContainerRecord) {
        let fabric = &self.0.fabric;
        for result in [
            fabric.detach(&seat.id).await,
            fabric.remove_netns(seat).await,
        ] {
            if let Err(error) = result {
                warn(&error);
            }
        }
        self.forget(seat).await;
    }

    async fn forget(&self, seat: &ContainerRecord) {
        let mut state = self.0.state.lock().await;
        state.seats.remove(&seat.id);
        if state.seats.is_empty()
            && let Some(network) = state.network.take()
            && let Err(error) = self.0.fabric.remove_network(&network).await
        {
            warn(&error);
        }
    }
}

/// Chooses subnet and names, beside everything that the host and the projects have.
fn choose(root: &Root) -> Result<NetworkRecord, AttachError> {
    let networks = store::read_networks(root).map_err(AttachError::Records)?;
    let ours = networks
        .iter()
        .map(|network| (network.subnet, network.prefix));
    let facts = network::host_facts()?;
    let taken: Vec<_> = ours.chain(facts.taken()).collect();
    let name = root.state().display().to_string();
    build_network(&observe::host_facts(), &taken, &name).ok_or(AttachError::NoSubnet)
}

fn warn(error: &NetworkError) {
    let text = chain(error).join(": ");
    tracing::warn!("the network of a build step is left: {text}");
}

/// The namespaces of one build. Dropping it has them removed; the build does not wait for the kernel, which takes longer for it than to make them.
#[derive(Debug)]
pub(super) struct Seats {
    network: BuildNetwork,
    handle: Handle,
    free: Mutex<Vec<Free>>,
}

/// A namespace that no step uses now, and the host as it sees it.
#[derive(Debug)]
struct Free {
    seat: ContainerRecord,
    gateway: Ipv4Addr,
}

impl Seats {
    pub(super) fn new(network: BuildNetwork, handle: Handle) -> Arc<Self> {
        Arc::new(Self {
            network,
            handle,
            free: Mutex::default(),
        })
    }

    /// Lends a namespace to a step. One that was lent to a step with all rights is not lent again: its addresses and routes may be others.
    pub(super) fn lend(self: &Arc<Self>, insecure: bool) -> Result<StepNetwork, StepNetworkError> {
        let free = if insecure { None } else { self.free().pop() };
        let free = if let Some(free) = free {
            free
        } else {
            let attached = self.handle.block_on(self.network.attach());
            let (seat, gateway) =
                attached.map_err(|error| StepNetworkError(chain(&error).join(": ")))?;
            Free { seat, gateway }
        };
        let resolv_conf = network::resolv_conf(&free.seat.wanted, &HostResolver::of_host());
        Ok(StepNetwork {
            netns: netns_path(&self.network.0.root, &free.seat.id),
            resolv_conf,
            gateway: free.gateway,
            loan: Box::new(Loan {
                seats: Arc::clone(self),
                free: Some(free),
                insecure,
            }),
        })
    }

    /// Has a namespace removed; nobody waits for it but [`BuildNetwork::removed`].
    fn remove(&self, seat: ContainerRecord) {
        let network = self.network.clone();
        let removals = network.0.removals.clone();
        let removal = async move { network.detach(&seat).await };
        drop(removals.spawn_on(removal, &self.handle));
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Free>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        for Free { seat, .. } in std::mem::take(&mut *self.free()) {
            self.remove(seat);
        }
    }
}

/// A lent namespace; given back when dropped.
struct Loan {
    seats: Arc<Seats>,
    free: Option<Free>,
    insecure: bool,
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(free) = self.free.take() else { return };
        if self.insecure {
            self.seats.remove(free.seat);
        } else {
            self.seats.free().push(free);
        }
    }
}
