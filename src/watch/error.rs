//! Why files cannot be watched.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

/// Files cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The kernel watches no more for this user.
    #[error(
        "watch {}: this user watches as many directories as the kernel allows: raise fs.inotify.max_user_watches or max_user_instances, or ignore directories that do not matter (`develop.watch[].ignore`)",
        path.display()
    )]
    Limit {
        /// The directory.
        path: PathBuf,
    },
    /// Something else went wrong.
    #[error("watch {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl TreeError {
    pub(super) fn of(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |source| {
            let path = path.to_owned();
            match Errno::from_io_error(&source) {
                Some(Errno::NOSPC | Errno::MFILE) => Self::Limit { path },
                _ => Self::Io { path, source },
            }
        }
    }
}
