//! Questions that are not ours go to real name servers, byte for byte but for the id, and so do their answers.
//!
//! The host's servers are asked from the host's namespace, so that 127.0.0.53 and split DNS of VPNs work; a container's own servers from
//! inside its namespace. The host's resolv.conf is looked at before each question (one `stat`), so a change is never missed.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use fs_err as fs;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UdpSocket},
    sync::Semaphore,
    time::timeout,
};

use super::super::{
    host::{HostResolver, RESOLV_CONF},
    names::random_u64,
    netns,
};
use super::message::Transport;

/// Time for all servers together; a resolver in a container gives up after 5 s.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Servers that are asked in turn.
const SERVERS_MAX: usize = 3;
/// Questions under way at a time, of all containers.
const QUERIES_MAX: usize = 1024;
/// Port of name servers.
const PORT: u16 = 53;
const CODE_SERVFAIL: u8 = 2;
const CODE_REFUSED: u8 = 5;

/// Where a container's questions go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// The host's servers, from the host.
    Host,
    /// These, from the namespace pinned here.
    Inside {
        /// The pin.
        netns: PathBuf,
        /// `dns:` of the service.
        servers: Vec<IpAddr>,
    },
}

/// Asks real name servers.
#[derive(Debug)]
pub(crate) struct Upstream {
    places: Semaphore,
    /// A tiny section, never held across an await.
    host: Mutex<Known>,
}

/// The host's configuration and the file version that it is of.
#[derive(Debug, Default)]
struct Known {
    version: Option<(u64, u64, Option<SystemTime>)>,
    resolver: HostResolver,
}

impl Upstream {
    /// Makes one for all containers.
    pub(crate) fn new() -> Self {
        Self {
            places: Semaphore::new(QUERIES_MAX),
            host: Mutex::new(Known::default()),
        }
    }

    /// Returns the host's configuration as it is now.
    pub(crate) fn host(&self) -> HostResolver {
        use std::os::unix::fs::MetadataExt;
        let version = fs::metadata(RESOLV_CONF)
            .ok()
            .map(|file| (file.ino(), file.len(), file.modified().ok()));
        let mut known = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        if version.is_none() || known.version != version {
            *known = Known {
                version,
                resolver: HostResolver::of_host(),
            };
        }
        known.resolver.clone()
    }

    /// Asks one server after the other; `None` when none answered or too much is under way.
    pub(crate) async fn ask(
        &self,
        query: &[u8],
        transport: Transport,
        way: &Way,
    ) -> Option<Vec<u8>> {
        let place = self.places.try_acquire().ok()?;
        let servers = match way {
            Way::Host => self.host().servers,
            Way::Inside { servers, .. } => servers.clone(),
        };
        let count = servers.len().min(SERVERS_MAX);
        let each = TIMEOUT / u32::try_from(count.max(1)).expect("at most three");
        let mut refusal = None;
        for server in servers.into_iter().take(count) {
            let server = SocketAddr::new(server, PORT);
            match timeout(each, ask_one(query, transport, way, server)).await {
                Ok(Ok(answer)) if is_refusal(&answer) => refusal = Some(answer),
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%server, %error, "ask a name server"),
                Err(_) => tracing::debug!(%server, "a name server does not answer"),
            }
        }
        drop(place);
        refusal
    }
}

fn is_refusal(answer: &[u8]) -> bool {
    answer
        .get(3)
        .is_some_and(|flags| matches!(flags & 0x0f, CODE_SERVFAIL | CODE_REFUSED))
}

async fn ask_one(
    query: &[u8],
    transport: Transport,
    way: &Way,
    server: SocketAddr,
) -> io::Result<Vec<u8>> {
    let mut asked = query.to_vec();
    let id = random_u64().to_ne_bytes();
    asked[..2].copy_from_slice(&id[..2]);
    let mut answer = match transport {
        Transport::Datagram => by_datagram(&asked, way, server).await?,
        Transport::Stream => by_stream(&asked, way, server).await?,
    };
    answer[..2].copy_from_slice(&query[..2]);
    Ok(answer)
}

async fn by_datagram(query: &[u8], way: &Way, server: SocketAddr) -> io::Result<Vec<u8>> {
    let socket = match way {
        Way::Host => std_datagram(server)?,
        Way::Inside { netns, .. } => inside(netns.clone(), move || std_datagram(server)).await?,
    };
    let socket = UdpSocket::from_std(socket)?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Anything else is late or forged.
        if length >= 12 && buffer[..2] == query[..2] && buffer[2] & 0x80 != 0 {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn by_stream(query: &[u8], way: &Way, server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream: TcpStream = match way {
        Way::Host => std_stream(server)?.connect(server).await?,
        Way::Inside { netns, .. } => {
            let socket = inside(netns.clone(), move || std_stream(server)).await?;
            socket.connect(server).await?
        }
    };
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(query);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    if answer.len() < 12 || answer[..2] != query[..2] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(answer)
}

fn std_datagram(server: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn std_stream(server: SocketAddr) -> io::Result<TcpSocket> {
    if server.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }
}

/// Makes a socket inside a namespace: it keeps belonging to it.
async fn inside<T: Send + 'static>(
    path: PathBuf,
    make: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(move || netns::enter(&path, make).map_err(io::Error::other))
        .await
        .map_err(io::Error::other)??
}
