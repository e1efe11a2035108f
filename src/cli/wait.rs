//! `stack wait`: returns when containers have stopped, with their exit codes.

use std::{io, os::fd::AsFd};

use clap::Args;
use compose_spec::model::ServiceName;
use runtime::spec::ContainerState;

use super::{
    down,
    failure::{Failure, INTERRUPTED},
    follow::{Follow, LOOK_INTERVAL, Selection},
    observed,
    poll::{self, Interest},
    session::{Session, no_container, service_names},
    terminal::Signals,
};
use crate::{
    container::logs::Query,
    model::{ContainerId, ObservedContainer},
    ui::logs::LogStyle,
};

/// Wait until the containers of services have stopped, and print their exit codes
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The services
    #[arg(value_name = "SERVICE", required = true)]
    services: Vec<String>,
    /// Take the project down when the first container has stopped
    #[arg(long)]
    down_project: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("wait")?;
    let target = session.target(&arguments.services)?;
    let services = service_names(&arguments.services)?;
    let signals = Signals::take().map_err(|error| Failure::intent("take signals", &error))?;
    let selection = Selection {
        services: Some(services.clone()),
        index: None,
    };
    let nothing = Query {
        since: None,
        until: None,
        tail: Some(0),
    };
    let style = LogStyle {
        palette: session.ui.options().out,
        prefix: false,
        timestamps: false,
    };
    let mut follow = Follow::open(session, target.project, selection, nothing, style)?;
    follow.watch()?;
    let mut waited = waited(follow.refresh()?, &services)?;
    let mut last = 0;
    loop {
        let containers = follow.refresh()?;
        let mut ended = Vec::new();
        waited.retain(|(id, name)| {
            let end = end(containers, id);
            if let Some(code) = end {
                ended.push((name.clone(), code));
            }
            end.is_none()
        });
        for (name, code) in &ended {
            session.ui.data(format!(
                "container \"{name}\" exited with status code {code}\n"
            ))?;
            last = *code;
        }
        if arguments.down_project && !ended.is_empty() {
            down::everything(session)?;
            break;
        }
        if waited.is_empty() {
            break;
        }
        let fds = [
            Some((signals.as_fd(), Interest::Read)),
            Some((follow.as_fd(), Interest::Read)),
        ];
        let ready = poll::wait(&fds, Some(LOOK_INTERVAL)).map_err(|error| waiting(&error))?;
        if ready[0] && signals.is_end().map_err(|error| waiting(&error))? {
            return Err(Failure::Status(INTERRUPTED));
        }
    }
    match u8::try_from(last) {
        Ok(0) => Ok(()),
        Ok(code) => Err(Failure::Status(code)),
        Err(_) => Err(Failure::Status(u8::MAX)),
    }
}

/// Returns the containers to wait for, with their names. One that has stopped already counts: its code is told at once.
fn waited(
    containers: &[ObservedContainer],
    services: &[ServiceName],
) -> Result<Vec<(ContainerId, String)>, Failure> {
    for service in services {
        let has_container = |container: &&ObservedContainer| {
            container.record.service == *service && observed::replica(container).is_some()
        };
        if !containers.iter().any(|container| has_container(&container)) {
            return Err(no_container(service));
        }
    }
    let mut chosen = observed::of_services(containers.to_vec(), services);
    chosen.retain(|container| observed::replica(container).is_some());
    observed::sort(&mut chosen);
    Ok(chosen
        .into_iter()
        .map(|container| (container.record.id, container.record.name))
        .collect())
}

/// Returns the exit code of a container that does not run and will not by itself. One that was removed meanwhile has ended, as if killed.
fn end(containers: &[ObservedContainer], id: &ContainerId) -> Option<i32> {
    const KILLED: i32 = 137;
    let Some(container) = containers
        .iter()
        .find(|container| container.record.id == *id)
    else {
        return Some(KILLED);
    };
    match &container.state {
        ContainerState::Exited { status, .. } => Some(status.code),
        ContainerState::Lost { .. } => Some(KILLED),
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused { .. }
        | ContainerState::Restarting { .. } => None,
    }
}

fn waiting(error: &io::Error) -> Failure {
    Failure::intent("wait for containers", error)
}
