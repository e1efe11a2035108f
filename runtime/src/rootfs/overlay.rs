//! The overlay of a container's layers, as a mount that is attached nowhere: the child attaches it in its own mount namespace, so the
//! host's mount table never shows it, and it goes when its descriptor is closed.
//!
//! Linux 6.8 takes layers one by one (`lowerdir+`). Older ones take one text of at most 4096 bytes through mount(2), which needs a
//! mount point: a helper process in a mount namespace of its own mounts there, clones the mount and hands the clone over.

use std::ffi::{CStr, CString};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountFlags, MountPropagationFlags, OpenTreeFlags};
use rustix::path::DecInt;
use rustix::process::WaitIdOptions;

use super::mounts::{attach, clone_tree};
use super::path_buffer::PathBuffer;
use crate::error::{Error, Step};
pub use crate::namespaces::users::Owners;
use crate::process::handover::Handover;
use crate::sys::clone::clone_child;
use crate::sys::mount::{Attributes, map_users};

/// Options that keep an upper directory readable without overlayfs, so that it can become a layer.
///
/// Without an index the upper directory of a container that ended a moment ago can be used again while the kernel still cleans up.
const SETTINGS: [(&str, &str); 3] = [
    ("redirect_dir", "off"),
    ("metacopy", "off"),
    ("index", "off"),
];

/// fsconfig(2) takes texts of less than 256 bytes.
const SETTING_BYTES_MAX: usize = 255;

/// mount(2) takes one page of options.
const OPTIONS_BYTES_MAX: usize = 4095;

/// Directories of an overlay.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// Layers, the topmost first.
    pub lowers: &'a [PathBuf],
    /// What takes the writes; `None` = a read-only overlay, of two layers at least.
    pub upper: Option<Upper<'a>>,
    /// An existing directory; used only by [`Way::OneText`].
    pub mount_point: &'a Path,
    /// A user namespace: files on disk belong to its users (Linux 5.19). Always [`Way::OneText`]. The writable directories must have one
    /// parent, because they must be on one mount.
    pub users: Option<Owners<'a>>,
}

impl Overlay<'_> {
    fn is_volatile(&self) -> bool {
        self.upper.is_some_and(|upper| upper.volatile)
    }
}

/// What takes the writes of an overlay.
#[derive(Debug, Clone, Copy)]
pub struct Upper<'a> {
    /// Writable directory.
    pub directory: &'a Path,
    /// Work directory, on the filesystem of `directory`.
    pub work: &'a Path,
    /// It is never synced.
    pub volatile: bool,
}

/// Leaves out lower occurrences of a layer that lies twice in an image: overlayfs takes a directory only once (ELOOP), and what the upper
/// occurrence holds covers the lower one whole.
pub fn without_repeats(lowers: &[PathBuf]) -> Vec<PathBuf> {
    let mut seen = std::collections::HashSet::new();
    lowers
        .iter()
        .filter(|lower| seen.insert(*lower))
        .cloned()
        .collect()
}

/// How the kernel is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Layer by layer (Linux 6.8).
    LayerByLayer,
    /// In one text, by a helper process. The caller must be single-threaded.
    OneText,
}

/// Mounts an overlay and returns its root, in the way that the kernel understands.
pub fn mount(overlay: &Overlay<'_>) -> Result<OwnedFd, Error> {
    let way = if overlay.users.is_some() {
        Way::OneText
    } else {
        best_way()
    };
    mount_by(overlay, way)
}

/// Mounts layers only, read-only.
pub(crate) fn mount_lowers(
    lowers: &[PathBuf],
    users: Option<Owners<'_>>,
) -> Result<OwnedFd, Error> {
    let refuse = || Error::new(Step::Overlay, "of no layers", Errno::INVAL);
    mount(&Overlay {
        lowers,
        upper: None,
        // Any directory will do, because nobody else sees it covered.
        mount_point: lowers.first().ok_or_else(refuse)?,
        users,
    })
}

/// Returns the best way that the kernel understands. Asked once: an unknown setting costs a line in the kernel's log.
pub fn best_way() -> Way {
    static BEST: OnceLock<Way> = OnceLock::new();
    *BEST.get_or_init(|| {
        if understands_layers() {
            Way::LayerByLayer
        } else {
            Way::OneText
        }
    })
}

/// Mounts an overlay in one way.
pub fn mount_by(overlay: &Overlay<'_>, way: Way) -> Result<OwnedFd, Error> {
    match way {
        Way::LayerByLayer => layer_by_layer(overlay),
        Way::OneText => one_text(overlay),
    }
}

/// Tells whether the kernel knows `lowerdir+`. Before Linux 6.5 overlayfs takes any setting at first and refuses it at the end, so one
/// that no kernel knows is tried too.
fn understands_layers() -> bool {
    let Ok(context) = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC) else {
        return false;
    };
    let takes = |key: &CStr| rustix::mount::fsconfig_set_string(context.as_fd(), key, c"/").is_ok();
    !takes(c"no_such_setting") && takes(c"lowerdir+")
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
    if let Some(upper) = &overlay.upper {
        set("upperdir", upper.directory)?;
        set("workdir", upper.work)?;
    }
    if overlay.is_volatile() {
        rustix::mount::fsconfig_set_flag(context.as_fd(), c"volatile")
            .map_err(|errno| error(overlay, &complaint(&context), errno))?;
    }
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
    let options = Options::of(overlay).map_err(refuse)?;
    let mount_point = c_text(overlay.mount_point).map_err(refuse)?;
    let mapped = mapped(overlay).map_err(refuse)?;
    let handover = Handover::new().map_err(refuse)?;
    let helper = clone_child(libc::CLONE_NEWNS, None, || {
        let mount = mount_and_clone(&mount_point, &options, (&mapped, overlay.users));
        let answer = mount.as_ref().map(OwnedFd::as_fd).map_err(|errno| *errno);
        i32::from(handover.send(answer).is_err())
    })
    .map_err(refuse)?;
    let mount = handover.receive();
    let id = rustix::process::WaitId::PidFd(helper.pidfd.as_fd());
    rustix::process::waitid(id, WaitIdOptions::EXITED).map_err(refuse)?;
    mount.map_err(|errno| missing(overlay).unwrap_or_else(|| refuse(errno)))
}

/// Finds a directory that is not there; the kernel's answer to one text does not name it.
fn missing(overlay: &Overlay<'_>) -> Option<Error> {
    let lowers = overlay
        .lowers
        .iter()
        .map(|lower| ("lowerdir", lower.as_path()));
    let upper = overlay.upper.iter();
    let upper = upper.flat_map(|upper| [("upperdir", upper.directory), ("workdir", upper.work)]);
    lowers.chain(upper).find_map(|(key, path)| {
        let errno = rustix::fs::stat(path).err()?;
        Some(Error::new(
            Step::Overlay,
            format!("{key} {}", path.display()),
            errno,
        ))
    })
}

/// The directories that get the users of another namespace: each layer, and what holds the writable directories.
fn mapped(overlay: &Overlay<'_>) -> Result<Vec<CString>, Errno> {
    if overlay.users.is_none() {
        return Ok(Vec::new());
    }
    let mut paths: Vec<&Path> = overlay.lowers.iter().map(PathBuf::as_path).collect();
    if let Some(upper) = &overlay.upper {
        let parent = upper.directory.parent().ok_or(Errno::INVAL)?;
        if upper.work.parent() != Some(parent) {
            return Err(Errno::XDEV);
        }
        paths.push(parent);
    }
    paths.into_iter().map(c_text).collect()
}

/// Helper process: mounts where nobody else sees it, and clones the mount, which then lives as long as its descriptor.
fn mount_and_clone(
    mount_point: &CStr,
    options: &Options,
    (mapped, users): (&[CString], Option<Owners<'_>>),
) -> Result<OwnedFd, Errno> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", private)?;
    if let Some(users) = users {
        for path in mapped {
            cover_mapped(path, users.namespace)?;
        }
        // overlayfs makes its work directory as whoever mounts it.
        users.act_as_root()?;
    }
    let short;
    let text = match options {
        Options::Text(text) => text.as_c_str(),
        Options::Long { lowers, rest } => {
            short = shorten(lowers, rest)?;
            short.as_c_str()
        }
    };
    rustix::mount::mount(
        c"overlay",
        mount_point,
        c"overlay",
        MountFlags::empty(),
        text,
    )?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, mount_point, flags)
}

/// Helper process: covers a directory with itself, as other users see it.
fn cover_mapped(path: &CStr, users: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = rustix::fs::open(path, flags, Mode::empty())?;
    let tree = clone_tree(place.as_fd(), false)?;
    map_users(tree.as_fd(), users, false)?;
    attach(tree.as_fd(), place.as_fd())
}

/// Helper process: names the layers by descriptors, relative to the directory of descriptors, in a text that fits. They must be opened
/// here: the kernel takes only layers of the mount namespace that mounts.
fn shorten(lowers: &[CString], rest: &[u8]) -> Result<PathBuffer, Errno> {
    rustix::process::chdir(c"/proc/self/fd")?;
    let mut text = PathBuffer::of(b"lowerdir=")?;
    for (index, lower) in lowers.iter().enumerate() {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // It stays open until this process ends.
        let number = rustix::fs::open(lower.as_c_str(), flags, Mode::empty())?.into_raw_fd();
        text.push(if index > 0 { b":" } else { b"" })?;
        text.push(DecInt::new(number).as_bytes())?;
    }
    text.push(rest)?;
    Ok(text)
}

/// Options of one text.
enum Options {
    /// They fit as they are.
    Text(CString),
    /// They do not.
    Long {
        /// Layers, the topmost first.
        lowers: Vec<CString>,
        /// What follows the layers.
        rest: Vec<u8>,
    },
}

impl Options {
    fn of(overlay: &Overlay<'_>) -> Result<Self, Errno> {
        let mut text = b"lowerdir=".to_vec();
        for (index, lower) in overlay.lowers.iter().enumerate() {
            if index > 0 {
                text.push(b':');
            }
            escape(lower, b":,\\", &mut text);
        }
        let mut rest = Vec::new();
        let upper = overlay.upper.iter();
        for (key, path) in
            upper.flat_map(|upper| [("upperdir", upper.directory), ("workdir", upper.work)])
        {
            rest.extend_from_slice(format!(",{key}=").as_bytes());
            escape(path, b",\\", &mut rest);
        }
        if overlay.is_volatile() {
            rest.extend_from_slice(b",volatile");
        }
        for (key, value) in SETTINGS {
            rest.extend_from_slice(format!(",{key}={value}").as_bytes());
        }
        if text.len() + rest.len() > OPTIONS_BYTES_MAX {
            let lowers = overlay.lowers.iter().map(|lower| c_text(lower));
            return Ok(Self::Long {
                lowers: lowers.collect::<Result<_, _>>()?,
                rest,
            });
        }
        text.extend_from_slice(&rest);
        CString::new(text).map(Self::Text).or(Err(Errno::INVAL))
    }
}

fn c_text(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).or(Err(Errno::INVAL))
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
    let layers = overlay.lowers.len();
    let upper = match &overlay.upper {
        Some(upper) => format!(" with {}", upper.directory.display()),
        None => String::new(),
    };
    let text = if overlay.users.is_some() && errno == Errno::INVAL {
        // What the kernel says to a filesystem without mapped mounts, or to mapped layers before Linux 5.19.
        format!(
            "of {layers} layers{upper} for a user namespace; does its filesystem have mapped mounts?{complaint}"
        )
    } else {
        format!("of {layers} layers{upper}{complaint}")
    };
    Error::new(Step::Overlay, text, errno)
}

#[cfg(test)]
mod tests;
