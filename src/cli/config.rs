//! `stack config`: the project as it was understood. Needs no supervisor.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use compose_spec::{
    Loaded, emit,
    model::{ImageSource, Project, ServiceName},
};
use sha2::{Digest as _, Sha256};

use super::{failure::Failure, session::Session};
use crate::{model::Digest, ui::lines};

/// Check the Compose file and print it in canonical form
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "yaml")]
    format: Form,
    /// Check only
    #[arg(short, long)]
    quiet: bool,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    only: Only,
}

/// What to print in place of the whole project
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Only {
    /// Names of services, one a line
    #[arg(long = "services")]
    service_names: bool,
    /// Keys of volumes, one a line
    #[arg(long)]
    volumes: bool,
    /// Keys of networks, one a line
    #[arg(long)]
    networks: bool,
    /// Images, one a line
    #[arg(long)]
    images: bool,
    /// Profiles of the services shown, one a line
    #[arg(long)]
    profiles: bool,
    /// Digest of the configuration of these services, separated by commas; `*` = all
    #[arg(long, value_name = "SERVICES")]
    hash: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Yaml,
    Json,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let loaded = session.load(&arguments.services)?;
    if arguments.quiet {
        return Ok(());
    }
    let text = match &arguments.only.hash {
        Some(services) => hashes(&loaded, services)?,
        None => arguments.text(&loaded),
    };
    match &arguments.output {
        None => Ok(session.ui.data(text)?),
        Some(path) => fs_err::write(session.settings.working_dir.join(path), text)
            .map_err(|error| Failure::intent("write the project", &error)),
    }
}

impl Arguments {
    fn text(&self, loaded: &Loaded) -> String {
        let project = &loaded.project;
        let services = || project.services.values();
        if self.only.service_names {
            lines(services().map(|service| service.name.to_string()))
        } else if self.only.volumes {
            lines(project.volumes.keys().cloned())
        } else if self.only.networks {
            lines(project.networks.keys().cloned())
        } else if self.only.images {
            lines(services().map(|service| image(project, &service.image, service.name.as_str())))
        } else if self.only.profiles {
            let mut profiles: Vec<String> = services()
                .flat_map(|service| service.profiles.clone())
                .collect();
            profiles.sort();
            profiles.dedup();
            lines(profiles)
        } else {
            match self.format {
                Form::Yaml => emit::yaml(&loaded.canonical),
                Form::Json => emit::json(&loaded.canonical),
            }
        }
    }
}

/// Returns a line for each service: its name and the SHA-256 digest of its canonical form.
fn hashes(loaded: &Loaded, services: &str) -> Result<String, Failure> {
    let all = || loaded.project.services.keys().map(ServiceName::as_str);
    let mut names: Vec<&str> = match services {
        "*" => all().collect(),
        services => services.split(',').map(str::trim).collect(),
    };
    names.sort_unstable();
    let mut rows = Vec::new();
    for name in names {
        let service = loaded.canonical["services"]
            .get(name)
            .ok_or_else(|| Failure::message(format!("there is no service `{name}`")))?;
        let sum: [u8; 32] = Sha256::digest(service.to_string()).into();
        rows.push(format!("{name} {}", Digest::from_sha256(&sum).hex()));
    }
    Ok(lines(rows))
}

/// Returns the reference that a service runs: what it pulls, or the tag of what it builds.
pub(super) fn image(project: &Project, source: &ImageSource, service: &str) -> String {
    match source {
        ImageSource::Pull { image }
        | ImageSource::Build {
            image: Some(image), ..
        } => image.clone(),
        ImageSource::Build { image: None, .. } | ImageSource::Provider(_) => {
            format!("{}-{service}", project.name)
        }
    }
}
