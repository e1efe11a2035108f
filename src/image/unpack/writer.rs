//! Turns entries into files. The only code that writes into a layer's directory while it is unpacked.

use std::{
    io::Read,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, ftruncate, linkat, makedev, mkdirat, mknodat, openat,
        statat, symlinkat,
    },
    io::Errno,
};

use super::{
    Limits, UnpackError, Unpacked, Whiteouts,
    attributes::{self, Attributes, Overlay},
    files::{CHUNK, existing, is_whiteout, is_whiteout_stat, remove_any, write_at},
    kernel, kernel_at,
    parents::{Parents, Path, clean},
    pending::{Links, Newest, Times, within},
    reader::{Entry, Kind, TarReader},
    refuse,
    replaced::Aside,
};

/// Notes kept; more say nothing new.
const NOTES_MAX: usize = 20;

/// Writes one layer.
pub(super) struct Writer<'a> {
    pub(super) limits: Limits,
    pub(super) parents: Parents<'a>,
    /// Directories get their time last, since every entry put into one changes it.
    pub(super) times: Times,
    links: Links,
    newest: Newest,
    /// Keeps the content of what is replaced; `None` when no record is made of the stream.
    aside: Option<Aside<'a>>,
    pub(super) unpacked: Unpacked,
    buffer: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, limits: Limits, aside: Option<Aside<'a>>) -> Self {
        Self {
            limits,
            parents: Parents::new(root),
            times: Times::default(),
            links: Links::default(),
            newest: Newest::default(),
            aside,
            unpacked: Unpacked::default(),
            buffer: vec![0; CHUNK],
        }
    }

    /// Puts one entry in its place; a later entry of the same name replaces it.
    pub(super) fn apply<R: Read>(
        &mut self,
        entry: &Entry,
        reader: &mut TarReader<'_, R>,
    ) -> Result<(), UnpackError> {
        self.unpacked.entries += 1;
        if self.unpacked.entries > self.limits.entries {
            return Err(UnpackError::TooMuch {
                what: "entries",
                limit: self.limits.entries,
            });
        }
        let path = clean(&entry.path);
        if path.0.contains(&0) || entry.link.contains(&0) {
            return Err(refuse(entry, "a name holds a NUL byte"));
        }
        if path.0.split(|b| *b == b'/').count() > self.limits.depth {
            return Err(refuse(entry, "the path is too deep"));
        }
        let Some((parent, name)) = path.split() else {
            return self.apply_root(entry);
        };
        if !self.is_plain() && self.is_mark(entry, &path, (parent, name))? {
            return Ok(());
        }
        let directory = self
            .parents
            .ensure(parent)
            .map_err(kernel(entry, "open its directory"))?;
        let implied = self.parents.implied.len();
        within(
            "directories without an entry",
            implied,
            self.limits.remembered,
        )?;
        let replaced = self.aside.as_ref().map_or(0, Aside::len);
        within("replaced entries", replaced, self.limits.remembered)?;
        self.keep_time(parent, &directory)
            .map_err(kernel(entry, "look at its directory"))?;
        if self.parents.implied.contains(parent) {
            self.newest.add(parent, entry.mtime);
        }
        self.links.drop_at(&path.0, entry.kind != Kind::Directory);
        match entry.kind {
            Kind::Directory => self.make_directory(entry, &path, &directory, name),
            Kind::File => self.make_file((entry, &path), reader, &directory, name),
            Kind::HardLink => self.make_link(entry, &path, &directory, name),
            _ => self.make_special(entry, &directory, name),
        }
    }

    /// Sets what had to wait and returns what was found.
    pub(super) fn finish(mut self) -> Result<Unpacked, UnpackError> {
        for path in std::mem::take(&mut self.parents.replaced_whiteouts) {
            self.make_opaque(&path)?;
        }
        self.set_times()?;
        self.unpacked.external_links = self.links.take();
        self.unpacked.replaced = self.aside.map(Aside::take).unwrap_or_default();
        self.unpacked.implied = self
            .parents
            .take_implied(self.newest)
            .map_err(kernel_at(b"", "look at its directories"))?;
        Ok(self.unpacked)
    }

    fn apply_root(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        if entry.kind != Kind::Directory {
            return Err(refuse(entry, "the root of a layer must be a directory"));
        }
        let root = self
            .parents
            .open(b"")
            .map_err(kernel(entry, "open the root"))?;
        self.parents.implied.remove(&b""[..]);
        self.times.remember(b"", entry.mtime);
        self.set_attributes(entry, root.as_fd(), b".")
    }

    fn make_directory(
        &mut self,
        entry: &Entry,
        path: &Path,
        directory: &OwnedFd,
        name: &[u8],
    ) -> Result<(), UnpackError> {
        let make = || mkdirat(directory, name, Mode::from_raw_mode(0o700));
        match make() {
            Err(Errno::EXIST) => match existing(directory, name) {
                Ok(FileType::Directory) => {}
                Ok(_) => {
                    let hid = !self.is_plain()
                        && is_whiteout(directory.as_fd(), name)
                            .map_err(kernel(entry, "look at what is there"))?;
                    self.clear(directory, name)
                        .map_err(kernel(entry, "replace what is there"))?;
                    make().map_err(kernel(entry, "make a directory"))?;
                    if hid {
                        self.parents.replaced_whiteouts.push(path.0.clone());
                    }
                }
                Err(errno) => return Err(kernel(entry, "look at what is there")(errno)),
            },
            result => result.map_err(kernel(entry, "make a directory"))?,
        }
        self.parents.implied.remove(&path.0);
        self.set_attributes(entry, directory.as_fd(), name)?;
        self.times.remember(&path.0, entry.mtime);
        if self.times.is_full(self.limits.remembered) {
            self.set_times()?;
        }
        Ok(())
    }

    fn make_file<R: Read>(
        &mut self,
        (entry, path): (&Entry, &Path),
        reader: &mut TarReader<'_, R>,
        directory: &OwnedFd,
        name: &[u8],
    ) -> Result<(), UnpackError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Set-id bits come with the owner, after the content.
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let make = || openat(directory, name, flags, mode);
        let file = self.replacing(entry, directory, name, make, "make a file")?;
        let recorded = match &mut self.aside {
            Some(aside) => aside
                .place(path, directory)
                .map_err(kernel(entry, "find its place"))?,
            None => Vec::new(),
        };
        self.write_data((entry, &recorded), reader, &file)?;
        // Through the descriptor, which saves the kernel one look-up each.
        attributes::apply_to_file(file.as_fd(), &Attributes::of(entry))
            .map_err(kernel(entry, "set its owner and mode"))?;
        self.set_xattrs(entry, directory.as_fd(), name)?;
        attributes::apply_time_to_file(file.as_fd(), entry.mtime)
            .map_err(kernel(entry, "set its time"))
    }

    fn write_data<R: Read>(
        &mut self,
        (entry, recorded): (&Entry, &[u8]),
        reader: &mut TarReader<'_, R>,
        file: &OwnedFd,
    ) -> Result<(), UnpackError> {
        let whole = [(0, entry.size)];
        let segments = entry.segments.as_deref().unwrap_or(&whole);
        for (offset, length) in segments {
            let (mut at, mut left) = (*offset, *length);
            if let Some(aside) = &mut self.aside {
                aside.count(left);
                reader.begin_content(recorded, at, left)?;
            }
            while left > 0 {
                let most = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
                let count = reader.read_data(&mut self.buffer[..most])?;
                if count == 0 {
                    return Err(super::TarError::Truncated.into());
                }
                self.count_bytes(count)?;
                write_at(file, &self.buffer[..count], at).map_err(kernel(entry, "write"))?;
                at += count as u64;
                left -= count as u64;
            }
        }
        // A hole at the end has no data that would give the file its size.
        if entry.segments.is_some() {
            ftruncate(file, entry.size).map_err(kernel(entry, "set its size"))?;
        }
        Ok(())
    }

    fn count_bytes(&mut self, count: usize) -> Result<(), UnpackError> {
        self.unpacked.bytes += count as u64;
        if self.unpacked.bytes > self.limits.bytes {
            return Err(UnpackError::TooMuch {
                what: "bytes",
                limit: self.limits.bytes,
            });
        }
        Ok(())
    }

    fn make_link(
        &mut self,
        entry: &Entry,
        path: &Path,
        directory: &OwnedFd,
        name: &[u8],
    ) -> Result<(), UnpackError> {
        let target = clean(&entry.link);
        let Some((target_parent, target_name)) = target.split() else {
            return Err(refuse(entry, "a hard link to the root"));
        };
        if target == *path {
            return Err(refuse(entry, "a hard link to itself"));
        }
        let found = match self.parents.open(target_parent) {
            Ok(parent) => match statat(&*parent, target_name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_dir() => {
                    return Err(refuse(entry, "a hard link to a directory"));
                }
                Ok(stat) if !self.is_plain() && is_whiteout_stat(&stat) => {
                    return Err(refuse(
                        entry,
                        "a hard link to a file that this layer removes",
                    ));
                }
                Ok(_) => Some(parent),
                Err(Errno::NOENT) => None,
                Err(errno) => return Err(kernel(entry, "look at its target")(errno)),
            },
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            Err(errno) => return Err(kernel(entry, "open the directory of its target")(errno)),
        };
        let Some(parent) = found else {
            // The target must be in a lower layer; this name is free until it is known.
            self.clear(directory, name)
                .map_err(kernel(entry, "replace what is there"))?;
            self.links.add(&path.0, target.0, self.limits.remembered)?;
            return Ok(());
        };
        let make = || linkat(&*parent, target_name, directory, name, AtFlags::empty());
        self.replacing(entry, directory, name, make, "make a hard link")
    }

    fn make_special(
        &mut self,
        entry: &Entry,
        directory: &OwnedFd,
        name: &[u8],
    ) -> Result<(), UnpackError> {
        let node =
            |kind, device| mknodat(directory, name, kind, Mode::from_raw_mode(0o600), device);
        let device = makedev(entry.device.0, entry.device.1);
        if entry.kind == Kind::CharDevice && device == 0 && !self.is_plain() {
            return Err(refuse(entry, "a character device 0:0 is a forged whiteout"));
        }
        let make = || match entry.kind {
            Kind::Symlink => symlinkat(&*entry.link, directory, name),
            Kind::CharDevice => node(FileType::CharacterDevice, device),
            Kind::BlockDevice => node(FileType::BlockDevice, device),
            _ => node(FileType::Fifo, 0),
        };
        match self.replacing(entry, directory, name, make, "make a special file") {
            Err(UnpackError::Kernel {
                errno: Errno::PERM, ..
            }) if matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice) => {
                self.note(format!(
                    "device `{}` was left out: not permitted",
                    super::display(&entry.path)
                ));
                return Ok(());
            }
            result => result?,
        }
        self.set_attributes(entry, directory.as_fd(), name)?;
        attributes::apply_time(directory.as_fd(), name, entry.mtime)
            .map_err(kernel(entry, "set its time"))
    }

    /// Makes something in a place that is free or freed: never by opening what is there, which may be a hard link.
    fn replacing<T>(
        &mut self,
        entry: &Entry,
        directory: &OwnedFd,
        name: &[u8],
        make: impl Fn() -> Result<T, Errno>,
        step: &'static str,
    ) -> Result<T, UnpackError> {
        match make() {
            Err(Errno::EXIST) => {
                self.clear(directory, name)
                    .map_err(kernel(entry, "replace what is there"))?;
                make().map_err(kernel(entry, step))
            }
            result => result.map_err(kernel(entry, step)),
        }
    }

    fn clear(&mut self, directory: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        self.parents.forget();
        match &mut self.aside {
            Some(aside) => aside.keep(directory, name),
            None => remove_any(directory.as_fd(), name),
        }
    }

    fn set_attributes(
        &mut self,
        entry: &Entry,
        directory: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(), UnpackError> {
        let is_symlink = entry.kind == Kind::Symlink;
        attributes::apply_owner_and_mode(directory, name, &Attributes::of(entry), is_symlink)
            .map_err(kernel(entry, "set its owner and mode"))?;
        self.set_xattrs(entry, directory, name)
    }

    fn set_xattrs(
        &mut self,
        entry: &Entry,
        directory: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(), UnpackError> {
        let overlay = if self.is_plain() {
            Overlay::Kept
        } else {
            Overlay::Dropped
        };
        let refused = attributes::apply_xattrs(directory, name, &entry.xattrs, overlay)
            .map_err(kernel(entry, "set its file capabilities"))?;
        for (key, errno) in refused {
            self.note(format!(
                "attribute {key} of `{}` was left out: {errno}",
                super::display(&entry.path)
            ));
        }
        Ok(())
    }

    pub(super) fn is_plain(&self) -> bool {
        self.limits.whiteouts == Whiteouts::Plain
    }

    fn note(&mut self, text: String) {
        if self.unpacked.notes.len() < NOTES_MAX {
            self.unpacked.notes.push(text);
        }
    }
}
