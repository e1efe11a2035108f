//! `stack watch`: containers follow the files that they are made of (`develop.watch`).
//!
//! inotify wakes it up; what has changed since is found by looking (see [`crate::watch`]). Changes that come together are one batch: an image is
//! built once, a service restarted once, however many files an editor or `git switch` wrote. A failed batch is told, and the next one is tried.

mod act;
mod batch;

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use compose_spec::{
    Loaded,
    model::{ImageSource, MountSource, Service, ServiceName, WatchAction, WatchRule},
};

use super::{
    failure::Failure,
    poll::{self, Interest},
    session::{Session, service_names},
};
use crate::{
    plan::UpOptions,
    protocol::{Request, UpRequest},
    ui::progress::ProgressOptions,
    watch::{Change, Rule, Tree, TreeError},
};
use act::Containers;
use batch::Batch;

/// A batch ends when nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(100);
/// It ends after this time in any case.
const BATCH_MAX: Duration = Duration::from_secs(2);

/// Let containers follow the files that they are made of
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Do not build and start the services first
    #[arg(long)]
    no_up: bool,
    /// Remove the image that a new one takes the place of
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    prune: bool,
    /// Show no output of builds
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("watch")?;
    let loaded = session.load(&arguments.services)?;
    let services = service_names(&arguments.services)?;
    let manner = Manner {
        prune: arguments.prune,
        quiet_build: arguments.quiet,
    };
    // What cannot be watched is told before anything is built.
    let mut watching = Watching::open(session, &loaded, &services, manner)?;
    if !arguments.no_up {
        let options = UpOptions {
            services,
            ..UpOptions::default()
        };
        manner.up(session, &loaded, options)?;
    }
    watching.begin(session, &loaded)?;
    loop {
        poll::wait(&[Some((watching.as_fd(), Interest::Read))], None)
            .map_err(|error| Failure::intent("wait for changes", &error))?;
        watching.turn(session, &loaded)?;
    }
}

/// How images are made anew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Those that they take the place of are removed.
    pub(super) prune: bool,
    /// Nothing is shown of builds.
    pub(super) quiet_build: bool,
}

impl Manner {
    /// Builds and brings up what the options name.
    fn up(self, session: &Session<'_>, loaded: &Loaded, options: UpOptions) -> Result<(), Failure> {
        let request = Request::Up(Box::new(UpRequest {
            project: loaded.project.clone(),
            options: UpOptions {
                build: true,
                inactive_services: loaded.inactive.clone(),
                ..options
            },
            wait_timeout_ms: 0,
        }));
        let progress = ProgressOptions {
            quiet_build: self.quiet_build,
            ..ProgressOptions::default()
        };
        session.call(&request, progress, Some(loaded))?;
        Ok(())
    }
}

/// Files that are watched for services. Its descriptor is readable when there may be something to do.
#[derive(Debug)]
pub(super) struct Watching {
    rules: Vec<Rule>,
    tree: Tree,
    manner: Manner,
}

impl Watching {
    /// Begins to watch for the services that are named, or for all. Services without rules have nothing to watch; none with rules is an error.
    pub(super) fn open(
        session: &Session<'_>,
        loaded: &Loaded,
        services: &[ServiceName],
        manner: Manner,
    ) -> Result<Self, Failure> {
        let mut rules = Vec::new();
        for (name, service) in &loaded.project.services {
            if services.is_empty() || services.contains(name) {
                rules.extend(rules_of(session, name, service)?);
            }
        }
        if rules.is_empty() {
            let failure = Failure::message("no service has anything to watch");
            return Err(failure.hint("give a service rules in `develop.watch`"));
        }
        for rule in &rules {
            if !rule.path.exists() {
                let path = rule.path.display();
                session
                    .ui
                    .warn(&format!("{path} is not there yet and is waited for"));
            }
        }
        let tree = Tree::open(&rules).map_err(|error| failed(&error))?;
        Ok(Self {
            rules,
            tree,
            manner,
        })
    }

    /// Says what is watched, and brings containers up to date where the rules ask for it.
    pub(super) fn begin(&self, session: &Session<'_>, loaded: &Loaded) -> Result<(), Failure> {
        let services: BTreeSet<&str> = (self.rules.iter())
            .map(|rule| rule.service.as_str())
            .collect();
        let services: Vec<&str> = services.into_iter().collect();
        let there = self.tree.files().map(|path| (path, Change::Other));
        let there: BTreeMap<PathBuf, Change> = there.collect();
        session.ui.say(&format!(
            "watching {} files for {}",
            there.len(),
            services.join(", ")
        ));
        let wanted: Vec<&Rule> = (self.rules.iter())
            .filter(|rule| rule.initial_sync && rule.action.target().is_some())
            .collect();
        self.work(session, loaded, &Batch::new(wanted, &there))
    }

    /// Deals with what has changed since the last turn. What does not work is told; only what ends the watch is returned.
    pub(super) fn turn(&mut self, session: &Session<'_>, loaded: &Loaded) -> Result<(), Failure> {
        self.settle()?;
        let changes = (self.tree.changes(&self.rules)).map_err(|error| failed(&error))?;
        self.work(
            session,
            loaded,
            &Batch::new(self.rules.iter().collect(), &changes),
        )
    }

    /// Waits until a burst of changes is over.
    fn settle(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        while self.tree.drain().map_err(|error| failed(&error))? && began.elapsed() < BATCH_MAX {
            poll::wait(&[Some((self.tree.as_fd(), Interest::Read))], Some(QUIET))
                .map_err(|error| Failure::intent("wait for changes", &error))?;
        }
        Ok(())
    }

    fn work(
        &self,
        session: &Session<'_>,
        loaded: &Loaded,
        batch: &Batch<'_>,
    ) -> Result<(), Failure> {
        let rebuilds = batch.rebuilds();
        if !rebuilds.is_empty() {
            tell(
                session,
                act::rebuild(session, loaded, &rebuilds, self.manner),
            )?;
        }
        for (service, hits) in batch.others(&rebuilds) {
            let containers = Containers::of(session, &loaded.project.name, service)?;
            tell(session, containers.follow(session, &hits))?;
        }
        Ok(())
    }
}

impl AsFd for Watching {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tree.as_fd()
    }
}

/// Prints what did not work. The watch goes on, unless nobody can be told any more.
fn tell(session: &Session<'_>, done: Result<(), Failure>) -> Result<(), Failure> {
    match done {
        Err(failure @ Failure::Output(_)) => Err(failure),
        Err(failure) => {
            failure.report(session.ui);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn failed(error: &TreeError) -> Failure {
    Failure::error(error)
}

fn rules_of(
    session: &Session<'_>,
    name: &ServiceName,
    service: &Service,
) -> Result<Vec<Rule>, Failure> {
    let build = match &service.image {
        ImageSource::Build { build, .. } => Some(build.as_ref()),
        _ => None,
    };
    let mut rules = Vec::new();
    for rule in &service.watch {
        if rule.action == WatchAction::Rebuild && build.is_none() {
            return Err(Failure::message(format!(
                "service `{name}` has no `build`, so that `{}` cannot rebuild it",
                rule.path.display()
            )));
        }
        if is_mounted(service, rule) {
            session.ui.warn(&format!(
                "service `{name}` has {} mounted: what changes there is in its containers already",
                rule.path.display()
            ));
            continue;
        }
        rules.push(Rule::new(name, rule, build).map_err(|error| Failure::error(&error))?);
    }
    Ok(rules)
}

/// Tells whether copying would only write a file over itself: the containers see the watched path through a bind mount.
fn is_mounted(service: &Service, rule: &WatchRule) -> bool {
    rule.action.target().is_some()
        && service.mounts.iter().any(|mount| {
            matches!(&mount.source, MountSource::Bind { path, .. } if rule.path.starts_with(path))
        })
}
