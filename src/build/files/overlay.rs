//! Merged views of layers for the builder itself.
//!
//! The mount is never attached where anybody sees it. `fsmount(2)` gives a descriptor that works as a directory and vanishes when it is
//! closed. Before Linux 6.8, which takes layers one by one, a thread with a mount namespace of its own mounts from one text and opens
//! the root; the namespace goes with the thread, the descriptor keeps the mount.

use std::{
    ffi::OsString,
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags},
};

/// overlayfs refuses more.
const LOWERS_MAX: usize = 500;
/// mount(2) takes one page of options.
const OPTIONS_BYTES_MAX: usize = 4095;
/// An upper becomes a layer: it must hold whole files, and renamed directories must be copied.
const OFF: [&str; 3] = ["redirect_dir", "metacopy", "index"];

/// A merged view could not be made.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// Too many layers.
    #[error("{0} layers: overlayfs merges at most {LOWERS_MAX}")]
    TooMany(usize),
    /// The names of the layers are too long for a kernel before 6.8.
    #[error(
        "{0} layers: their paths are longer than the {OPTIONS_BYTES_MAX} bytes that Linux before 6.8 takes"
    )]
    TooLong(usize),
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
    match mount_detached(lowers, writable) {
        Err(OverlayError::Kernel { source, .. })
            if source.raw_os_error() == Some(libc::EINVAL) && !takes_layers_one_by_one() =>
        {
            mount_in_thread(lowers, writable)
        }
        outcome => outcome,
    }
}

/// Whether the kernel knows `lowerdir+`: an unknown setting is refused at once, a known one looks its path up.
fn takes_layers_one_by_one() -> bool {
    rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .and_then(|context| rustix::mount::fsconfig_set_string(&context, "lowerdir+", "/"))
        .is_ok()
}

fn mount_detached(
    lowers: &[PathBuf],
    writable: Option<(&Path, &Path)>,
) -> Result<OwnedFd, OverlayError> {
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
    for key in OFF {
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

/// Mounts from one text in a mount namespace that ends with its thread.
fn mount_in_thread(
    lowers: &[PathBuf],
    writable: Option<(&Path, &Path)>,
) -> Result<OwnedFd, OverlayError> {
    let options = options(lowers, writable)?;
    // Anything that exists: what lies below is hidden in that namespace only.
    let Some(place) = lowers.last() else {
        return Err(OverlayError::TooLong(0));
    };
    let fail = |step| {
        move |errno: i32| OverlayError::Kernel {
            step,
            layers: lowers.len(),
            log: String::new(),
            source: std::io::Error::from_raw_os_error(errno),
        }
    };
    let work = || {
        use nix::{
            mount::{MsFlags, mount},
            sched::{CloneFlags, unshare},
        };
        let errno = |errno: nix::errno::Errno| errno as i32;
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)
            .map_err(errno)
            .map_err(fail("leave the mount namespace"))?;
        let none = None::<&str>;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(none, "/", none, private, none)
            .map_err(errno)
            .map_err(fail("make mounts private"))?;
        let mut flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        flags.set(MsFlags::MS_RDONLY, writable.is_none());
        let kind = Some("overlay");
        mount(kind, place, kind, flags, Some(options.as_os_str()))
            .map_err(errno)
            .map_err(fail("mount"))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(place, flags, Mode::empty())
            .map_err(|errno| fail("open the root")(errno.raw_os_error()))
    };
    std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Returns the options as one text; `:`, `,` and `\` in paths are escaped.
fn options(lowers: &[PathBuf], writable: Option<(&Path, &Path)>) -> Result<OsString, OverlayError> {
    let mut text = b"lowerdir=".to_vec();
    let push = |text: &mut Vec<u8>, path: &Path| {
        for byte in path.as_os_str().as_bytes() {
            if matches!(byte, b':' | b',' | b'\\') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
    };
    for (number, lower) in lowers.iter().enumerate() {
        if number > 0 {
            text.push(b':');
        }
        push(&mut text, lower);
    }
    if let Some((upper, work)) = writable {
        text.extend_from_slice(b",upperdir=");
        push(&mut text, upper);
        text.extend_from_slice(b",workdir=");
        push(&mut text, work);
    }
    for key in OFF {
        text.extend_from_slice(format!(",{key}=off").as_bytes());
    }
    if text.len() > OPTIONS_BYTES_MAX {
        return Err(OverlayError::TooLong(lowers.len()));
    }
    Ok(OsString::from_vec(text))
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

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make files where they need them"
)]
mod tests {
    use std::{fs, os::fd::AsRawFd};

    use super::*;

    type Way = fn(&[PathBuf], Option<(&Path, &Path)>) -> Result<OwnedFd, OverlayError>;

    #[test]
    fn both_ways_merge_write_and_are_seen_by_nobody() {
        let ways: [Way; 2] = [mount_detached, mount_in_thread];
        for way in ways {
            let directory = tempfile::tempdir().unwrap();
            let make = |name: &str| {
                let path = directory.path().join(name);
                fs::create_dir(&path).unwrap();
                path
            };
            // Both characters mean something in a text of options.
            let lowers = [make("top,a"), make("below:b")];
            let (upper, work) = (make("upper"), make("work"));
            fs::write(lowers[0].join("both"), "top").unwrap();
            fs::write(lowers[1].join("both"), "below").unwrap();
            fs::write(lowers[1].join("low"), "low").unwrap();
            let merged = way(&lowers, Some((&upper, &work))).unwrap();
            let at = |name: &str| format!("/proc/self/fd/{}/{name}", merged.as_raw_fd());
            assert_eq!(fs::read_to_string(at("both")).unwrap(), "top");
            fs::remove_file(at("low")).unwrap();
            fs::write(at("new"), "new").unwrap();
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            assert!(!mounts.contains(directory.path().to_str().unwrap()));
            drop(merged);
            assert_eq!(fs::read_to_string(upper.join("new")).unwrap(), "new");
            assert!(fs::symlink_metadata(upper.join("low")).is_ok());
            let view = way(&lowers, None).unwrap();
            let path = format!("/proc/self/fd/{}/x", view.as_raw_fd());
            assert!(fs::write(path, "").is_err());
        }
    }

    #[test]
    fn too_much_is_refused_before_the_kernel_is_asked() {
        let many = vec![PathBuf::from("/"); LOWERS_MAX + 1];
        assert!(matches!(
            mount(&many, None),
            Err(OverlayError::TooMany(501))
        ));
        let long = vec![PathBuf::from("/".repeat(50)); 100];
        assert!(matches!(
            options(&long, None),
            Err(OverlayError::TooLong(100))
        ));
    }
}
