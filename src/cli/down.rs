//! `stack down`: takes the project away. Works without a Compose file.

use clap::{Args, ValueEnum};
use compose_spec::{Loaded, model::ServiceName};

use super::{
    failure::Failure,
    rehearse, removal,
    session::{Session, Target, service_names},
    values, volume,
};
use crate::{
    model::VolumeRecord,
    plan::{DownOptions, RemoveImages},
    protocol::{DownRequest, Request, VolumeRequest},
    ui::progress::ProgressOptions,
};

/// Stop and remove the project's containers and networks
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services; the networks stay
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Also remove containers of services that the Compose file does not have
    #[arg(long)]
    remove_orphans: bool,
    /// Also remove images: `all`, or `local` for those without a name of their own
    #[arg(long, value_enum, value_name = "WHICH")]
    rmi: Option<Images>,
    /// Time until a container that does not stop is killed [default: each service's own]
    #[arg(short, long, value_name = "SECONDS", value_parser = values::seconds)]
    timeout: Option<u64>,
    /// Also remove volumes, with all their data
    #[arg(short, long)]
    volumes: bool,
    /// Do not ask before volumes are removed
    #[arg(short = 'y', long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Images {
    Local,
    All,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let target = session.target(&arguments.services)?;
    let services = service_names(&arguments.services)?;
    let dry_run = session.settings.flags.dry_run;
    if arguments.volumes && !dry_run {
        protect(session, &target)?;
    }
    if arguments.volumes && !arguments.yes && !dry_run {
        confirm_volumes(session, &target, &services)?;
    }
    let options = DownOptions {
        services,
        known_services: target
            .loaded
            .as_deref()
            .map(known_services)
            .unwrap_or_default(),
        volumes: arguments.volumes,
        images: match arguments.rmi {
            None => RemoveImages::None,
            Some(Images::Local) => RemoveImages::Local,
            Some(Images::All) => RemoveImages::All,
        },
        remove_orphans: arguments.remove_orphans || session.settings.orphans.remove,
        grace_ms: arguments.timeout,
    };
    let loaded = target.loaded.as_deref();
    if dry_run {
        return rehearse::down(session, &target.project, &options, loaded);
    }
    let request = Request::Down(DownRequest {
        project: target.project.clone(),
        options,
    });
    session.call(&request, ProgressOptions::default(), loaded)?;
    Ok(())
}

/// Takes the whole project down, volumes and images left (`wait --down-project`).
pub(super) fn everything(session: &Session<'_>) -> Result<(), Failure> {
    let target = session.target(&[])?;
    let request = Request::Down(DownRequest {
        project: target.project.clone(),
        options: DownOptions::default(),
    });
    session.call(
        &request,
        ProgressOptions::default(),
        target.loaded.as_deref(),
    )?;
    Ok(())
}

/// Every service of the Compose files: the containers of others are orphans.
fn known_services(loaded: &Loaded) -> Vec<ServiceName> {
    let mut names = loaded.inactive.clone();
    names.extend(loaded.project.services.keys().cloned());
    names
}

/// Protects the volumes of which the file says so, and which were made before it did: they stay.
fn protect(session: &Session<'_>, target: &Target) -> Result<(), Failure> {
    let Some(project) = target.file() else {
        return Ok(());
    };
    let root = &session.settings.root;
    let wanted = project.volumes.values().filter(|volume| {
        !volume.external && VolumeRecord::wants_protection(volume).unwrap_or(true)
    });
    let names: Vec<String> = wanted
        .map(|volume| volume.name.clone())
        .filter(|name| root.volumes().join(name).exists())
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let request = Request::Volume(VolumeRequest::Protect {
        names,
        protected: true,
    });
    session.call(&request, ProgressOptions::default(), None)?;
    Ok(())
}

/// Asks before data is removed. Off a terminal nobody can be asked: then the flag is the answer, as in docker.
fn confirm_volumes(
    session: &Session<'_>,
    target: &Target,
    services: &[ServiceName],
) -> Result<(), Failure> {
    let volumes = volumes_with_data(session, target, services)?;
    if volumes.is_empty() || !session.ui.options().interactive {
        return Ok(());
    }
    let sizes = volumes
        .into_iter()
        .map(|name| Ok((name.clone(), volume::size(session, &name)?)))
        .collect::<Result<_, Failure>>()?;
    removal::confirm(session, &volume::told(&sizes), ("--yes", false))
}

/// Returns the names of the volumes that `down -v` would remove and that exist.
fn volumes_with_data(
    session: &Session<'_>,
    target: &Target,
    services: &[ServiceName],
) -> Result<Vec<String>, Failure> {
    let root = &session.settings.root;
    let kept = volume::kept(session, &target.project)?;
    let mut names: Vec<String> = Vec::new();
    if let Some(project) = target.file()
        && services.is_empty()
    {
        names.extend(
            project
                .volumes
                .values()
                .filter(|volume| !volume.external)
                .map(|volume| volume.name.clone()),
        );
    }
    for container in super::observed::of_services(session.containers(&target.project)?, services) {
        names.extend(container.record.anonymous_volumes.into_values());
    }
    let is_protected = |name: &String| kept.contains(name);
    names.retain(|name| root.volumes().join(name).exists() && !is_protected(name));
    names.sort();
    names.dedup();
    Ok(names)
}
