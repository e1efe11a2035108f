//! Host names to addresses without the C library: `/etc/hosts`, then the servers of `/etc/resolv.conf`.
//!
//! `getaddrinfo(3)` loads NSS modules, which a static program cannot do.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use fs_err as fs;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Servers asked, as in the C library.
const SERVERS_MAX: usize = 3;
/// Search domains tried.
const DOMAINS_MAX: usize = 6;

/// A name that leads to no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No server knows it.
    #[error("there is no host `{0}`")]
    Unknown(String),
    /// Not a host name.
    #[error("`{0}` is not a host name")]
    Name(String),
    /// No server answered.
    #[error("no name server answered for `{host}` (asked {servers})")]
    NoAnswer {
        /// The name.
        host: String,
        /// Their addresses.
        servers: String,
        /// The last failure.
        #[source]
        source: io::Error,
    },
}

/// Returns the addresses of a host, IPv4 first; at least one.
pub async fn resolve_host(host: &str) -> Result<Vec<IpAddr>, ResolveError> {
    Resolver::default().resolve(host).await
}

/// Looks names up.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    port: u16,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            port: 53,
        }
    }
}

impl Resolver {
    /// Returns the addresses of a host, IPv4 first; at least one.
    pub(super) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let known = hosts_entries(&read(&self.hosts), &name);
        if !known.is_empty() {
            return Ok(known);
        }
        let settings = Settings::parse(&read(&self.resolv_conf));
        for candidate in settings.candidates(host) {
            let addresses = self.ask_both(&candidate, &settings).await?;
            if !addresses.is_empty() {
                return Ok(addresses);
            }
        }
        Err(ResolveError::Unknown(host.to_owned()))
    }

    async fn ask_both(&self, name: &str, settings: &Settings) -> Result<Vec<IpAddr>, ResolveError> {
        let (v4, v6) = tokio::join!(
            self.ask(name, RecordType::A, settings),
            self.ask(name, RecordType::AAAA, settings)
        );
        // Some servers do not answer for AAAA at all: one family is enough.
        match (v4, v6) {
            (Ok(mut v4), Ok(v6)) => {
                v4.extend(v6);
                Ok(v4)
            }
            (Ok(some), Err(_)) | (Err(_), Ok(some)) if !some.is_empty() => Ok(some),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    async fn ask(
        &self,
        name: &str,
        kind: RecordType,
        settings: &Settings,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for _attempt in 0..settings.attempts {
            for server in &settings.servers {
                let server = SocketAddr::new(*server, self.port);
                match timeout(settings.timeout, exchange(server, name, kind)).await {
                    Ok(Ok(addresses)) => return Ok(addresses),
                    Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                        return Err(ResolveError::Name(name.to_owned()));
                    }
                    Ok(Err(error)) => last = error,
                    Err(_elapsed) => last = io::ErrorKind::TimedOut.into(),
                }
            }
        }
        let servers: Vec<String> = settings.servers.iter().map(ToString::to_string).collect();
        Err(ResolveError::NoAnswer {
            host: name.to_owned(),
            servers: servers.join(", "),
            source: last,
        })
    }
}

/// What `/etc/resolv.conf` says (resolv.conf(5)).
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    servers: Vec<IpAddr>,
    domains: Vec<String>,
    /// Names with at least so many dots are tried as they are first.
    ndots: usize,
    timeout: Duration,
    attempts: usize,
}

impl Settings {
    fn parse(text: &str) -> Self {
        let mut settings = Self {
            servers: Vec::new(),
            domains: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // A scope (`fe80::1%eth0`) names an interface, which an address alone cannot.
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    settings.servers.extend(address);
                }
                Some("search" | "domain") => {
                    settings.domains = words.map(str::to_owned).take(DOMAINS_MAX).collect();
                }
                Some("options") => words.for_each(|word| settings.option(word)),
                _ => {}
            }
        }
        settings.servers.truncate(SERVERS_MAX);
        if settings.servers.is_empty() {
            settings.servers.push(Ipv4Addr::LOCALHOST.into());
        }
        settings
    }

    fn option(&mut self, word: &str) {
        let number = |text: &str, most: usize| text.parse::<usize>().ok().map(|n| n.min(most));
        match word.split_once(':') {
            Some(("ndots", value)) => self.ndots = number(value, 15).unwrap_or(self.ndots),
            Some(("timeout", value)) => {
                let seconds = number(value, 30).unwrap_or(5).max(1);
                self.timeout = Duration::from_secs(seconds as u64);
            }
            Some(("attempts", value)) => self.attempts = number(value, 5).unwrap_or(2).max(1),
            _ => {}
        }
    }

    /// Returns the names to try, in order.
    fn candidates(&self, host: &str) -> Vec<String> {
        if host.ends_with('.') {
            return vec![host.to_owned()];
        }
        let absolute = format!("{host}.");
        let searched = self
            .domains
            .iter()
            .map(|domain| format!("{host}.{}.", domain.trim_matches('.')));
        if host.matches('.').count() >= self.ndots {
            std::iter::once(absolute).chain(searched).collect()
        } else {
            searched.chain(std::iter::once(absolute)).collect()
        }
    }
}

/// Asks one server over UDP, and over TCP when the answer was cut.
async fn exchange(server: SocketAddr, name: &str, kind: RecordType) -> io::Result<Vec<IpAddr>> {
    let invalid = |_error| io::Error::from(io::ErrorKind::InvalidInput);
    let mut name = Name::from_ascii(name).map_err(invalid)?;
    name.set_fqdn(true);
    let mut id = [0; 2];
    // The library's own source of ids panics where /dev is missing.
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())?;
    let mut message = Message::new(u16::from_ne_bytes(id), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let query = message.to_vec().map_err(io::Error::other)?;
    let unspecified: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((unspecified, 0)).await?;
    socket.connect(server).await?;
    socket.send(&query).await?;
    let mut buffer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // A late or forged datagram: the right one may still come, and the caller's deadline ends the wait.
        let Some(answer) = answer_to(&message, &buffer[..length]) else {
            continue;
        };
        if answer.metadata.truncation {
            return exchange_tcp(server, &message, &query).await;
        }
        return addresses(&answer, kind);
    }
}

async fn exchange_tcp(
    server: SocketAddr,
    message: &Message,
    query: &[u8],
) -> io::Result<Vec<IpAddr>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes()[..], query].concat())
        .await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut buffer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut buffer).await?;
    let answer = answer_to(message, &buffer).ok_or(io::ErrorKind::InvalidData)?;
    let kind = message
        .queries
        .first()
        .map_or(RecordType::A, Query::query_type);
    addresses(&answer, kind)
}

fn answer_to(query: &Message, bytes: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let matches = answer.metadata.id == query.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.queries == query.queries;
    matches.then_some(answer)
}

fn addresses(answer: &Message, kind: RecordType) -> io::Result<Vec<IpAddr>> {
    match answer.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Ok(Vec::new()),
        other => {
            return Err(io::Error::other(format!(
                "the name server answered {other}"
            )));
        }
    }
    // Records of aliases are in the answer with the addresses that they lead to: the server followed them.
    Ok(answer
        .answers
        .iter()
        .filter(|record| record.record_type() == kind)
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .collect())
}

fn hosts_entries(text: &str, name: &str) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else {
            continue;
        };
        if words.any(|word| word.eq_ignore_ascii_case(name)) {
            addresses.push(address);
        }
    }
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| {
        tracing::debug!(%error, "goes on without a file for names");
        String::new()
    })
}

#[cfg(test)]
mod tests;
