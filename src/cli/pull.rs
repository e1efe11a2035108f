//! `stack pull`: fetches the images of services.

use clap::{Args, ValueEnum};
use compose_spec::model::{ImageSource, Project, Service, ServiceName};

use super::{
    failure::Failure,
    session::{Session, service_names},
};
use crate::{
    plan::{image_reference, mounted_references},
    protocol::{PullRequest, Request},
    ui::{lines, progress::ProgressOptions},
};

/// Pull the images of services
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Leave out services that can be built
    #[arg(long)]
    ignore_buildable: bool,
    /// Go on when an image cannot be pulled; the failures are warnings
    #[arg(long)]
    ignore_pull_failures: bool,
    /// Also what the services depend on
    #[arg(long)]
    include_deps: bool,
    /// Pull always, or only what is missing
    #[arg(long, value_enum, default_value = "always", hide_default_value = true)]
    policy: Policy,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

/// Pull images into the store
#[derive(Debug, Args)]
pub(super) struct ImageArguments {
    /// Names of images
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// os/architecture[/variant] in place of this machine's [env: DOCKER_DEFAULT_PLATFORM]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Print only the names
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    Always,
    Missing,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("pull")?;
    let loaded = session.load(&arguments.services)?;
    let named = service_names(&arguments.services)?;
    let images = images(&loaded.project, &named, arguments);
    if images.is_empty() {
        session.ui.say("no image to pull");
        return Ok(());
    }
    let request = Request::Pull(PullRequest {
        images,
        always: arguments.policy == Policy::Always,
    });
    let options = ProgressOptions {
        quiet_pull: arguments.quiet,
        ..ProgressOptions::default()
    };
    match session.call(&request, options, Some(&loaded)) {
        Err(Failure::Reports { reports, .. }) if arguments.ignore_pull_failures => {
            for (report, _) in reports {
                session.ui.warn(&report.chain.join(": "));
            }
            Ok(())
        }
        result => result.map(drop),
    }
}

/// Pulls what was named and prints the names.
pub(super) fn run_image(session: &Session<'_>, arguments: &ImageArguments) -> Result<(), Failure> {
    session.refuse_dry_run("image pull")?;
    let environment = &session.settings.environment;
    let platform = arguments.platform.as_ref();
    let platform = platform.or_else(|| environment.get("DOCKER_DEFAULT_PLATFORM"));
    let platform = platform.filter(|platform| !platform.is_empty());
    let names = arguments.names.iter();
    let request = Request::Pull(PullRequest {
        images: names
            .map(|name| (name.clone(), platform.cloned()))
            .collect(),
        always: true,
    });
    let options = ProgressOptions {
        quiet_pull: arguments.quiet,
        ..ProgressOptions::default()
    };
    session.call(&request, options, None)?;
    Ok(session.ui.data(lines(&arguments.names))?)
}

/// Returns each image once, those that are mounted among them, with the platform that its service asks for.
fn images(
    project: &Project,
    named: &[ServiceName],
    arguments: &Arguments,
) -> Vec<(String, Option<String>)> {
    let mut images = Vec::new();
    for name in with_dependencies(project, named, arguments.include_deps || named.is_empty()) {
        let Some(service) = project.services.get(&name) else {
            continue;
        };
        let inits = service.pre_start.iter().map(|hook| &*hook.container);
        for container in std::iter::once(service).chain(inits) {
            let own = match &container.image {
                ImageSource::Pull { image } => Some(image.as_str()),
                ImageSource::Build {
                    image: Some(image), ..
                } if !arguments.ignore_buildable => Some(image.as_str()),
                ImageSource::Build { .. } | ImageSource::Provider(_) => None,
            };
            let mounted = mounted_references(container).into_iter();
            let mounted = mounted.filter(|reference| !is_built(project, reference));
            for reference in own.into_iter().chain(mounted) {
                let image = (reference.to_owned(), container.platform.clone());
                if !images.contains(&image) {
                    images.push(image);
                }
            }
        }
    }
    images
}

/// Tells whether a service builds the image of a reference.
fn is_built(project: &Project, reference: &str) -> bool {
    let builds = |service: &Service| matches!(service.image, ImageSource::Build { .. });
    let mut services = project.services.values();
    services.any(|service| builds(service) && image_reference(&project.name, service) == reference)
}

/// Returns the services named, all when none are, with what they depend on where that is wanted.
pub(super) fn with_dependencies(
    project: &Project,
    named: &[ServiceName],
    dependencies: bool,
) -> Vec<ServiceName> {
    let mut found: Vec<ServiceName> = if named.is_empty() {
        project.services.keys().cloned().collect()
    } else {
        named.to_vec()
    };
    let mut next = 0;
    while dependencies && next < found.len() {
        if let Some(service) = project.services.get(&found[next]) {
            for dependency in service.depends_on.keys() {
                if !found.contains(dependency) {
                    found.push(dependency.clone());
                }
            }
        }
        next += 1;
    }
    found
}
