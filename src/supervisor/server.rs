//! The supervisor's socket: HTTP/1.1, one call a request, the answer a stream of JSON lines.

use std::{convert::Infallible, io, os::fd::AsRawFd, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request as HttpRequest, Response, StatusCode,
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::Interest,
    net::{UnixListener, UnixStream},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::registry::Registry;
use crate::{
    protocol::{self, Call, Event},
    store::Root,
};

/// Largest request: a project of thousands of services fits.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Events that may wait for a slow client before the work waits too.
const EVENTS_WAITING_MAX: usize = 1024;
/// Pause after a failed accept (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Binds the socket: the caller holds the supervisor's lock, so whatever lies there is stale.
pub(super) fn bind(root: &Root) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::create_dir_all(root.run())?;
    fs_err::set_permissions(root.run(), std::fs::Permissions::from_mode(0o700))?;
    let path = root.supervisor_socket();
    match fs_err::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A path below /proc/self/fd is short enough for sun_path (unix(7)) however deep the root lies.
    let directory = fs_err::File::open(root.run())?;
    UnixListener::bind(format!(
        "/proc/self/fd/{}/supervisor.sock",
        directory.as_raw_fd()
    ))
}

/// Accepts clients until told to leave; calls in work are finished.
pub(super) async fn serve(listener: UnixListener, registry: Registry, leave: CancellationToken) {
    let calls = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = leave.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                drop(calls.spawn(serve_client(stream, registry.clone())));
            }
            Err(error) => {
                warn!(%error, "accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    calls.close();
    calls.wait().await;
}

async fn serve_client(stream: UnixStream, registry: Registry) {
    let (stream, gone) = match watched(stream) {
        Ok(pair) => pair,
        Err(error) => {
            warn!(%error, "client connection");
            return;
        }
    };
    let service = service_fn(move |request| {
        let registry = registry.clone();
        async move { Ok::<_, Infallible>(answer(request, registry).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = connection => {
            if let Err(error) = ended {
                debug!(%error, "client connection ended");
            }
        }
        // Without keep-alive hyper does not read on after the request: it would notice only when it has something to write.
        () = closed(gone) => debug!("the client went away"),
    }
}

/// Returns a connection and a second descriptor of it, by which its end is noticed.
fn watched(stream: UnixStream) -> io::Result<(UnixStream, UnixStream)> {
    let stream = stream.into_std()?;
    let second = stream.try_clone()?;
    Ok((UnixStream::from_std(stream)?, UnixStream::from_std(second)?))
}

/// Returns once the other side has closed the connection.
async fn closed(stream: UnixStream) {
    while let Ok(ready) = stream.ready(Interest::READABLE).await {
        if ready.is_read_closed() {
            return;
        }
        // The bytes are for the other descriptor; this one waits for the next change.
        let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        if stream.try_io(Interest::READABLE, nothing).is_ok() {
            return;
        }
    }
}

async fn answer(request: HttpRequest<Incoming>, registry: Registry) -> Response<Body> {
    match parse(request).await {
        Ok(call) => {
            let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
            registry.call(call, sender).await;
            respond(StatusCode::OK, events_body(receiver))
        }
        Err((status, message)) => {
            let text = json!({ "error": message }).to_string();
            respond(status, Full::new(Bytes::from(text)).boxed_unsync())
        }
    }
}

async fn parse(request: HttpRequest<Incoming>) -> Result<Call, (StatusCode, String)> {
    let version = request
        .headers()
        .get(protocol::VERSION_HEADER)
        .and_then(|value| value.to_str().ok());
    if version != Some(protocol::VERSION.to_string().as_str()) {
        return Err((
            StatusCode::UPGRADE_REQUIRED,
            format!("this supervisor speaks protocol {}", protocol::VERSION),
        ));
    }
    let Some(name) = request
        .uri()
        .path()
        .strip_prefix("/v1/")
        .map(|name| name.replace('/', "_"))
    else {
        return Err((
            StatusCode::NOT_FOUND,
            format!("no call `{}`", request.uri().path()),
        ));
    };
    let body = Limited::new(request.into_body(), REQUEST_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?
        .to_bytes();
    Call::decode(&name, &body)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("call `{name}`: {error}")))
}

/// One event a line; the stream ends when the sender is dropped. When the client goes away, the receiver is dropped and the work notices.
fn events_body(receiver: mpsc::Receiver<Event>) -> Body {
    let lines = stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        let mut line = serde_json::to_vec(&event).expect("an event is plain data");
        line.push(b'\n');
        Some((Ok(Frame::data(Bytes::from(line))), receiver))
    });
    StreamBody::new(lines).boxed_unsync()
}

fn respond(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let version = hyper::header::HeaderValue::from(protocol::VERSION);
    response
        .headers_mut()
        .insert(protocol::VERSION_HEADER, version);
    response
}
