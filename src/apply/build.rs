//! Images that are built: what goes into the builder, and what comes out besides the image.

use std::{path::Path, sync::Arc};

use compose_spec::model::{ImageSource, Project, Service};
use indexmap::IndexMap;
use tokio::{runtime::Handle, task::spawn_blocking};

use super::{
    ApplyError, Context, Job, build_cache, build_rows::BuildRows, builder::StepContainers,
    image::registries, queue::Done,
};
use crate::{
    build::{
        self, BuildError, BuildHost, BuildInput, Built, FetchedContexts, LayersError, NamedContext,
        StoreLayers, Surroundings,
    },
    image::{self, ImageStore, PullEvent, Registries},
    model::{ImageRecord, Subject},
    plan::image_reference,
    protocol::Event,
};

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
    if !job.all_platforms {
        input.other_platforms.clear();
    }
    for text in std::mem::take(&mut input.notes) {
        job.warn(format!("service `{}`: {text}", service.name))
            .await;
    }
    let registries = registries(&context.root, job).map_err(ApplyError::Registries)?;
    let work = Work {
        context: context.clone(),
        job: job.clone(),
        name: service.name.as_str().to_owned(),
        registries: Arc::new(registries),
        handle: Handle::current(),
    };
    let built = spawn_blocking(move || work.run(input))
        .await
        .expect("a build does not panic");
    let record = built?.map_err(failed)?;
    Ok(Done {
        text: Some("built".to_owned()),
        name: Some(record.id.as_str().to_owned()),
        container: None,
    })
}

/// One build, on a thread that may block.
pub(super) struct Work {
    pub(super) context: Context,
    pub(super) job: Job,
    /// What progress is told of.
    name: String,
    pub(super) registries: Arc<Registries>,
    pub(super) handle: Handle,
}

impl Work {
    fn run(&self, mut input: BuildInput) -> Result<Result<ImageRecord, BuildError>, ApplyError> {
        let context = &self.context;
        let pull = |reference: &str, platform: &str| self.pull(reference, platform);
        let layers = StoreLayers::open(&context.images, &pull).map_err(ApplyError::Image)?;
        let runner = StepContainers::new(context, &self.job, Arc::clone(&self.registries));
        let _fetched = match self.prepare(&mut input, &runner) {
            Ok(fetched) => fetched,
            Err(error) => return Ok(Err(error)),
        };
        let built = self.build_all(input, &layers, &runner);
        drop(layers);
        // A cache that cannot be pruned is no reason to fail a build that worked.
        if let Err(error) = build::prune_sometimes(&context.images, &context.root) {
            tracing::warn!(%error, "the build cache was not pruned");
        }
        Ok(built)
    }

    /// Builds the image for every platform; the names stand for all of them afterwards, and the one that runs here is returned.
    fn build_all(
        &self,
        mut input: BuildInput,
        layers: &StoreLayers<'_>,
        runner: &StepContainers,
    ) -> Result<ImageRecord, BuildError> {
        let others = std::mem::take(&mut input.other_platforms);
        let mut images = Vec::new();
        for platform in &others {
            let other = BuildInput {
                platform: Some(platform.clone()),
                tags: Vec::new(),
                cache_to: Vec::new(),
                ..input.clone()
            };
            let name = format!("{} {platform}", self.name);
            images.push(self.build(&other, layers, runner, name)?.image.id);
        }
        let built = self.build(&input, layers, runner, self.name.clone())?;
        let store = &self.context.images;
        let added = store.add_platforms(&input.tags, &images);
        added.map_err(|source| BuildError::Commit(LayersError::new(source)))?;
        build_cache::export(self, &input, &built)?;
        Ok(built.image)
    }

    fn build(
        &self,
        input: &BuildInput,
        layers: &StoreLayers<'_>,
        runner: &StepContainers,
        name: String,
    ) -> Result<Built, BuildError> {
        let context = &self.context;
        let rows = BuildRows::new(&self.job, name);
        let imports = build_cache::import(self, input);
        let told = |event| rows.tell(event);
        let host = BuildHost {
            layers,
            root: &context.root,
            runner,
            engine: &context.engine,
            cancel: &self.job.cancel,
            imports: &imports,
            progress: &told,
        };
        build::build(input, host)
    }

    /// Brings what a build reads into the form that the builder takes; the result must outlive the build.
    fn prepare(
        &self,
        input: &mut BuildInput,
        runner: &StepContainers,
    ) -> Result<Option<FetchedContexts>, BuildError> {
        load_layouts(&self.context.images, input)?;
        input.fetch_contexts(&self.context.root, runner, &self.job.cancel)
    }

    fn pull(&self, reference: &str, platform: &str) -> Result<ImageRecord, LayersError> {
        let images = &self.context.images;
        let tell = |event| self.tell_pull(event);
        let pulled = image::pull(images, reference, Some(platform), &self.registries, &tell);
        self.wait(pulled)?.map_err(LayersError::new)
    }

    /// Waits for something until the build does not matter any more.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, LayersError> {
        let waited = self.job.cancel.run_until_cancelled(work);
        let done = self.handle.block_on(waited);
        done.ok_or_else(|| LayersError::new("cancelled"))
    }

    /// Passes on what somebody should know of a pull; the steps of the build tell the rest.
    pub(super) fn tell_pull(&self, event: PullEvent) {
        if let PullEvent::Warning(text) = event {
            self.warn(text);
        }
    }

    /// Tells the client something that it should know. One that reads too slowly misses it, not the build.
    pub(super) fn warn(&self, text: String) {
        drop(self.job.events.try_send(Event::Warning { text }));
    }
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
            directory: project.map_or_else(|| Path::new("/"), |project| &project.working_dir),
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

/// Checks the Dockerfile of a service without building it, and returns the findings with their lines. Nothing is fetched but its context.
pub async fn check(
    context: &Context,
    job: &Job,
    project: &Project,
    service: &Service,
) -> Result<Vec<String>, ApplyError> {
    let failed = |source| ApplyError::Build {
        service: service.name.clone(),
        source: Box::new(source),
    };
    let mut input = input(Some(project), service, "").map_err(failed)?;
    let registries = registries(&context.root, job).map_err(ApplyError::Registries)?;
    let runner = StepContainers::new(context, job, Arc::new(registries));
    let cancel = job.cancel.clone();
    let (images, root) = (context.images.clone(), context.root.clone());
    let findings = spawn_blocking(move || {
        let pull = |_: &str, _: &str| Err(LayersError::new("checks fetch nothing"));
        let layers = StoreLayers::open(&images, &pull).map_err(ApplyError::Image)?;
        Ok(input
            .fetch_contexts(&root, &runner, &cancel)
            .and_then(|_fetched| build::check(&input, &layers)))
    })
    .await
    .expect("a check does not panic");
    let findings = findings?.map_err(failed)?;
    Ok(findings.iter().map(ToString::to_string).collect())
}
