//! What every command needs: the project it is about, what is there of it, and calls of the supervisor with progress.

use std::{cell::Cell, collections::BTreeMap, os::fd::AsFd, time::Instant};

use compose_spec::{
    Code, Configuration, Loaded, Location, Passes,
    model::{Build, ImageSource, Project, ProjectName, ServiceName},
};

use super::{
    access,
    disk::Disk,
    failure::Failure,
    poll::{self, Interest},
    settings::Settings,
};
use crate::{
    client,
    model::{ObservedContainer, RegistryAccess},
    observe,
    protocol::{ErrorReport, Event, FailureKind, Outcome, Request},
    ui::{
        Ui,
        progress::{Progress, ProgressOptions},
    },
};

/// One run of a command.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) settings: &'a Settings,
    pub(super) ui: &'a Ui,
    /// Where Compose files come from.
    disk: Disk,
    /// The notes of the settings were printed.
    noted: Cell<bool>,
}

/// The project that a command is about.
#[derive(Debug)]
pub(super) struct Target {
    /// Its name.
    pub(super) project: ProjectName,
    /// Its Compose file; `None` when the user named the project and there is no file.
    pub(super) loaded: Option<Box<Loaded>>,
}

impl Target {
    /// Returns the project as the file has it.
    pub(super) fn file(&self) -> Option<&Project> {
        self.loaded.as_ref().map(|loaded| &loaded.project)
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(settings: &'a Settings, ui: &'a Ui) -> Self {
        Self {
            settings,
            ui,
            disk: Disk::default(),
            noted: Cell::new(false),
        }
    }

    /// Loads the Compose files and prints their warnings. `services` are those named by the user: their profiles are on.
    pub(super) fn load(&self, services: &[String]) -> Result<Loaded, Failure> {
        let loaded = self.load_quietly(services)?;
        self.ui.diagnostics(&loaded.warnings, &loaded.sources);
        Ok(loaded)
    }

    /// Reads the Compose files for showing them; the warnings are the caller's.
    pub(super) fn configuration(
        &self,
        services: &[String],
        passes: Passes,
    ) -> Result<Configuration, Failure> {
        compose_spec::configuration(&self.request(services), passes, &self.disk)
            .map_err(|error| Failure::Compose(Box::new(error)))
    }

    fn load_quietly(&self, services: &[String]) -> Result<Loaded, Failure> {
        let mut loaded = compose_spec::load(&self.request(services), &self.disk)
            .map_err(|error| Failure::Compose(Box::new(error)))?;
        for service in loaded.project.services.values_mut() {
            if let ImageSource::Build { build, .. } = &mut service.image {
                fill_agents(build, &self.settings.environment);
            }
        }
        Ok(loaded)
    }

    fn request(&self, services: &[String]) -> compose_spec::Request {
        let flags = &self.settings.flags;
        compose_spec::Request {
            working_dir: self.settings.working_dir.clone(),
            project_directory: flags.project_directory.clone(),
            project_name: flags.project_name.clone(),
            files: flags.files.clone(),
            // Read when it is among the files, which a `.env` may say.
            stdin: None,
            env_files: flags.env_files.clone(),
            environment: self.settings.environment.clone(),
            profiles: flags.profiles.clone(),
            services: services.to_vec(),
        }
    }

    /// Finds out which project is meant: that of the Compose file, or the one that the user named where there is no file.
    pub(super) fn target(&self, services: &[String]) -> Result<Target, Failure> {
        match (self.load_quietly(services), self.settings.named_project()?) {
            (Ok(loaded), _) => Ok(Target {
                project: loaded.project.name.clone(),
                loaded: Some(Box::new(loaded)),
            }),
            (Err(Failure::Compose(error)), Some(project)) if has_no_file(&error) => Ok(Target {
                project,
                loaded: None,
            }),
            (Err(failure), _) => Err(failure),
        }
    }

    /// Returns the containers of a project, one-offs included.
    pub(super) fn containers(
        &self,
        project: &ProjectName,
    ) -> Result<Vec<ObservedContainer>, Failure> {
        observe::project(&self.settings.root, project).map_err(|error| Failure::error(&error))
    }

    /// Refuses `--dry-run` for a command that cannot honour it.
    pub(super) fn refuse_dry_run(&self, command: &str) -> Result<(), Failure> {
        if self.settings.flags.dry_run {
            return Err(Failure::Usage(format!("`{command}` has no --dry-run")));
        }
        Ok(())
    }

    /// Sends a call to the supervisor. The notes of the settings come before the first one.
    pub(super) fn start_call(&self, request: &Request) -> Result<client::Call, Failure> {
        let access = access::of(request, self.settings)?;
        self.start_call_as(request, access.as_ref())
    }

    fn start_call_as(
        &self,
        request: &Request,
        access: Option<&RegistryAccess>,
    ) -> Result<client::Call, Failure> {
        if !self.noted.replace(true) {
            for note in &self.settings.notes {
                self.ui.warn(note);
            }
        }
        Ok(client::call(&self.settings.root, request, access)?)
    }

    /// Sends a call and shows its progress to the end. A failed call is a failure; `loaded` tells where in the files its errors come from.
    pub(super) fn call(
        &self,
        request: &Request,
        options: ProgressOptions,
        loaded: Option<&Loaded>,
    ) -> Result<Outcome, Failure> {
        let call = self.start_call(request)?;
        succeeded(self.outcome(call, options)?, loaded)
    }

    /// Sends a call that uses another way to registries than the user's own, and shows its progress to the end.
    pub(super) fn call_as(
        &self,
        request: &Request,
        access: &RegistryAccess,
    ) -> Result<Outcome, Failure> {
        let call = self.start_call_as(request, Some(access))?;
        succeeded(self.outcome(call, ProgressOptions::default())?, None)
    }

    /// As [`Session::call`], for calls that may do a part: the names of what was done, and whether that was all.
    pub(super) fn call_partly(
        &self,
        request: &Request,
        options: ProgressOptions,
    ) -> Result<(Vec<String>, Result<(), Failure>), Failure> {
        let mut outcome = self.outcome(self.start_call(request)?, options)?;
        let names = std::mem::take(&mut outcome.names);
        Ok((names, succeeded(outcome, None).map(drop)))
    }

    fn outcome(
        &self,
        mut call: client::Call,
        options: ProgressOptions,
    ) -> Result<Outcome, Failure> {
        let mut progress = self.ui.progress(options);
        let outcome = follow(&mut call, &mut progress);
        progress.finish();
        outcome
    }
}

/// Shows events until the call is finished.
fn follow(call: &mut client::Call, progress: &mut Progress<'_>) -> Result<Outcome, Failure> {
    loop {
        let interest = [Some((call.as_fd(), Interest::Read))];
        let ready = poll::wait(&interest, progress.tick_interval())
            .map_err(|error| Failure::intent("wait for the supervisor", &error))?;
        let now = Instant::now();
        if ready[0] {
            for event in call.receive()? {
                progress.event(&event, now)?;
                if let Event::Finished(outcome) = event {
                    return Ok(outcome);
                }
            }
        }
        progress.tick(now);
    }
}

/// Gives agents without a socket that of the caller: the supervisor has another environment.
pub(super) fn fill_agents(build: &mut Build, environment: &BTreeMap<String, String>) {
    let socket = environment
        .get("SSH_AUTH_SOCK")
        .filter(|path| !path.is_empty());
    for agent in build.ssh.iter_mut().filter(|agent| agent.path.is_none()) {
        agent.path = socket.map(Into::into);
    }
}

/// Turns the errors of an outcome into a failure.
pub(super) fn succeeded(mut outcome: Outcome, loaded: Option<&Loaded>) -> Result<Outcome, Failure> {
    if outcome.errors.is_empty() {
        return Ok(outcome);
    }
    let reports = std::mem::take(&mut outcome.errors)
        .into_iter()
        .map(|report| {
            let place = loaded.and_then(|loaded| place(loaded, &report));
            (report, place)
        })
        .collect();
    Err(Failure::Reports {
        reports,
        code: None,
    })
}

/// Returns where the path in the project that a report is about was written.
fn place(loaded: &Loaded, report: &ErrorReport) -> Option<Location> {
    loaded
        .locations
        .find(report.config_path.as_deref()?)
        .cloned()
}

pub(super) fn has_no_file(error: &compose_spec::LoadError) -> bool {
    error
        .diagnostics
        .iter()
        .all(|diagnostic| diagnostic.code == Code::NoComposeFile)
}

/// Parses names of services from the command line.
pub(super) fn service_names(names: &[String]) -> Result<Vec<ServiceName>, Failure> {
    names
        .iter()
        .map(|name| {
            name.parse::<ServiceName>()
                .map_err(|error| Failure::Usage(error.to_string()))
        })
        .collect()
}

/// The failure for a service that has no container.
pub(super) fn no_container(service: &ServiceName) -> Failure {
    Failure::of(ErrorReport {
        kind: FailureKind::Operation,
        chain: vec![format!("service `{service}` has no running container")],
        hints: vec![format!("stack up -d {service}"), "stack ps -a".into()],
        log: Vec::new(),
        excerpt: Vec::new(),
        config_path: None,
    })
}
