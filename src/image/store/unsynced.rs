//! What has its name and is not on the disk yet.
//!
//! A layer or blob gets its name as soon as its files are complete. Every process sees it from then on, whoever is killed; only a machine that
//! stops before it has written its memory to the disk can leave the name without the content. So a mark is made when the content is complete and
//! has no name yet, and taken away by a thread that has had everything written (syncfs(2)) since:
//!
//! ```text
//! unsynced/<boot id>/<random>-layer-<name>      a directory in layers/
//! unsynced/<boot id>/<random>-blob-<hex>        a file in blobs/sha256/
//! ```
//!
//! A mark of another boot says that the machine stopped too early. What it names counts as never fetched then, see [`ImageStore::recover`].
//! This asks of the file system that it keeps the order in which names were made and removed, as ext4, XFS, Btrfs, F2FS and ZFS do.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    os::fd::AsFd,
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

use fs_err as fs;
use rustix::fs::syncfs;

use super::{
    ImageError, ImageStore, Workspace,
    ingest::lock_waiting,
    remove::{aside, list},
    workspace::random,
};
use crate::{model::Digest, store::boot_id};

/// Larger blobs are not read again when their content is in doubt, but taken up as a partial download when they are wanted next.
const READ_MAX: u64 = 16 << 20;

/// Writing back begins when nothing was marked for so long.
const QUIET: Duration = Duration::from_secs(2);
/// It begins after this time in any case.
const POSTPONED_MAX: Duration = Duration::from_secs(10);

/// State roots for which a thread of this process waits.
static WAITING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// What a mark is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named<'a> {
    /// A layer, by the name of its directory.
    Layer(&'a str),
    /// A blob.
    Blob(&'a Digest),
}

impl ImageStore {
    /// Makes the directories of layers and blobs. The disk has them before there is any name in them: a file system may write a new directory, with
    /// all that is in it, before its turn (Btrfs does at an fsync(2) of the directory above).
    pub(super) fn prepare(&self) -> Result<(), ImageError> {
        let new: Vec<PathBuf> = [self.layers(), self.blobs()]
            .into_iter()
            .filter(|directory| !directory.is_dir())
            .collect();
        let prepared = || -> io::Result<()> {
            for directory in &new {
                fs::create_dir_all(directory)?;
            }
            if let Some(directory) = new.last() {
                syncfs(fs::File::open(directory)?.as_fd())?;
            }
            Ok(())
        };
        prepared().map_err(ImageError::io("make the image store"))
    }

    /// Notes what is complete, gets its name next, and is not on the disk.
    pub(super) fn mark(&self, all: &[Named<'_>]) -> Result<(), ImageError> {
        let failed = || ImageError::io("note what is not on the disk yet");
        let boot = self.own_marks()?;
        fs::create_dir_all(&boot).map_err(failed())?;
        let random = random()?;
        for named in all {
            let name = match named {
                Named::Layer(name) => format!("{random}-layer-{name}"),
                Named::Blob(digest) => format!("{random}-blob-{}", digest.hex()),
            };
            fs::File::create_new(boot.join(name)).map_err(failed())?;
        }
        Ok(())
    }

    /// Has everything that is marked written to the disk by and by, and does not wait for it.
    ///
    /// While the disk takes all that, whoever else asks it to keep something (fsync(2)) waits too: the containers that are started with a fresh image
    /// would. So it begins when nothing new has been marked for a while.
    pub(crate) fn write_back(&self) {
        if !self.has_marks() {
            return;
        }
        let store = self.clone();
        let thread = std::thread::Builder::new().name("write-back".to_owned());
        if thread
            .spawn(move || tell(store.write_when_quiet()))
            .is_err()
        {
            tell(self.flush());
        }
    }

    /// Leaves it to the thread that waits already, which looks again when it has written.
    fn write_when_quiet(&self) -> Result<(), ImageError> {
        let waiting = || WAITING.lock().expect("no holder of this lock panics");
        let root = self.root.state();
        while self.has_marks() && waiting().insert(root.to_owned()) {
            let written = self.wait_until_quiet().and_then(|()| self.flush());
            waiting().remove(root);
            written?;
        }
        Ok(())
    }

    fn wait_until_quiet(&self) -> Result<(), ImageError> {
        let began = Instant::now();
        let mut marks = Vec::new();
        while began.elapsed() < POSTPONED_MAX {
            let now = list(&self.own_marks()?)?;
            if now == marks {
                break;
            }
            marks = now;
            std::thread::park_timeout(QUIET);
        }
        Ok(())
    }

    /// Gives up what the machine had not written when it stopped: images of such layers are no images any more, and are pulled or built again.
    ///
    /// To be called before the first use in a boot; [`ImageStore::lease`] does. Blobs are kept where their content proves right.
    pub fn recover(&self) -> Result<(), ImageError> {
        let own = own_boot()?;
        let lost = || -> Result<Vec<PathBuf>, ImageError> {
            let boots = list(&self.unsynced())?.into_iter();
            let others = boots.filter(|boot| *boot != own);
            Ok(others.map(|boot| self.unsynced().join(boot)).collect())
        };
        if lost()?.is_empty() {
            return Ok(());
        }
        let lock = self.lock_index()?;
        let trash = Workspace::create(&self.root.tmp(), None)?;
        for boot in lost()? {
            let marks = list(&boot)?;
            // A boot that ended well leaves an empty directory.
            if !marks.is_empty() {
                self.give_up(&marks, &trash)?;
            }
            let removed = || -> io::Result<()> {
                for mark in &marks {
                    fs::remove_file(boot.join(mark))?;
                }
                fs::remove_dir(&boot)
            };
            removed().map_err(ImageError::io("forget what was lost"))?;
        }
        drop(lock);
        drop(trash);
        Ok(())
    }

    /// Files first, the index next: whenever this is cut off, no image is found that is not whole. What is whole of an image that is not stays for the
    /// next pull, or goes with the next prune.
    fn give_up(&self, marks: &[String], trash: &Workspace) -> Result<(), ImageError> {
        let named = |kind: &str| -> HashSet<&str> {
            let names = marks.iter().filter_map(|mark| mark.split_once(kind));
            names.map(|(_random, name)| name).collect()
        };
        let layers = named("-layer-");
        for name in &layers {
            aside(&self.layers().join(name), &trash.path().join(name))?;
        }
        for hex in named("-blob-") {
            if let Ok(digest) = format!("sha256:{hex}").parse::<Digest>() {
                self.doubt(&digest)?;
            }
        }
        let mut index = self.index()?;
        let before = index.images.len();
        index.images.retain(|id, image| {
            let is_whole = !image.layers.iter().any(|name| layers.contains(&**name));
            is_whole && self.has_blob(id)
        });
        let images = &index.images;
        index
            .references
            .retain(|_, named| images.contains_key(&named.image));
        for named in index.references.values_mut() {
            named.platforms.retain(|id| images.contains_key(id));
        }
        tracing::warn!(
            layers = layers.len(),
            images = before - index.images.len(),
            "the machine stopped before it had written these to the disk: they are gone"
        );
        index.write(&self.index_path())
    }

    /// Keeps a blob only if its content is right.
    fn doubt(&self, digest: &Digest) -> Result<(), ImageError> {
        let blob = self.blob(digest);
        let size = match fs::symlink_metadata(&blob) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result.map_err(ImageError::io("look at a blob"))?.len(),
        };
        if size <= READ_MAX {
            if self.read_blob(digest)?.is_none() {
                fs::remove_file(&blob).map_err(ImageError::io("remove a blob"))?;
            }
            return Ok(());
        }
        let ingest = self.ingest();
        fs::create_dir_all(&ingest).map_err(ImageError::io("make the download directory"))?;
        fs::rename(&blob, ingest.join(format!("{}.part", digest.hex())))
            .map_err(ImageError::io("take a blob for a partial download"))
    }

    /// Waits until everything in the store is on the disk: writes until nothing is marked. Blocks.
    pub fn flush(&self) -> Result<(), ImageError> {
        let failed = || ImageError::io("write images to the disk");
        let boot = self.own_marks()?;
        while self.has_marks() {
            let directory = match fs::File::open(&boot) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                result => result.map_err(failed())?,
            };
            lock_waiting(&directory).map_err(failed())?;
            let marks = list(&boot)?;
            if let Err(errno) = syncfs(directory.as_fd()) {
                // The kernel tells it once and may have dropped what it could not write: nobody may build on that.
                let given_up = self.unsynced().join(format!("failed-{}", random()?));
                fs::rename(&boot, given_up).map_err(failed())?;
                return Err(failed()(errno.into()));
            }
            for mark in marks {
                match fs::remove_file(boot.join(mark)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed()(error));
                    }
                    _ => {}
                }
            }
            directory.sync_all().map_err(failed())?;
        }
        Ok(())
    }

    /// Tells whether anything is marked in this boot.
    fn has_marks(&self) -> bool {
        let marks = self.own_marks();
        marks.is_ok_and(|marks| fs::read_dir(marks).is_ok_and(|mut all| all.next().is_some()))
    }

    /// Returns the directory of this boot's marks.
    fn own_marks(&self) -> Result<PathBuf, ImageError> {
        Ok(self.unsynced().join(own_boot()?))
    }

    fn unsynced(&self) -> PathBuf {
        self.root.state().join("unsynced")
    }
}

fn tell(written: Result<(), ImageError>) {
    if let Err(error) = written {
        let error: &dyn std::error::Error = &error;
        tracing::error!(
            error,
            "the disk does not take what was fetched or built: it will be gone"
        );
    }
}

/// Returns the name of this boot.
fn own_boot() -> Result<String, ImageError> {
    match boot_id() {
        boot if boot.is_empty() => Err(ImageError::Io {
            intent: "read the name of this boot in /proc",
            source: io::ErrorKind::NotFound.into(),
        }),
        boot => Ok(boot),
    }
}
