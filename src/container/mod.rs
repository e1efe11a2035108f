//! The host side of containers: their directories, their monitors, and what is said to them.
//!
//! Never makes a namespace or a mount itself: a container is run by its monitor, a process of its own that this module starts and then only
//! talks to. So nothing here must outlive the supervisor.

pub mod copy;
mod directory;
mod files;
mod hook;
pub mod journal;
mod link;
mod live;
pub mod logs;
mod mount_points;
mod spawn;
mod step;

pub use directory::{ContainerError, create, read_all, read_record, read_state, remove};
pub use files::{FileSpec, object_content, write_files};
pub use hook::{HookOutput, HookRun, post_start, read_hooks, run_hook, write_hooks};
pub use link::{Link, LinkError};
pub use live::{Change, Frozen, Live, Status};
pub use spawn::{SpawnError, Start, Started, spawn_monitor};
pub use step::{Steps, StepsError, end_orphan_steps};
