//! A thin client of the registry API (OCI distribution-spec) on hyper and rustls.
//!
//! ```text
//! content    manifests and configs of a repository: mirrors in order, digests       blob: layers, resume
//! client     one request: authorization, redirects, retries
//! auth       challenges -> credentials -> token          challenge, credentials: pure parsing
//! upload     blobs and manifests the other way           search: catalogs, logins
//! transport  connections                                 resolve: names, tls: certificates, payload: bodies
//! ```

mod auth;
mod blob;
mod challenge;
mod client;
mod content;
mod credentials;
mod download;
mod error;
#[cfg(test)]
pub(super) mod fake;
mod payload;
mod proxy;
mod quota;
mod resolve;
mod search;
mod settings;
mod tls;
mod transport;
mod upload;
mod url;

pub(crate) use blob::Sink;
pub use content::Failures;
pub(crate) use content::Repository;
pub use credentials::CredentialsError;
pub use download::{DownloadError, Downloaded, download};
pub use error::{Denial, RegistryError};
pub(crate) use payload::Sent;
pub use resolve::{ResolveError, resolve_host};
pub use search::{SearchError, SearchResult, login, search};
pub use settings::{Registries, SettingsError};
pub use tls::TlsError;
pub use transport::TransportError;
pub(crate) use upload::{Arrival, Blob, Destination};
