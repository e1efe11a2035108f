//! What changes lead to in containers.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::AsFd,
    path::Path,
};

use compose_spec::{
    Loaded,
    model::{Hook, ProjectName, ServiceName, WatchAction},
};
use runtime::monitor::{
    Client,
    protocol::{Event, Request as MonitorRequest},
};

use super::{
    super::{failure::Failure, observed, session::Session},
    Manner,
    batch::{Hit, listed},
};
use crate::{
    container::copy::{Mirror, Mirrored},
    model::{ImageId, ObservedContainer},
    observe,
    plan::UpOptions,
    protocol::{ImageRemoveRequest, LifecycleAction, LifecycleRequest, Request},
    ui::progress::ProgressOptions,
    watch::Change,
};

/// Builds images anew and replaces the containers of their services.
pub(super) fn rebuild(
    session: &Session<'_>,
    loaded: &Loaded,
    services: &BTreeMap<&ServiceName, String>,
    manner: Manner,
) -> Result<(), Failure> {
    let project = &loaded.project.name;
    let mut before = Vec::new();
    let mut scale = Vec::new();
    for (service, paths) in services {
        session.ui.say(&format!("{service}: rebuilding, {paths}"));
        let containers = Containers::of(session, project, service)?;
        before.extend(containers.list.iter().map(|one| one.record.image.clone()));
        // As many as there are: `stack scale` may have changed the number.
        if let Ok(count @ 1..) = u32::try_from(containers.list.len()) {
            scale.push(((*service).clone(), count));
        }
    }
    let options = UpOptions {
        services: services.keys().map(|service| (*service).clone()).collect(),
        no_deps: true,
        scale: scale.into_iter().collect(),
        ..UpOptions::default()
    };
    manner.up(session, loaded, options)?;
    if manner.prune {
        prune(session, before)?;
    }
    Ok(())
}

/// Removes images that have no name and no container any more.
fn prune(session: &Session<'_>, mut images: Vec<ImageId>) -> Result<(), Failure> {
    images.sort();
    images.dedup();
    let stored = observe::images(&session.settings.root).map_err(|error| Failure::error(&error))?;
    let is_dangling = |id: &ImageId| {
        let mut stored = stored.iter();
        stored.any(|image| image.id == *id && image.references.is_empty())
    };
    images.retain(is_dangling);
    for image in images {
        let request = Request::ImageRemove(ImageRemoveRequest {
            images: vec![image.to_string()],
            force: false,
        });
        // Another project's container may have it: then it stays.
        if let Err(failure @ Failure::Output(_)) =
            session.call(&request, ProgressOptions::default(), None)
        {
            return Err(failure);
        }
    }
    Ok(())
}

/// The containers of one service.
pub(super) struct Containers<'a> {
    project: &'a ProjectName,
    service: &'a ServiceName,
    list: Vec<ObservedContainer>,
}

impl<'a> Containers<'a> {
    pub(super) fn of(
        session: &Session<'_>,
        project: &'a ProjectName,
        service: &'a ServiceName,
    ) -> Result<Self, Failure> {
        let mut list =
            observed::of_services(session.containers(project)?, std::slice::from_ref(service));
        list.retain(|container| observed::replica(container).is_some());
        observed::sort(&mut list);
        Ok(Self {
            project,
            service,
            list,
        })
    }

    /// Copies what is to be copied, then does what is to be done after it. All rules are tried before the first error is told.
    pub(super) fn follow(&self, session: &Session<'_>, hits: &[Hit<'_>]) -> Result<(), Failure> {
        let mut copied = BTreeSet::new();
        let mut done = Ok(());
        for hit in hits {
            let copying = self.copy(session, hit, &mut copied);
            done = done.and(copying);
        }
        done?;
        // Rules may be about the same file: whichever copied it, it is another one now.
        let is_other = |hit: &&Hit<'_>| hit.changes.iter().any(|(path, ..)| copied.contains(path));
        for hit in hits.iter().filter(is_other) {
            if let WatchAction::SyncExec { exec, .. } = &hit.rule.action {
                for container in &self.list {
                    run(session, container, exec)?;
                }
            }
        }
        let restarts = hits.iter().find(|hit| match hit.rule.action {
            WatchAction::Restart => true,
            WatchAction::SyncRestart { .. } => is_other(hit),
            _ => false,
        });
        match restarts {
            Some(hit) => self.restart(session, &hit.paths()),
            None => Ok(()),
        }
    }

    fn restart(&self, session: &Session<'_>, paths: &str) -> Result<(), Failure> {
        let service = self.service;
        session.ui.say(&format!("{service}: restarting, {paths}"));
        let request = Request::Lifecycle(LifecycleRequest {
            project: self.project.clone(),
            services: vec![service.clone()],
            action: LifecycleAction::Restart { grace_ms: None },
        });
        session.call(&request, ProgressOptions::default(), None)?;
        Ok(())
    }

    /// Makes the files of a rule in the containers equal to those of this machine, and adds those that were not to `copied`.
    fn copy<'b>(
        &self,
        session: &Session<'_>,
        hit: &Hit<'b>,
        copied: &mut BTreeSet<&'b Path>,
    ) -> Result<(), Failure> {
        let Some(target) = hit.rule.action.target() else {
            return Ok(());
        };
        let mut names = BTreeSet::new();
        for container in &self.list {
            let name = &container.record.name;
            let failed = |error| Failure::intent(format!("copy to `{name}`"), &error);
            let mut mirror =
                Mirror::open(&container.record, &container.state, target).map_err(failed)?;
            for (path, relative, change) in &hit.changes {
                let mirrored = match change {
                    Change::Gone => mirror.remove(path, relative),
                    Change::Other => mirror.put(path, relative),
                };
                match mirrored {
                    Ok(Mirrored::Changed) => {
                        copied.insert(*path);
                        names.insert(place(target, relative));
                    }
                    Ok(Mirrored::Equal | Mirrored::Left) => {}
                    // It went while we looked: its end is the next change.
                    Err(_) if *change == Change::Other && !path.exists() => {}
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        if !names.is_empty() {
            let names = listed(names);
            session
                .ui
                .say(&format!("{}: {names} updated", self.service));
        }
        Ok(())
    }
}

/// Returns the path in the container, for people.
fn place(target: &str, relative: &Path) -> String {
    if relative.as_os_str().is_empty() {
        return target.to_owned();
    }
    format!("{}/{}", target.trim_end_matches('/'), relative.display())
}

/// Runs a command in a container to its end. Its output is ours.
fn run(session: &Session<'_>, container: &ObservedContainer, hook: &Hook) -> Result<(), Failure> {
    // Who does not run gets it never: its command works on what a start reads anyway.
    if container.state.pid().is_none() {
        return Ok(());
    }
    let record = &container.record;
    let intent = || format!("run `{}` in `{}`", hook.command.join(" "), record.name);
    let failed = |error: &dyn std::error::Error| Failure::intent(intent(), error);
    let null = fs_err::File::open("/dev/null").map_err(|error| failed(&error))?;
    let (out, err) = (io::stdout(), io::stderr());
    let request = MonitorRequest::Exec {
        process: record.hook_process(hook),
        tty: false,
        size: None,
        privileged: hook.privileged,
    };
    let monitor = Client::connect(&session.settings.root.container(&record.id))
        .map_err(|error| failed(&error))?;
    monitor
        .request(&request, &[null.as_fd(), out.as_fd(), err.as_fd()])
        .map_err(|error| failed(&error))?;
    loop {
        match monitor.receive().map_err(|error| failed(&error))? {
            Some((Event::ExecExited { status }, _)) if status.code == 0 => return Ok(()),
            Some((Event::ExecExited { status }, _)) => {
                let reason = format!("{}: exited with status {}", intent(), status.code);
                return Err(Failure::message(reason));
            }
            Some((Event::Failed { message, .. }, _)) => {
                return Err(Failure::message(format!("{}: {message}", intent())));
            }
            Some(_) => {}
            None => {
                let reason = format!("{}: the container's monitor went away", intent());
                return Err(Failure::message(reason));
            }
        }
    }
}
