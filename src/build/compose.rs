//! From the `build:` section of a service to a build. Pure.

use std::path::Path;

use compose_spec::model::{Attestation, Build, FileObject, FileSource, Ulimit};
use indexmap::IndexMap;
use runtime::spec::Rlimit;

use super::{
    cache_entry::caches,
    error::BuildError,
    fetch::is_address,
    input::{BuildInput, BuildNetwork, DockerfileSource, NamedContext, Secret},
    solve::host_platform,
};
use crate::image::Platform;

/// What a section refers to and does not hold.
pub struct Surroundings<'a> {
    /// The project's directory: what paths are relative to.
    pub directory: &'a Path,
    /// Name of the image; `None` = it gets none.
    pub tag: Option<&'a str>,
    /// `platform:` of the service.
    pub platform: Option<&'a str>,
    /// The project's secrets.
    pub secrets: &'a IndexMap<String, FileObject>,
    /// Name of the image of another service; `None` = there is no such service.
    pub service_image: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

impl BuildInput {
    /// Lowers a `build:` section.
    ///
    /// # Errors
    ///
    /// Values that name what is not there or cannot be done, each with its key.
    pub fn from_compose(build: &Build, around: &Surroundings<'_>) -> Result<Self, BuildError> {
        let mut input = Self::new(&build.context);
        if is_address(&build.context) {
            input.remote = Some(build.context.clone());
        }
        if let Some(path) = &build.dockerfile {
            input.dockerfile = DockerfileSource::Path(path.into());
        }
        if let Some(text) = &build.dockerfile_inline {
            let name = build.dockerfile.as_deref().unwrap_or("dockerfile_inline");
            input.dockerfile = DockerfileSource::Inline {
                name: name.to_owned(),
                text: text.clone(),
            };
        }
        for (name, value) in &build.args {
            if let Some(value) = value {
                input.args.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in &build.additional_contexts {
            let context = named_context(build, value, around)?;
            input.additional_contexts.insert(name.clone(), context);
        }
        input.network = match build.network.as_deref() {
            None | Some("default" | "") => BuildNetwork::Bridge,
            Some("none") => BuildNetwork::None,
            Some("host") => BuildNetwork::Host,
            Some(other) => {
                return Err(refused("network", other, "it is default, host or none"));
            }
        };
        // Who gives the whole build the host's network gives it to every step.
        input.allow_host_network = input.network == BuildNetwork::Host;
        input.tags.extend(around.tag.map(str::to_owned));
        input.tags.extend(build.tags.iter().cloned());
        input.target.clone_from(&build.target);
        input.labels.clone_from(&build.labels);
        input.no_cache = build.no_cache;
        input.no_cache_filter.clone_from(&build.no_cache_filter);
        input.pull = build.pull;
        input.shm_size_bytes = build.shm_size_bytes;
        input.extra_hosts.clone_from(&build.extra_hosts);
        input.privileged = build.privileged;
        for (name, limit) in &build.ulimits {
            input.rlimits.push(rlimit(name, *limit)?);
        }
        platforms(build, around, &mut input)?;
        entitlements(build, &mut input)?;
        secrets(build, around, &mut input)?;
        for agent in &build.ssh {
            match &agent.path {
                Some(path) => {
                    let paths = input.ssh.entry(agent.id.clone()).or_default();
                    paths.push(path.clone());
                }
                // RUN complains when it needs it.
                None => input.notes.push(format!(
                    "`build.ssh: {}`: SSH_AUTH_SOCK is not set, so there is no agent to pass on",
                    agent.id
                )),
            }
        }
        caches(build, around.directory, &mut input)?;
        without_effect(build, &mut input.notes);
        Ok(input)
    }
}

pub(super) fn refused(key: &str, value: &str, hint: &'static str) -> BuildError {
    BuildError::Key {
        key: key.to_owned(),
        value: value.to_owned(),
        hint,
    }
}

fn named_context(
    build: &Build,
    value: &str,
    around: &Surroundings<'_>,
) -> Result<NamedContext, BuildError> {
    let key = "additional_contexts";
    if let Some(service) = value.strip_prefix("service:") {
        let image = (around.service_image)(service);
        return image
            .map(NamedContext::Built)
            .ok_or_else(|| refused(key, value, "there is no such service with an image"));
    }
    match value.split_once("://") {
        Some(("docker-image", image)) => Ok(NamedContext::Image(image.to_owned())),
        Some(("oci-layout", layout)) => {
            // A tag or digest stands behind the last component.
            let name_at = layout.rfind('/').map_or(0, |at| at + 1);
            let at = layout[name_at..].find(['@', ':']).map(|at| at + name_at);
            let (path, reference) = match at {
                Some(at) => (&layout[..at], Some(layout[at + 1..].to_owned())),
                None => (layout, None),
            };
            Ok(NamedContext::Layout {
                path: Path::new(&build.context).join(path),
                reference,
            })
        }
        _ if is_address(value) => Ok(NamedContext::Address(value.to_owned())),
        _ => Ok(NamedContext::Directory(
            Path::new(&build.context).join(value),
        )),
    }
}

/// Chooses the platform of the image that runs here: the service's, the host's when it is among several, else the first. The others are
/// made along with it.
fn platforms(
    build: &Build,
    around: &Surroundings<'_>,
    input: &mut BuildInput,
) -> Result<(), BuildError> {
    let listed = &build.platforms;
    let host = || {
        let offered = |text: &&String| is_same_platform(text, host_platform());
        listed.iter().find(offered).or_else(|| listed.first())
    };
    let chosen = match around.platform {
        Some(platform) => Some(platform.to_owned()),
        None => host().cloned(),
    };
    let is_chosen = |one: &String| {
        let chosen = chosen.as_deref();
        chosen.is_some_and(|chosen| is_same_platform(one, chosen))
    };
    if let (Some(chosen), false) = (&chosen, listed.is_empty() || listed.iter().any(is_chosen)) {
        let hint = "the platform of the service must be among them";
        return Err(refused(
            "platforms",
            &format!("{} without {chosen}", listed.join(", ")),
            hint,
        ));
    }
    let others = listed.iter().filter(|one| !is_chosen(one));
    input.other_platforms = others.cloned().collect();
    input.platform = chosen;
    Ok(())
}

/// Whether two texts mean one platform (`linux/arm64/v8` is `linux/arm64`).
fn is_same_platform(one: &str, other: &str) -> bool {
    match (one.parse::<Platform>(), other.parse::<Platform>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn entitlements(build: &Build, input: &mut BuildInput) -> Result<(), BuildError> {
    for entitlement in &build.entitlements {
        match entitlement.as_str() {
            "security.insecure" => input.allow_insecure = true,
            "network.host" => input.allow_host_network = true,
            "device" => input.allow_devices.all = true,
            other if other.starts_with("device=") => {
                let name = other.trim_start_matches("device=").to_owned();
                input.allow_devices.names.insert(name);
            }
            other => {
                let hint = "security.insecure, network.host and device are known";
                return Err(refused("entitlements", other, hint));
            }
        }
    }
    Ok(())
}

fn secrets(
    build: &Build,
    around: &Surroundings<'_>,
    input: &mut BuildInput,
) -> Result<(), BuildError> {
    for secret in &build.secrets {
        let missing = |hint| refused("secrets", &secret.source, hint);
        let object = around.secrets.get(&secret.source);
        let object = object.ok_or_else(|| missing("there is no such secret in the project"))?;
        let value = match &object.source {
            FileSource::File(path) => Secret::File(path.clone()),
            FileSource::Environment {
                value: Some(value), ..
            } => Secret::Value(value.clone().into_bytes()),
            FileSource::Environment { value: None, .. } => {
                return Err(missing("its environment variable is not set"));
            }
            FileSource::Content(text) => Secret::Value(text.clone().into_bytes()),
            FileSource::External => {
                return Err(missing(
                    "external secrets are not known here: give it a `file`",
                ));
            }
        };
        input.secrets.insert(secret.id.clone(), value);
    }
    Ok(())
}

/// Says which keys change nothing.
fn without_effect(build: &Build, notes: &mut Vec<String>) {
    let mut note = |key: &str, why: &str| notes.push(format!("`build.{key}` has no effect: {why}"));
    if matches!(build.provenance, Attestation::On(_)) {
        note("provenance", "no attestations are made");
    }
    if matches!(build.sbom, Attestation::On(_)) {
        note("sbom", "no attestations are made");
    }
}

/// Lowers one limit; -1 = unlimited, other negative numbers are refused.
fn rlimit(name: &str, limit: Ulimit) -> Result<Rlimit, BuildError> {
    let number = |value: i64| match value {
        -1 => Some(u64::MAX),
        number => u64::try_from(number).ok(),
    };
    let (Some(soft), Some(hard)) = (number(limit.soft), number(limit.hard)) else {
        let text = format!("{name}: {}:{}", limit.soft, limit.hard);
        return Err(refused(
            "ulimits",
            &text,
            "a limit is at least 0, or -1 for none",
        ));
    };
    Ok(Rlimit {
        name: name.to_lowercase(),
        soft,
        hard,
    })
}

#[cfg(test)]
mod tests;
