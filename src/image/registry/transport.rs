//! Connections: TCP and TLS to a host, HTTP/1.1 on them, kept while they are of use.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    payload::{Outgoing, Payload},
    proxy::{self, Proxy},
    resolve::{ResolveError, Resolver},
    settings::{HostCertificates, Registries, Timing},
    tls::{self, Remedy, TlsError},
    url::Url,
};

/// Bytes read from a connection at a time. hyper's own limit is 400 KiB, of which many may wait in a pull.
const READ_BYTES_MAX: usize = 128 << 10;
/// Idle connections kept to one host.
const IDLE_MAX: usize = 8;

/// A host could not be talked to.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Its name leads nowhere.
    #[error("find {host}")]
    Resolve {
        /// Host and port.
        host: String,
        /// Why.
        #[source]
        source: ResolveError,
    },
    /// No connection came about.
    #[error("connect to {host}")]
    Connect {
        /// Host and port.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate or the handshake was refused.
    #[error("make a TLS connection to {host}: {}", tls::explain(.reason))]
    Tls {
        /// Host and port.
        host: String,
        /// Why. Its text is part of ours, so it is no source of it.
        reason: io::Error,
    },
    /// Certificates of this machine cannot be used.
    #[error("prepare TLS for {host}")]
    Certificates {
        /// Host and port.
        host: String,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("talk to {host}")]
    Http {
        /// Host and port.
        host: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// Hardly anything came for too long.
    #[error("{host} sends too slowly: less than it should in {seconds} s")]
    Slow {
        /// Host and port.
        host: String,
        /// How long it was waited.
        seconds: u64,
    },
    /// Nothing came for too long.
    #[error("{host} did not answer in {seconds} s")]
    Silent {
        /// Host and port.
        host: String,
        /// How long it was waited.
        seconds: u64,
    },
}

impl TransportError {
    /// Returns the next thing to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Resolve { .. } => "check the name and this machine's network and DNS".to_owned(),
            Self::Connect { .. } | Self::Silent { .. } => {
                "check the network, and HTTPS_PROXY if there is a proxy".to_owned()
            }
            Self::Tls { host, reason } => {
                let place = host.strip_suffix(":443").unwrap_or(host);
                match tls::remedy(reason) {
                    Remedy::Trust => format!(
                        "if the registry is yours, put its authority into /etc/stack/certs.d/{place}/ca.crt"
                    ),
                    Remedy::Plain => format!(
                        "if it speaks plain HTTP, say `insecure = true` in [registry.\"{place}\"] of /etc/stack/registries.toml"
                    ),
                    Remedy::Client => format!(
                        "if it wants a certificate, put yours into /etc/stack/certs.d/{place}/client.cert and client.key"
                    ),
                    Remedy::None => return None,
                }
            }
            _ => return None,
        })
    }

    /// Tells whether the same request may succeed in a moment.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Resolve { source, .. } => matches!(source, ResolveError::NoAnswer { .. }),
            Self::Tls { reason, .. } => !is_tls_refusal(reason),
            Self::Certificates { .. } => false,
            Self::Connect { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
            Self::Http { .. } | Self::Silent { .. } | Self::Slow { .. } => true,
        }
    }
}

fn is_tls_refusal(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}

type Sender = SendRequest<Outgoing>;

/// A connection of whatever kind.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

type Stream = Box<dyn Duplex>;

/// Makes and keeps connections. Their tasks end with it.
#[derive(Debug)]
pub(super) struct Transport {
    resolver: Resolver,
    timing: Timing,
    idle: Mutex<HashMap<String, Vec<Sender>>>,
    tls: Mutex<HashMap<String, Arc<ClientConfig>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Transport {
    pub(super) fn new(registries: &Registries) -> Self {
        Self {
            resolver: Resolver::default(),
            timing: registries.timing,
            idle: Mutex::default(),
            tls: Mutex::default(),
            tasks: Mutex::default(),
        }
    }

    /// Sends a request and returns the head of the answer.
    pub(super) async fn send(
        &self,
        url: &Url,
        mut request: Request<Payload>,
        registries: &Registries,
    ) -> Result<Response<Incoming>, TransportError> {
        let host = format!("{}:{}", url.host(), url.port());
        if !url.is_secure()
            && let Some(proxy) = registries.proxies.find(url)
            && let Ok(absolute) = url.to_string().parse()
        {
            *request.uri_mut() = absolute;
            if let Some(secret) = &proxy.authorization
                && let Ok(mut value) = HeaderValue::from_str(secret.reveal())
            {
                value.set_sensitive(true);
                let headers = request.headers_mut();
                headers.insert(header::PROXY_AUTHORIZATION, value);
            }
        }
        let key = format!("{}{host}", if url.is_secure() { "https " } else { "http " });
        // A kept connection may have been closed by the other side just now: then a new one is tried.
        if let Some(mut sender) = self.take_idle(&key) {
            match self.exchange(&mut sender, request.clone(), &host).await {
                Ok(response) => {
                    self.keep(&key, sender);
                    return Ok(response);
                }
                // What of a file has been taken must be asked for before it is sent again.
                Err(TransportError::Http { .. }) if request.body().is_at_hand() => {}
                Err(error) => return Err(error),
            }
        }
        let mut sender = self.connect(url, &host, registries).await?;
        let response = self.exchange(&mut sender, request, &host).await?;
        self.keep(&key, sender);
        Ok(response)
    }

    /// Waits for the head of the answer, from the last moment at which something of the request was taken.
    async fn exchange(
        &self,
        sender: &mut Sender,
        request: Request<Payload>,
        host: &str,
    ) -> Result<Response<Incoming>, TransportError> {
        let (parts, payload) = request.into_parts();
        let sent = payload.counter();
        let answer = sender.send_request(Request::from_parts(parts, payload.into_body()));
        let mut answer = std::pin::pin!(answer);
        let mut deadline = Instant::now() + self.timing.response;
        let mut before = sent.get();
        loop {
            match timeout_at(deadline, &mut answer).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(source)) => {
                    return Err(TransportError::Http {
                        host: host.to_owned(),
                        source,
                    });
                }
                Err(_elapsed) if sent.get() > before => {
                    before = sent.get();
                    deadline = Instant::now() + self.timing.response;
                }
                Err(_elapsed) => {
                    return Err(TransportError::Silent {
                        host: host.to_owned(),
                        seconds: self.timing.response.as_secs(),
                    });
                }
            }
        }
    }

    async fn connect(
        &self,
        url: &Url,
        host: &str,
        registries: &Registries,
    ) -> Result<Sender, TransportError> {
        let connect = async {
            let mut stream: Stream = match registries.proxies.find(url) {
                Some(proxy) => self.connect_proxy(proxy, url, host, registries).await?,
                None => Box::new(self.connect_tcp(url, host).await?),
            };
            if url.is_secure() {
                stream = self.start_tls(stream, url, host, registries).await?;
            }
            self.start_http(TokioIo::new(stream), host).await
        };
        let silent = |_elapsed| TransportError::Silent {
            host: host.to_owned(),
            seconds: self.timing.connect.as_secs(),
        };
        timeout(self.timing.connect, connect)
            .await
            .map_err(silent)?
    }

    /// Connects to a proxy, and through it where the host wants TLS.
    async fn connect_proxy(
        &self,
        proxy: &Proxy,
        url: &Url,
        host: &str,
        registries: &Registries,
    ) -> Result<Stream, TransportError> {
        let named = format!("proxy {proxy} for {host}");
        let mut stream: Stream = Box::new(self.connect_tcp(&proxy.url, &named).await?);
        if proxy.url.is_secure() {
            stream = (self.start_tls(stream, &proxy.url, &named, registries)).await?;
        }
        if url.is_secure() {
            let tunnelled = proxy::tunnel(&mut stream, proxy, &authority(url)).await;
            tunnelled.map_err(|source| TransportError::Connect {
                host: format!("{host} through proxy {proxy}"),
                source,
            })?;
        }
        Ok(stream)
    }

    async fn start_tls(
        &self,
        stream: Stream,
        url: &Url,
        host: &str,
        registries: &Registries,
    ) -> Result<Stream, TransportError> {
        let refused = |reason| TransportError::Tls {
            host: host.to_owned(),
            reason,
        };
        let config = self.tls_config(url, host, registries)?;
        let name = ServerName::try_from(url.host().to_owned());
        let name =
            name.map_err(|error| refused(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        Ok(Box::new(stream.map_err(refused)?))
    }

    async fn connect_tcp(&self, url: &Url, host: &str) -> Result<TcpStream, TransportError> {
        let addresses = self.resolver.resolve(url.host()).await;
        let addresses = addresses.map_err(|source| TransportError::Resolve {
            host: host.to_owned(),
            source,
        })?;
        // Each address gets its share of the time, so that a dead one does not use all of it up.
        let share = self.timing.connect / u32::try_from(addresses.len()).unwrap_or(1).max(1);
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            let address = SocketAddr::new(address, url.port());
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "goes on with delayed small packets");
                    }
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_elapsed) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(TransportError::Connect {
            host: host.to_owned(),
            source: last,
        })
    }

    async fn start_http(
        &self,
        stream: TokioIo<Stream>,
        host: &str,
    ) -> Result<Sender, TransportError> {
        let (sender, connection) = (http1::Builder::new().max_buf_size(READ_BYTES_MAX))
            .handshake(stream)
            .await
            .map_err(|source| TransportError::Http {
                host: host.to_owned(),
                source,
            })?;
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            // What goes wrong shows up at whoever waits for the answer.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a registry connection ended");
            }
        });
        Ok(sender)
    }

    fn tls_config(
        &self,
        url: &Url,
        host: &str,
        registries: &Registries,
    ) -> Result<Arc<ClientConfig>, TransportError> {
        let authority = url.authority();
        let mut configs = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = configs.get(&authority) {
            return Ok(Arc::clone(config));
        }
        let none = HostCertificates::default();
        let named = registries.host_certificates(url).unwrap_or(&none);
        let folder = registries.certificates_folder(url);
        let config = tls::config(named, folder.as_deref(), registries.is_insecure(url));
        let config = config.map_err(|source| TransportError::Certificates {
            host: host.to_owned(),
            source,
        })?;
        configs.insert(authority, Arc::clone(&config));
        Ok(config)
    }

    /// Takes a connection whose last answer has been read to its end.
    fn take_idle(&self, key: &str) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.get_mut(key)?;
        senders.retain(|sender| !sender.is_closed());
        let ready = senders.iter().position(SendRequest::is_ready)?;
        Some(senders.swap_remove(ready))
    }

    fn keep(&self, key: &str, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.entry(key.to_owned()).or_default();
        if senders.len() < IDLE_MAX {
            senders.push(sender);
        }
    }
}

/// Returns `host:port` with the brackets that an IPv6 address needs there.
fn authority(url: &Url) -> String {
    if url.host().contains(':') {
        format!("[{}]:{}", url.host(), url.port())
    } else {
        format!("{}:{}", url.host(), url.port())
    }
}
