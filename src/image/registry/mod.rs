//! A thin client of the registry API (OCI distribution-spec) on hyper and rustls.
//!
//! ```text
//! content    manifests and configs of a repository: mirrors in order, digests       blob: layers, resume
//! client     one request: authorization, redirects, retries
//! auth       challenges -> credentials -> token          challenge, credentials: pure parsing
//! transport  connections                                 resolve: names, tls: certificates
//! ```

mod auth;
mod blob;
mod challenge;
mod client;
mod content;
mod credentials;
mod download;
mod error;
mod proxy;
mod resolve;
mod settings;
mod tls;
mod transport;
mod url;

pub(crate) use blob::Sink;
pub use content::Failures;
pub(crate) use content::Repository;
pub use credentials::CredentialsError;
pub use download::{DownloadError, Downloaded, download};
pub use error::{Denial, RegistryError};
pub use resolve::ResolveError;
pub use settings::{Registries, SettingsError};
pub use tls::TlsError;
pub use transport::TransportError;
