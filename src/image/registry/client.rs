//! Asking registries: authorization, redirects, retries, and errors that say what happened.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response,
    body::Incoming,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::{sleep, timeout};

use super::{
    auth::Authorization,
    credentials::Known,
    error::{self, Denial, RegistryError},
    payload::Payload,
    quota,
    settings::{Endpoint, Registries},
    transport::{Transport, TransportError},
    url::Url,
};
use crate::model::Secret;

/// Redirects followed.
const REDIRECTS_MAX: usize = 10;
/// Largest error text that is read.
const COMPLAINT_BYTES_MAX: u64 = 64 << 10;
/// Rounds of asking and proving who we are: without, with what was cached, with something fresh.
const ROUNDS_MAX: usize = 3;

/// Told what the user should know although the work goes on: one sentence.
pub(crate) type Tell<'a> = &'a (dyn Fn(String) + Sync);

/// What is done at a registry: decides what a token has to permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Read one repository.
    Pull,
    /// Write one repository, and read others of which blobs may be mounted.
    Push { mounts: BTreeSet<String> },
    /// Whatever the registry asks for, for instance to read its catalog.
    Registry,
    /// Nothing but to show who we are; a token that stands for user and password is welcome.
    Login,
}

/// Talks to the registries of one piece of work.
pub(crate) struct Client<'a> {
    pub(super) registries: &'a Registries,
    pub(super) purpose: Purpose,
    transport: Transport,
    /// By endpoint and repository.
    authorizations: Mutex<HashMap<(String, String), Authorization>>,
    /// What a token server gave to be used in the place of user and password.
    pub(super) identity: Mutex<Option<Secret<String>>>,
    tell: Tell<'a>,
    /// What was told already.
    told: Mutex<BTreeSet<String>>,
}

/// What is asked of a registry.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) repository: &'a str,
    pub(super) target: Target<'a>,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
}

/// What a request is about.
#[derive(Debug, Clone)]
pub(super) enum Target<'a> {
    /// `manifests` or `blobs` of the repository, and a tag or digest.
    Content { kind: &'static str, what: &'a str },
    /// Below `/v2/`, whatever the repository.
    Path(&'a str),
    /// An address that the registry gave out.
    Url(&'a Url),
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: Method, repository: &'a str, target: Target<'a>) -> Self {
        Self {
            method,
            repository,
            target,
            headers: HeaderMap::new(),
            payload: Payload::default(),
        }
    }

    fn url(&self, endpoint: &Endpoint) -> Url {
        let mut url = match self.target {
            Target::Content { kind, what } => {
                let repository = self.repository;
                endpoint
                    .base
                    .join(&format!("/v2/{repository}/{kind}/{what}"))
            }
            Target::Path(path) => endpoint.base.join(&format!("/v2/{path}")),
            Target::Url(url) => return url.clone(),
        };
        if let Some(namespace) = &endpoint.namespace {
            url.add_query("ns", namespace);
        }
        url
    }

    /// What it is about, for messages.
    fn what(&self) -> &str {
        match self.target {
            Target::Content { what, .. } => what,
            Target::Path(path) => path,
            Target::Url(_) => "upload",
        }
    }
}

/// An answer and where it came from in the end.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    /// It is the host that was asked, not one that it sent us to.
    is_own: bool,
}

impl<'a> Client<'a> {
    pub(super) fn new(registries: &'a Registries, purpose: Purpose, tell: Tell<'a>) -> Self {
        Self {
            registries,
            purpose,
            transport: Transport::new(registries),
            authorizations: Mutex::default(),
            identity: Mutex::default(),
            tell,
            told: Mutex::default(),
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
            self.pause_after(error, attempt).await?;
            attempt += 1;
        }
    }

    /// Waits before something is tried again; gives the error back when that has no use or was done often enough.
    pub(super) async fn pause_after(
        &self,
        error: RegistryError,
        attempt: u32,
    ) -> Result<(), RegistryError> {
        if attempt >= self.registries.timing.attempts_max || !error.is_passing() {
            return Err(error);
        }
        tracing::debug!(%error, attempt, "asks a registry again");
        self.pause(attempt, error.retry_after()).await;
        Ok(())
    }

    /// Asks one endpoint, and proves who we are where it wants to know.
    pub(super) async fn ask_once(
        &self,
        endpoint: &Endpoint,
        ask: &Ask<'_>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let url = ask.url(endpoint);
        // An upload may continue on another host, where our proof is nobody's business.
        let may_prove = url.is_same_origin(&endpoint.base);
        let key = (endpoint.base.to_string(), ask.repository.to_owned());
        let mut authorization = self.known_authorization(&key).filter(|_| may_prove);
        for round in 1.. {
            let mut request = request(ask.method.clone());
            request.headers_mut().extend(ask.headers.clone());
            *request.body_mut() = ask.payload.clone();
            let value = authorization
                .as_ref()
                .map(|authorization| authorization.value.as_str());
            let answer = self.follow(&url, &request, value).await?;
            let status = answer.response.status().as_u16();
            if status != 401 || !answer.is_own || !may_prove {
                self.tell_warnings(endpoint, answer.response.headers());
                if matches!(status, 200..=299) || status == 416 && ask.method == Method::GET {
                    return Ok(answer.response);
                }
                return Err(self
                    .failure(answer.response, endpoint, ask.repository, ask.what())
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
        request: &Request<Payload>,
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
        let read = async {
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
        };
        // A server that sends a byte now and then would be waited for without end.
        let all = self.registries.timing.document;
        timeout(all, read)
            .await
            .map_err(|_elapsed| TransportError::Slow {
                host: host.to_owned(),
                seconds: all.as_secs(),
            })?
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
                let quota = quota::read(&headers).is_some_and(|quota| quota.remaining == 0)
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

    /// Finds the words for a refusal.
    pub(super) fn denial(&self, endpoint: &Endpoint) -> Result<Denial, RegistryError> {
        Ok(
            match self.registries.credentials.look_up(&endpoint.registry)? {
                Known::Credential(_) => Denial::BadCredentials,
                Known::Helper(name) => Denial::Helper(name),
                Known::Problem(problem) => Denial::Problem(problem),
                Known::Nothing => Denial::NoCredentials,
            },
        )
    }

    /// Tells what a registry wants its users to know (distribution-spec, "Warnings"), and a quota that runs low.
    fn tell_warnings(&self, endpoint: &Endpoint, headers: &HeaderMap) {
        const WARNING: HeaderName = HeaderName::from_static("warning");
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let warning = text(&WARNING).and_then(|text| text.strip_prefix("299 "));
        let warning = warning.map(|warning| {
            let words = warning.trim_start_matches("- ").trim_matches('"');
            let words = error::printable(words);
            format!("{} warns: {words}", endpoint.registry)
        });
        let low = quota::read(headers)
            .filter(quota::Quota::is_low)
            .map(|quota| format!("{}: {quota}", endpoint.registry));
        for (kind, text) in [("warning", warning), ("quota", low)] {
            let Some(text) = text else { continue };
            // Each number of a quota that runs down is no news of its own.
            let key = match kind {
                "quota" => format!("quota {}", endpoint.registry),
                _ => text.clone(),
            };
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.insert(key) {
                (self.tell)(text);
            }
        }
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
pub(super) fn request(method: Method) -> Request<Payload> {
    const AGENT: HeaderValue =
        HeaderValue::from_static(concat!("stack/", env!("CARGO_PKG_VERSION")));
    let mut request = Request::new(Payload::default());
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
