//! A container as the fabric knows it: its sockets and the tasks that serve them.

use std::{
    io,
    net::{SocketAddrV4, TcpListener, UdpSocket},
    os::fd::OwnedFd,
    sync::Arc,
};

use tokio::{runtime::Handle, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::model::{ContainerRecord, PublishedAddress};

use super::{
    dns::{Server, Upstream, View, Zone},
    endpoint::{self, DnsSockets},
    error::NetworkError,
    ports::{Bound, PortSocket},
};

const DNS_UDP: &str = "dns-udp";
const DNS_TCP: &str = "dns-tcp";

/// A socket for the container's monitor to hold, so that it outlives the supervisor.
#[derive(Debug)]
pub struct HeldSocket {
    /// `dns-udp`, `dns-tcp`, `tcp 0.0.0.0:8080`, `udp [::]:53`.
    pub name: String,
    /// The socket.
    pub fd: OwnedFd,
}

/// A container whose network is ready.
#[derive(Debug)]
pub struct Attached {
    /// Sockets for its monitor to hold.
    pub sockets: Vec<HeldSocket>,
    /// Its published ports as they are bound: ephemeral ports and ranges are decided. To be kept in the record.
    pub published: Vec<PublishedAddress>,
}

/// Sockets that a monitor held, sorted.
#[derive(Debug, Default)]
pub(crate) struct Returned {
    /// The resolver's, if both are there.
    pub(crate) dns: Option<DnsSockets>,
    /// Those of published ports.
    pub(crate) ports: Vec<PortSocket>,
}

impl Returned {
    /// Sorts what a monitor held; names that are not ours are dropped.
    pub(crate) fn sort(sockets: Vec<HeldSocket>) -> Self {
        let mut udp = None;
        let mut tcp = None;
        let mut ports = Vec::new();
        for socket in sockets {
            match socket.name.as_str() {
                DNS_UDP => udp = Some(UdpSocket::from(socket.fd)),
                DNS_TCP => tcp = Some(TcpListener::from(socket.fd)),
                name => ports.extend(PortSocket::adopt(name, socket.fd)),
            }
        }
        Self {
            dns: udp.zip(tcp).map(|(udp, tcp)| DnsSockets { udp, tcp }),
            ports,
        }
    }

    /// Takes the sockets of published ports, and tells which ports have none.
    pub(crate) fn take_bound(
        &mut self,
        published: &[PublishedAddress],
    ) -> (Vec<Bound>, Vec<PublishedAddress>) {
        let mut bound = Vec::new();
        let mut missing = Vec::new();
        for port in published {
            let (own, rest) = std::mem::take(&mut self.ports)
                .into_iter()
                .partition(|socket| socket.serves(port));
            self.ports = rest;
            let sockets: Vec<PortSocket> = own;
            if sockets.is_empty() {
                missing.push(port.clone());
            } else {
                bound.push(Bound {
                    port: port.clone(),
                    sockets,
                });
            }
        }
        (bound, missing)
    }
}

/// What all seats share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// Where tasks run.
    pub(crate) runtime: Handle,
    /// All names; none before the fabric has settled.
    pub(crate) zone: watch::Receiver<Option<Arc<Zone>>>,
    /// Real name servers.
    pub(crate) upstream: Arc<Upstream>,
}

/// A container of the fabric.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Its record.
    pub(crate) record: ContainerRecord,
    /// Its published ports as they are bound.
    pub(crate) published: Vec<PublishedAddress>,
    /// Whether its process runs: only then names lead to it and ports are translated.
    pub(crate) running: bool,
    held: Vec<HeldSocket>,
    targets: Vec<(u16, watch::Sender<Option<SocketAddrV4>>)>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Seat {
    /// Starts to serve a container's sockets.
    pub(crate) fn serve(
        record: ContainerRecord,
        (view, way): (View, super::dns::Way),
        dns: DnsSockets,
        bound: Vec<Bound>,
        shared: &Shared,
    ) -> Result<Self, NetworkError> {
        let mut seat = Self {
            published: bound.iter().map(|bound| bound.port.clone()).collect(),
            record,
            running: false,
            held: Vec::new(),
            targets: Vec::new(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        seat.hold(DNS_UDP.to_owned(), dns.udp.try_clone().map(OwnedFd::from))?;
        seat.hold(DNS_TCP.to_owned(), dns.tcp.try_clone().map(OwnedFd::from))?;
        let server = Server {
            zone: shared.zone.clone(),
            view: Arc::new(view),
            upstream: Arc::clone(&shared.upstream),
            way,
        };
        let cancel = || seat.cancel.clone();
        seat.spawn(shared, server.clone().serve_datagrams(dns.udp, cancel()));
        seat.spawn(shared, server.serve_streams(dns.tcp, cancel()));
        for bound in bound {
            let (send, target) = watch::channel(None);
            for socket in bound.sockets {
                seat.hold(socket.name(), socket.duplicate())?;
                let cancel = seat.cancel.clone();
                seat.spawn(shared, socket.serve(target.clone(), cancel));
            }
            seat.targets.push((bound.port.target, send));
        }
        Ok(seat)
    }

    /// Says that the process runs, or not.
    pub(crate) fn set_running(&mut self, running: bool) {
        self.running = running;
        let address = endpoint::publishing(&self.record).map(|(_, address)| address);
        for (port, target) in &self.targets {
            let address = address
                .filter(|_| running)
                .map(|address| SocketAddrV4::new(address, *port));
            target.send_if_modified(|now| std::mem::replace(now, address) != address);
        }
    }

    /// Returns what a monitor needs.
    pub(crate) fn attached(&self) -> Result<Attached, NetworkError> {
        let sockets = self
            .held
            .iter()
            .map(|socket| {
                let fd = socket
                    .fd
                    .try_clone()
                    .map_err(|source| NetworkError::Adopt {
                        name: socket.name.clone(),
                        source,
                    })?;
                Ok(HeldSocket {
                    name: socket.name.clone(),
                    fd,
                })
            })
            .collect::<Result<_, NetworkError>>()?;
        Ok(Attached {
            sockets,
            published: self.published.clone(),
        })
    }

    /// Ends the tasks; the tracker tells when they have closed their sockets.
    pub(crate) fn close(self) -> TaskTracker {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.clone()
    }

    fn hold(&mut self, name: String, fd: io::Result<OwnedFd>) -> Result<(), NetworkError> {
        match fd {
            Ok(fd) => {
                self.held.push(HeldSocket { name, fd });
                Ok(())
            }
            Err(source) => Err(NetworkError::Adopt { name, source }),
        }
    }

    fn spawn(&self, shared: &Shared, task: impl Future<Output = io::Result<()>> + Send + 'static) {
        let container = self.record.name.clone();
        let task = async move {
            if let Err(error) = task.await {
                tracing::error!(container, %error, "a socket of the container is not served");
            }
        };
        self.tasks.spawn_on(task, &shared.runtime);
    }
}

impl Drop for Seat {
    /// A seat that was never closed (an error on the way, the end of the fabric) takes its tasks along.
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
