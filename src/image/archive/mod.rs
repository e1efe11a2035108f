//! Images from files and into files: `docker save` archives, OCI archives, and OCI layout directories.
//!
//! An archive is read once and may be a pipe: layers are unpacked as they come by (see `scan`), with the same care as
//! those of a registry. A layout directory is read below its root, whatever links somebody has put into it.

mod docker;
mod error;
mod intake;
mod layout;
mod load;
mod oci;
mod save;
mod scan;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

use fs_err as fs;
use rustix::fs::{Mode, OFlags, open};

use super::store::ImageStore;
use intake::Intake;
use load::{Found, Load, blob_file, checked};
use scan::Scan;

pub use error::{LoadError, SaveError};
pub(crate) use layout::{LayoutImage, write_layout};
pub use save::{SaveFormat, save};

/// Bytes between two reports of progress.
const REPORT_BYTES: u64 = 4 << 20;

/// How much of an archive was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes so far.
    pub bytes: u64,
    /// All of them, where that is known.
    pub total: Option<u64>,
}

/// Loads every image of an archive or layout directory; returns their names, or ids of those that have none.
///
/// Blocks. Of images for several platforms, this machine's is loaded. The path may be a pipe.
pub fn load(
    store: &ImageStore,
    path: &Path,
    progress: &dyn Fn(LoadProgress),
) -> Result<Vec<String>, LoadError> {
    open_input(path)
        .and_then(|input| load_input(store, input, progress, run_all))
        .map_err(|error| error.of_archive(path, store.state()))
}

fn open_input(path: &Path) -> Result<Input, LoadError> {
    let read = |source| LoadError::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = fs::metadata(path).map_err(read)?;
    if metadata.is_dir() {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty()).map_err(|errno| read(errno.into()))?;
        return Ok(Input::Directory(root));
    }
    let total = metadata.is_file().then_some(metadata.len());
    let file = fs::File::open(path).map_err(read)?;
    Ok(Input::Stream(Box::new(file), total))
}

/// Loads every image of an archive that is read from `source`; `name` is what messages call it.
pub fn load_stream(
    store: &ImageStore,
    (name, source): (&str, Box<dyn Read + Send>),
    progress: &dyn Fn(LoadProgress),
) -> Result<Vec<String>, LoadError> {
    load_input(store, Input::Stream(source, None), progress, run_all)
        .map_err(|error| error.of_archive(Path::new(name), store.state()))
}

/// A function of its own: the method's path would be one of a single lifetime.
fn run_all(load: &mut Load<'_>) -> Result<Vec<String>, LoadError> {
    load.run()
}

/// What is loaded.
enum Input {
    Directory(OwnedFd),
    Stream(Box<dyn Read + Send>, Option<u64>),
}

fn load_input<T>(
    store: &ImageStore,
    input: Input,
    progress: &dyn Fn(LoadProgress),
    work: impl FnOnce(&mut Load<'_>) -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    let _lease = store.lease()?;
    let workspace = store.workspace()?;
    let intake = Intake::new(store, &workspace);
    let source = match input {
        Input::Directory(root) => Source::Directory(root),
        Input::Stream(inner, total) => {
            let counted = Counted {
                inner,
                total,
                bytes: 0,
                reported: 0,
                progress,
            };
            Source::Archive(Scan::read(counted, &intake)?)
        }
    };
    work(&mut Load {
        store,
        intake: &intake,
        workspace: &workspace,
        source,
    })
}

/// Where the files of a load are.
enum Source {
    Directory(OwnedFd),
    /// Read already.
    Archive(Scan),
}

/// Loads one image of a layout directory or archive without giving it a name, and returns its id.
///
/// `wanted` is a tag or a digest; without one it is the only image, or the one tagged `latest`. Blocks.
pub fn load_one(
    store: &ImageStore,
    path: &Path,
    wanted: Option<&str>,
) -> Result<String, LoadError> {
    open_input(path)
        .and_then(|input| {
            load_input(store, input, &|_| {}, |load| {
                let names = load.one(path, wanted)?;
                Ok(names.into_iter().next().unwrap_or_default())
            })
        })
        .map_err(|error| error.of_archive(path, store.state()))
}

/// Tells how far the reading is.
struct Counted<'a> {
    inner: Box<dyn Read + Send>,
    total: Option<u64>,
    bytes: u64,
    reported: u64,
    progress: &'a dyn Fn(LoadProgress),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        if self.bytes - self.reported >= REPORT_BYTES {
            self.reported = self.bytes;
            (self.progress)(LoadProgress {
                bytes: self.bytes,
                total: self.total,
            });
        }
        Ok(count)
    }
}
