//! Images: pull, build, remove.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use compose_spec::model::{ImageSource, Project, Service};
use indexmap::IndexMap;
use tokio::{runtime::Handle, task::spawn_blocking};

use super::{
    ApplyError, Context, Job, build_rows::BuildRows, builder::StepContainers, queue::Done,
};
use crate::{
    build::{
        self, BuildError, BuildHost, BuildInput, LayersError, NamedContext, StoreLayers,
        Surroundings, UnpackedContext,
    },
    container,
    image::{
        self, ImageStore, Kept, LayerPhase, PullEvent, PullProgress, Registries, SettingsError,
    },
    model::{ImageId, Subject, SubjectKind},
    plan::image_reference,
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
    job.working(subject, "building").await;
    let mut input = input(job.project.as_deref(), service, tag).map_err(failed)?;
    input.memory_bytes = job.build_memory_bytes;
    for text in std::mem::take(&mut input.notes) {
        let text = format!("service `{}`: {text}", service.name);
        if job.events.send(Event::Warning { text }).await.is_err() {
            tracing::debug!("nobody watches");
        }
    }
    let registries = registries(&context.root, job).map_err(ApplyError::Registries)?;
    let registries = Arc::new(registries);
    let (context, rows) = (context.clone(), BuildRows::new(job, service));
    let warnings = job.events.clone();
    let cancel = job.cancel.clone();
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
            handle
                .block_on(cancel.run_until_cancelled(pulled))
                .ok_or_else(|| LayersError::new("cancelled"))?
                .map_err(LayersError::new)
        };
        let layers = StoreLayers::open(&context.images, &pull).map_err(ApplyError::Image)?;
        let _unpacked = match prepare(&context, &mut input) {
            Ok(unpacked) => unpacked,
            Err(error) => return Ok(Err(error)),
        };
        let runner = StepContainers::new(&context, Arc::clone(&registries), handle.clone());
        let told = |event| rows.tell(event);
        let host = BuildHost {
            layers: &layers,
            root: &context.root,
            runner: &runner,
            engine: &context.engine,
            cancel: &cancel,
            progress: &told,
        };
        let built = build::build(&input, host);
        drop(layers);
        // A cache that cannot be pruned is no reason to fail a build that worked.
        if let Err(error) = build::prune_sometimes(&context.images, &context.root) {
            tracing::warn!(%error, "the build cache was not pruned");
        }
        Ok(built)
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

/// Lowers a service's section; `tag` is empty for an image without a name.
fn input(
    project: Option<&Project>,
    service: &Service,
    tag: &str,
) -> Result<BuildInput, BuildError> {
    let ImageSource::Build { build, .. } = &service.image else {
        unreachable!("a build step is planned for a service with a build section");
    };
    let none = IndexMap::new();
    BuildInput::from_compose(
        build,
        &Surroundings {
            tag: Some(tag).filter(|tag| !tag.is_empty()),
            platform: service.platform.as_deref(),
            secrets: project.map_or(&none, |project| &project.secrets),
            service_image: &|name| {
                let project = project?;
                let service = project.services.get(name)?;
                Some(image_reference(&project.name, service)).filter(|name| !name.is_empty())
            },
        },
    )
}

/// Brings what a build reads into the form that the builder takes; the result must outlive the build.
fn prepare(
    context: &Context,
    input: &mut BuildInput,
) -> Result<Option<UnpackedContext>, BuildError> {
    load_layouts(&context.images, input)?;
    input.unpack_context(&context.root)
}

/// Loads the layout directories that a build names, and puts images of the store in their place.
fn load_layouts(store: &ImageStore, input: &mut BuildInput) -> Result<(), BuildError> {
    for context in input.additional_contexts.values_mut() {
        if let NamedContext::Layout { path, reference } = context {
            let loaded = image::load_one(store, path, reference.as_deref());
            let id = loaded.map_err(|source| BuildError::Layout {
                path: path.display().to_string(),
                source: LayersError::new(source),
            })?;
            *context = NamedContext::Built(id);
        }
    }
    Ok(())
}

/// Checks the Dockerfile of a service without building it, and returns the findings with their lines. Nothing is fetched.
pub async fn check(
    context: &Context,
    project: &Project,
    service: &Service,
) -> Result<Vec<String>, ApplyError> {
    let failed = |source| ApplyError::Build {
        service: service.name.clone(),
        source: Box::new(source),
    };
    let mut input = input(Some(project), service, "").map_err(failed)?;
    let (images, root) = (context.images.clone(), context.root.clone());
    let findings = spawn_blocking(move || {
        let pull = |_: &str, _: &str| Err(LayersError::new("checks fetch nothing"));
        let layers = StoreLayers::open(&images, &pull).map_err(ApplyError::Image)?;
        Ok(input
            .unpack_context(&root)
            .and_then(|_unpacked| build::check(&input, &layers)))
    })
    .await
    .expect("a check does not panic");
    let findings = findings?.map_err(failed)?;
    Ok(findings.iter().map(ToString::to_string).collect())
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
