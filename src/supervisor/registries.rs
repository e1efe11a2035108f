//! Calls that are about registries alone: push, login, search.

use tokio_util::sync::CancellationToken;

use crate::{
    apply::{self, Context, Job},
    image::{self, Failures, PushEvent, PushPhase, PushProgress, Registries, SearchError},
    model::{Subject, SubjectKind, normal_registry, registry_of},
    protocol::{
        ErrorReport, Event, FailureKind, Found, LoginRequest, Outcome, Progress, PushRequest,
        SearchRequest, StepState,
    },
};

/// Pushes images, one after the other: the layers of one fill a line already.
pub(super) async fn push(context: &Context, job: &Job, request: PushRequest) -> Outcome {
    let registries = match apply::registries(&context.root, job) {
        Ok(registries) => registries,
        Err(error) => return failed(&error, Vec::new()),
    };
    let mut outcome = Outcome::default();
    let mut images = Vec::new();
    for name in request.images {
        if !request.all_tags {
            images.push(name);
            continue;
        }
        match image::all_tags(&context.images, &name) {
            Ok(names) => images.extend(names),
            Err(error) => outcome.errors.extend(failed(&error, error.hints()).errors),
        }
    }
    for name in images {
        match push_one(context, job, &registries, &name).await {
            Ok(pushed) => outcome.names.push(pushed),
            Err(report) => outcome.errors.push(report),
        }
    }
    outcome
}

/// Pushes one image and returns `name@digest`.
async fn push_one(
    context: &Context,
    job: &Job,
    registries: &Registries,
    name: &str,
) -> Result<String, ErrorReport> {
    let subject = Subject {
        kind: SubjectKind::Image,
        name: name.to_owned(),
    };
    let began = std::time::Instant::now();
    job.working(&subject, "pushing").await;
    let tell = |event| {
        let event = match event {
            PushEvent::Layer(progress) => Event::Step(row(name, &progress)),
            PushEvent::Warning(text) => Event::Warning { text },
        };
        // Progress is not worth waiting for: the image's own row tells how it ended.
        drop(job.events.try_send(event));
    };
    let pushed = image::push(&context.images, name, registries, &tell).await;
    let took = u64::try_from(began.elapsed().as_millis()).ok();
    let text = |text: &str| text.to_owned();
    match pushed {
        Ok(pushed) => {
            let state = StepState::Done {
                text: text("pushed"),
            };
            job.tell(&subject, state, took).await;
            Ok(format!("{}@{}", pushed.reference, pushed.digest))
        }
        Err(error) => {
            let state = StepState::Failed {
                text: text("not pushed"),
            };
            job.tell(&subject, state, took).await;
            let mut report = ErrorReport::of(FailureKind::Image, &error);
            report.hints = error.hints();
            Err(report)
        }
    }
}

/// Makes the progress row of a layer.
fn row(image: &str, progress: &PushProgress) -> Progress {
    let working = |text: &str, bytes: Option<(u64, u64)>| StepState::Working {
        text: text.to_owned(),
        current: bytes.map(|(current, _)| current),
        total: bytes.map(|(_, total)| total),
    };
    let done = |text: &str| StepState::Done {
        text: text.to_owned(),
    };
    let state = match progress.phase {
        PushPhase::Compressing => working("compressing", None),
        PushPhase::Compressed => done("compressed"),
        PushPhase::Sending {
            current_bytes,
            total_bytes,
        } => working(
            "uploading",
            Some((current_bytes.min(total_bytes), total_bytes)),
        ),
        PushPhase::Exists => done("exists"),
        PushPhase::Mounted => done("mounted"),
        PushPhase::Done => done("pushed"),
    };
    Progress {
        subject: Subject {
            kind: SubjectKind::Layer,
            name: format!("{image} {}", progress.layer.short()),
        },
        state,
        took_ms: None,
    }
}

/// Tries the credential that the caller brought.
pub(super) async fn login(context: &Context, job: &Job, request: LoginRequest) -> Outcome {
    let registry = normal_registry(&request.registry);
    let registries = match apply::registries(&context.root, job) {
        Ok(registries) => registries,
        Err(error) => return failed(&error, Vec::new()),
    };
    match image::login(registry, &registries).await {
        Ok(identity) => Outcome {
            identity,
            ..Outcome::default()
        },
        Err(failures) => login_failed(registry, &failures),
    }
}

fn login_failed(registry: &str, failures: &Failures) -> Outcome {
    // The hint of a refused pull is to log in, which is what was just tried.
    let hints = failures.hints().into_iter();
    let hints = hints
        .filter(|hint| !hint.starts_with("stack login"))
        .collect();
    let mut report = ErrorReport::of(FailureKind::Operation, failures);
    report.chain.insert(0, format!("log in to {registry}"));
    report.hints = hints;
    Outcome {
        errors: vec![report],
        ..Outcome::default()
    }
}

/// Searches the registry that the term names, else the Hub.
pub(super) async fn search(context: &Context, job: &Job, request: SearchRequest) -> Outcome {
    let registry = registry_of(&request.term);
    let term = match request.term.split_once('/') {
        Some((first, rest)) if normal_registry(first) == registry => rest,
        _ => &request.term,
    };
    let registries = match apply::registries(&context.root, job) {
        Ok(registries) => registries,
        Err(error) => return failed(&error, Vec::new()),
    };
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    match image::search(registry, term, limit, &registries).await {
        Ok(results) => Outcome {
            found: (results.into_iter())
                .map(|result| Found {
                    name: result.name,
                    description: result.description,
                    stars: result.stars,
                    official: result.official,
                })
                .collect(),
            ..Outcome::default()
        },
        Err(error) => {
            let hints = match &error {
                SearchError::Registry { failures, .. } => failures.hints(),
                SearchError::NoTerm(_) | SearchError::NotOffered(_) => Vec::new(),
            };
            failed(&error, hints)
        }
    }
}

fn failed(error: &dyn std::error::Error, hints: Vec<String>) -> Outcome {
    let mut report = ErrorReport::of(FailureKind::Image, error);
    report.hints = hints;
    Outcome {
        errors: vec![report],
        ..Outcome::default()
    }
}

/// Makes the job of a call that belongs to no project.
pub(super) fn job(
    access: Option<std::sync::Arc<crate::model::RegistryAccess>>,
    events: &tokio::sync::mpsc::Sender<Event>,
    cancel: &CancellationToken,
) -> Job {
    Job {
        access,
        ..Job::new(None, events, cancel)
    }
}
