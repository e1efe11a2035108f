//! Calls that belong to no project: pull, build, load, tag and remove images.

use std::sync::Arc;

use compose_spec::model::{ImageSource, Project, Service, ServiceName};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{captures, networks, project::absorb, prune, registries, volumes};
use crate::{
    apply::{self, Context, Job},
    build::{cached_layers, prune as prune_build_cache},
    image::{self, ImageError, Kept, LoadError, LoadProgress},
    model::{BuildCacheEntry, BuildCachePrune, ImageId, RegistryAccess, Subject, SubjectKind},
    plan::{Action, Edge, Plan, Step, base_services, image_reference},
    protocol::{
        BuildRequest, ErrorReport, Event, FailureKind, ImageLoadRequest, ImageRemoveRequest,
        ImageTagRequest, Outcome, PinRequest, PullRequest, Request, StepState,
    },
};

/// Carries out a call and answers it.
pub(super) async fn call(
    context: &Context,
    request: Request,
    access: Option<Arc<RegistryAccess>>,
    events: mpsc::Sender<Event>,
) {
    // Not cancelled with a leaving supervisor: it finishes the calls that it has accepted.
    let job = registries::job(access, &events, &CancellationToken::new());
    let outcome = match request {
        Request::Pull(request) => pull(context, &job, request).await,
        Request::Pin(request) => pin(context, &job, request).await,
        Request::Build(request) => build(context, &job, *request).await,
        Request::BuilderPrune(options) => builder_prune(context, options).await,
        Request::Push(request) => registries::push(context, &job, request).await,
        Request::Login(request) => registries::login(context, &job, request).await,
        Request::Search(request) => registries::search(context, &job, request).await,
        Request::Commit(request) => Box::pin(captures::commit(context, request)).await,
        Request::ImageImport(request) => captures::import(context, request).await,
        Request::ImagePrune(filter) => prune::images(context, filter).await,
        Request::ImageLoad(request) => load(context, request, &events).await,
        Request::ImageRemove(request) => remove(context, &request),
        Request::ImageTag(request) => tag(context, &request),
        Request::Network(request) => networks::call(context, request).await,
        Request::Volume(request) => Box::pin(volumes::call(context, &job, request)).await,
        other => Outcome {
            errors: vec![ErrorReport::operation(format!(
                "call `{other:?}` is not one of images"
            ))],
            ..Outcome::default()
        },
    };
    if events.send(Event::Finished(outcome)).await.is_err() {
        tracing::info!("the client did not wait for the outcome");
    }
}

async fn pull(context: &Context, job: &Job, request: PullRequest) -> Outcome {
    let mut plan = Plan::default();
    for (reference, platform) in request.images {
        plan.graph.add_node(Step {
            subject: Subject {
                kind: SubjectKind::Image,
                name: reference.clone(),
            },
            action: Action::PullImage {
                reference,
                platform,
                always: request.always,
            },
            cause: "asked for".to_owned(),
        });
    }
    carry_out(context, job, plan).await
}

/// Asks for one digest after the other: a lock file is made seldom, and registries limit who asks in parallel.
async fn pin(context: &Context, job: &Job, request: PinRequest) -> Outcome {
    let mut outcome = Outcome::default();
    for reference in &request.images {
        match apply::pinned(&context.root, job, reference).await {
            Ok(pinned) => outcome.names.push(pinned),
            Err(error) => outcome
                .errors
                .push(ErrorReport::of(FailureKind::Image, &error)),
        }
    }
    outcome
}

async fn build(context: &Context, job: &Job, request: BuildRequest) -> Outcome {
    let services = match built_services(&request) {
        Ok(services) => services,
        Err(refusal) => {
            return Outcome {
                errors: vec![ErrorReport::operation(refusal)],
                ..Outcome::default()
            };
        }
    };
    if request.check {
        return check(context, job, &request.project, &services).await;
    }
    let mut plan = Plan::default();
    let mut steps = Vec::new();
    for service in services {
        let bases = base_services(&service);
        let reference = image_reference(&request.project.name, &service);
        let tag = if request.untagged {
            String::new()
        } else {
            reference.clone()
        };
        let name = service.name.clone();
        let id = plan.graph.add_node(Step {
            subject: Subject {
                kind: SubjectKind::Image,
                name: reference,
            },
            action: Action::BuildImage {
                service: Box::new(service),
                tag,
            },
            cause: "asked for".to_owned(),
        });
        steps.push((name, id, bases));
    }
    for (_, id, bases) in &steps {
        for base in bases {
            if let Some((_, first, _)) = steps.iter().find(|(name, ..)| name.as_str() == base) {
                plan.graph.add_edge(*first, *id, Edge::Needs);
            }
        }
    }
    if petgraph::algo::is_cyclic_directed(&plan.graph) {
        let refusal = "`build.additional_contexts`: services whose builds need each other";
        return Outcome {
            errors: vec![ErrorReport::operation(refusal.to_owned())],
            ..Outcome::default()
        };
    }
    let job = Job {
        project: Some(Arc::new(request.project)),
        build_memory_bytes: request.memory_bytes,
        all_platforms: true,
        ..job.clone()
    };
    carry_out(context, &job, plan).await
}

/// Returns the services to build, with what the command line changes of their sections, and those whose images they begin with.
fn built_services(request: &BuildRequest) -> Result<Vec<Service>, String> {
    let project = &request.project;
    let mut wanted: Vec<ServiceName> = request.services.clone();
    let mut at = 0;
    while let Some(name) = wanted.get(at) {
        let bases = project.services.get(name).map(base_services);
        for base in bases.into_iter().flatten() {
            let built = project
                .services
                .get(base.as_str())
                .filter(|base| is_built(base));
            if let Some(base) = built.filter(|base| !wanted.contains(&base.name)) {
                wanted.push(base.name.clone());
            }
        }
        at += 1;
    }
    let mut services = Vec::new();
    for service in project.services.values() {
        if !request.services.is_empty() && !wanted.contains(&service.name) {
            continue;
        }
        let mut service = service.clone();
        let ImageSource::Build { build, .. } = &mut service.image else {
            if request.services.is_empty() {
                continue;
            }
            return Err(format!("service `{}` has no `build` section", service.name));
        };
        build.no_cache |= request.no_cache;
        build.pull |= request.pull;
        build.args.extend(request.args.clone());
        services.push(service);
    }
    Ok(services)
}

fn is_built(service: &Service) -> bool {
    matches!(service.image, ImageSource::Build { .. })
}

/// Tells what the checks find in the Dockerfiles; findings make the call fail, so that a script notices.
async fn check(context: &Context, job: &Job, project: &Project, services: &[Service]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut count = 0;
    for service in services {
        match apply::check(context, job, project, service).await {
            Ok(findings) => {
                count += findings.len();
                for text in findings {
                    job.warn(text).await;
                }
            }
            Err(error) => outcome.errors.push(error.report()),
        }
    }
    if count > 0 {
        let text = format!(
            "the checks found {count} problem{}",
            if count == 1 { "" } else { "s" }
        );
        outcome.errors.push(ErrorReport::operation(text));
    }
    outcome
}

pub(super) async fn carry_out(context: &Context, job: &Job, plan: Plan) -> Outcome {
    let mut outcome = Outcome::default();
    let work = apply::apply(context, job, plan);
    tokio::pin!(work);
    // Nobody waits for the result of an interrupted client; what was finished stays in the store and in the cache.
    let report = tokio::select! {
        report = &mut work => report,
        () = job.events.closed() => {
            job.cancel.cancel();
            work.await
        }
    };
    absorb(report, &mut outcome);
    outcome
}

async fn load(
    context: &Context,
    request: ImageLoadRequest,
    events: &mpsc::Sender<Event>,
) -> Outcome {
    let subject = Subject {
        kind: SubjectKind::Image,
        name: if request.is_pipe {
            "standard input".to_owned()
        } else {
            request.path.display().to_string()
        },
    };
    let job = Job::new(None, events, &CancellationToken::new());
    job.working(&subject, "loading").await;
    let store = context.images.clone();
    let (sender, mut progress) = mpsc::channel(1);
    let work = blocking(move || {
        // A report that finds the one before it still unread is dropped: the next one says more.
        let report = |at: LoadProgress| {
            let _unread = sender.try_send(at);
        };
        if !request.is_pipe {
            return image::load(&store, &request.path, &report);
        }
        let source =
            captures::open_source(&request.path, true).map_err(|source| LoadError::Read {
                path: "standard input".into(),
                source,
            })?;
        image::load_stream(&store, ("standard input", Box::new(source)), &report)
    });
    let told = async {
        while let Some(at) = progress.recv().await {
            let state = StepState::Working {
                text: "loading".to_owned(),
                current: Some(at.bytes),
                total: at.total,
            };
            job.tell(&subject, state, None).await;
        }
    };
    let (loaded, ()) = tokio::join!(work, told);
    match loaded {
        Ok(names) => {
            job.tell(
                &subject,
                StepState::Done {
                    text: "loaded".to_owned(),
                },
                None,
            )
            .await;
            Outcome {
                names,
                ..Outcome::default()
            }
        }
        Err(error) => image_failure(&error),
    }
}

/// Prunes the build cache.
async fn builder_prune(context: &Context, options: BuildCachePrune) -> Outcome {
    let (store, root) = (context.images.clone(), context.root.clone());
    let pruned = tokio::task::spawn_blocking(move || prune_build_cache(&store, &root, &options))
        .await
        .expect("pruning does not panic");
    match pruned {
        Ok(removed) => Outcome {
            reclaimed_bytes: removed.iter().map(BuildCacheEntry::reclaimable_bytes).sum(),
            names: removed
                .iter()
                .map(|entry| format!("{} {}", entry.id, entry.size_bytes))
                .collect(),
            ..Outcome::default()
        },
        Err(error) => image_failure(&error),
    }
}

fn remove(context: &Context, request: &ImageRemoveRequest) -> Outcome {
    let mut outcome = Outcome::default();
    let containers = match prune::users_of_images(&context.root) {
        Ok(records) => records,
        Err(error) => return Outcome::failed(FailureKind::Operation, &error),
    };
    let in_use: Vec<ImageId> = containers
        .iter()
        .flat_map(|record| record.images().cloned())
        .collect();
    let cached = match cached_layers(&context.root) {
        Ok(cached) => cached,
        Err(error) => return image_failure(&error),
    };
    let kept = Kept {
        images: &in_use,
        layers: &cached,
    };
    for name in &request.images {
        match context.images.remove(name, request.force, &kept) {
            Ok(removed) => outcome.names.extend(removed),
            Err(error @ ImageError::InUse(_)) => {
                let mut report = ErrorReport::of(FailureKind::Image, &error);
                if let Ok(Some(image)) = context.images.find(name) {
                    let users = containers
                        .iter()
                        .filter(|record| record.images().any(|id| *id == image.id));
                    let users: Vec<&str> = users.map(|record| record.name.as_str()).collect();
                    report.chain.push(format!("by {}", users.join(", ")));
                    report.hints =
                        vec![format!("stack image rm -f {name}    removes only its name")];
                }
                outcome.errors.push(report);
            }
            Err(error) => outcome.errors.extend(image_failure(&error).errors),
        }
    }
    outcome
}

fn tag(context: &Context, request: &ImageTagRequest) -> Outcome {
    match context.images.tag(&request.source, &request.target) {
        Ok(()) => Outcome {
            names: vec![request.target.clone()],
            ..Outcome::default()
        },
        Err(error) => image_failure(&error),
    }
}

/// Does something on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => unreachable!("blocking tasks are never aborted"),
        },
    }
}

/// The outcome of a call that failed for a reason that no error value stands for.
pub(super) fn failed(text: String) -> Outcome {
    Outcome {
        errors: vec![ErrorReport::operation(text)],
        ..Outcome::default()
    }
}

pub(super) fn image_failure(error: &dyn std::error::Error) -> Outcome {
    Outcome::failed(FailureKind::Image, error)
}
