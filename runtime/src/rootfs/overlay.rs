//! The overlay of a container's layers, as a mount that is attached nowhere: the child attaches it in its own mount namespace, so the
//! host's mount table never shows it, and it goes when its descriptor is closed.
//!
//! Linux 6.8 takes layers one by one (`lowerdir+`). Older ones take one text of at most 4096 bytes through mount(2), which needs a
//! mount point: a helper process in a mount namespace of its own mounts there, clones the mount and hands the clone over.

use std::ffi::{CStr, CString};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountFlags, MountPropagationFlags, OpenTreeFlags};
use rustix::process::WaitIdOptions;

use crate::error::{Error, Step};
use crate::process::handover::Handover;
use crate::sys::clone::clone_child;
use crate::sys::mount::Attributes;

/// Options that keep an upper directory readable without overlayfs, so that it can become a layer.
const SETTINGS: [(&str, &str); 2] = [("redirect_dir", "off"), ("metacopy", "off")];

/// fsconfig(2) takes texts of less than 256 bytes.
const SETTING_BYTES_MAX: usize = 255;

/// mount(2) takes one page of options.
const OPTIONS_BYTES_MAX: usize = 4095;

/// Directories of an overlay.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// Layers, the topmost first.
    pub lowers: &'a [PathBuf],
    /// Writable directory.
    pub upper: &'a Path,
    /// Work directory, on the filesystem of `upper`.
    pub work: &'a Path,
    /// An existing directory; used only by [`Way::OneText`].
    pub mount_point: &'a Path,
}

/// How the kernel is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Layer by layer (Linux 6.8).
    LayerByLayer,
    /// In one text, by a helper process. The caller must be single-threaded.
    OneText,
}

/// Mounts an overlay and returns its root. Chooses the way by what the kernel understands.
pub fn mount(overlay: &Overlay<'_>) -> Result<OwnedFd, Error> {
    match mount_by(overlay, Way::LayerByLayer) {
        Err(error) if error.source.0 == libc::EINVAL && !understands_layers() => {
            mount_by(overlay, Way::OneText)
        }
        outcome => outcome,
    }
}

/// Mounts an overlay in one way.
pub fn mount_by(overlay: &Overlay<'_>, way: Way) -> Result<OwnedFd, Error> {
    match way {
        Way::LayerByLayer => layer_by_layer(overlay),
        Way::OneText => one_text(overlay),
    }
}

/// Tells whether the kernel knows `lowerdir+`: an unknown setting is refused at once, a known one looks its path up.
fn understands_layers() -> bool {
    let Ok(context) = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC) else {
        return false;
    };
    rustix::mount::fsconfig_set_string(context.as_fd(), c"lowerdir+", c"/").is_ok()
}

fn layer_by_layer(overlay: &Overlay<'_>) -> Result<OwnedFd, Error> {
    let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|errno| error(overlay, "", errno))?;
    // Long paths are named by descriptors, which live until the filesystem was made.
    let mut open = Vec::new();
    let mut set = |key: &str, path: &Path| {
        let outcome = short(path, &mut open)
            .and_then(|path| rustix::mount::fsconfig_set_string(context.as_fd(), key, path));
        outcome.map_err(|errno| {
            let text = format!("{key} {}{}", path.display(), complaint(&context));
            Error::new(Step::Overlay, text, errno)
        })
    };
    for lower in overlay.lowers {
        set("lowerdir+", lower)?;
    }
    set("upperdir", overlay.upper)?;
    set("workdir", overlay.work)?;
    for (key, value) in SETTINGS {
        set(key, Path::new(value))?;
    }
    rustix::mount::fsconfig_create(context.as_fd())
        .and_then(|()| {
            rustix::mount::fsmount(
                context.as_fd(),
                FsMountFlags::FSMOUNT_CLOEXEC,
                Attributes::empty(),
            )
        })
        .map_err(|errno| error(overlay, &complaint(&context), errno))
}

/// Returns the path, or `/proc/self/fd/N` for one that is too long for fsconfig(2).
fn short(path: &Path, open: &mut Vec<OwnedFd>) -> Result<CString, Errno> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() <= SETTING_BYTES_MAX {
        return CString::new(bytes).or(Err(Errno::INVAL));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    let text = CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).or(Err(Errno::INVAL))?;
    open.push(fd);
    Ok(text)
}

/// Returns what the filesystem says about the refusal (` (overlay: …)`), which the errno alone does not tell.
fn complaint(context: &OwnedFd) -> String {
    let mut text = [0; 1024];
    let Ok(copy) = context.try_clone() else {
        return String::new();
    };
    let length = std::fs::File::from(copy).read(&mut text).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..length]);
    // The first letter is the kind (e, w, i).
    match text.trim_end().split_once(' ') {
        Some((_, text)) => format!(" ({text})"),
        None => String::new(),
    }
}

fn one_text(overlay: &Overlay<'_>) -> Result<OwnedFd, Error> {
    let refuse = |errno| error(overlay, "", errno);
    let mut open = Vec::new();
    let options = options(overlay, &mut open).map_err(refuse)?;
    let mount_point = CString::new(overlay.mount_point.as_os_str().as_bytes())
        .map_err(|_nul| refuse(Errno::INVAL))?;
    let handover = Handover::new().map_err(refuse)?;
    let helper = clone_child(libc::CLONE_NEWNS as u64, None, || {
        let mount = mount_and_clone(&mount_point, &options);
        let answer = mount.as_ref().map(OwnedFd::as_fd).map_err(|errno| *errno);
        i32::from(handover.send(answer).is_err())
    })
    .map_err(refuse)?;
    let mount = handover.receive();
    let id = rustix::process::WaitId::PidFd(helper.pidfd.as_fd());
    rustix::process::waitid(id, WaitIdOptions::EXITED).map_err(refuse)?;
    mount.map_err(refuse)
}

/// Helper process: mounts where nobody else sees it, and clones the mount, which then lives as long as its descriptor.
fn mount_and_clone(mount_point: &CStr, options: &CStr) -> Result<OwnedFd, Errno> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", private)?;
    rustix::mount::mount(
        c"overlay",
        mount_point,
        c"overlay",
        MountFlags::empty(),
        options,
    )?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, mount_point, flags)
}

/// Writes the options as one text, with descriptors for the layers when their paths do not fit.
fn options(overlay: &Overlay<'_>, open: &mut Vec<OwnedFd>) -> Result<CString, Errno> {
    let text = options_text(overlay, overlay.lowers);
    if text.len() <= OPTIONS_BYTES_MAX {
        return CString::new(text).or(Err(Errno::INVAL));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut short = Vec::new();
    for lower in overlay.lowers {
        let fd = rustix::fs::open(lower, flags, Mode::empty())?;
        short.push(PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())));
        open.push(fd);
    }
    let text = options_text(overlay, &short);
    if text.len() > OPTIONS_BYTES_MAX {
        return Err(Errno::TOOBIG);
    }
    CString::new(text).or(Err(Errno::INVAL))
}

fn options_text(overlay: &Overlay<'_>, lowers: &[PathBuf]) -> Vec<u8> {
    let mut text = b"lowerdir=".to_vec();
    for (index, lower) in lowers.iter().enumerate() {
        if index > 0 {
            text.push(b':');
        }
        escape(lower, b":,\\", &mut text);
    }
    for (key, path) in [("upperdir", overlay.upper), ("workdir", overlay.work)] {
        text.extend_from_slice(format!(",{key}=").as_bytes());
        escape(path, b",\\", &mut text);
    }
    for (key, value) in SETTINGS {
        text.extend_from_slice(format!(",{key}={value}").as_bytes());
    }
    text
}

/// Writes a path with a backslash before each byte that would end it.
fn escape(path: &Path, special: &[u8], text: &mut Vec<u8>) {
    for byte in path.as_os_str().as_bytes() {
        if special.contains(byte) {
            text.push(b'\\');
        }
        text.push(*byte);
    }
}

fn error(overlay: &Overlay<'_>, complaint: &str, errno: Errno) -> Error {
    let (layers, upper) = (overlay.lowers.len(), overlay.upper.display());
    Error::new(
        Step::Overlay,
        format!("of {layers} layers with {upper}{complaint}"),
        errno,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lowers: &[&str]) -> String {
        let lowers: Vec<_> = lowers.iter().map(PathBuf::from).collect();
        let overlay = Overlay {
            lowers: &lowers,
            upper: Path::new("/u,p"),
            work: Path::new("/w:x"),
            mount_point: Path::new("/m"),
        };
        String::from_utf8(options(&overlay, &mut Vec::new()).unwrap().into_bytes()).unwrap()
    }

    #[test]
    fn special_bytes_of_paths_are_escaped() {
        assert_eq!(
            text(&["/a:b", "/c,d", "/e\\f"]),
            "lowerdir=/a\\:b:/c\\,d:/e\\\\f,upperdir=/u\\,p,workdir=/w:x,redirect_dir=off,metacopy=off"
        );
    }

    #[test]
    fn many_layers_are_named_by_descriptors() {
        let long = format!("/{}", "./".repeat(100));
        let text = text(&vec![long.as_str(); 100]);
        assert!(text.len() <= OPTIONS_BYTES_MAX);
        assert!(text.starts_with("lowerdir=/proc/self/fd/"));
    }
}
