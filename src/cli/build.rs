//! `stack build`: builds the images of services.

use clap::Args;

use super::{
    failure::Failure,
    pull,
    session::{Session, service_names},
    values::{self, Variable},
};
use crate::{
    protocol::{BuildRequest, Request},
    ui::{lines, progress::ProgressOptions},
};

/// Build the images of services
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Build argument over those of the file; without a value, that of the environment
    #[arg(long = "build-arg", value_name = "NAME=VALUE", value_parser = values::variable)]
    args: Vec<Variable>,
    /// Ignore the cache
    #[arg(long)]
    no_cache: bool,
    /// Ask the registry for newer base images
    #[arg(long)]
    pull: bool,
    /// Show no output
    #[arg(short, long)]
    quiet: bool,
    /// Also what the services depend on
    #[arg(long)]
    with_dependencies: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("build")?;
    let loaded = session.load(&arguments.services)?;
    let mut services = service_names(&arguments.services)?;
    if arguments.with_dependencies && !services.is_empty() {
        services = pull::with_dependencies(&loaded.project, &services, true);
    }
    let environment = &session.settings.environment;
    let request = Request::Build(Box::new(BuildRequest {
        project: loaded.project.clone(),
        services,
        no_cache: arguments.no_cache,
        pull: arguments.pull,
        args: arguments
            .args
            .iter()
            .map(|argument| {
                let value = argument
                    .value
                    .clone()
                    .or_else(|| environment.get(&argument.name).cloned());
                (argument.name.clone(), value)
            })
            .collect(),
    }));
    let options = ProgressOptions {
        quiet_build: arguments.quiet,
        quiet_pull: arguments.quiet,
        dry_run: false,
    };
    let outcome = session.call(&request, options, Some(&loaded))?;
    if arguments.quiet {
        session.ui.data(lines(outcome.names))?;
    }
    Ok(())
}
