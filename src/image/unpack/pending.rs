//! What must wait until later entries are known, within bounds: a stream cannot make us remember all of it.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, statat},
    io::Errno,
};

use super::{ExternalLink, UnpackError, attributes, header::Time, kernel_at, writer::Writer};

/// Times of directories, which every entry put into them changes.
#[derive(Default)]
pub(super) struct Times {
    times: HashMap<Vec<u8>, Time>,
    /// Some were set already: a directory that is not known here has its time.
    pub(super) has_set_some: bool,
}

impl Times {
    pub(super) fn remember(&mut self, path: &[u8], time: Time) {
        self.times.insert(path.to_owned(), time);
    }

    pub(super) fn knows(&self, path: &[u8]) -> bool {
        self.times.contains_key(path)
    }

    /// Tells whether they must be set before more are remembered.
    pub(super) fn is_full(&self, most: usize) -> bool {
        self.times.len() >= most
    }

    pub(super) fn take(&mut self) -> HashMap<Vec<u8>, Time> {
        self.has_set_some = true;
        std::mem::take(&mut self.times)
    }
}

/// The newest entry of each directory that has no entry of its own.
///
/// Such a directory gets that time, and not the moment at which it was made: the same stream is the same tree wherever and whenever it is
/// unpacked. One in which only whiteouts lie is as old as the epoch.
#[derive(Default)]
pub(super) struct Newest(HashMap<Vec<u8>, Time>);

impl Newest {
    pub(super) fn add(&mut self, directory: &[u8], time: Time) {
        match self.0.get_mut(directory) {
            Some(newest) => *newest = time.max(*newest),
            None => drop(self.0.insert(directory.to_owned(), time)),
        }
    }

    pub(super) fn of(&self, directory: &[u8]) -> Time {
        self.0.get(directory).copied().unwrap_or_default()
    }
}

/// Hard links whose target is not in this layer.
#[derive(Default)]
pub(super) struct Links {
    /// Path -> number in the stream, target.
    links: BTreeMap<Vec<u8>, (usize, Vec<u8>)>,
    next: usize,
}

impl Links {
    pub(super) fn add(
        &mut self,
        path: &[u8],
        target: Vec<u8>,
        most: usize,
    ) -> Result<(), UnpackError> {
        self.links.insert(path.to_owned(), (self.next, target));
        self.next += 1;
        within(
            "hard links to files of lower layers",
            self.links.len(),
            most,
        )
    }

    /// Forgets the link at a path that is written again, and those below one that is no directory any more.
    pub(super) fn drop_at(&mut self, path: &[u8], below: bool) {
        if self.links.is_empty() {
            return;
        }
        self.links.remove(path);
        let inside = [path, b"/"].concat();
        if !below {
            return;
        }
        loop {
            let range = (Bound::Included(inside.clone()), Bound::Unbounded);
            let next = self.links.range(range).next().map(|(path, _)| path.clone());
            let Some(next) = next.filter(|next| next.starts_with(&inside)) else {
                break;
            };
            self.links.remove(&next);
        }
    }

    /// Returns them in the order of the stream.
    pub(super) fn take(&mut self) -> Vec<ExternalLink> {
        let mut links: Vec<_> = std::mem::take(&mut self.links).into_iter().collect();
        links.sort_by_key(|(_, (number, _))| *number);
        links
            .into_iter()
            .map(|(path, (_, target))| ExternalLink { path, target })
            .collect()
    }
}

impl Writer<'_> {
    /// Sets the times that wait, so that there is room for more.
    pub(super) fn set_times(&mut self) -> Result<(), UnpackError> {
        for (path, time) in self.times.take() {
            let opened = self.parents.open(&path);
            // It may have been replaced by something else since.
            let Ok(directory) = opened else { continue };
            attributes::apply_time(directory.as_fd(), b".", time)
                .map_err(kernel_at(&path, "set its time"))?;
        }
        Ok(())
    }

    /// Remembers the time of a directory that has it already and gets another entry.
    pub(super) fn keep_time(&mut self, path: &[u8], directory: &OwnedFd) -> Result<(), Errno> {
        if self.times.has_set_some && !self.times.knows(path) {
            let stat = statat(directory, ".", AtFlags::empty())?;
            let time = Time {
                seconds: stat.st_mtime,
                nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            };
            self.times.remember(path, time);
        }
        Ok(())
    }
}

/// Refuses more of something than a record takes.
pub(super) fn within(what: &'static str, count: usize, most: usize) -> Result<(), UnpackError> {
    if count > most {
        return Err(UnpackError::TooMuch {
            what,
            limit: most as u64,
        });
    }
    Ok(())
}
