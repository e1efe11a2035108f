//! Waits until a container is as far as somebody needs it: by its monitor's events, never by polling.

use compose_spec::model::{Condition, ServiceName};
use runtime::spec::{ContainerState, Health, ProbeResult, RestartPolicy};

use super::{ApplyError, Context, Job, queue::Done};
use crate::{
    container::{
        self, Status,
        logs::{LogReader, LogStream, Query},
    },
    model::{ContainerId, ContainerRecord, Subject},
};

/// Log lines shown with a failure.
const LOG_LINES: usize = 5;

/// What is awaited.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) id: ContainerId,
    pub(super) service: ServiceName,
    pub(super) condition: Condition,
    pub(super) required: bool,
}

/// Waits until a container is ready, as `--wait` means it: running and, with a probe, healthy; or completed, when it is not meant to run for ever.
pub(super) async fn ready(
    context: &Context,
    job: &Job,
    subject: &Subject,
    id: &ContainerId,
    service: &ServiceName,
) -> Result<Done, ApplyError> {
    let record = container::read_record(&context.root, id)
        .map_err(|source| ApplyError::Container {
            name: subject.name.clone(),
            source,
        })?
        .ok_or_else(|| ApplyError::Vanished {
            id: id.short().to_owned(),
        })?;
    let condition = if record.spec.probe.is_some() {
        Condition::ServiceHealthy
    } else {
        Condition::ServiceStarted
    };
    let awaited = Awaited {
        id: id.clone(),
        service: service.clone(),
        condition,
        required: true,
    };
    match wait(context, job, subject, &awaited).await {
        Err(ApplyError::DependencyExited { code: 0, .. })
            if record.spec.restart != RestartPolicy::Always =>
        {
            Ok(Done::text("completed"))
        }
        result => result,
    }
}

/// Waits for a container. A failure of one that is not required is a warning.
pub(super) async fn until(
    context: &Context,
    job: &Job,
    subject: &Subject,
    awaited: &Awaited,
) -> Result<Done, ApplyError> {
    match wait(context, job, subject, awaited).await {
        Err(error) if !awaited.required && !matches!(error, ApplyError::Interrupted { .. }) => {
            job.warn(format!("{error}; going on, because it is not required"))
                .await;
            Ok(Done::default())
        }
        result => result,
    }
}

async fn wait(
    context: &Context,
    job: &Job,
    subject: &Subject,
    awaited: &Awaited,
) -> Result<Done, ApplyError> {
    let record = container::read_record(&context.root, &awaited.id)
        .map_err(|source| ApplyError::Container {
            name: subject.name.clone(),
            source,
        })?
        .ok_or_else(|| ApplyError::Vanished {
            id: awaited.id.short().to_owned(),
        })?;
    let mut told = false;
    let mut receiver = context.live.status(&awaited.id);
    loop {
        let status = match &mut receiver {
            Some(receiver) => receiver.borrow_and_update().clone(),
            None => last_status(context, &record)?,
        };
        if let Some(verdict) = judge(&status, awaited, &record) {
            return match verdict {
                Ok(text) => Ok(Done::text(text)),
                Err(error) => Err(with_log(error, &record)),
            };
        }
        let Some(waiting) = &mut receiver else {
            // Not live, and not decided: it was never started or is lost.
            return Err(ApplyError::Lost {
                service: awaited.service.clone(),
                reason: "it is not running".to_owned(),
            });
        };
        if !told {
            job.working(subject, phrase(awaited.condition)).await;
            told = true;
        }
        tokio::select! {
            changed = waiting.changed() => if changed.is_err() { receiver = None },
            () = job.cancel.cancelled() => {
                return Err(ApplyError::Interrupted { service: awaited.service.clone() });
            }
        }
    }
}

fn last_status(context: &Context, record: &ContainerRecord) -> Result<Status, ApplyError> {
    container::read_state(&context.root, &record.id)
        .map(|(state, restarts)| Status { state, restarts })
        .map_err(|source| ApplyError::Container {
            name: record.name.clone(),
            source,
        })
}

fn phrase(condition: Condition) -> &'static str {
    match condition {
        Condition::ServiceStarted => "waiting for it to run",
        Condition::ServiceHealthy => "waiting for it to be healthy",
        Condition::ServiceCompletedSuccessfully => "waiting for it to complete",
    }
}

/// Decides whether the wait is over; `None` = not yet.
fn judge(
    status: &Status,
    awaited: &Awaited,
    record: &ContainerRecord,
) -> Option<Result<&'static str, ApplyError>> {
    let service = || awaited.service.clone();
    match (&status.state, awaited.condition) {
        (ContainerState::Lost { reason }, _) => Some(Err(ApplyError::Lost {
            service: service(),
            reason: reason.clone(),
        })),
        (ContainerState::Running { .. }, Condition::ServiceStarted) => Some(Ok("running")),
        (ContainerState::Running { health, .. }, Condition::ServiceHealthy) => match health {
            Health::None => Some(Err(ApplyError::NoHealthCheck { service: service() })),
            Health::Starting { .. } => None,
            Health::Healthy { .. } => Some(Ok("healthy")),
            Health::Unhealthy { last, .. } => Some(Err(ApplyError::Unhealthy {
                service: service(),
                probe: last.as_ref().map(probe_text),
                log: Vec::new(),
            })),
        },
        (ContainerState::Exited { status: exit, .. }, Condition::ServiceCompletedSuccessfully) => {
            Some(if exit.code == 0 {
                Ok("completed")
            } else {
                Err(ApplyError::NotCompleted {
                    service: service(),
                    code: exit.code,
                    log: Vec::new(),
                })
            })
        }
        (ContainerState::Exited { status: exit, .. }, _) => {
            Some(Err(ApplyError::DependencyExited {
                service: service(),
                name: record.name.clone(),
                code: exit.code,
                log: Vec::new(),
            }))
        }
        _ => None,
    }
}

fn probe_text(probe: &ProbeResult) -> String {
    let output = probe.output.lines().next().unwrap_or_default();
    match (probe.code, output) {
        (-1, "") => "the probe timed out".to_owned(),
        (code, "") => format!("the probe exited with {code}"),
        (code, output) => format!("the probe exited with {code}: {output}"),
    }
}

/// Adds the last log lines of the container that failed.
fn with_log(error: ApplyError, record: &ContainerRecord) -> ApplyError {
    let Some(directory) = &record.spec.log.dir else {
        return error;
    };
    let lines = last_lines(directory);
    match error {
        ApplyError::DependencyExited {
            service,
            name,
            code,
            ..
        } => ApplyError::DependencyExited {
            service,
            name,
            code,
            log: lines,
        },
        ApplyError::Unhealthy { service, probe, .. } => ApplyError::Unhealthy {
            service,
            probe,
            log: lines,
        },
        ApplyError::NotCompleted { service, code, .. } => ApplyError::NotCompleted {
            service,
            code,
            log: lines,
        },
        other => other,
    }
}

/// Reads the end of a log; a log that cannot be read has none.
fn last_lines(directory: &std::path::Path) -> Vec<String> {
    let query = Query {
        tail: Some(LOG_LINES),
        ..Query::default()
    };
    let Ok(mut reader) = LogReader::open(directory, &query) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    while let Ok(Some(line)) = reader.next_line() {
        if line.stream != LogStream::Event {
            lines.push(String::from_utf8_lossy(&line.text).into_owned());
        }
    }
    lines
}
