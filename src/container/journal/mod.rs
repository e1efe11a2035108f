//! The journal: what happened to the containers and images of this machine, one line an event, for `stack events`.
//!
//! The supervisor writes it: what its steps do, and what it learns of containers from their monitors. Its files have the form of a container's log
//! (`events/current.log`, rotated to `1.log`), each line an `event` whose text is an [`Entry`] as JSON:
//!
//! ```text
//! 2026-01-02T03:04:05.123456789Z event F {"type":"container","action":"die","id":"…","project":"shop","service":"web",…}
//! ```
//!
//! So [`LogReader`] reads and follows it, without a supervisor. What happened while no supervisor ran is told by the next one as far as the containers'
//! present state shows it; a restart in between that left another one behind is not told.

mod track;

use std::{
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use compose_spec::model::{ProjectName, ServiceName};
use fs_err as fs;
use indexmap::IndexMap;
use runtime::spec::ContainerState;
use serde::{Deserialize, Serialize};
use tracing::warn;

use self::track::Tracker;
use super::logs::{LogReader, LogStream, LogTime, Query};
use crate::{
    model::{ContainerRecord, ContainerRole},
    store::Root,
};

/// Bytes of a file after which the next one is begun; there are two at most.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A container.
    Container,
    /// An image.
    Image,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// What happened, in Docker's words: `create`, `start`, `die`, `stop`, `kill`, `oom`, `pause`, `unpause`, `destroy`, `health_status: healthy`;
    /// of an image `pull`.
    pub action: String,
    /// Id of the container, or reference of the image.
    pub id: String,
    /// The project.
    pub project: ProjectName,
    /// The service of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// The container is a one-off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_off: bool,
    /// Start of the run that it is about, milliseconds since the Unix epoch: tells the events of one run from those of the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_ms: Option<u64>,
    /// For `die` when no other run follows: when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// Labels of the container, its name and image, `exitCode`, `signal`, ….
    pub attributes: IndexMap<String, String>,
}

/// The writing end. Cheap to clone. A journal that cannot be written stops nothing: it is told once in the supervisor's log.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    /// `None` until the first event, and after a failed write.
    file: Option<fs::File>,
    bytes: u64,
    tracker: Tracker,
    /// A failure was told.
    failing: bool,
}

impl Journal {
    /// Opens the journal of a state root; `adopts`: containers are there whose events an earlier supervisor has written in part.
    pub fn open(root: &Root, adopts: bool) -> Self {
        let directory = root.events();
        let mut tracker = Tracker::default();
        if adopts && let Ok(mut reader) = LogReader::open(&directory, &Query::default()) {
            while let Ok(Some(line)) = reader.next_line() {
                if let Some(entry) = entry(line.stream, &line.text) {
                    tracker.replay(&entry);
                }
            }
        }
        Self {
            inner: Arc::new(Mutex::new(Inner {
                directory,
                file: None,
                bytes: 0,
                tracker,
                failing: false,
            })),
        }
    }

    /// Notes what a step did to a container.
    pub fn did(&self, record: &ContainerRecord, action: &str, attributes: &[(&str, String)]) {
        let mut entry = of_container(record, action.to_owned());
        for (name, value) in attributes {
            entry.attributes.insert((*name).to_owned(), value.clone());
        }
        let mut inner = self.lock();
        if action == "destroy" {
            inner.tracker.forget(&entry.id);
        }
        inner.write(&[entry]);
    }

    /// Notes what a step did to an image for a project.
    pub fn did_to_image(&self, project: &ProjectName, reference: &str, action: &str) {
        let entry = Entry {
            kind: EntryKind::Image,
            action: action.to_owned(),
            id: reference.to_owned(),
            project: project.clone(),
            service: None,
            one_off: false,
            run_ms: None,
            ended_ms: None,
            attributes: IndexMap::from([("name".to_owned(), reference.to_owned())]),
        };
        self.lock().write(&[entry]);
    }

    /// Looks at what a container does now, and notes what happened to it since the last look.
    pub fn look(&self, record: &ContainerRecord, state: &ContainerState) {
        let mut inner = self.lock();
        let happened = inner.tracker.look(record.id.as_str(), state);
        if happened.is_empty() {
            return;
        }
        let entries: Vec<Entry> = happened
            .into_iter()
            .map(|event| {
                let mut entry = of_container(record, event.action);
                entry.run_ms = event.run_ms;
                entry.ended_ms = event.ended_ms;
                entry.attributes.extend(event.attributes);
                entry
            })
            .collect();
        inner.write(&entries);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }
}

impl Inner {
    fn write(&mut self, entries: &[Entry]) {
        let result = self.try_write(entries);
        match &result {
            Err(error) if !self.failing => warn!(%error, "events are not noted"),
            _ => {}
        }
        self.failing = result.is_err();
        if self.failing {
            self.file = None;
        }
    }

    fn try_write(&mut self, entries: &[Entry]) -> std::io::Result<()> {
        let now = jiff::Timestamp::now();
        let time = LogTime::from_unix(now.as_second(), now.subsec_nanosecond())
            .expect("the year has four digits");
        let mut lines = Vec::new();
        for entry in entries {
            write!(lines, "{} event F ", time.as_str())?;
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        if self.file.is_some() && self.bytes >= FILE_BYTES_MAX {
            self.file = None;
            let current = self.directory.join("current.log");
            fs::rename(current, self.directory.join("1.log"))?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                fs::create_dir_all(&self.directory)?;
                let path = self.directory.join("current.log");
                let file = fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)?;
                self.bytes = file.metadata()?.len();
                none.insert(file)
            }
        };
        file.write_all(&lines)?;
        self.bytes += lines.len() as u64;
        Ok(())
    }
}

/// Reads the text of a line of the journal; `None` for what a crash of the machine tore, or a later version wrote.
pub fn entry(stream: LogStream, text: &[u8]) -> Option<Entry> {
    (stream == LogStream::Event)
        .then(|| serde_json::from_slice(text).ok())
        .flatten()
}

/// Compose's own labels are not among the attributes: project and service say what they say.
fn of_container(record: &ContainerRecord, action: String) -> Entry {
    let labels = record.labels.iter();
    let mut attributes: IndexMap<String, String> = labels
        .filter(|(name, _)| !name.starts_with("com.docker.compose."))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    attributes.insert("image".to_owned(), record.image_reference.clone());
    attributes.insert("name".to_owned(), record.name.clone());
    Entry {
        kind: EntryKind::Container,
        action,
        id: record.id.as_str().to_owned(),
        project: record.project.clone(),
        service: Some(record.service.clone()),
        one_off: !matches!(record.role, ContainerRole::Replica(_)),
        run_ms: None,
        ended_ms: None,
        attributes,
    }
}

#[cfg(test)]
mod tests;
