//! How this user reaches registries: credentials, helpers, proxies, own settings. Gathered here, used by the supervisor.
//!
//! The supervisor may have been started by somebody else, or by systemd, so nothing of its own environment counts for a command.

mod docker_config;
mod helper;

pub(super) use docker_config::{DockerFile, Kept, Proof};

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use compose_spec::model::{ImageSource, Project};

use super::{failure::Failure, settings::Settings};
use crate::{
    model::{
        Credential, RegistryAccess, Secret, SettingsText, docker_config::Lookup, normal_registry,
        registry_of,
    },
    protocol::Request,
};
use helper::Helper;

/// Where a user's own settings lie, below `$XDG_CONFIG_HOME`.
const SETTINGS_FILE: &str = "stack/registries.toml";

/// Registries that a request may need.
enum Needed {
    /// None at all.
    Nothing,
    /// These.
    Named(BTreeSet<String>),
    /// These, and whatever the configuration knows: a Dockerfile may start from any image.
    Any(BTreeSet<String>),
}

/// Gathers what a request needs; `None` when it needs no registry.
pub(super) fn of(
    request: &Request,
    settings: &Settings,
) -> Result<Option<RegistryAccess>, Failure> {
    let (named, any) = match needed(request) {
        Needed::Nothing => return Ok(None),
        Needed::Named(named) => (named, false),
        Needed::Any(named) => (named, true),
    };
    let mut access = surroundings(settings)?;
    let file = DockerFile::open(&settings.environment).map_err(|error| Failure::error(&error))?;
    let known = file.registries();
    let all: BTreeSet<String> = named.iter().cloned().chain(known).collect();
    for registry in all {
        // A program is run only for a registry that is asked; entries of the file cost nothing.
        let may_run = any || named.contains(&registry);
        match file.look_up(&registry) {
            Ok(Lookup::Found(credential)) => {
                access.credentials.insert(registry, credential);
            }
            Ok(Lookup::Helper(name)) if may_run => {
                match Helper::new(&name, &settings.environment).get(&registry) {
                    Ok(Some(credential)) => {
                        access.credentials.insert(registry, credential);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        let chain = crate::model::chain(&error).join(": ");
                        access.problems.insert(registry, chain);
                    }
                }
            }
            Ok(Lookup::Helper(_) | Lookup::None) => {}
            Err(error) => {
                access.problems.insert(registry, error.to_string());
            }
        }
    }
    Ok(Some(access))
}

/// Makes the access that tries one credential, and nothing else.
pub(super) fn with_credential(
    settings: &Settings,
    registry: &str,
    credential: Credential,
) -> Result<RegistryAccess, Failure> {
    let mut access = surroundings(settings)?;
    access.credentials = BTreeMap::from([(normal_registry(registry).to_owned(), credential)]);
    Ok(access)
}

/// Reads everything but credentials.
fn surroundings(settings: &Settings) -> Result<RegistryAccess, Failure> {
    let environment = &settings.environment;
    let text = |name: &str| environment.get(name).filter(|text| !text.is_empty());
    // Lower case is the older form; curl and Go read both.
    let either = |name: &str| text(name).or_else(|| text(&name.to_lowercase())).cloned();
    let proxy = |name: &str| either(name).map(Secret::new);
    let home = text("HOME").map(PathBuf::from);
    let config = text("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| home.as_ref().map(|home| home.join(".config")));
    let path = config.as_ref().map(|config| config.join(SETTINGS_FILE));
    let own = match path {
        None => None,
        Some(path) => match fs_err::read_to_string(&path) {
            Ok(text) => Some(SettingsText { path, text }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::intent("read your registry settings", &error)),
        },
    };
    let folders = [
        config.as_ref().map(|config| config.join("stack/certs.d")),
        config
            .as_ref()
            .map(|config| config.join("containers/certs.d")),
        home.as_ref().map(|home| home.join(".docker/certs.d")),
    ];
    Ok(RegistryAccess {
        http_proxy: proxy("HTTP_PROXY"),
        https_proxy: proxy("HTTPS_PROXY"),
        no_proxy: either("NO_PROXY"),
        settings: own,
        certificates: folders
            .into_iter()
            .flatten()
            .filter(|folder| folder.is_dir())
            .collect(),
        ..RegistryAccess::default()
    })
}

fn needed(request: &Request) -> Needed {
    match request {
        Request::Up(up) => of_project(&up.project),
        Request::Run(run) => of_project(&run.project),
        Request::Build(build) => of_project(&build.project),
        Request::Pull(pull) => {
            let names = pull.images.iter().map(|(name, _)| registry_of(name));
            Needed::Named(names.map(str::to_owned).collect())
        }
        Request::Pin(pin) => {
            let names = pin.images.iter().map(|name| registry_of(name));
            Needed::Named(names.map(str::to_owned).collect())
        }
        Request::Push(push) => {
            let names = push.images.iter().map(|name| registry_of(name));
            Needed::Named(names.map(str::to_owned).collect())
        }
        Request::Search(search) => {
            Needed::Named(BTreeSet::from([registry_of(&search.term).to_owned()]))
        }
        Request::BuilderPrune(_)
        | Request::Network(_)
        | Request::Login(_)
        | Request::Down(_)
        | Request::Lifecycle(_)
        | Request::Commit(_)
        | Request::ImageImport(_)
        | Request::ImageLoad(_)
        | Request::ImagePrune(_)
        | Request::ImageRemove(_)
        | Request::ImageTag(_)
        | Request::Volume(_) => Needed::Nothing,
    }
}

fn of_project(project: &Project) -> Needed {
    let mut named = BTreeSet::new();
    let mut builds = false;
    for service in project.services.values() {
        let image = match &service.image {
            ImageSource::Pull { image } => Some(image),
            ImageSource::Build { image, .. } => {
                builds = true;
                image.as_ref()
            }
            ImageSource::Provider(_) => None,
        };
        named.extend(image.map(|image| registry_of(image).to_owned()));
    }
    if builds {
        Needed::Any(named)
    } else {
        Needed::Named(named)
    }
}

#[cfg(test)]
mod tests;
