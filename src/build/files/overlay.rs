//! Merged views of layers for the builder itself.
//!
//! The mount is never attached: `fsmount(2)` gives a descriptor that works as a directory and vanishes when it is closed, so neither
//! the host's mount table nor any other process ever sees it.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags},
};

/// overlayfs refuses more.
const LOWERS_MAX: usize = 500;

/// A merged view could not be made.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// Too many layers.
    #[error("{0} layers: overlayfs merges at most {LOWERS_MAX}")]
    TooMany(usize),
    /// The kernel refused.
    #[error("{step} of an overlay of {layers} layers{log}")]
    Kernel {
        /// Which call.
        step: &'static str,
        /// How many lower directories.
        layers: usize,
        /// The kernel's own words, if any.
        log: String,
        /// Its error.
        #[source]
        source: std::io::Error,
    },
}

/// Mounts `lowers` (the topmost first, at least two, or one with an upper) without attaching the mount anywhere.
///
/// `writable` is the upper and the work directory; without it the view is read-only.
pub(crate) fn mount(
    lowers: &[PathBuf],
    writable: Option<(&Path, &Path)>,
) -> Result<OwnedFd, OverlayError> {
    if lowers.len() > LOWERS_MAX {
        return Err(OverlayError::TooMany(lowers.len()));
    }
    let fail = |step| {
        move |errno: Errno| OverlayError::Kernel {
            step,
            layers: lowers.len(),
            log: String::new(),
            source: errno.into(),
        }
    };
    let context =
        rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail("open"))?;
    let set = |key: &str, value: &Path| {
        rustix::mount::fsconfig_set_string(&context, key, value)
            .map_err(fail("option"))
            .map_err(|error| with_log(error, &context))
    };
    for lower in lowers {
        set("lowerdir+", lower)?;
    }
    if let Some((upper, work)) = writable {
        set("upperdir", upper)?;
        set("workdir", work)?;
    }
    // An upper becomes a layer: it must hold whole files, and renamed directories must be copied.
    for key in ["redirect_dir", "metacopy", "index"] {
        set(key, Path::new("off"))?;
    }
    rustix::mount::fsconfig_create(&context)
        .map_err(fail("create"))
        .map_err(|error| with_log(error, &context))?;
    let attributes = match writable {
        Some(_) => MountAttrFlags::empty(),
        None => MountAttrFlags::MOUNT_ATTR_RDONLY,
    };
    let mount = rustix::mount::fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID,
    )
    .map_err(fail("mount"))?;
    // The descriptor of fsmount is O_PATH; this one can also be listed.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(&mount, ".", flags, Mode::empty()).map_err(fail("open the root"))
}

/// Adds what the kernel logged to the context: `e overlay: …`.
fn with_log(error: OverlayError, context: &OwnedFd) -> OverlayError {
    let OverlayError::Kernel {
        step,
        layers,
        source,
        ..
    } = error
    else {
        return error;
    };
    let mut log = String::new();
    let mut buffer = [0; 512];
    // Bounded: the kernel keeps 8 messages.
    for _ in 0..8 {
        let Ok(length) = rustix::io::read(context, &mut buffer) else {
            break;
        };
        let message = String::from_utf8_lossy(&buffer[..length]);
        log.push_str(": ");
        log.push_str(message.trim_end().trim_start_matches(['e', 'w', 'i', ' ']));
    }
    OverlayError::Kernel {
        step,
        layers,
        log,
        source,
    }
}
