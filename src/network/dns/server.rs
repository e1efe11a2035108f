//! The resolver of one container: its two sockets, served until cancelled.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::super::names::random_u64;
use super::{
    message::{self, Incoming, Question, Transport},
    upstream::{Upstream, Way},
    zone::{Answer, View, Zone},
};

/// Streams of one container at a time.
const STREAMS_MAX: usize = 64;
/// A stream that asks nothing for so long is closed.
const STREAM_IDLE_MAX: Duration = Duration::from_secs(3);
/// Questions of one container that wait for upstream.
const WAITING_MAX: usize = 256;
/// Rest after an error of accept(2) that does not pass by itself.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a container's resolver knows.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// All names, as they are now; none while the fabric is being restored: questions wait in the sockets.
    pub(crate) zone: watch::Receiver<Option<Arc<Zone>>>,
    /// What the container may see of them.
    pub(crate) view: Arc<View>,
    /// Real name servers.
    pub(crate) upstream: Arc<Upstream>,
    /// Which of them.
    pub(crate) way: Way,
}

impl Server {
    /// Serves datagrams until cancelled.
    pub(crate) async fn serve_datagrams(
        mut self,
        socket: std::net::UdpSocket,
        cancel: CancellationToken,
    ) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        self.wait_for_names(&cancel).await;
        let mut waiting = JoinSet::new();
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let received = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                Some(_) = waiting.join_next() => continue,
                received = socket.recv_from(&mut buffer) => received,
            };
            let (length, client) = match received {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%error, "receive a DNS query");
                    continue;
                }
            };
            let reply = match self.decide(&buffer[..length], Transport::Datagram) {
                Decision::Reply(reply) => reply,
                Decision::Nothing => continue,
                Decision::Ask(question) if waiting.len() >= WAITING_MAX => {
                    message::failure(&question)
                }
                Decision::Ask(question) => {
                    let query = buffer[..length].to_vec();
                    let (server, socket) = (self.clone(), Arc::clone(&socket));
                    waiting.spawn(async move {
                        let reply = server.ask(&query, &question, Transport::Datagram).await;
                        if let Err(error) = socket.send_to(&reply, client).await {
                            tracing::debug!(%error, "answer a DNS query");
                        }
                    });
                    continue;
                }
            };
            if let Err(error) = socket.send_to(&reply, client).await {
                tracing::debug!(%error, "answer a DNS query");
            }
        }
    }

    /// Serves streams until cancelled.
    pub(crate) async fn serve_streams(
        mut self,
        listener: std::net::TcpListener,
        cancel: CancellationToken,
    ) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        self.wait_for_names(&cancel).await;
        let places = Arc::new(Semaphore::new(STREAMS_MAX));
        let mut streams = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                Some(_) = streams.join_next() => continue,
                accepted = async {
                    let place = Arc::clone(&places).acquire_owned().await;
                    (listener.accept().await, place)
                } => accepted,
            };
            match accepted {
                (Ok((stream, _)), place) => {
                    let server = self.clone();
                    streams.spawn(async move {
                        if let Err(error) = server.serve_stream(stream).await {
                            tracing::debug!(%error, "a DNS stream ended");
                        }
                        drop(place);
                    });
                }
                (Err(error), _) => {
                    tracing::debug!(%error, "accept a DNS stream");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve_stream(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let read = async {
                let length = stream.read_u16().await?;
                let mut query = vec![0; usize::from(length)];
                stream.read_exact(&mut query).await?;
                Ok::<_, io::Error>(query)
            };
            let query = match timeout(STREAM_IDLE_MAX, read).await {
                Ok(Ok(query)) => query,
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok(()),
            };
            let reply = match self.decide(&query, Transport::Stream) {
                Decision::Reply(reply) => reply,
                Decision::Nothing => return Ok(()),
                Decision::Ask(question) => self.ask(&query, &question, Transport::Stream).await,
            };
            let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
            let mut framed = length.to_be_bytes().to_vec();
            framed.extend_from_slice(&reply);
            timeout(STREAM_IDLE_MAX, stream.write_all(&framed))
                .await
                .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        }
    }

    async fn wait_for_names(&mut self, cancel: &CancellationToken) {
        tokio::select! {
            () = cancel.cancelled() => {}
            _ = self.zone.wait_for(Option::is_some) => {}
        }
    }

    fn decide(&self, bytes: &[u8], transport: Transport) -> Decision {
        let question = match message::read(bytes) {
            Incoming::Question(question) => question,
            Incoming::Refused(reply) => return Decision::Reply(reply),
            Incoming::Noise => return Decision::Nothing,
        };
        let zone = self.zone.borrow().clone().unwrap_or_default();
        // The search domains only matter for single labels, which are rare upstream.
        let search = if question.name.contains('.') {
            Vec::new()
        } else {
            self.upstream.host().search
        };
        match zone.answer(&self.view, &question.name, question.kind, &search) {
            Answer::Upstream => Decision::Ask(question),
            Answer::Addresses(mut addresses) => {
                message::shuffle(&mut addresses, random_u64());
                let answer = Answer::Addresses(addresses);
                Decision::Reply(message::answer(&question, &answer, transport))
            }
            answer => Decision::Reply(message::answer(&question, &answer, transport)),
        }
    }

    async fn ask(&self, query: &[u8], question: &Question, transport: Transport) -> Vec<u8> {
        self.upstream
            .ask(query, transport, &self.way)
            .await
            .unwrap_or_else(|| message::failure(question))
    }
}

/// What to do with a query.
enum Decision {
    Reply(Vec<u8>),
    Ask(Box<Question>),
    Nothing,
}
