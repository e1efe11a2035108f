//! Copies files into and out of containers, as tar streams (`stack cp`).
//!
//! The container's side is reached through a descriptor of its root and resolved by the kernel inside that root, so no symbolic link of the container
//! leads to a file of the host, whatever is swapped during the copy. Below the place where a stream is unpacked no symbolic link is followed at all.

mod extract;
mod mirror;
mod pack;
mod place;
#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

use runtime::spec::UserMap;
use rustix::io::Errno;

pub use extract::{Extracted, Owners, extract};
pub use mirror::{Mirror, Mirrored};
pub use pack::{Packed, pack};
pub use place::{Kind, Place};

/// Deepest nesting that is copied: each level holds a descriptor.
const DEPTH_MAX: usize = 256;

/// A file could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The root of a container, or the directory of a volume, could not be opened.
    #[error("open the root of `{name}`")]
    Root {
        /// The container or volume.
        name: String,
        /// Why.
        #[source]
        source: runtime::Error,
    },
    /// A system call on a file failed.
    #[error("{operation} {}", path.display())]
    File {
        /// What was tried: `open`, `make the directory`, ….
        operation: &'static str,
        /// The path, as named on the command line or in the stream.
        path: PathBuf,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The stream is broken, or nobody takes it.
    #[error("{intent}")]
    Stream {
        /// `read the archive`, `write the archive`.
        intent: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A name of the stream leads out of the target.
    #[error("the archive has a name that leads out of the target: {}", path.display())]
    Escape {
        /// The name.
        path: PathBuf,
    },
    /// A file got shorter while it was read.
    #[error("{} changed while it was copied", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Deeper than [`DEPTH_MAX`].
    #[error("{} is nested deeper than {DEPTH_MAX} directories", path.display())]
    TooDeep {
        /// The directory.
        path: PathBuf,
    },
}

impl CopyError {
    fn file(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(Errno) -> Self {
        let path = path.into();
        move |source| Self::File {
            operation,
            path,
            source,
        }
    }
}

/// Does work that makes files in a container. Where it has users of its own, only they can make any there (EOVERFLOW): then a thread does it as its
/// root, stays that user, and ends.
fn as_root_of<T: Send>(
    users: Option<&UserMap>,
    work: impl FnOnce() -> Result<T, CopyError> + Send,
) -> Result<T, CopyError> {
    let Some(map) = users else {
        return work();
    };
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let root = map.uid(0).zip(map.gid(0)).ok_or(Errno::OVERFLOW);
            root.and_then(|(uid, gid)| runtime::namespaces::act_as(uid, gid))
                .map_err(CopyError::file("act as the container's root at", "/"))?;
            work()
        });
        working.join().expect("copying does not panic")
    })
}
