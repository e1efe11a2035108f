//! Asking registries: authorization, redirects, retries, and errors that say what happened.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::{sleep, timeout};

use super::{
    auth::Authorization,
    error::{self, Denial, RegistryError},
    settings::{Endpoint, Registries},
    transport::{Transport, TransportError},
    url::Url,
};

/// Redirects followed.
const REDIRECTS_MAX: usize = 10;
/// Largest error text that is read.
const COMPLAINT_BYTES_MAX: u64 = 64 << 10;
/// Rounds of asking and proving who we are: without, with what was cached, with something fresh.
const ROUNDS_MAX: usize = 3;

/// Talks to the registries of one pull.
pub(crate) struct Client<'a> {
    pub(super) registries: &'a Registries,
    transport: Transport,
    /// By endpoint and repository.
    authorizations: Mutex<HashMap<(String, String), Authorization>>,
}

/// What is asked of a registry.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) repository: &'a str,
    /// `manifests` or `blobs`.
    pub(super) kind: &'static str,
    /// Tag or digest.
    pub(super) what: &'a str,
    pub(super) headers: HeaderMap,
}

/// An answer and where it came from in the end.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    /// It is the host that was asked, not one that it sent us to.
    is_own: bool,
}

impl<'a> Client<'a> {
    pub(crate) fn new(registries: &'a Registries) -> Self {
        Self {
            registries,
            transport: Transport::new(registries),
            authorizations: Mutex::default(),
        }
    }

    /// Asks one endpoint, again after failures that pass. Answers other than 2xx and 416 are errors.
    pub(super) async fn ask(
        &self,
        endpoint: &Endpoint,
        ask: &Ask<'_>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let mut attempt = 1;
        loop {
            let error = match self.ask_once(endpoint, ask).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if attempt >= self.registries.timing.attempts_max || !error.is_passing() {
                return Err(error);
            }
            tracing::debug!(%error, attempt, "asks a registry again");
            self.pause(attempt, error.retry_after()).await;
            attempt += 1;
        }
    }

    /// Asks one endpoint, and proves who we are where it wants to know.
    pub(super) async fn ask_once(
        &self,
        endpoint: &Endpoint,
        ask: &Ask<'_>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let url = endpoint
            .base
            .join(&format!("/v2/{}/{}/{}", ask.repository, ask.kind, ask.what));
        let key = (endpoint.base.to_string(), ask.repository.to_owned());
        let mut authorization = self.known_authorization(&key);
        for round in 1.. {
            let mut request = request(ask.method.clone());
            request.headers_mut().extend(ask.headers.clone());
            let value = authorization
                .as_ref()
                .map(|authorization| authorization.value.as_str());
            let answer = self.follow(&url, &request, value).await?;
            let status = answer.response.status().as_u16();
            if status != 401 || !answer.is_own {
                warn_once(answer.response.headers());
                if matches!(status, 200..=299 | 416) {
                    return Ok(answer.response);
                }
                return Err(self
                    .failure(answer.response, endpoint, ask.repository, ask.what)
                    .await);
            }
            self.authorizations
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&key);
            if round >= ROUNDS_MAX {
                break;
            }
            let challenges = challenges(answer.response.headers());
            let fresh = self
                .authorize(endpoint, ask.repository, &challenges)
                .await?;
            if authorization
                .as_ref()
                .is_some_and(|known| known.value == fresh.value)
            {
                // The same proof again: it will not be believed the second time.
                break;
            }
            let mut known = self
                .authorizations
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            known.insert(key.clone(), fresh.clone());
            authorization = Some(fresh);
        }
        Err(RegistryError::Denied {
            host: endpoint.base.authority(),
            repository: ask.repository.to_owned(),
            reason: self.denial(endpoint)?,
        })
    }

    /// Sends a request and follows redirects, without the authorization where they lead to another host.
    pub(super) async fn follow(
        &self,
        url: &Url,
        request: &Request<Full<Bytes>>,
        authorization: Option<&str>,
    ) -> Result<Answer, RegistryError> {
        let refused = || RegistryError::Redirect {
            host: url.authority(),
        };
        let mut at = url.clone();
        for _redirect in 0..=REDIRECTS_MAX {
            let is_own = at.is_same_origin(url);
            let mut request = request.clone();
            *request.uri_mut() = at.target().parse().map_err(|_invalid| refused())?;
            let host = HeaderValue::from_str(&at.authority()).map_err(|_invalid| refused())?;
            request.headers_mut().insert(header::HOST, host);
            if let Some(value) = authorization.filter(|_| is_own) {
                let mut value = HeaderValue::from_str(value).map_err(|_invalid| refused())?;
                value.set_sensitive(true);
                request.headers_mut().insert(header::AUTHORIZATION, value);
            }
            let response = self.transport.send(&at, request, self.registries).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(Answer { response, is_own });
            }
            let location = response.headers().get(header::LOCATION);
            let location = location
                .and_then(|value| value.to_str().ok())
                .ok_or_else(refused)?;
            at = at.resolve(location).map_err(|_invalid| refused())?;
        }
        Err(refused())
    }

    /// Reads a small body.
    pub(super) async fn read_body(
        &self,
        response: Response<Incoming>,
        host: &str,
        limit: u64,
    ) -> Result<Bytes, RegistryError> {
        let mut body = response.into_body();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.next_chunk(&mut body, host).await? {
            if bytes.len() as u64 + chunk.len() as u64 > limit {
                return Err(RegistryError::TooLarge {
                    host: host.to_owned(),
                    limit,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// Returns the next bytes of a body; `None` at its end.
    pub(super) async fn next_chunk(
        &self,
        body: &mut Incoming,
        host: &str,
    ) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let frame = timeout(self.registries.timing.stall, body.frame()).await;
            let frame = frame.map_err(|_elapsed| TransportError::Silent {
                host: host.to_owned(),
                seconds: self.registries.timing.stall.as_secs(),
            })?;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(source)) => {
                    return Err(TransportError::Http {
                        host: host.to_owned(),
                        source,
                    }
                    .into());
                }
            }
        }
    }

    /// Waits before the next try: as long as the registry asks, else a random time below a growing ceiling.
    pub(super) async fn pause(&self, attempt: u32, asked: Option<Duration>) {
        let timing = &self.registries.timing;
        let ceiling = timing
            .backoff
            .saturating_mul(1 << attempt.min(10))
            .min(timing.backoff_max);
        let mut random = [0; 2];
        let drawn = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        let part = match drawn {
            Ok(_) => u32::from(u16::from_ne_bytes(random)),
            Err(_errno) => u32::from(u16::MAX) / 2,
        };
        let jittered = ceiling.mul_f64(f64::from(part) / f64::from(u16::MAX));
        sleep(asked.unwrap_or(jittered).min(timing.backoff_max)).await;
    }

    /// Turns an answer that is no success into an error.
    pub(super) async fn failure(
        &self,
        response: Response<Incoming>,
        endpoint: &Endpoint,
        repository: &str,
        what: &str,
    ) -> RegistryError {
        let host = endpoint.base.authority();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = self
            .read_body(response, &host, COMPLAINT_BYTES_MAX)
            .await
            .unwrap_or_default();
        let complaint = error::complaint(&body);
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let after = error::retry_after(
            text("retry-after"),
            &String::from_utf8_lossy(&body),
            jiff::Timestamp::now(),
        );
        match status {
            404 if complaint.code == "NAME_UNKNOWN" => RegistryError::NoRepository {
                host,
                repository: repository.to_owned(),
            },
            404 => RegistryError::NotFound {
                host,
                repository: repository.to_owned(),
                what: what.to_owned(),
            },
            401 | 403 => RegistryError::Denied {
                host,
                repository: repository.to_owned(),
                reason: self.denial(endpoint).unwrap_or(Denial::BadCredentials),
            },
            429 => {
                let remaining = text("ratelimit-remaining").unwrap_or_default();
                let quota = remaining.split(';').next() == Some("0")
                    || complaint.message.contains("pull rate limit");
                RegistryError::RateLimited { host, quota, after }
            }
            _ => {
                let message = Some(complaint.message).filter(|text| !text.is_empty());
                RegistryError::Status {
                    host,
                    status,
                    message,
                    after,
                }
            }
        }
    }

    fn denial(&self, endpoint: &Endpoint) -> Result<Denial, RegistryError> {
        use super::credentials::Lookup;
        Ok(
            match self.registries.credentials.look_up(&endpoint.registry)? {
                Lookup::Found(_) => Denial::BadCredentials,
                Lookup::Helper(name) => Denial::Helper(name),
                Lookup::None => Denial::NoCredentials,
            },
        )
    }

    fn known_authorization(&self, key: &(String, String)) -> Option<Authorization> {
        let known = self
            .authorizations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let fresh = |authorization: &&Authorization| {
            authorization
                .until
                .is_none_or(|until| Instant::now() < until)
        };
        known.get(key).filter(fresh).cloned()
    }
}

/// Makes an empty request with the headers that all have.
pub(super) fn request(method: Method) -> Request<Full<Bytes>> {
    const AGENT: HeaderValue =
        HeaderValue::from_static(concat!("stack/", env!("CARGO_PKG_VERSION")));
    let mut request = Request::new(Full::default());
    *request.method_mut() = method;
    request.headers_mut().insert(header::USER_AGENT, AGENT);
    request
}

fn challenges(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .map(str::to_owned)
        .collect()
}

/// Shows what a registry wants its users to know (distribution-spec, "Warnings").
fn warn_once(headers: &HeaderMap) {
    const WARNING: HeaderName = HeaderName::from_static("warning");
    if let Some(text) = headers.get(WARNING).and_then(|value| value.to_str().ok())
        && text.starts_with("299 ")
    {
        tracing::warn!(text, "a registry warns");
    }
}
