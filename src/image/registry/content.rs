//! Manifests and configs of a repository, from whichever of its endpoints has them.

use bytes::Bytes;
use hyper::{
    Method,
    header::{self, HeaderMap, HeaderValue},
};

use super::{
    client::{Ask, Client, Purpose, Target, Tell},
    error::RegistryError,
    settings::{Endpoint, Registries},
    transport::TransportError,
};
use crate::{
    image::{
        digest,
        manifest::{ACCEPT, Descriptor, MANIFEST_BYTES_MAX},
        reference::Reference,
    },
    model::{Digest, chain},
};

/// A repository on a registry and its mirrors.
pub(crate) struct Repository<'a> {
    pub(super) client: Client<'a>,
    pub(super) path: String,
    pub(super) endpoints: Vec<Endpoint>,
}

/// A manifest as it came.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    pub(crate) content_type: Option<String>,
}

/// What every endpoint said, in the order in which they were asked.
#[derive(Debug)]
pub struct Failures(pub Vec<RegistryError>);

impl std::fmt::Display for Failures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("; then ")?;
            }
            f.write_str(&chain(error).join(": "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failures {}

impl Failures {
    /// Returns the next things to do: those of the registry itself, which was asked last.
    pub fn hints(&self) -> Vec<String> {
        let last = self.0.iter().rev().find_map(RegistryError::hint);
        last.into_iter().collect()
    }
}

impl<'a> Repository<'a> {
    pub(crate) fn new(registries: &'a Registries, reference: &Reference, tell: Tell<'a>) -> Self {
        Self {
            client: Client::new(registries, Purpose::Pull, tell),
            path: reference.repository().to_owned(),
            endpoints: registries.endpoints(reference.registry()),
        }
    }

    /// Asks what a tag means now without fetching it; `None` when the registry does not say.
    pub(crate) async fn head(&self, selector: &str) -> Option<Digest> {
        for endpoint in &self.endpoints {
            let ask = self.ask(Method::HEAD, "manifests", selector, accept());
            // Not tried again: what follows a failure here is a GET, which is.
            if let Ok(response) = self.client.ask_once(endpoint, &ask).await {
                return content_digest(response.headers());
            }
        }
        None
    }

    /// Fetches a manifest or index by tag or digest.
    pub(crate) async fn manifest(&self, selector: &str) -> Result<Fetched, Failures> {
        let mut failures = Vec::new();
        for endpoint in &self.endpoints {
            match self.manifest_of(endpoint, selector).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => failures.push(error),
            }
        }
        Err(Failures(failures))
    }

    async fn manifest_of(
        &self,
        endpoint: &Endpoint,
        selector: &str,
    ) -> Result<Fetched, RegistryError> {
        let host = endpoint.base.authority();
        let ask = self.ask(Method::GET, "manifests", selector, accept());
        let (headers, bytes) = self.document(endpoint, &ask, MANIFEST_BYTES_MAX).await?;
        let announced = content_digest(&headers);
        let content_type = headers.get(header::CONTENT_TYPE);
        let content_type = content_type
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let found = digest::of(&bytes);
        let wanted = selector.parse::<Digest>().ok().or(announced);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            return Err(RegistryError::Digest {
                host,
                wanted,
                found,
            });
        }
        Ok(Fetched {
            bytes,
            digest: found,
            content_type,
        })
    }

    /// Fetches a small blob.
    pub(crate) async fn small_blob(
        &self,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, Failures> {
        let mut failures = Vec::new();
        for endpoint in &self.endpoints {
            match self.small_blob_of(endpoint, descriptor, limit).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => failures.push(error),
            }
        }
        Err(Failures(failures))
    }

    async fn small_blob_of(
        &self,
        endpoint: &Endpoint,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, RegistryError> {
        let host = endpoint.base.authority();
        let limit = limit.min(descriptor.size);
        let ask = self.ask(
            Method::GET,
            "blobs",
            descriptor.digest.as_str(),
            HeaderMap::new(),
        );
        let (_, bytes) = self.document(endpoint, &ask, limit).await?;
        check(&host, descriptor, &digest::of(&bytes), bytes.len() as u64)?;
        Ok(bytes)
    }

    /// Fetches something small as a whole, again when its answer or its body breaks off in a way that passes.
    async fn document(
        &self,
        endpoint: &Endpoint,
        ask: &Ask<'_>,
        limit: u64,
    ) -> Result<(HeaderMap, Bytes), RegistryError> {
        let mut attempt = 1;
        loop {
            let error = match self.document_once(endpoint, ask, limit).await {
                // What came too slowly for its deadline would do so again.
                Err(error @ RegistryError::Transport(TransportError::Slow { .. })) => {
                    return Err(error);
                }
                Err(error) => error,
                fetched => return fetched,
            };
            self.client.pause_after(error, attempt).await?;
            attempt += 1;
        }
    }

    async fn document_once(
        &self,
        endpoint: &Endpoint,
        ask: &Ask<'_>,
        limit: u64,
    ) -> Result<(HeaderMap, Bytes), RegistryError> {
        let host = endpoint.base.authority();
        let response = self.client.ask_once(endpoint, ask).await?;
        let headers = response.headers().clone();
        let bytes = self.client.read_body(response, &host, limit).await?;
        Ok((headers, bytes))
    }

    pub(super) fn ask<'b>(
        &'b self,
        method: Method,
        kind: &'static str,
        what: &'b str,
        headers: HeaderMap,
    ) -> Ask<'b> {
        Ask {
            headers,
            ..Ask::new(method, &self.path, Target::Content { kind, what })
        }
    }
}

/// Compares what came with what was announced.
fn check(
    host: &str,
    descriptor: &Descriptor,
    found: &Digest,
    size: u64,
) -> Result<(), RegistryError> {
    let host = host.to_owned();
    let wanted = descriptor.digest.clone();
    if size != descriptor.size {
        return Err(RegistryError::Size {
            host,
            wanted,
            expected: descriptor.size,
            found: size,
        });
    }
    if *found != wanted {
        return Err(RegistryError::Digest {
            host,
            wanted,
            found: found.clone(),
        });
    }
    Ok(())
}

pub(super) fn accept() -> HeaderMap {
    HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(ACCEPT))])
}

pub(super) fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    headers
        .get("docker-content-digest")?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
