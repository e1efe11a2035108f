//! `stack build`: builds the images of services.

pub(super) mod image;
mod output;
mod print;
mod values;

use std::collections::BTreeMap;

use clap::Args;
use compose_spec::model::{ImageSource, Project, ServiceName, SshKey};

use self::values::{AgentFlag, SecretFlag};
use super::{
    failure::Failure,
    pull,
    session::{Session, fill_agents, service_names},
    values::{Variable, variable},
};
use crate::{
    protocol::{BuildRequest, PushRequest, Request},
    ui::{lines, progress::ProgressOptions},
};

/// Build the images of services
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Build argument over those of the file; without a value, that of the environment
    #[arg(long = "build-arg", value_name = "NAME=VALUE", value_parser = variable)]
    args: Vec<Variable>,
    /// Ignore the cache
    #[arg(long)]
    no_cache: bool,
    /// Ask the registry for newer base images
    #[arg(long)]
    pull: bool,
    /// Push the images when they are built
    #[arg(long)]
    push: bool,
    /// Stage to build, over that of the file
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Secret for RUN --mount=type=secret, besides those of the file
    #[arg(long = "secret", value_name = "id=ID[,src=FILE|,env=NAME]", value_parser = values::secret)]
    secrets: Vec<SecretFlag>,
    /// Agent or unencrypted key for RUN --mount=type=ssh, besides those of the file
    #[arg(long = "ssh", value_name = "ID[=SOCKET|=KEY]", value_parser = values::agent)]
    agents: Vec<AgentFlag>,
    /// Memory limit of RUN
    #[arg(short, long, value_name = "BYTES", value_parser = values::size)]
    memory: Option<u64>,
    /// Only check the Dockerfiles; findings end with exit code 1
    #[arg(long)]
    check: bool,
    /// Print the builds as a bake file and do nothing
    #[arg(long)]
    print: bool,
    /// Show no output
    #[arg(short, long)]
    quiet: bool,
    /// Also what the services depend on
    #[arg(long)]
    with_dependencies: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let loaded = session.load(&arguments.services)?;
    let mut services = service_names(&arguments.services)?;
    if arguments.with_dependencies && !services.is_empty() {
        services = pull::with_dependencies(&loaded.project, &services, true);
    }
    let mut project = loaded.project.clone();
    change(session, arguments, &mut project)?;
    if arguments.print {
        let wanted = |name: &str| {
            services.is_empty() || services.iter().any(|service| service.as_str() == name)
        };
        let bake = print::bake(&project, &wanted);
        return Ok(session.ui.data(format!("{bake:#}\n"))?);
    }
    session.refuse_dry_run("build")?;
    let images = names(&project, &services);
    let request = Request::Build(Box::new(BuildRequest {
        project,
        services,
        no_cache: arguments.no_cache,
        pull: arguments.pull,
        args: BTreeMap::new(),
        check: arguments.check,
        untagged: false,
        memory_bytes: arguments.memory,
    }));
    let options = ProgressOptions {
        quiet_build: arguments.quiet,
        quiet_pull: arguments.quiet,
        dry_run: false,
    };
    let outcome = session.call(&request, options, Some(&loaded))?;
    if arguments.check {
        session.ui.say("Check complete, nothing was found.");
        return Ok(());
    }
    if arguments.push {
        push(session, images, arguments.quiet)?;
    }
    if arguments.quiet {
        session.ui.data(lines(outcome.names))?;
    }
    Ok(())
}

/// Puts what the flags say into the sections of the file.
fn change(
    session: &Session<'_>,
    arguments: &Arguments,
    project: &mut Project,
) -> Result<(), Failure> {
    let settings = session.settings;
    let environment = &settings.environment;
    let mut grants = Vec::new();
    for flag in &arguments.secrets {
        let resolved = flag.resolve(environment, &settings.working_dir);
        let (grant, object) = resolved.map_err(Failure::Usage)?;
        project.secrets.insert(grant.source.clone(), object);
        grants.push(grant);
    }
    for service in project.services.values_mut() {
        let ImageSource::Build { build, .. } = &mut service.image else {
            continue;
        };
        for argument in &arguments.args {
            let value = argument.value.clone();
            let value = value.or_else(|| environment.get(&argument.name).cloned());
            build.args.insert(argument.name.clone(), value);
        }
        if arguments.target.is_some() {
            build.target.clone_from(&arguments.target);
        }
        build.secrets.extend(grants.iter().cloned());
        // An id of the command line replaces that of the file.
        let is_given = |key: &SshKey| arguments.agents.iter().any(|agent| agent.id == key.id);
        build.ssh.retain(|key| !is_given(key));
        let agents = arguments.agents.iter();
        let given = agents.flat_map(|agent| agent.keys(&settings.working_dir));
        build.ssh.extend(given);
        fill_agents(build, environment);
    }
    Ok(())
}

/// Returns the names that a build gives its images, as written.
fn names(project: &Project, services: &[ServiceName]) -> Vec<String> {
    let wanted = |name: &ServiceName| services.is_empty() || services.contains(name);
    let mut names = Vec::new();
    for service in project.services.values().filter(|one| wanted(&one.name)) {
        if let ImageSource::Build { image, build } = &service.image {
            names.extend(image.iter().chain(&build.tags).cloned());
        }
    }
    names
}

/// Pushes what was built.
fn push(session: &Session<'_>, images: Vec<String>, quiet: bool) -> Result<(), Failure> {
    if images.is_empty() {
        let text = "nothing that was built has a name, so there is no registry to push it to";
        return Err(Failure::Usage(text.to_owned()));
    }
    let request = Request::Push(PushRequest {
        images,
        all_tags: false,
    });
    let options = ProgressOptions {
        quiet_pull: quiet,
        ..ProgressOptions::default()
    };
    session.call(&request, options, None).map(drop)
}
