//! What the CLI and the supervisor say to each other.
//!
//! HTTP/1.1 and JSON over the unix socket `supervisor.sock`. Every call is `POST /v1/<name>` with the request as body; `image/load` has the archive
//! as body instead. What the caller's environment says about registries goes beside it as `access`. The answer is a stream of [`Event`]s, one JSON document a line, and its last line is always [`Event::Finished`]. Reading commands
//! (`ps`, `logs`, `config`, `images`, `port`, `top`) do not come here: they read the state root.
//! A client sends the header `stack-protocol: <VERSION>`; a supervisor of another version answers 426 with its own version in the same header, and
//! the client replaces it when it is older: it sends SIGTERM, waits until the process has ended (containers go on under their monitors), and starts
//! a supervisor of its own.

mod call;
mod event;
mod request;

pub use crate::model::{FailureKind, LifecycleAction, Subject, SubjectKind};
pub use call::{Call, MalformedCall};
pub use event::{
    BuildProgress, BuildState, ErrorReport, Event, Found, Outcome, Progress, StepState,
};
pub use request::{
    BuildRequest, CommitRequest, DownRequest, ImageImportRequest, ImageLoadRequest,
    ImageRemoveRequest, ImageTagRequest, LifecycleRequest, LoginRequest, NetworkRequest,
    PinRequest, PullRequest, PushRequest, Request, RunRequest, SearchRequest, UpRequest,
    VolumeRequest,
};

/// Name of the header that tells the version.
pub const VERSION_HEADER: &str = "stack-protocol";

/// Version of the protocol; raised when an old client would misunderstand a new supervisor.
pub const VERSION: u32 = 3;
