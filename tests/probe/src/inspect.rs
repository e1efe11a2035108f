//! What the process has and may do.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// Text of a command.
pub(crate) type Outcome = io::Result<String>;

/// Returns the kernel's name of an error.
pub(crate) fn error_name(error: &io::Error) -> String {
    let name = match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM",
        Some(libc::ENOENT) => "ENOENT",
        Some(libc::EACCES) => "EACCES",
        Some(libc::EROFS) => "EROFS",
        Some(libc::ETXTBSY) => "ETXTBSY",
        Some(libc::ENOTDIR) => "ENOTDIR",
        Some(libc::ELOOP) => "ELOOP",
        Some(libc::EIO) => "EIO",
        Some(libc::ENXIO) => "ENXIO",
        Some(libc::ENOSYS) => "ENOSYS",
        Some(libc::EINVAL) => "EINVAL",
        Some(libc::ENOSPC) => "ENOSPC",
        Some(libc::EBUSY) => "EBUSY",
        Some(libc::ENOTTY) => "ENOTTY",
        _ => return error.to_string(),
    };
    name.to_owned()
}

pub(crate) fn read(path: &str) -> Outcome {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

/// Writes to a file that exists.
pub(crate) fn write(path: &str, text: &str) -> Outcome {
    OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(text.as_bytes())?;
    Ok("written".to_owned())
}

/// Makes a file.
pub(crate) fn create(path: &str) -> Outcome {
    OpenOptions::new().write(true).create_new(true).open(path)?;
    Ok("created".to_owned())
}

/// Opens for reading (`r`) or writing (`w`).
pub(crate) fn open(mode: &str, path: &str) -> Outcome {
    let mut options = OpenOptions::new();
    options.read(mode.contains('r')).write(mode.contains('w'));
    // A log device or terminal might block.
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options.open(path)?;
    Ok("opened".to_owned())
}

/// Makes the node of a character device; `numbers` is `major:minor`.
pub(crate) fn node(path: &str, numbers: &str) -> Outcome {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    let number = |text: &str| text.parse::<u32>().map_err(|_error| invalid());
    let device = libc::makedev(number(major)?, number(minor)?);
    let path = CString::new(path)?;
    // SAFETY: the path ends with a null byte and lives through the call.
    let outcome = unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, device) };
    if outcome == 0 {
        Ok("made".to_owned())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Changes the owner; `owner` is `uid:gid`.
pub(crate) fn chown(path: &str, owner: &str) -> Outcome {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let (uid, gid) = owner.split_once(':').ok_or_else(invalid)?;
    let number = |text: &str| text.parse::<u32>().map_err(|_error| invalid());
    std::os::unix::fs::chown(path, Some(number(uid)?), Some(number(gid)?))?;
    Ok("changed".to_owned())
}

pub(crate) fn list(path: &str) -> Outcome {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(" "))
}

/// Type, mode, owner and, for devices, numbers.
pub(crate) fn stat(path: &str) -> Outcome {
    let metadata = fs::symlink_metadata(path)?;
    let file_type = metadata.file_type();
    let kind = match file_type {
        kind if kind.is_dir() => "directory",
        kind if kind.is_symlink() => "link",
        kind if kind.is_char_device() => "char",
        kind if kind.is_block_device() => "block",
        kind if kind.is_fifo() => "fifo",
        kind if kind.is_socket() => "socket",
        _ => "file",
    };
    let (mode, uid, gid) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    let device = metadata.rdev();
    let numbers = format!("{}:{}", libc::major(device), libc::minor(device));
    Ok(format!("{kind} {mode:o} {uid}:{gid} {numbers}"))
}

/// Numbers of the open descriptors, without the one that reads the list.
pub(crate) fn descriptors() -> Outcome {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let is_list = fs::read_link(entry.path())
            .is_ok_and(|target| target.starts_with("/proc/") && target.ends_with("fd"));
        if !is_list {
            numbers.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    numbers.sort();
    Ok(numbers.join(" "))
}

pub(crate) fn environment() -> String {
    let entries = std::env::vars().map(|(name, value)| format!("{name}={value}"));
    entries.collect::<Vec<_>>().join("\n")
}

/// `uid gid groups`, the groups with commas between them.
pub(crate) fn ids() -> Outcome {
    let mut groups = vec![0; 1024];
    // SAFETY: the array has as many places as the first argument says.
    let count = unsafe { libc::getgroups(1024, groups.as_mut_ptr()) };
    let count = usize::try_from(count).map_err(|_negative| io::Error::last_os_error())?;
    let groups: Vec<_> = groups[..count].iter().map(ToString::to_string).collect();
    // SAFETY: the call has no arguments and cannot fail.
    let uid = unsafe { libc::getuid() };
    // SAFETY: the call has no arguments and cannot fail.
    let gid = unsafe { libc::getgid() };
    Ok(format!("{uid} {gid} {}", groups.join(",")))
}

/// Host name and domain name.
pub(crate) fn names() -> Outcome {
    let host = read("/proc/sys/kernel/hostname")?;
    let domain = read("/proc/sys/kernel/domainname")?;
    Ok(format!("{} {}", host.trim(), domain.trim()))
}

pub(crate) fn namespaces() -> Outcome {
    let mut lines = Vec::new();
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        lines.push(
            fs::read_link(format!("/proc/self/ns/{name}"))?
                .display()
                .to_string(),
        );
    }
    Ok(lines.join(" "))
}

pub(crate) fn umask() -> String {
    // SAFETY: the call takes an integer and cannot fail.
    let mask = unsafe { libc::umask(0) };
    format!("{mask:o}")
}

/// Names of the network links that are up.
pub(crate) fn links() -> Outcome {
    let mut up = Vec::new();
    for entry in fs::read_dir("/sys/class/net")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let flags = read(&format!("/sys/class/net/{name}/flags"))?;
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0);
        if flags & 1 == 1 {
            up.push(name);
        }
    }
    Ok(up.join(" "))
}

/// Size of the controlling terminal, which must be that of standard input.
pub(crate) fn terminal() -> Outcome {
    let terminal = fs::File::open("/dev/tty")?;
    let mut sizes = Vec::new();
    for number in [0, std::os::fd::AsRawFd::as_raw_fd(&terminal)] {
        // SAFETY: all-zero is a valid value of this struct of integers.
        let mut size: libc::winsize = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes one winsize to the place given.
        if unsafe { libc::ioctl(number, libc::TIOCGWINSZ, &raw mut size) } != 0 {
            return Err(io::Error::last_os_error());
        }
        sizes.push(format!("{}x{}", size.ws_row, size.ws_col));
    }
    Ok(sizes.join(" "))
}

/// Tries to mount a tmpfs.
pub(crate) fn mount(path: &str) -> Outcome {
    let path = CString::new(path)?;
    // SAFETY: the texts end with a null byte and live through the call; there is no data.
    let result = unsafe {
        libc::mount(
            c"t".as_ptr(),
            path.as_ptr(),
            c"tmpfs".as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    if result == 0 {
        Ok("mounted".to_owned())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Number of the session keyring.
pub(crate) fn keyring() -> Outcome {
    // SAFETY: the call takes integers: KEYCTL_GET_KEYRING_ID of the session keyring, not made when missing.
    let id = unsafe { libc::syscall(libc::SYS_keyctl, 0, -3, 0) };
    if id < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(id.to_string())
    }
}
