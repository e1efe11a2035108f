//! Blobs of a repository as streams that survive broken connections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{
    Method, Response,
    body::Incoming,
    header::{self, HeaderMap, HeaderValue},
};

use super::{
    client::request,
    content::{Failures, Repository},
    error::RegistryError,
    settings::Endpoint,
    transport::TransportError,
    url::Url,
};
use crate::image::manifest::Descriptor;

/// Bytes a second below which a download counts as stalled: slower than any modem of the last decades.
const PACE_BYTES_MIN: u64 = 1 << 10;
/// Progress that clears the count of failures in the middle of a blob.
const PROGRESS_BYTES: u64 = 64 << 10;

/// Takes the bytes of a blob; `false` when no more are wanted.
pub(crate) trait Sink {
    /// Takes some bytes.
    fn take(&mut self, bytes: Bytes) -> impl Future<Output = bool> + Send;
}

impl Repository<'_> {
    /// Streams a blob from `offset` into a sink, going on after failures, from the next endpoint where one gives up.
    ///
    /// The bytes are not verified here. No more than the announced number is taken.
    pub(crate) async fn stream_blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
        sink: &mut impl Sink,
    ) -> Result<(), Failures> {
        let mut at = offset;
        let mut failures = Vec::new();
        for endpoint in &self.endpoints {
            match self
                .stream_from(endpoint, None, descriptor, &mut at, sink)
                .await
            {
                Ok(()) => return Ok(()),
                Err(error) => failures.push(error),
            }
        }
        // Foreign layers lie elsewhere; there our credentials are nobody's business.
        for url in descriptor
            .urls
            .iter()
            .filter_map(|url| url.parse::<Url>().ok())
        {
            let endpoint = Endpoint {
                registry: url.authority(),
                base: url.clone(),
                namespace: None,
            };
            match self
                .stream_from(&endpoint, Some(&url), descriptor, &mut at, sink)
                .await
            {
                Ok(()) => return Ok(()),
                Err(error) => failures.push(error),
            }
        }
        Err(Failures(failures))
    }

    async fn stream_from(
        &self,
        endpoint: &Endpoint,
        url: Option<&Url>,
        descriptor: &Descriptor,
        at: &mut u64,
        sink: &mut impl Sink,
    ) -> Result<(), RegistryError> {
        let mut failures = 0;
        let mut ranged = true;
        while *at < descriptor.size {
            let start = *at;
            let response = self
                .ask_blob(endpoint, url, descriptor, ranged.then_some(start))
                .await?;
            let status = response.status().as_u16();
            if status == 416 {
                if !ranged {
                    return Err(self
                        .client
                        .failure(response, endpoint, &self.path, descriptor.digest.as_str())
                        .await);
                }
                ranged = false;
                continue;
            }
            let outcome = self.copy(response, endpoint, descriptor, at, sink).await;
            match outcome {
                Ok(Copied::Stopped) => return Ok(()),
                Ok(Copied::End) => {}
                Err(error) if !error.is_passing() => return Err(error),
                Err(error) => {
                    failures = if *at - start >= PROGRESS_BYTES {
                        1
                    } else {
                        failures + 1
                    };
                    if failures >= self.client.registries.timing.attempts_max {
                        return Err(error);
                    }
                    tracing::debug!(%error, at, "goes on with a download");
                    self.client.pause(failures, error.retry_after()).await;
                }
            }
        }
        Ok(())
    }

    async fn ask_blob(
        &self,
        endpoint: &Endpoint,
        url: Option<&Url>,
        descriptor: &Descriptor,
        start: Option<u64>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let mut headers = HeaderMap::new();
        if let Some(start) = start.filter(|start| *start > 0)
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={start}-"))
        {
            headers.insert(header::RANGE, range);
        }
        let what = descriptor.digest.as_str();
        let Some(url) = url else {
            let ask = self.ask(Method::GET, "blobs", what, headers);
            return self.client.ask(endpoint, &ask).await;
        };
        let mut foreign = request(Method::GET);
        foreign.headers_mut().extend(headers);
        let response = self.client.follow(url, &foreign, None).await?.response;
        if matches!(response.status().as_u16(), 200..=299 | 416) {
            return Ok(response);
        }
        Err(self
            .client
            .failure(response, endpoint, &self.path, what)
            .await)
    }

    /// Moves the body of an answer into the sink; `at` counts what the sink has.
    async fn copy(
        &self,
        response: Response<Incoming>,
        endpoint: &Endpoint,
        descriptor: &Descriptor,
        at: &mut u64,
        sink: &mut impl Sink,
    ) -> Result<Copied, RegistryError> {
        let host = endpoint.base.authority();
        // Where the body starts: a server may ignore the range, or round it down.
        let mut position = match response.status().as_u16() {
            206 => range_start(&response)
                .filter(|start| start <= at)
                .unwrap_or(*at),
            _ => 0,
        };
        if let Some(length) = content_length(&response)
            && position + length < descriptor.size
        {
            return Err(RegistryError::Size {
                host,
                wanted: descriptor.digest.clone(),
                expected: descriptor.size,
                found: position + length,
            });
        }
        let mut body = response.into_body();
        let mut pace = Pace::new(self.client.registries.timing.stall);
        loop {
            let asked = Instant::now();
            let Some(mut chunk) = self.client.next_chunk(&mut body, &host).await? else {
                break;
            };
            if !pace.is_kept(asked.elapsed(), chunk.len()) {
                let seconds = pace.window.as_secs();
                return Err(TransportError::Slow { host, seconds }.into());
            }
            let end = position + chunk.len() as u64;
            if end > *at {
                let known = usize::try_from(at.saturating_sub(position)).unwrap_or(usize::MAX);
                let wanted = usize::try_from(descriptor.size - position).unwrap_or(usize::MAX);
                chunk.truncate(wanted);
                let new = chunk.split_off(known.min(chunk.len()));
                *at += new.len() as u64;
                if !sink.take(new).await {
                    return Ok(Copied::Stopped);
                }
                if *at >= descriptor.size {
                    // Whatever follows was not announced.
                    return Ok(Copied::End);
                }
            }
            position = end;
        }
        Err(RegistryError::Interrupted { host, at: *at })
    }
}

/// Watches that a server does not keep a connection with a byte now and then. Only the time spent on waiting for it counts.
struct Pace {
    window: Duration,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn new(window: Duration) -> Self {
        Self {
            window,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// Counts a chunk; `false` when too little has come in the last window.
    fn is_kept(&mut self, waited: Duration, count: usize) -> bool {
        self.bytes += count as u64;
        self.waited += waited;
        if self.waited < self.window {
            return true;
        }
        let wanted = self.waited.as_millis() * u128::from(PACE_BYTES_MIN) / 1000;
        let kept = u128::from(self.bytes) >= wanted;
        *self = Self::new(self.window);
        kept
    }
}

/// How a copy ended.
enum Copied {
    /// Everything is there.
    End,
    /// The sink wants no more.
    Stopped,
}

fn content_length(response: &Response<Incoming>) -> Option<u64> {
    response
        .headers()
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Reads where the body of a 206 starts: `Content-Range: bytes 100-199/200`.
fn range_start(response: &Response<Incoming>) -> Option<u64> {
    let range = response
        .headers()
        .get(header::CONTENT_RANGE)?
        .to_str()
        .ok()?;
    range
        .strip_prefix("bytes ")?
        .split('-')
        .next()?
        .trim()
        .parse()
        .ok()
}
