//! Fetches one file from an http or https address: ADD of a URL. Proxies, certificates, redirects and retries are those of registries.

use std::{io, sync::atomic::AtomicBool};

use hyper::{Method, header};

use super::{
    client::{Client, Purpose, request},
    error::RegistryError,
    settings::Registries,
    url::Url,
};

/// Largest file that is fetched, in bytes.
const BYTES_MAX: u64 = 64 << 30;

/// What a server says about a file that it sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Downloaded {
    /// `Last-Modified`, in seconds since 1970.
    pub modified: Option<i64>,
    /// File name of `Content-Disposition`, as it was sent: not to be trusted as a path.
    pub file_name: Option<String>,
}

/// A file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// Not an address that we can ask.
    #[error("not an http or https address")]
    Address,
    /// The server has no such file, or will not give it.
    #[error("{host} answered with status {status}")]
    Status {
        /// Host and port.
        host: String,
        /// HTTP status.
        status: u16,
    },
    /// It could not be asked.
    #[error(transparent)]
    Transfer(#[from] RegistryError),
    /// More than anyone adds to an image.
    #[error("the file is larger than {BYTES_MAX} bytes")]
    TooLarge,
    /// It could not be kept.
    #[error("store the file")]
    Write(#[source] io::Error),
}

/// Fetches a file and hands its bytes to `write` as they come.
///
/// `authorization` is the value of that header; it is sent to the address's own host only, not where a redirect leads. What fails before
/// the first byte is tried again.
pub async fn download(
    registries: &Registries,
    address: &str,
    authorization: Option<&str>,
    write: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
) -> Result<Downloaded, DownloadError> {
    let url: Url = address.parse().map_err(|_invalid| DownloadError::Address)?;
    let client = Client::new(registries, Purpose::Registry, &|_warning| {});
    let begun = AtomicBool::new(false);
    let mut attempt = 1;
    loop {
        let outcome = once(&client, &url, authorization, &mut |bytes| {
            begun.store(true, std::sync::atomic::Ordering::Relaxed);
            write(bytes)
        })
        .await;
        let passing = match &outcome {
            Err(DownloadError::Transfer(error)) => error.is_passing(),
            Err(DownloadError::Status { status, .. }) => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        };
        let again = passing
            && attempt < registries.timing.attempts_max
            && !begun.load(std::sync::atomic::Ordering::Relaxed);
        if !again {
            return outcome;
        }
        client.pause(attempt, None).await;
        attempt += 1;
    }
}

async fn once(
    client: &Client<'_>,
    url: &Url,
    authorization: Option<&str>,
    write: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
) -> Result<Downloaded, DownloadError> {
    let answer = client
        .follow(url, &request(Method::GET), authorization)
        .await?;
    let host = url.authority();
    let status = answer.response.status().as_u16();
    if status != 200 {
        return Err(DownloadError::Status { host, status });
    }
    let text = |name: header::HeaderName| {
        let value = answer.response.headers().get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let downloaded = Downloaded {
        modified: text(header::LAST_MODIFIED).and_then(http_date),
        file_name: text(header::CONTENT_DISPOSITION).and_then(disposition_name),
    };
    let mut body = answer.response.into_body();
    let mut length = 0_u64;
    while let Some(chunk) = client.next_chunk(&mut body, &host).await? {
        length += chunk.len() as u64;
        if length > BYTES_MAX {
            return Err(DownloadError::TooLarge);
        }
        write(&chunk).map_err(DownloadError::Write)?;
    }
    Ok(downloaded)
}

/// Parses the date of a header (RFC 9110, section 5.6.7; the obsolete forms are not sent by anything that still runs).
fn http_date(text: &str) -> Option<i64> {
    let time = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(time.timestamp().as_second())
}

/// Returns `filename` of a `Content-Disposition` (RFC 6266).
fn disposition_name(text: &str) -> Option<String> {
    let parameter = text
        .split(';')
        .find_map(|part| part.trim().strip_prefix("filename="))?;
    let name = parameter.trim().trim_matches('"');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_names_of_headers_are_read() {
        assert_eq!(
            http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        assert_eq!(http_date("yesterday"), None);
        assert_eq!(
            disposition_name("attachment; filename=\"a b.tar\""),
            Some("a b.tar".to_owned())
        );
        assert_eq!(disposition_name("inline"), None);
    }
}
