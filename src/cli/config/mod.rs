//! `stack config`: the project as it was understood. Needs no supervisor, except for digests that a registry knows.

mod digests;
mod unsupported;
mod variables;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use compose_spec::{Configuration, Passes, emit};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{failure::Failure, session::Session};
use crate::{model::Digest, ui::lines};

/// Check the Compose file and print it in canonical form
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services and what they depend on
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
    /// Pin images to the digests that their registries have now
    #[arg(long)]
    resolve_image_digests: bool,
    /// Print an override file that pins the images to the digests that their registries have now
    #[arg(long)]
    lock_image_digests: bool,
    #[command(flatten)]
    without: Without,
    #[command(flatten)]
    only: Only,
}

/// Passes to leave out
#[derive(Debug, Args)]
struct Without {
    /// Keep variables as written; also keeps short forms that variables stand in
    #[arg(long)]
    no_interpolate: bool,
    /// Fill in no names, networks and implied dependencies
    #[arg(long)]
    no_normalize: bool,
    /// Keep relative paths
    #[arg(long)]
    no_path_resolution: bool,
    /// Do not check references and contradictions
    #[arg(long)]
    no_consistency: bool,
    /// Keep `env_file`
    #[arg(long)]
    no_env_resolution: bool,
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
    /// Models, one a line
    #[arg(long)]
    models: bool,
    /// Images, one a line
    #[arg(long)]
    images: bool,
    /// Profiles of all services, one a line
    #[arg(long)]
    profiles: bool,
    /// Digest of the configuration of these services, separated by commas; `*` = all
    #[arg(long, value_name = "SERVICES")]
    hash: Option<String>,
    /// Variables that interpolation sees, as NAME=VALUE
    #[arg(long)]
    environment: bool,
    /// Variables that the files use, with their defaults
    #[arg(long)]
    variables: bool,
    /// Keys that have no effect here, with their places
    #[arg(long)]
    unsupported: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Yaml,
    Json,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let text = arguments.text(session)?;
    if arguments.quiet {
        return Ok(());
    }
    match &arguments.output {
        None => Ok(session.ui.data(text)?),
        Some(path) => fs_err::write(session.settings.working_dir.join(path), text)
            .map_err(|error| Failure::intent("write the project", &error)),
    }
}

impl Without {
    fn passes(&self) -> Passes {
        Passes {
            interpolation: !self.no_interpolate,
            normalization: !self.no_normalize,
            path_resolution: !self.no_path_resolution,
            consistency: !self.no_consistency,
            env_resolution: !self.no_env_resolution,
        }
    }
}

impl Only {
    /// Lists of everything, for which no `env_file` is read.
    fn is_list(&self) -> bool {
        self.service_names || self.volumes || self.networks || self.models
    }

    /// Whether the services on the command line only have to exist. Else they have their profiles on.
    fn ignores_services(&self) -> bool {
        self.service_names || self.hash.is_some()
    }
}

impl Arguments {
    fn text(&self, session: &Session<'_>) -> Result<String, Failure> {
        let json = self.format == Form::Json;
        if self.only.variables {
            return variables::text(session, json);
        }
        let passes = self.without.passes();
        let passes = Passes {
            env_resolution: passes.env_resolution && !self.only.is_list(),
            ..passes
        };
        let mut found = session.configuration(&self.services, passes)?;
        if self.only.unsupported {
            return Ok(unsupported::text(&found, json));
        }
        session.ui.diagnostics(&found.warnings, &found.sources);
        if !passes.interpolation && !self.services.is_empty() {
            let text = "--no-interpolate prints the whole model, not only the services named";
            session.ui.warn(text);
        }
        if !self.services.is_empty() {
            if self.only.ignores_services() {
                found = session.configuration(&[], passes)?;
            } else if self.only.is_list() {
                merge_active(&mut found, session.configuration(&[], passes)?);
            }
        }
        if self.resolve_image_digests || self.lock_image_digests {
            digests::resolve(session, &mut found.canonical)?;
        }
        if self.lock_image_digests {
            digests::keep_images_only(&mut found.canonical);
        }
        if let Some(services) = &self.only.hash {
            return hashes(&found, services);
        }
        Ok(self
            .only
            .lines(&found)
            .unwrap_or_else(|| match (json, passes.interpolation) {
                (true, true) => emit::json(&found.canonical),
                (true, false) => emit::model_json(&found.canonical),
                (false, true) => emit::yaml(&found.canonical),
                (false, false) => emit::model_yaml(&found.canonical),
            }))
    }
}

/// Adds what is active without the named services to what they activate.
fn merge_active(found: &mut Configuration, everything: Configuration) {
    let Value::Object(all) = everything.canonical else {
        return;
    };
    for (section, values) in all {
        let into = &mut found.canonical[&section];
        match (into.as_object_mut(), values) {
            (Some(into), Value::Object(values)) => values.into_iter().for_each(|(key, value)| {
                into.entry(key).or_insert(value);
            }),
            (_, values) => *into = values,
        }
    }
}

impl Only {
    /// Returns the lines asked for; `None` when the whole project is.
    fn lines(&self, found: &Configuration) -> Option<String> {
        let keys = |section: &str| {
            let mut keys: Vec<String> = found.canonical[section]
                .as_object()
                .into_iter()
                .flat_map(|map| map.keys().cloned())
                .collect();
            keys.sort();
            lines(keys)
        };
        Some(if self.service_names {
            keys("services")
        } else if self.volumes {
            keys("volumes")
        } else if self.networks {
            keys("networks")
        } else if self.models {
            lines(models(&found.canonical))
        } else if self.images {
            lines(images(&found.canonical))
        } else if self.profiles {
            lines(&found.profiles)
        } else if self.environment {
            let pairs = found.environment.iter();
            lines(pairs.map(|(name, value)| format!("{name}={value}")))
        } else {
            return None;
        })
    }
}

/// Returns the image of each service, what it pulls or the tag of what it builds, and the other images that its init
/// containers run.
fn images(canonical: &Value) -> Vec<String> {
    let project = canonical["name"].as_str().unwrap_or_default();
    let services = canonical["services"].as_object();
    let mut images = Vec::new();
    for (name, service) in services.into_iter().flatten() {
        let own = match service["image"].as_str() {
            Some(image) => image.to_owned(),
            None => format!("{project}-{name}"),
        };
        let hooks = service["pre_start"].as_array().into_iter().flatten();
        let others = hooks.filter_map(|hook| hook["image"].as_str());
        let others: Vec<String> = others
            .filter(|image| *image != own)
            .map(str::to_owned)
            .collect();
        images.push(own);
        images.extend(others);
    }
    images
}

/// Returns what each model runs.
fn models(canonical: &Value) -> Vec<&str> {
    let models = canonical["models"].as_object().into_iter().flatten();
    let mut names: Vec<&str> = models
        .filter_map(|(_, model)| model["model"].as_str())
        .collect();
    names.sort_unstable();
    names
}

/// Returns a line for each service: its name and the SHA-256 digest of its canonical form.
fn hashes(found: &Configuration, services: &str) -> Result<String, Failure> {
    let known = found.canonical["services"].as_object();
    let mut names: Vec<&str> = match services {
        "*" => known
            .into_iter()
            .flat_map(|map| map.keys().map(String::as_str))
            .collect(),
        services => services.split(',').map(str::trim).collect(),
    };
    names.sort_unstable();
    let mut rows = Vec::new();
    for name in names {
        let service = known
            .and_then(|services| services.get(name))
            .ok_or_else(|| Failure::message(format!("there is no service `{name}`")))?;
        let sum: [u8; 32] = Sha256::digest(service.to_string()).into();
        rows.push(format!("{name} {}", Digest::from_sha256(&sum).hex()));
    }
    Ok(lines(rows))
}

#[cfg(test)]
mod tests;
