//! Images: their names, the store that holds them, pulling from registries, and archives.
//!
//! ```text
//! pull    reference -> registry client -> manifest, config -> layers in parallel ┐
//! load    archive or layout ---------------------------------> layers one by one ┤
//!                                                                                ├-> store: layers/, blobs/, images.json
//! build   upper directories -> commit_layer, commit_image -----------------------┘
//! ```
//!
//! What came from outside is hostile until its digest was checked, and its content stays hostile even then.

mod archive;
mod config;
mod decode;
mod digest;
mod manifest;
mod pipeline;
mod platform;
mod pull;
mod push;
mod reference;
mod registry;
mod remote;
mod store;
mod unpack;

pub use archive::{
    LoadError, LoadProgress, SaveError, SaveFormat, load, load_one, load_stream, save,
};
pub use config::ConfigError;
pub use manifest::ManifestError;
pub use pipeline::LayerError;
pub use platform::{InvalidPlatform, Platform};
pub use pull::{LayerPhase, PullError, PullEvent, PullProgress, pinned, pull};
pub use push::{PushError, PushEvent, PushPhase, PushProgress, Pushed, all_tags, push};
pub use reference::{InvalidReference, Reference};
pub use registry::{
    CredentialsError, Denial, DownloadError, Downloaded, Failures, Registries, RegistryError,
    ResolveError, SearchError, SearchResult, SettingsError, TlsError, TransportError, download,
    login, resolve_host, search,
};
pub use remote::{Parts, RemoteError, RemoteImage, SendError, SendTo, send_parts};
pub use store::{
    CommittedLayer, ImageError, ImageStore, Kept, LayerBlob, LayerStream, Lease, export,
};
pub use unpack::{Seal, Sealed, TarError, UnpackError, is_archive, unpack_archive, unpack_sealed};

/// Unwraps what a blocking task returned; its panic goes on here.
fn joined<T>(result: Result<T, tokio::task::JoinError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => unreachable!("blocking tasks are never aborted"),
        },
    }
}
