//! `stack up`, and its relatives `create` and `scale`: the same call with other options.

use clap::Args;
use compose_spec::{
    Loaded,
    model::{Project, PullPolicy, ServiceName},
};

use super::{
    attached::{self, Attached, EndRule},
    failure::Failure,
    rehearse,
    session::{Session, service_names},
    values::{self, Scale},
    watch::{Manner, Watching},
};
use crate::{
    plan::{Recreate, UpOptions},
    protocol::{Request, UpRequest},
    ui::progress::ProgressOptions,
};

/// Create and start the project's containers
#[derive(Debug, Default, Args)]
pub(super) struct Arguments {
    /// Only these services, and what they depend on
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Leave the containers running in the background
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    make: Make,
    /// Leave dependencies alone
    #[arg(long)]
    no_deps: bool,
    /// Create but do not start
    #[arg(long, conflicts_with = "wait")]
    no_start: bool,
    /// Do not carry anonymous volumes over to new containers
    #[arg(short = 'V', long)]
    renew_anon_volumes: bool,
    /// Time until a container that does not stop is killed [default: each service's own]
    #[arg(short, long, value_name = "SECONDS", value_parser = values::seconds)]
    timeout: Option<u64>,
    /// Wait until every service is running, healthy or completed; implies --detach
    #[arg(long, conflicts_with_all = ["abort_on_container_exit", "abort_on_container_failure", "attach", "attach_dependencies", "exit_code_from"])]
    wait: bool,
    /// Give up waiting after this time
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    wait_timeout: Option<u64>,
    /// Stop everything when a container ends
    #[arg(long, conflicts_with_all = ["detach", "abort_on_container_failure"])]
    abort_on_container_exit: bool,
    /// Stop everything when a container ends with an error
    #[arg(long, conflicts_with = "detach")]
    abort_on_container_failure: bool,
    /// End with the exit code of this service; implies --abort-on-container-exit
    #[arg(long, value_name = "SERVICE", conflicts_with = "detach")]
    exit_code_from: Option<ServiceName>,
    /// Show the logs of these services only
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["detach", "attach_dependencies"])]
    attach: Vec<ServiceName>,
    /// Also show the logs of dependencies
    #[arg(long, conflicts_with = "detach")]
    attach_dependencies: bool,
    /// Do not show the logs of these services
    #[arg(long, value_name = "SERVICE")]
    no_attach: Vec<ServiceName>,
    /// Logs without colours
    #[arg(long)]
    no_color: bool,
    /// Logs without the container's name before each line
    #[arg(long)]
    no_log_prefix: bool,
    /// Logs with the time of each line
    #[arg(long)]
    timestamps: bool,
    /// Let containers follow the files that they are made of, as `watch` does
    #[arg(short, long, conflicts_with_all = ["detach", "no_start", "wait", "abort_on_container_exit", "abort_on_container_failure", "exit_code_from"])]
    watch: bool,
}

/// Flags about making containers, which `up` and `create` have in common.
#[derive(Debug, Default, Args)]
pub(super) struct Make {
    /// Build images before starting
    #[arg(long)]
    build: bool,
    /// Never build
    #[arg(long, conflicts_with = "build")]
    no_build: bool,
    /// When to pull: always, missing, never, build
    #[arg(long, value_name = "POLICY", value_parser = values::pull_policy)]
    pull: Option<PullPolicy>,
    /// Recreate containers even if nothing changed
    #[arg(long)]
    force_recreate: bool,
    /// Never recreate containers
    #[arg(long, conflicts_with_all = ["force_recreate", "renew_anon_volumes"])]
    no_recreate: bool,
    /// Remove containers of services that the Compose file does not have
    #[arg(long)]
    remove_orphans: bool,
    /// Number of containers of a service; may be given several times
    #[arg(long, value_name = "SERVICE=REPLICAS", value_parser = values::scale)]
    scale: Vec<Scale>,
    /// Show no progress of pulls
    #[arg(long)]
    quiet_pull: bool,
    /// Show no output of builds
    #[arg(long)]
    quiet_build: bool,
    /// Answer every question with yes
    #[arg(short = 'y', long)]
    yes: bool,
}

/// Create the project's containers without starting them
#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// Only these services, and what they depend on
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    #[command(flatten)]
    make: CreateMake,
}

/// As [`Make`]; `create` has no --renew-anon-volumes that --no-recreate could exclude.
#[derive(Debug, Args)]
struct CreateMake {
    /// Build images before creating
    #[arg(long)]
    build: bool,
    /// Never build
    #[arg(long, conflicts_with = "build")]
    no_build: bool,
    /// When to pull: always, missing, never, build
    #[arg(long, value_name = "POLICY", value_parser = values::pull_policy)]
    pull: Option<PullPolicy>,
    /// Recreate containers even if nothing changed
    #[arg(long)]
    force_recreate: bool,
    /// Never recreate containers
    #[arg(long, conflicts_with = "force_recreate")]
    no_recreate: bool,
    /// Remove containers of services that the Compose file does not have
    #[arg(long)]
    remove_orphans: bool,
    /// Number of containers of a service; may be given several times
    #[arg(long, value_name = "SERVICE=REPLICAS", value_parser = values::scale)]
    scale: Vec<Scale>,
    /// Show no progress of pulls
    #[arg(long)]
    quiet_pull: bool,
}

/// Change the number of containers of services
#[derive(Debug, Args)]
pub(super) struct ScaleArguments {
    /// Services and their numbers
    #[arg(value_name = "SERVICE=REPLICAS", required = true, value_parser = values::scale)]
    scale: Vec<Scale>,
    /// Leave dependencies alone
    #[arg(long)]
    no_deps: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let loaded = session.load(&arguments.services)?;
    let request = arguments.request(session, &loaded)?;
    if session.settings.flags.dry_run {
        return rehearse::up(session, &loaded, &request.options);
    }
    if arguments.detach || arguments.wait || arguments.no_start {
        let request = Request::Up(Box::new(request));
        session.call(&request, arguments.make.progress(), Some(&loaded))?;
        return Ok(());
    }
    let attached = arguments.attached(&loaded.project, &request)?;
    let watching = if arguments.watch {
        let manner = Manner {
            prune: true,
            quiet_build: arguments.make.quiet_build,
        };
        let services = &request.options.services;
        Some(Watching::open(session, &loaded, services, manner)?)
    } else {
        None
    };
    attached::run(session, &loaded, request, (attached, watching))
}

pub(super) fn create(session: &Session<'_>, arguments: &CreateArguments) -> Result<(), Failure> {
    let CreateMake {
        build,
        no_build,
        pull,
        force_recreate,
        no_recreate,
        remove_orphans,
        quiet_pull,
        ..
    } = arguments.make;
    let up = Arguments {
        services: arguments.services.clone(),
        no_start: true,
        make: Make {
            build,
            no_build,
            pull,
            force_recreate,
            no_recreate,
            remove_orphans,
            quiet_pull,
            scale: arguments.make.scale.clone(),
            ..Make::default()
        },
        ..Arguments::default()
    };
    run(session, &up)
}

pub(super) fn scale(session: &Session<'_>, arguments: &ScaleArguments) -> Result<(), Failure> {
    let services = arguments
        .scale
        .iter()
        .map(|scale| scale.service.to_string())
        .collect();
    let up = Arguments {
        services,
        detach: true,
        no_deps: arguments.no_deps,
        make: Make {
            scale: arguments.scale.clone(),
            ..Make::default()
        },
        ..Arguments::default()
    };
    run(session, &up)
}

impl Make {
    fn progress(&self) -> ProgressOptions {
        ProgressOptions {
            quiet_pull: self.quiet_pull,
            quiet_build: self.quiet_build,
            dry_run: false,
        }
    }

    fn recreate(&self) -> Recreate {
        match (self.force_recreate, self.no_recreate) {
            (true, _) => Recreate::Force,
            (false, true) => Recreate::Never,
            (false, false) => Recreate::Diverged,
        }
    }
}

impl Arguments {
    pub(super) fn request(
        &self,
        session: &Session<'_>,
        loaded: &Loaded,
    ) -> Result<UpRequest, Failure> {
        let project = &loaded.project;
        let make = &self.make;
        for scale in &make.scale {
            require_service(project, &scale.service)?;
        }
        let options = UpOptions {
            services: service_names(&self.services)?,
            no_deps: self.no_deps,
            build: make.build,
            no_build: make.no_build,
            pull: make.pull,
            recreate: make.recreate(),
            renew_anonymous_volumes: self.renew_anon_volumes,
            remove_orphans: make.remove_orphans || session.settings.orphans.remove,
            inactive_services: loaded.inactive.clone(),
            scale: make
                .scale
                .iter()
                .map(|scale| (scale.service.clone(), scale.replicas))
                .collect(),
            no_start: self.no_start,
            wait: self.wait,
            grace_ms: self.timeout,
            ..UpOptions::default()
        };
        Ok(UpRequest {
            project: project.clone(),
            options,
            wait_timeout_ms: self.wait_timeout.unwrap_or(0),
        })
    }

    /// Decides whose logs are shown and what ends the command.
    pub(super) fn attached(
        &self,
        project: &Project,
        request: &UpRequest,
    ) -> Result<Attached, Failure> {
        for service in self
            .attach
            .iter()
            .chain(&self.no_attach)
            .chain(&self.exit_code_from)
        {
            require_service(project, service)?;
        }
        let ends = if request.options.services.is_empty() {
            project.services.keys().cloned().collect()
        } else {
            request.options.services.clone()
        };
        let shown: Vec<ServiceName> = if self.attach.is_empty() {
            let candidates = if self.attach_dependencies {
                project.services.keys().cloned().collect()
            } else {
                ends.clone()
            };
            let shows = |name: &ServiceName| {
                request.options.services.contains(name)
                    || project
                        .services
                        .get(name)
                        .is_none_or(|service| service.attach)
            };
            candidates.into_iter().filter(shows).collect()
        } else {
            self.attach.clone()
        };
        let shown = shown
            .into_iter()
            .filter(|name| !self.no_attach.contains(name))
            .collect();
        Ok(Attached {
            shown,
            ends,
            rule: match &self.exit_code_from {
                Some(service) => EndRule::FirstExit {
                    code_of: Some(service.clone()),
                },
                None if self.abort_on_container_exit => EndRule::FirstExit { code_of: None },
                None if self.abort_on_container_failure => EndRule::FirstFailure,
                None => EndRule::LastExit,
            },
            colour: !self.no_color,
            prefix: !self.no_log_prefix,
            timestamps: self.timestamps,
            progress: self.make.progress(),
        })
    }
}

fn require_service(project: &Project, service: &ServiceName) -> Result<(), Failure> {
    if project.services.contains_key(service) {
        return Ok(());
    }
    let known: Vec<&str> = project.services.keys().map(ServiceName::as_str).collect();
    Err(Failure::message(format!("there is no service `{service}`"))
        .hint(format!("services here: {}", known.join(", "))))
}

/// Parses a command line of `up`.
#[cfg(test)]
pub(super) fn testing_arguments(line: &str) -> Arguments {
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }
    let words = line.split(' ').skip(1).filter(|word| !word.is_empty());
    Line::try_parse_from(words).unwrap().arguments
}
