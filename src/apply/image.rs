//! Images: pull, remove.

use std::{
    collections::HashMap,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::task::spawn_blocking;

use super::{ApplyError, Context, Job, queue::Done};
use crate::{
    build, container,
    image::{self, Kept, LayerPhase, PullEvent, PullProgress, Registries, SettingsError},
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
    if let Some(project) = &job.project {
        context
            .journal
            .did_to_image(&project.name, reference, "pull");
    }
    Ok(Done {
        text: Some("pulled".to_owned()),
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
        .iter()
        .flat_map(|record| record.images().cloned())
        .collect();
    let cached = build::cached_layers(&context.root).map_err(ApplyError::Store)?;
    let (images, name) = (context.images.clone(), reference.to_owned());
    let remove = move || {
        let kept = Kept {
            images: &in_use,
            layers: &cached,
        };
        images.remove(&name, false, &kept)
    };
    spawn_blocking(remove)
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
