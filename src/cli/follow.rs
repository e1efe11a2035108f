//! The logs of a project's services as one stream, and what its containers do meanwhile.

use std::{
    collections::BTreeSet,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    time::{Duration, Instant},
};

use compose_spec::model::{ProjectName, ServiceName};

use super::{failure::Failure, observed, session::Session};
use crate::{
    container::logs::{Changes, LogLine, LogReader, LogStream, Merged, Query, Watch},
    model::ObservedContainer,
    ui::logs::{LogFormat, LogStyle},
};

/// Bytes of formatted lines that are written at once.
const BATCH_BYTES: usize = 32 * 1024;
/// Time after which everything is looked at without an event: a killed monitor leaves none.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Looks in a row while containers and logs keep appearing; the next event brings another one.
const LOOKS_MAX: usize = 16;

/// Whose logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    /// These services; `None` = every one that has a log.
    pub(super) services: Option<Vec<ServiceName>>,
    /// Only this replica.
    pub(super) index: Option<u32>,
}

impl Selection {
    /// Returns whether a container's log is wanted.
    pub(super) fn wants(&self, container: &ObservedContainer) -> bool {
        let replica = observed::replica(container);
        replica.is_some()
            && (self.index.is_none() || self.index == replica)
            && self
                .services
                .as_ref()
                .is_none_or(|services| services.contains(&container.record.service))
    }

    /// Returns whether a log directory's name, `<service>-<replica>`, is one that is wanted. One-offs (`web-run-…`) are not.
    fn wants_directory(&self, name: &str) -> bool {
        let Some((service, replica)) = name.rsplit_once('-') else {
            return false;
        };
        let Ok(replica) = replica.parse::<u32>() else {
            return false;
        };
        (self.index.is_none() || self.index == Some(replica))
            && self
                .services
                .as_ref()
                .is_none_or(|services| services.iter().any(|wanted| wanted.as_str() == service))
    }
}

/// The stream of log lines of a selection.
#[derive(Debug)]
pub(super) struct Follow<'a> {
    session: &'a Session<'a>,
    project: ProjectName,
    selection: Selection,
    query: Query,
    format: LogFormat,
    merged: Merged,
    /// Name of each log, by its number in `merged`: `web-1`.
    names: Vec<String>,
    known: BTreeSet<PathBuf>,
    watch: Option<Watch>,
    /// The containers of the project as they were when something else than a log file changed last.
    containers: Vec<ObservedContainer>,
    /// When everything was looked at last.
    looked: Instant,
}

impl<'a> Follow<'a> {
    /// Opens the logs that are there. `live`: watch for new lines, containers and states.
    pub(super) fn open(
        session: &'a Session<'a>,
        project: ProjectName,
        selection: Selection,
        query: Query,
        style: LogStyle,
    ) -> Result<Self, Failure> {
        let mut follow = Self {
            session,
            project,
            selection,
            query,
            format: LogFormat::new(style),
            merged: Merged::default(),
            names: Vec::new(),
            known: BTreeSet::new(),
            watch: None,
            containers: Vec::new(),
            looked: Instant::now(),
        };
        follow.find_logs()?;
        Ok(follow)
    }

    /// Begins to watch: from now on it becomes readable when something may have changed.
    pub(super) fn watch(&mut self) -> Result<(), Failure> {
        self.watch = Some(Watch::open().map_err(|error| watching(&error))?);
        self.look()
    }

    /// Takes note of changes, finds new logs, and returns the containers of the project.
    pub(super) fn refresh(&mut self) -> Result<&[ObservedContainer], Failure> {
        let watch = self
            .watch
            .as_ref()
            .expect("only a watched stream is refreshed");
        let changes = watch.drain().map_err(|error| watching(&error))?;
        if changes == Changes::Entries || self.looked.elapsed() >= LOOK_INTERVAL {
            self.look()?;
        }
        Ok(&self.containers)
    }

    /// Looks at everything again. What appeared while watches were added is looked at, and watched, in another round: so nothing falls between a look
    /// and its watch.
    fn look(&mut self) -> Result<(), Failure> {
        for _ in 0..LOOKS_MAX {
            let seen = (self.known.len(), self.container_directories()?);
            self.add_watches(&seen.1)
                .map_err(|error| watching(&error))?;
            self.find_logs()?;
            if seen == (self.known.len(), self.container_directories()?) {
                break;
            }
        }
        self.containers = self.session.containers(&self.project)?;
        self.looked = Instant::now();
        Ok(())
    }

    /// Returns the directories of all containers of this machine: one that is just being made does not tell its project yet.
    fn container_directories(&self) -> Result<Vec<PathBuf>, Failure> {
        let all = directories(&self.session.settings.root.containers())?;
        Ok(all.into_iter().map(|(_, path)| path).collect())
    }

    /// Returns the formatted lines that were written and not returned yet, in the order of time; at most about `BATCH_BYTES` of them.
    pub(super) fn batch(&mut self) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        while out.len() < BATCH_BYTES
            && let Some((number, line)) = self.merged.next_line()?
        {
            self.append(number, &line, &mut out);
        }
        Ok(out)
    }

    /// Prints everything that was written and not printed yet.
    pub(super) fn print(&mut self) -> Result<(), Failure> {
        loop {
            let batch = self.batch()?;
            if batch.is_empty() {
                return Ok(());
            }
            self.session.ui.data(batch)?;
        }
    }

    /// Prints the beginnings of lines that get no end any more.
    pub(super) fn print_rest(&mut self) -> Result<(), Failure> {
        let mut out = Vec::new();
        for (number, line) in self.merged.flush() {
            self.append(number, &line, &mut out);
        }
        Ok(self.session.ui.data(out)?)
    }

    /// Returns a line about a container itself, in its colour.
    pub(super) fn status(&mut self, container: &ObservedContainer, text: &str) -> String {
        self.format.status(&short_name(container), text)
    }

    fn append(&mut self, number: usize, line: &LogLine, out: &mut Vec<u8>) {
        if line.stream != LogStream::Event {
            self.format
                .line(&self.names[number], line.time.as_str(), &line.text, out);
        }
    }

    fn find_logs(&mut self) -> Result<(), Failure> {
        let mut found = Vec::new();
        for (name, path) in directories(&self.session.settings.root.project_logs(&self.project))? {
            if self.selection.wants_directory(&name) && !self.known.contains(&path) {
                found.push((name, path));
            }
        }
        for (name, path) in found {
            // A log that appears later is wanted from its beginning.
            let query = match self.watch {
                Some(_) => Query {
                    tail: None,
                    ..self.query.clone()
                },
                None => self.query.clone(),
            };
            self.merged.add(LogReader::open(&path, &query)?);
            self.format.announce(&name);
            self.names.push(name);
            self.known.insert(path);
        }
        Ok(())
    }

    fn add_watches(&self, containers: &[PathBuf]) -> io::Result<()> {
        let Some(watch) = &self.watch else {
            return Ok(());
        };
        let root = &self.session.settings.root;
        let logs = root.project_logs(&self.project);
        // Parents come first: what appears after its parent is watched wakes us.
        for directory in logs
            .ancestors()
            .take_while(|path| path.starts_with(root.state()))
        {
            watch.add(directory)?;
        }
        watch.add(&root.containers())?;
        for directory in self.known.iter().chain(containers) {
            watch.add(directory)?;
        }
        Ok(())
    }
}

impl AsFd for Follow<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch
            .as_ref()
            .expect("only a watched stream is polled")
            .as_fd()
    }
}

/// `web-1`: the name of a container's log, which is what its lines begin with.
pub(super) fn short_name(container: &ObservedContainer) -> String {
    match observed::replica(container) {
        Some(number) => format!("{}-{number}", container.record.service),
        None => container.record.name.clone(),
    }
}

/// Returns the directories of a directory, by name; none when it does not exist.
fn directories(parent: &std::path::Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let intent = |error: io::Error| Failure::intent("find the logs", &error);
    let entries = match fs_err::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(intent)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(intent)?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn watching(error: &io::Error) -> Failure {
    Failure::intent("watch the logs", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_directories_are_chosen_by_service_and_replica() {
        let selection = |services: &[&str], index| Selection {
            services: (!services.is_empty())
                .then(|| services.iter().map(|name| name.parse().unwrap()).collect()),
            index,
        };
        for (services, index, directory, wanted) in [
            (&["web"][..], None, "web-1", true),
            (&["web"], None, "web-12", true),
            (&["web"], None, "web-1-1", false),
            (&["web-1"], None, "web-1-1", true),
            (&["web"], None, "web-run-0123456789ab", false),
            (&["web"], None, "website-1", false),
            (&["web"], Some(2), "web-1", false),
            (&["web"], Some(2), "web-2", true),
            (&[], None, "anything-1", true),
            (&[], None, "lost+found", false),
        ] {
            assert_eq!(
                selection(services, index).wants_directory(directory),
                wanted,
                "{services:?} {index:?} {directory}"
            );
        }
    }
}
