//! Calls that belong to no project: pull, build, load, tag and remove images.

use std::sync::Arc;

use compose_spec::model::ImageSource;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{project::absorb, registries};
use crate::{
    apply::{self, Context, Job},
    build::prune as prune_build_cache,
    container, image,
    model::{BuildCachePrune, ImageId, RegistryAccess, Subject, SubjectKind},
    plan::{Action, Edge, Plan, Step},
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
    leave: &CancellationToken,
) {
    // A supervisor that leaves does not wait for the end of a long build.
    let job = registries::job(access, &events, &leave.child_token());
    let outcome = match request {
        Request::Pull(request) => pull(context, &job, request).await,
        Request::Pin(request) => pin(context, &job, request).await,
        Request::Build(request) => build(context, &job, *request).await,
        Request::BuilderPrune(options) => builder_prune(context, options).await,
        Request::Push(request) => registries::push(context, &job, request).await,
        Request::Login(request) => registries::login(context, &job, request).await,
        Request::Search(request) => registries::search(context, &job, request).await,
        Request::ImageLoad(request) => load(context, request, &events).await,
        Request::ImageRemove(request) => remove(context, &request),
        Request::ImageTag(request) => tag(context, &request),
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
    let project = request.project;
    let mut plan = Plan::default();
    let mut steps = Vec::new();
    for service in project.services.values() {
        let named = request.services.is_empty() || request.services.contains(&service.name);
        let ImageSource::Build { image, build } = &service.image else {
            if !request.services.is_empty() && named {
                return Outcome {
                    errors: vec![ErrorReport::operation(format!(
                        "service `{}` has no `build` section",
                        service.name
                    ))],
                    ..Outcome::default()
                };
            }
            continue;
        };
        if !named {
            continue;
        }
        let tag = image
            .clone()
            .unwrap_or_else(|| format!("{}-{}", project.name, service.name));
        let mut service = service.clone();
        let mut build = build.clone();
        build.no_cache |= request.no_cache;
        build.pull |= request.pull;
        build.args.extend(request.args.clone());
        let bases = service_bases(&build.additional_contexts);
        service.image = ImageSource::Build {
            image: image.clone(),
            build,
        };
        let name = service.name.clone();
        let id = plan.graph.add_node(Step {
            subject: Subject {
                kind: SubjectKind::Image,
                name: tag.clone(),
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
    let job = Job {
        project: Some(Arc::new(project)),
        ..job.clone()
    };
    carry_out(context, &job, plan).await
}

/// Services whose images are contexts of a build (`additional_contexts: base=service:base`).
fn service_bases(contexts: &indexmap::IndexMap<String, String>) -> Vec<String> {
    contexts
        .values()
        .filter_map(|context| context.strip_prefix("service:").map(ToOwned::to_owned))
        .collect()
}

async fn carry_out(context: &Context, job: &Job, plan: Plan) -> Outcome {
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
        name: request.path.display().to_string(),
    };
    let job = Job::new(None, events, &CancellationToken::new());
    job.working(&subject, "loading").await;
    let store = context.images.clone();
    let path = request.path.clone();
    let loaded = tokio::task::spawn_blocking(move || image::load(&store, &path, &|_| {}))
        .await
        .expect("loading does not panic");
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
    let in_use: Vec<ImageId> = match container::read_all(&context.root) {
        Ok(records) => records.into_iter().map(|record| record.image).collect(),
        Err(error) => {
            return Outcome {
                errors: vec![ErrorReport::of(FailureKind::Operation, &error)],
                ..outcome
            };
        }
    };
    for name in &request.images {
        match context.images.remove(name, request.force, &in_use) {
            Ok(removed) => outcome.names.extend(removed),
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

fn image_failure(error: &dyn std::error::Error) -> Outcome {
    Outcome {
        errors: vec![ErrorReport::of(FailureKind::Image, error)],
        ..Outcome::default()
    }
}
