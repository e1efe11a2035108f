//! `stack logout`: forgets what `login` kept.

use clap::Args;

use super::{access::DockerFile, failure::Failure, session::Session};
use crate::model::{DEFAULT_REGISTRY, normal_registry};

/// Log out of a registry
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The registry, as names of images have it [default: docker.io]
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("logout")?;
    let registry = normal_registry(arguments.server.as_deref().unwrap_or(DEFAULT_REGISTRY));
    let environment = &session.settings.environment;
    let file = DockerFile::open(environment).map_err(|error| Failure::error(&error))?;
    let known = file
        .erase(registry)
        .map_err(|error| Failure::intent("forget the credentials", &error))?;
    session.ui.say(&if known {
        format!("logged out of {registry}")
    } else {
        format!("not logged in to {registry}")
    });
    Ok(())
}
