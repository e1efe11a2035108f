//! `stack start`, `stop`, `restart`, `kill`, `pause`, `unpause`, `rm`: containers that exist. All work without a Compose file.

use clap::Args;
use runtime::spec::ContainerState;

use super::{
    failure::Failure,
    observed, removal,
    session::{Session, Target, service_names},
    values,
};
use crate::{
    model::ObservedContainer,
    protocol::{LifecycleAction, LifecycleRequest, Request},
    ui::progress::ProgressOptions,
};

/// Services of a command that needs nothing else
#[derive(Debug, Args)]
pub(super) struct Services {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Services and a grace
#[derive(Debug, Args)]
pub(super) struct WithGrace {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Time until a container that does not stop is killed [default: each service's own]
    #[arg(short, long, value_name = "SECONDS", value_parser = values::seconds)]
    timeout: Option<u64>,
}

/// Services and a signal
#[derive(Debug, Args)]
pub(super) struct Kill {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Name or number of the signal
    #[arg(short, long, default_value = "SIGKILL")]
    signal: String,
}

/// Which stopped containers to remove, and how
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Stop running containers first
    #[arg(short, long)]
    stop: bool,
    /// Also remove their anonymous volumes
    #[arg(short, long)]
    volumes: bool,
}

pub(super) fn start(session: &Session<'_>, arguments: &Services) -> Result<(), Failure> {
    run(
        session,
        "start",
        &arguments.services,
        LifecycleAction::Start,
    )
}

pub(super) fn stop(session: &Session<'_>, arguments: &WithGrace) -> Result<(), Failure> {
    let action = LifecycleAction::Stop {
        grace_ms: arguments.timeout,
    };
    run(session, "stop", &arguments.services, action)
}

pub(super) fn restart(session: &Session<'_>, arguments: &WithGrace) -> Result<(), Failure> {
    let action = LifecycleAction::Restart {
        grace_ms: arguments.timeout,
    };
    run(session, "restart", &arguments.services, action)
}

pub(super) fn kill(session: &Session<'_>, arguments: &Kill) -> Result<(), Failure> {
    let action = LifecycleAction::Kill {
        signal: arguments.signal.clone(),
    };
    run(session, "kill", &arguments.services, action)
}

pub(super) fn pause(session: &Session<'_>, arguments: &Services) -> Result<(), Failure> {
    run(
        session,
        "pause",
        &arguments.services,
        LifecycleAction::Pause,
    )
}

pub(super) fn unpause(session: &Session<'_>, arguments: &Services) -> Result<(), Failure> {
    run(
        session,
        "unpause",
        &arguments.services,
        LifecycleAction::Unpause,
    )
}

fn run(
    session: &Session<'_>,
    command: &str,
    services: &[String],
    action: LifecycleAction,
) -> Result<(), Failure> {
    session.refuse_dry_run(command)?;
    let target = session.target(services)?;
    call(session, &target, services, action)
}

pub(super) fn remove(session: &Session<'_>, arguments: &Remove) -> Result<(), Failure> {
    session.refuse_dry_run("rm")?;
    let target = session.target(&arguments.services)?;
    let services = service_names(&arguments.services)?;
    let mut doomed = observed::of_services(session.containers(&target.project)?, &services);
    doomed.retain(|container| arguments.stop || is_stopped(container));
    observed::sort(&mut doomed);
    if doomed.is_empty() {
        session.ui.say("No stopped containers");
        return Ok(());
    }
    let names: Vec<&str> = doomed
        .iter()
        .map(|container| container.record.name.as_str())
        .collect();
    let told = format!("This removes {}.", names.join(", "));
    removal::confirm(session, &[told], ("--force", arguments.force))?;
    let action = LifecycleAction::Remove {
        stop: arguments.stop,
        volumes: arguments.volumes,
    };
    call(session, &target, &arguments.services, action)
}

fn is_stopped(container: &ObservedContainer) -> bool {
    matches!(
        container.state,
        ContainerState::Created | ContainerState::Exited { .. } | ContainerState::Lost { .. }
    )
}

fn call(
    session: &Session<'_>,
    target: &Target,
    services: &[String],
    action: LifecycleAction,
) -> Result<(), Failure> {
    let request = Request::Lifecycle(LifecycleRequest {
        project: target.project.clone(),
        services: service_names(services)?,
        action,
    });
    session.call(
        &request,
        ProgressOptions::default(),
        target.loaded.as_deref(),
    )?;
    Ok(())
}
