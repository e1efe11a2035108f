//! Calls that belong to no project: pull, build, load, tag and remove images.

use std::sync::Arc;

use compose_spec::model::ImageSource;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{captures, project::absorb, prune, registries};
use crate::{
    apply::{self, Context, Job},
    container,
    image::{self, ImageError, LoadError, LoadProgress},
    model::{ImageId, RegistryAccess, Subject, SubjectKind},
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
) {
    let job = registries::job(access, &events);
    let outcome = match request {
        Request::Pull(request) => pull(context, &job, request).await,
        Request::Pin(request) => pin(context, &job, request).await,
        Request::Build(request) => build(context, &job, *request).await,
        Request::Push(request) => registries::push(context, &job, request).await,
        Request::Login(request) => registries::login(context, &job, request).await,
        Request::Search(request) => registries::search(context, &job, request).await,
        Request::Commit(request) => Box::pin(captures::commit(context, request)).await,
        Request::ImageImport(request) => captures::import(context, request).await,
        Request::ImagePrune(filter) => prune::images(context, filter).await,
        Request::VolumePrune(request) => prune::volumes(context, &job, request).await,
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

pub(super) async fn carry_out(context: &Context, job: &Job, plan: Plan) -> Outcome {
    let mut outcome = Outcome::default();
    absorb(apply::apply(context, job, plan).await, &mut outcome);
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

fn remove(context: &Context, request: &ImageRemoveRequest) -> Outcome {
    let mut outcome = Outcome::default();
    let containers = match container::read_all(&context.root) {
        Ok(records) => records,
        Err(error) => {
            return Outcome {
                errors: vec![ErrorReport::of(FailureKind::Operation, &error)],
                ..outcome
            };
        }
    };
    let in_use: Vec<ImageId> = containers
        .iter()
        .map(|record| record.image.clone())
        .collect();
    for name in &request.images {
        match context.images.remove(name, request.force, &in_use) {
            Ok(removed) => outcome.names.extend(removed),
            Err(error @ ImageError::InUse(_)) => {
                let mut report = ErrorReport::of(FailureKind::Image, &error);
                if let Ok(Some(image)) = context.images.find(name) {
                    let users = containers.iter().filter(|record| record.image == image.id);
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
    Outcome {
        errors: vec![ErrorReport::of(FailureKind::Image, error)],
        ..Outcome::default()
    }
}
