//! A registry on loopback that does what it is told, faults included.

mod uploads;

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::image::digest;

type Body = BoxBody<Bytes, io::Error>;

/// A running registry; ends when dropped.
pub(in crate::image) struct Fake {
    pub(in crate::image) address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, (String, Vec<u8>)>,
    faults: Vec<Fault>,
    log: Vec<String>,
    /// Uploads, and which repository has which blob.
    uploads: uploads::Uploads,
    /// What `Authorization` must say, if anything, and the challenge otherwise.
    guard: Option<(String, String)>,
}

/// Happens instead of the right answer, for requests whose `METHOD path` contains a text.
struct Fault {
    contains: String,
    times: usize,
    reply: Reply,
}

/// An answer of its own kind.
#[derive(Clone)]
pub(in crate::image) enum Reply {
    /// Status, headers and body.
    Plain(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The right answer, but the connection breaks after so many bytes.
    Break(usize),
    /// The right answer, but nothing comes any more after so many bytes.
    Stall(usize),
    /// The right answer in small pieces with pauses.
    Drip,
    /// The right answer, a byte at a time.
    Trickle,
    /// The right answer without its length, and with more bytes at the end.
    Longer,
    /// The right answer without a look at the range that was asked for.
    Whole,
    /// The right answer with another header.
    With(&'static str, String),
    /// Nothing at all: the connection is closed.
    Reset,
    /// So many bytes of a body are taken, then the connection is closed.
    Cut(usize),
    /// The body is taken, but the connection is closed before the answer.
    Lost,
}

impl Fake {
    pub(in crate::image) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts one that speaks TLS.
    pub(in crate::image) async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                let tls = tls.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    let server = hyper::server::conn::http1::Builder::new();
                    match tls {
                        None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                        // A client that does not trust us goes away in the handshake.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                drop(server.serve_connection(TokioIo::new(stream), service).await);
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            state,
            _tasks: tasks,
        }
    }

    pub(in crate::image) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns a reference to a repository of this registry.
    pub(in crate::image) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub(in crate::image) fn fault(&self, contains: &str, times: usize, reply: Reply) {
        let fault = Fault {
            contains: contains.to_owned(),
            times,
            reply,
        };
        self.state.lock().unwrap().faults.push(fault);
    }

    pub(in crate::image) fn guard(&self, authorization: &str, challenge: &str) {
        let guard = (authorization.to_owned(), challenge.to_owned());
        self.state.lock().unwrap().guard = Some(guard);
    }

    /// Returns the requests so far and forgets them: `METHOD path [range] [authorization]`.
    pub(in crate::image) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    pub(in crate::image) fn put_blob(&self, bytes: &[u8]) -> String {
        let digest = digest::of(bytes).to_string();
        self.put_blob_as(&digest, bytes);
        digest
    }

    pub(in crate::image) fn put_blob_as(&self, digest: &str, bytes: &[u8]) {
        self.state
            .lock()
            .unwrap()
            .blobs
            .insert(digest.to_owned(), bytes.to_vec());
    }

    /// Returns a manifest by tag or digest, with its media type.
    pub(in crate::image) fn manifest(&self, tag: &str) -> Option<(String, Vec<u8>)> {
        self.state.lock().unwrap().manifests.get(tag).cloned()
    }

    /// Returns a blob.
    pub(in crate::image) fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        self.state.lock().unwrap().blobs.get(digest).cloned()
    }

    /// Lets every repository have its own blobs only, as registries do, and wants pieces of at least so many bytes.
    pub(in crate::image) fn take_uploads(&self, piece_min: Option<u64>) {
        self.state.lock().unwrap().uploads.start(piece_min);
    }

    pub(in crate::image) fn put_manifest(&self, tag: &str, kind: &str, bytes: &[u8]) -> String {
        let digest = digest::of(bytes).to_string();
        let mut state = self.state.lock().unwrap();
        for name in [tag, &digest] {
            state
                .manifests
                .insert(name.to_owned(), (kind.to_owned(), bytes.to_vec()));
        }
        digest
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let text = |name: &str| {
        let value = request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.map(str::to_owned)
    };
    let line = format!("{} {}", request.method(), request.uri());
    let range = text("range");
    let authorization = text("authorization");
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let content = (
        text("content-type").unwrap_or_default(),
        text("content-range"),
    );
    let is_head = request.method() == "HEAD";
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    let (reply, right) = {
        let mut state = state.lock().unwrap();
        let words = [Some(line.clone()), range.clone(), authorization.clone()];
        let mut entry = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
        if !body.is_empty() && method == "POST" {
            entry = format!("{entry} {}", String::from_utf8_lossy(&body));
        }
        state.log.push(entry);
        let fault = state
            .faults
            .iter_mut()
            .find(|fault| fault.times > 0 && line.contains(&fault.contains));
        let reply = fault.map(|fault| {
            fault.times -= 1;
            fault.reply.clone()
        });
        let body = match &reply {
            Some(Reply::Cut(bytes)) => body.slice(..(*bytes).min(body.len())),
            _ => body,
        };
        let refused = refusal(&state, &path, authorization.as_deref());
        // What is answered with something else does not happen, except where the answer is lost.
        let happens = !matches!(reply, Some(Reply::Plain(..) | Reply::Reset));
        let upload = uploads::Request {
            method: method.as_str(),
            path: &path,
            query: &query,
            kind: &content.0,
            range: content.1.as_deref(),
            body,
        };
        let right = match refused {
            Some(refused) => refused,
            None if !happens => (500, HashMap::new(), Vec::new()),
            None => match uploads::answer(&mut state, &upload) {
                Some(right) => right,
                None => right_answer(&state, &path),
            },
        };
        (reply, right)
    };
    let (status, headers, bytes) = right;
    Ok(match reply {
        None => respond(status, headers, bytes, range.as_deref(), is_head),
        Some(Reply::Plain(status, headers, bytes)) => {
            let headers = headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            respond(status, headers, bytes, None, is_head)
        }
        Some(Reply::Whole) => respond(status, headers, bytes, None, is_head),
        Some(Reply::With(name, value)) => {
            let mut headers = headers;
            headers.insert(name.to_owned(), value);
            respond(status, headers, bytes, range.as_deref(), is_head)
        }
        Some(Reply::Reset | Reply::Cut(_) | Reply::Lost) => {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Some(fault) => broken(&fault, &bytes, range.as_deref()),
    })
}

type Right = (u16, HashMap<String, String>, Vec<u8>);

fn refusal(state: &State, path: &str, authorization: Option<&str>) -> Option<Right> {
    let (wanted, challenge) = state.guard.as_ref()?;
    if !path.starts_with("/v2/") || authorization == Some(wanted) {
        return None;
    }
    let headers = HashMap::from([("www-authenticate".to_owned(), challenge.clone())]);
    let body = br#"{"errors":[{"code":"UNAUTHORIZED"}]}"#.to_vec();
    Some((401, headers, body))
}

fn right_answer(state: &State, path: &str) -> Right {
    if path == "/v2/" {
        return (200, HashMap::new(), b"{}".to_vec());
    }
    let parts: Vec<&str> = path.rsplitn(3, '/').collect();
    if let [what, "manifests", repository] = parts[..] {
        if let Some((kind, bytes)) = state.manifests.get(what) {
            let headers = HashMap::from([
                ("content-type".to_owned(), kind.clone()),
                (
                    "docker-content-digest".to_owned(),
                    digest::of(bytes).to_string(),
                ),
            ]);
            return (200, headers, bytes.clone());
        }
        let code = if repository.ends_with("nowhere") {
            "NAME_UNKNOWN"
        } else {
            "MANIFEST_UNKNOWN"
        };
        return (
            404,
            HashMap::new(),
            format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#).into_bytes(),
        );
    }
    if let [what, ..] = parts[..]
        && let Some(bytes) = state.blobs.get(what)
    {
        return (200, HashMap::new(), bytes.clone());
    }
    (404, HashMap::new(), Vec::new())
}

fn respond(
    status: u16,
    headers: HashMap<String, String>,
    bytes: Vec<u8>,
    range: Option<&str>,
    is_head: bool,
) -> Response<Body> {
    let start = range.and_then(start_of).filter(|_| status == 200);
    let (status, bytes, total) = match start {
        Some(start) if start >= bytes.len() => (416, Vec::new(), bytes.len()),
        Some(start) => (206, bytes[start..].to_vec(), bytes.len()),
        None => (status, bytes, 0),
    };
    let mut response = Response::builder()
        .status(status)
        .header("content-length", bytes.len());
    if let (Some(start), 206) = (start, status) {
        let last = total - 1;
        response = response.header("content-range", format!("bytes {start}-{last}/{total}"));
    }
    for (name, value) in headers {
        response = response.header(name, value);
    }
    let bytes = if is_head { Vec::new() } else { bytes };
    let frames = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(bytes)))]);
    let body = StreamBody::new(frames.map(|frame| frame.map_err(|never| match never {})));
    response.body(BodyExt::boxed(body)).unwrap()
}

fn start_of(range: &str) -> Option<usize> {
    range
        .strip_prefix("bytes=")?
        .strip_suffix('-')?
        .parse()
        .ok()
}

fn broken(fault: &Reply, bytes: &[u8], range: Option<&str>) -> Response<Body> {
    let start = range.and_then(start_of).unwrap_or(0);
    let rest = &bytes[start.min(bytes.len())..];
    let data = |bytes: &[u8]| Ok(Frame::data(Bytes::copy_from_slice(bytes)));
    let status = if start > 0 { 206 } else { 200 };
    let response = Response::builder().status(status);
    let sized =
        |response: hyper::http::response::Builder| response.header("content-length", rest.len());
    let (response, body) = match fault {
        Reply::Break(after) => {
            let cut = data(&rest[..*after.min(&rest.len())]);
            let frames = [cut, Err(io::ErrorKind::ConnectionReset.into())];
            // The error must come after the bytes have left, or they never do.
            let frames = stream::iter(frames).then(|frame| async {
                if frame.is_err() {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
                frame
            });
            (
                sized(response),
                BodyExt::boxed(StreamBody::new(Box::pin(SyncStream::new(frames)))),
            )
        }
        Reply::Stall(after) => {
            let cut = data(&rest[..*after.min(&rest.len())]);
            let frames = stream::iter([cut]).chain(stream::pending());
            (sized(response), BodyExt::boxed(StreamBody::new(frames)))
        }
        Reply::Trickle => {
            let bytes: Vec<_> = rest.chunks(1).map(data).collect();
            let frames = stream::iter(bytes).then(|frame| async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                frame
            });
            (
                sized(response),
                BodyExt::boxed(StreamBody::new(Box::pin(SyncStream::new(frames)))),
            )
        }
        Reply::Drip => {
            let pieces: Vec<_> = rest.chunks(rest.len() / 7 + 1).map(data).collect();
            let frames = stream::iter(pieces).then(|frame| async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                frame
            });
            (
                sized(response),
                BodyExt::boxed(StreamBody::new(Box::pin(SyncStream::new(frames)))),
            )
        }
        _ => {
            let frames = stream::iter([data(rest), data(&[0xaa; 5000])]);
            (response, BodyExt::boxed(StreamBody::new(frames)))
        }
    };
    response.body(body).unwrap()
}

/// Boxed bodies must be `Sync`, which the future of a pause is not: a mutex that is never contended makes it so.
struct SyncStream<S>(Mutex<std::pin::Pin<Box<S>>>);

impl<S> SyncStream<S> {
    fn new(stream: S) -> Self {
        Self(Mutex::new(Box::pin(stream)))
    }
}

impl<S: futures_util::Stream> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.0.lock().unwrap().as_mut().poll_next(context)
    }
}
