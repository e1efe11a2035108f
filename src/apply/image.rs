//! Images: pull, build, remove.

use std::{
    collections::HashMap,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use compose_spec::model::{ImageSource, Service};
use tokio::{runtime::Handle, task::spawn_blocking};

use super::{ApplyError, Context, Job, builder::StepContainers, queue::Done};
use crate::{
    build::{self, BuildEvent, BuildInput, LayersError, StoreLayers},
    container,
    image::{self, LayerPhase, PullEvent, PullProgress, Registries, SettingsError},
    model::{ImageId, Subject, SubjectKind},
    protocol::{Event, Progress, StepState},
    store::Root,
};

/// Root's Docker configuration, for what the supervisor does on its own.
const ROOT_CREDENTIALS: &str = "/root/.docker/config.json";
/// Shortest time between two reports of one layer's bytes.
const BYTES_REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// Fetches an image.
pub(super) async fn pull(
    context: &Context,
    job: &Job,
    subject: &Subject,
    reference: &str,
    platform: Option<&str>,
    always: bool,
) -> Result<Done, ApplyError> {
    if !always
        && context
            .images
            .find(reference)
            .map_err(ApplyError::Image)?
            .is_some()
    {
        return Ok(Done::text("exists"));
    }
    job.working(subject, "pulling").await;
    let layers = LayerRows::new(job, reference);
    let registries = registries(&context.root, job).map_err(ApplyError::Registries)?;
    let tell = |event| match event {
        PullEvent::Layer(progress) => layers.tell(&progress),
        // A client that reads too slowly for its queue of a thousand events misses a warning, not the pull.
        PullEvent::Warning(text) => drop(job.events.try_send(Event::Warning { text })),
    };
    let record = image::pull(&context.images, reference, platform, &registries, &tell)
        .await
        .map_err(ApplyError::Pull)?;
    Ok(Done {
        text: Some("pulled".to_owned()),
        name: Some(record.id.as_str().to_owned()),
        container: None,
    })
}

/// Builds a service's image.
pub(super) async fn build(
    context: &Context,
    job: &Job,
    subject: &Subject,
    service: &Service,
    tag: &str,
) -> Result<Done, ApplyError> {
    let failed = |source| ApplyError::Build {
        service: service.name.clone(),
        source: Box::new(source),
    };
    let ImageSource::Build { build: section, .. } = &service.image else {
        unreachable!("a build step is planned for a service with a build section");
    };
    job.working(subject, "building").await;
    let mut input = BuildInput::from_compose(section, tag).map_err(failed)?;
    input.platform.clone_from(&service.platform);
    let registries = registries(&context.root, job).map_err(ApplyError::Registries)?;
    let (context, rows) = (context.clone(), BuildRows::new(job, service));
    let warnings = job.events.clone();
    let handle = Handle::current();
    let built = spawn_blocking(move || {
        let pull = |reference: &str, platform: &str| {
            let platform = Some(platform);
            let tell = |event| {
                if let PullEvent::Warning(text) = event {
                    drop(warnings.try_send(Event::Warning { text }));
                }
            };
            let pulled = image::pull(&context.images, reference, platform, &registries, &tell);
            handle.block_on(pulled).map_err(LayersError::new)
        };
        let layers = StoreLayers::open(&context.images, &pull).map_err(ApplyError::Image)?;
        let runner = StepContainers::new(&context);
        let told = |event| rows.tell(event);
        Ok(build::build(&input, &layers, &context.root, &runner, &told))
    })
    .await
    .expect("a build does not panic");
    let record = built?.map_err(failed)?;
    Ok(Done {
        text: Some("built".to_owned()),
        name: Some(record.id.as_str().to_owned()),
        container: None,
    })
}

/// Returns a reference with the digest that its registry has for it now.
pub async fn pinned(root: &Root, job: &Job, reference: &str) -> Result<String, ApplyError> {
    let registries = registries(root, job).map_err(ApplyError::Registries)?;
    image::pinned(reference, &registries)
        .await
        .map_err(ApplyError::Pull)
}

/// Reads how registries are reached: the machine's settings (`registries.toml` in a moved state root, else
/// `/etc/stack/registries.toml`), and what the caller brought along. Work that no caller is behind uses root's own
/// Docker configuration. Read for each piece of work, so that a change needs no restart.
pub fn registries(root: &Root, job: &Job) -> Result<Registries, SettingsError> {
    let own = root.state().join("registries.toml");
    let registries = if own.exists() {
        Registries::read(&own)?
    } else {
        Registries::system()?
    };
    match &job.access {
        Some(access) => registries.for_caller(access),
        None => Ok(registries.with_credentials(Path::new(ROOT_CREDENTIALS))),
    }
}

/// Removes an image that no container uses.
pub(super) async fn remove(context: &Context, reference: &str) -> Result<Done, ApplyError> {
    let in_use: Vec<ImageId> = container::read_all(&context.root)
        .map_err(|source| ApplyError::Container {
            name: reference.to_owned(),
            source,
        })?
        .into_iter()
        .map(|record| record.image)
        .collect();
    let (images, name) = (context.images.clone(), reference.to_owned());
    spawn_blocking(move || images.remove(&name, false, &in_use))
        .await
        .expect("removing an image does not panic")
        .map_err(ApplyError::Image)?;
    Ok(Done::text("removed"))
}

/// Progress rows of the layers of a pull. Byte counts that come faster than anybody can read are dropped; a full queue drops them too.
struct LayerRows<'a> {
    job: &'a Job,
    reference: &'a str,
    last: Mutex<HashMap<usize, Instant>>,
}

impl<'a> LayerRows<'a> {
    fn new(job: &'a Job, reference: &'a str) -> Self {
        Self {
            job,
            reference,
            last: Mutex::default(),
        }
    }

    fn tell(&self, progress: &PullProgress) {
        let state = match progress.phase {
            LayerPhase::Waiting => StepState::Waiting {
                text: "waiting".to_owned(),
            },
            LayerPhase::Fetching {
                current_bytes,
                total_bytes,
            } => {
                if !self.is_due(progress.index) {
                    return;
                }
                StepState::Working {
                    text: "downloading".to_owned(),
                    current: Some(current_bytes),
                    total: Some(total_bytes),
                }
            }
            LayerPhase::Unpacking => StepState::Working {
                text: "unpacking".to_owned(),
                current: None,
                total: None,
            },
            LayerPhase::Exists => StepState::Done {
                text: "exists".to_owned(),
            },
            LayerPhase::Done => StepState::Done {
                text: "done".to_owned(),
            },
        };
        let name = format!("{} {}", self.reference, progress.layer.short());
        let subject = Subject {
            kind: SubjectKind::Layer,
            name,
        };
        let event = Event::Step(Progress {
            subject,
            state,
            took_ms: None,
        });
        // Progress is not worth waiting for: the last state of a layer is told by the image's own row.
        drop(self.job.events.try_send(event));
    }

    fn is_due(&self, layer: usize) -> bool {
        let mut last = self.last.lock().expect("no holder of this lock panics");
        let due = last
            .get(&layer)
            .is_none_or(|at| at.elapsed() >= BYTES_REPORT_INTERVAL);
        if due {
            last.insert(layer, Instant::now());
        }
        due
    }
}

/// Progress rows of the steps of a build, and their output by lines.
struct BuildRows {
    events: tokio::sync::mpsc::Sender<Event>,
    service: String,
    steps: Mutex<HashMap<usize, Running>>,
}

/// A step of a build that runs.
struct Running {
    subject: Subject,
    unfinished_line: Vec<u8>,
}

impl BuildRows {
    fn new(job: &Job, service: &Service) -> Self {
        Self {
            events: job.events.clone(),
            service: service.name.as_str().to_owned(),
            steps: Mutex::default(),
        }
    }

    fn tell(&self, event: BuildEvent) {
        let mut steps = self.steps.lock().expect("no holder of this lock panics");
        match event {
            BuildEvent::Started { step } => {
                let name = format!(
                    "{} [{} {}/{}] {}",
                    self.service, step.stage, step.number, step.total, step.text
                );
                let subject = Subject {
                    kind: SubjectKind::BuildStep,
                    name,
                };
                let text = "running".to_owned();
                self.send(
                    &subject,
                    StepState::Working {
                        text,
                        current: None,
                        total: None,
                    },
                    None,
                );
                steps.insert(
                    step.id,
                    Running {
                        subject,
                        unfinished_line: Vec::new(),
                    },
                );
            }
            BuildEvent::Cached { step } => {
                if let Some(running) = steps.remove(&step) {
                    self.send(
                        &running.subject,
                        StepState::Done {
                            text: "cached".to_owned(),
                        },
                        None,
                    );
                }
            }
            BuildEvent::Output { step, bytes } => {
                if let Some(running) = steps.get_mut(&step) {
                    running.unfinished_line.extend_from_slice(&bytes);
                    self.lines(running);
                }
            }
            BuildEvent::Done { step, elapsed } => {
                if let Some(mut running) = steps.remove(&step) {
                    self.last_line(&mut running);
                    let took = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                    let state = StepState::Done {
                        text: "done".to_owned(),
                    };
                    self.send(&running.subject, state, Some(took));
                }
            }
            BuildEvent::Failed { step } => {
                if let Some(mut running) = steps.remove(&step) {
                    self.last_line(&mut running);
                    let state = StepState::Failed {
                        text: "failed".to_owned(),
                    };
                    self.send(&running.subject, state, None);
                }
            }
            BuildEvent::Warning { text } => self.post(Event::Warning { text }),
        }
    }

    fn lines(&self, running: &mut Running) {
        while let Some(end) = running
            .unfinished_line
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let line: Vec<u8> = running.unfinished_line.drain(..=end).collect();
            self.post(Event::Output {
                source: self.service.clone(),
                line: String::from_utf8_lossy(&line).trim_end().to_owned(),
            });
        }
    }

    fn last_line(&self, running: &mut Running) {
        if !running.unfinished_line.is_empty() {
            running.unfinished_line.push(b'\n');
            self.lines(running);
        }
    }

    fn send(&self, subject: &Subject, state: StepState, took_ms: Option<u64>) {
        self.post(Event::Step(Progress {
            subject: subject.clone(),
            state,
            took_ms,
        }));
    }

    /// The builder's threads may block: a slow client slows the build, it does not lose its output.
    fn post(&self, event: Event) {
        if self.events.blocking_send(event).is_err() {
            tracing::debug!("nobody watches");
        }
    }
}
