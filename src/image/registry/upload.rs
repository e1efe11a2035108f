//! Putting blobs and manifests into a repository (distribution-spec, "Pushing").
//!
//! ```text
//! HEAD blob ── 200 ─> it is there
//!   │ POST uploads?mount=&from= ── 201 ─> mounted
//!   └ POST uploads ── 202 Location ─┬ small: PUT Location?digest=
//!                                   └ large: PATCH, PATCH, … PUT Location?digest=
//!                                       └ broken off: GET Location, go on where it stopped or begin again
//! ```

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use fs_err as fs;
use hyper::{
    Method, Response,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};

use super::{
    client::{Ask, Client, Purpose, Target, Tell},
    content::{Failures, content_digest},
    error::RegistryError,
    payload::{Part, Payload, Sent},
    settings::{Endpoint, Registries},
    url::Url,
};
use crate::{image::reference::Reference, model::Digest};

/// Blobs up to this size go in one request.
const WHOLE_BYTES_MAX: u64 = 16 << 20;
/// Size of the pieces of larger ones, unless the registry wants larger pieces.
const PIECE_BYTES: u64 = 64 << 20;
/// Largest piece that a registry may ask for.
const PIECE_BYTES_MAX: u64 = 1 << 30;
/// Other repositories that are tried for a mount.
const MOUNTS_MAX: usize = 2;
/// Progress that clears the count of failures of an upload.
const PROGRESS_BYTES: u64 = 64 << 10;
/// Uploads of one blob begun from their start.
const SESSIONS_MAX: u32 = 4;

/// A repository that is written. Mirrors are gone past.
pub(crate) struct Destination<'a> {
    client: Client<'a>,
    path: String,
    endpoint: Endpoint,
    /// See [`PIECE_BYTES`] and [`WHOLE_BYTES_MAX`]; smaller in tests.
    sizes: Sizes,
}

/// Sizes of requests.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    whole: u64,
    piece: u64,
}

/// A blob to send.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) file: Arc<fs::File>,
    /// Repositories of the same registry that should have it.
    pub(crate) mounts: Vec<String>,
    /// Counts what has been sent.
    pub(crate) sent: Sent,
}

/// How a blob got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The repository had it.
    Exists,
    /// Another repository of the registry had it.
    Mounted,
    /// It was sent.
    Sent,
}

/// An upload that was begun.
struct Session {
    location: Url,
    /// Bytes that the registry has.
    offset: u64,
    /// Size of the pieces that it wants.
    piece: u64,
}

/// What beginning an upload came to.
enum Begun {
    Mounted,
    Session(Session),
}

impl<'a> Destination<'a> {
    /// Finds out where the registry answers, by asking for a blob; returns whether it has that.
    pub(crate) async fn open(
        registries: &'a Registries,
        reference: &Reference,
        mounts: BTreeSet<String>,
        tell: Tell<'a>,
    ) -> Result<Self, Failures> {
        let mut failures = Vec::new();
        for endpoint in registries.own_endpoints(reference.registry()) {
            let purpose = Purpose::Push {
                mounts: mounts.clone(),
            };
            let destination = Self {
                client: Client::new(registries, purpose, tell),
                path: reference.repository().to_owned(),
                endpoint,
                sizes: registries.upload_sizes(),
            };
            match destination.has_manifest(reference.selector()).await {
                Ok(_) => return Ok(destination),
                // It answers, and says no: another address of it would say the same.
                Err(error) if !matches!(error, RegistryError::Transport(_)) => {
                    failures.push(error);
                    break;
                }
                Err(error) => failures.push(error),
            }
        }
        Err(Failures(failures))
    }

    async fn has_manifest(&self, selector: &str) -> Result<bool, RegistryError> {
        let kind = "manifests";
        let target = Target::Content {
            kind,
            what: selector,
        };
        let mut ask = Ask::new(Method::HEAD, &self.path, target);
        ask.headers = super::content::accept();
        exists(self.client.ask(&self.endpoint, &ask).await)
    }

    /// Brings a blob into the repository.
    pub(crate) async fn put_blob(&self, blob: &Blob) -> Result<Arrival, Failures> {
        let put = async {
            if self.has_blob(&blob.digest).await? {
                return Ok(Arrival::Exists);
            }
            for from in blob.mounts.iter().take(MOUNTS_MAX) {
                match self.begin(Some((&blob.digest, from))).await {
                    Ok(Begun::Mounted) => return Ok(Arrival::Mounted),
                    // The registry cannot or will not mount, and has begun an upload instead.
                    Ok(Begun::Session(session)) => {
                        return self.upload(blob, Some(session)).await;
                    }
                    // A mount is an attempt to save time, nothing else.
                    Err(error) => tracing::debug!(%error, from, "a blob is not mounted"),
                }
            }
            self.upload(blob, None).await
        };
        put.await.map_err(|error| Failures(vec![error]))
    }

    async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let target = Target::Content {
            kind: "blobs",
            what: digest.as_str(),
        };
        let ask = Ask::new(Method::HEAD, &self.path, target);
        exists(self.client.ask(&self.endpoint, &ask).await)
    }

    /// Sends a blob, beginning again or going on after failures that pass.
    async fn upload(&self, blob: &Blob, begun: Option<Session>) -> Result<Arrival, RegistryError> {
        let mut session = begun;
        let mut failures = 0;
        let mut sessions = 0;
        // A registry that takes no pieces gets the whole.
        let mut whole = blob.size <= self.sizes.whole;
        loop {
            let mut current = if let Some(session) = session.take() {
                session
            } else {
                sessions += 1;
                match self.begin(None).await? {
                    Begun::Session(session) => session,
                    Begun::Mounted => return Ok(Arrival::Mounted),
                }
            };
            let before = current.offset;
            let error = match self.send(blob, &mut current, whole).await {
                Ok(()) => return Ok(Arrival::Sent),
                Err(error) => error,
            };
            let refused = matches!(
                error,
                RegistryError::Status {
                    status: 400 | 405 | 411 | 501,
                    ..
                }
            );
            if refused && !whole && sessions < SESSIONS_MAX {
                tracing::debug!(%error, "the registry takes no pieces");
                whole = true;
                continue;
            }
            let lost = error.is_not_found() || error.is_out_of_step();
            if !error.is_passing() && !lost {
                return Err(error);
            }
            let resumed = if whole {
                None
            } else {
                self.resume(&current).await
            };
            let progress = resumed.as_ref().map_or(0, |session| session.offset);
            failures = if progress >= before + PROGRESS_BYTES {
                1
            } else {
                failures + 1
            };
            if failures >= self.client.registries.timing.attempts_max || sessions >= SESSIONS_MAX {
                return Err(error);
            }
            tracing::debug!(%error, progress, "goes on with an upload");
            session = resumed;
            self.client.pause(failures, error.retry_after()).await;
        }
    }

    /// Begins an upload, or has a blob of another repository mounted.
    async fn begin(&self, mount: Option<(&Digest, &str)>) -> Result<Begun, RegistryError> {
        let mut url = self
            .endpoint
            .base
            .join(&format!("/v2/{}/blobs/uploads/", self.path));
        if let Some((digest, from)) = mount {
            url.add_query("mount", digest.as_str());
            url.add_query("from", from);
        }
        let ask = Ask::new(Method::POST, &self.path, Target::Url(&url));
        let response = self.client.ask(&self.endpoint, &ask).await?;
        if response.status().as_u16() == 201 {
            return Ok(Begun::Mounted);
        }
        let wanted = number(&response, "oci-chunk-min-length").unwrap_or(0);
        let piece = self.sizes.piece.max(wanted).min(PIECE_BYTES_MAX);
        Ok(Begun::Session(Session {
            location: self.location(&response, &url)?,
            offset: 0,
            piece,
        }))
    }

    /// Sends what the registry does not have yet, and closes the upload.
    async fn send(
        &self,
        blob: &Blob,
        session: &mut Session,
        whole: bool,
    ) -> Result<(), RegistryError> {
        if whole && session.offset == 0 {
            return self
                .close(blob, session, Some(part(blob, 0, blob.size)))
                .await;
        }
        while session.offset < blob.size {
            let length = session.piece.min(blob.size - session.offset);
            let last = session.offset + length - 1;
            let url = session.location.clone();
            let mut ask = Ask::new(Method::PATCH, &self.path, Target::Url(&url));
            ask.payload = part(blob, session.offset, length);
            ask.headers.insert(header::CONTENT_TYPE, OCTETS);
            let range = HeaderValue::from_str(&format!("{}-{last}", session.offset));
            ask.headers.insert(
                header::CONTENT_RANGE,
                range.expect("digits and a dash are a header's value"),
            );
            let response = self.client.ask_once(&self.endpoint, &ask).await?;
            session.location = self.location(&response, &url)?;
            session.offset = last + 1;
        }
        self.close(blob, session, None).await
    }

    async fn close(
        &self,
        blob: &Blob,
        session: &Session,
        payload: Option<Payload>,
    ) -> Result<(), RegistryError> {
        let mut url = session.location.clone();
        url.add_query("digest", blob.digest.as_str());
        let mut ask = Ask::new(Method::PUT, &self.path, Target::Url(&url));
        ask.payload = payload.unwrap_or_default();
        ask.headers.insert(header::CONTENT_TYPE, OCTETS);
        self.client.ask_once(&self.endpoint, &ask).await.map(drop)
    }

    /// Asks how much of an upload the registry has; `None` = it has to begin again.
    async fn resume(&self, session: &Session) -> Option<Session> {
        let ask = Ask::new(Method::GET, &self.path, Target::Url(&session.location));
        let response = self.client.ask(&self.endpoint, &ask).await.ok()?;
        let range = response.headers().get(header::RANGE)?.to_str().ok()?;
        let (_, last) = range.trim_start_matches("bytes=").split_once('-')?;
        let last: u64 = last.trim().parse().ok()?;
        Some(Session {
            location: self.location(&response, &session.location).ok()?,
            // `0-0` is what registries say when they have nothing.
            offset: if last == 0 { 0 } else { last + 1 },
            piece: session.piece,
        })
    }

    /// Writes a manifest under a tag or digest; returns its digest as the registry tells it.
    pub(crate) async fn put_manifest(
        &self,
        selector: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Option<Digest>, Failures> {
        let target = Target::Content {
            kind: "manifests",
            what: selector,
        };
        let mut ask = Ask::new(Method::PUT, &self.path, target);
        ask.payload = Payload::Bytes(bytes);
        if let Ok(kind) = HeaderValue::from_str(media_type) {
            ask.headers.insert(header::CONTENT_TYPE, kind);
        }
        let response = self.client.ask(&self.endpoint, &ask).await;
        let response = response.map_err(|error| Failures(vec![error]))?;
        Ok(content_digest(response.headers()))
    }

    fn location(&self, response: &Response<Incoming>, base: &Url) -> Result<Url, RegistryError> {
        let refused = || RegistryError::Redirect {
            host: self.endpoint.base.authority(),
        };
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok());
        let url = base.resolve(location.ok_or_else(refused)?);
        url.map_err(|_invalid| refused())
    }
}

impl Registries {
    fn upload_sizes(&self) -> Sizes {
        match self.upload_piece {
            None => Sizes {
                whole: WHOLE_BYTES_MAX,
                piece: PIECE_BYTES,
            },
            Some(piece) => Sizes {
                whole: piece,
                piece,
            },
        }
    }
}

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

fn part(blob: &Blob, start: u64, length: u64) -> Payload {
    Payload::Part(Part {
        file: Arc::clone(&blob.file),
        start,
        length,
        sent: blob.sent.clone(),
    })
}

fn exists(answer: Result<Response<Incoming>, RegistryError>) -> Result<bool, RegistryError> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

fn number(response: &Response<Incoming>, name: &'static str) -> Option<u64> {
    let value = response.headers().get(HeaderName::from_static(name))?;
    value.to_str().ok()?.trim().parse().ok()
}
