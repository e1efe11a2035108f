//! `stack push`: sends the images of services to their registries; `stack image push`: any of the store.

use clap::Args;
use compose_spec::model::{ImageSource, Project, ServiceName};

use super::{
    failure::Failure,
    pull,
    session::{Session, service_names},
};
use crate::{
    protocol::{PushRequest, Request},
    ui::{lines, progress::ProgressOptions},
};

/// Push the images of services that can be built
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Go on when an image cannot be pushed; the failures are warnings
    #[arg(long)]
    ignore_push_failures: bool,
    /// Also what the services depend on
    #[arg(long)]
    include_deps: bool,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

/// Push images of the store to their registries
#[derive(Debug, Args)]
pub(super) struct ImageArguments {
    /// Names, with the registry they go to: `registry.example/app:1.2`
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Every tag that the store has of each name
    #[arg(short, long)]
    all_tags: bool,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("push")?;
    let loaded = session.load(&arguments.services)?;
    let named = service_names(&arguments.services)?;
    let all = arguments.include_deps || named.is_empty();
    let services = pull::with_dependencies(&loaded.project, &named, all);
    let (images, nameless) = images(&loaded.project, &services);
    for service in nameless {
        // Without a name there is no registry that it could go to.
        let text = format!("service `{service}` has no `image`, so its build is not pushed");
        session.ui.warn(&text);
    }
    if images.is_empty() {
        session.ui.say("no image to push");
        return Ok(());
    }
    let request = Request::Push(PushRequest {
        images,
        all_tags: false,
    });
    match session.call(&request, options(arguments.quiet), Some(&loaded)) {
        Err(Failure::Reports { reports, .. }) if arguments.ignore_push_failures => {
            for (report, _) in reports {
                session.ui.warn(&report.chain.join(": "));
            }
            Ok(())
        }
        result => result.map(drop),
    }
}

/// Pushes what was named and prints `name@digest` of each.
pub(super) fn run_image(session: &Session<'_>, arguments: &ImageArguments) -> Result<(), Failure> {
    session.refuse_dry_run("image push")?;
    let request = Request::Push(PushRequest {
        images: arguments.names.clone(),
        all_tags: arguments.all_tags,
    });
    let outcome = session.call(&request, options(arguments.quiet), None)?;
    Ok(session.ui.data(lines(outcome.names))?)
}

fn options(quiet: bool) -> ProgressOptions {
    ProgressOptions {
        quiet_pull: quiet,
        ..ProgressOptions::default()
    }
}

/// Returns the images of services that can be built, each once, and the services whose image has no name.
fn images(project: &Project, services: &[ServiceName]) -> (Vec<String>, Vec<ServiceName>) {
    let (mut images, mut nameless) = (Vec::new(), Vec::new());
    for service in services
        .iter()
        .filter_map(|name| project.services.get(name))
    {
        match &service.image {
            ImageSource::Build {
                image: Some(image), ..
            } if !images.contains(image) => images.push(image.clone()),
            ImageSource::Build { image: None, .. } => nameless.push(service.name.clone()),
            ImageSource::Build { .. } | ImageSource::Pull { .. } | ImageSource::Provider(_) => {}
        }
    }
    (images, nameless)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::load;

    #[test]
    fn what_is_built_and_has_a_name_is_pushed() {
        let yaml = "services:\n  web:\n    build: .\n    image: lan:5000/web\n    depends_on: [db, job]\n\
                    \x20 job:\n    build: .\n  db:\n    image: postgres\n  also:\n    build: .\n    image: lan:5000/web\n";
        let project = load(yaml).unwrap().project;
        let names = |list: &[&str]| {
            list.iter()
                .map(|name| name.parse().unwrap())
                .collect::<Vec<ServiceName>>()
        };
        let all = pull::with_dependencies(&project, &[], true);
        assert_eq!(
            images(&project, &all),
            (vec!["lan:5000/web".into()], names(&["job"]))
        );
        assert_eq!(images(&project, &names(&["db"])), (vec![], vec![]));
    }
}
