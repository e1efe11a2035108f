//! From the `build:` section of a service to a build. Pure.

use std::path::Path;

use compose_spec::model::{Attestation, Build, FileObject, FileSource, Ulimit};
use indexmap::IndexMap;
use runtime::spec::Rlimit;

use super::{
    error::BuildError,
    input::{BuildInput, BuildNetwork, DockerfileSource, NamedContext, Secret},
    solve::host_platform,
};

/// What a section refers to and does not hold.
pub struct Surroundings<'a> {
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
        if is_address(&build.context) {
            return Err(refused(
                "context",
                &build.context,
                "clone or fetch it, and name the directory",
            ));
        }
        let mut input = Self::new(&build.context);
        if let Some(path) = &build.dockerfile {
            input.dockerfile = DockerfileSource::Path(path.into());
        }
        if let Some(text) = &build.dockerfile_inline {
            input.dockerfile = DockerfileSource::Inline(text.clone());
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
        input.platform = platform(build, around, &mut input.notes)?;
        entitlements(build, &mut input)?;
        secrets(build, around, &mut input)?;
        for agent in &build.ssh {
            match &agent.path {
                Some(path) => drop(input.ssh.insert(agent.id.clone(), path.clone())),
                // RUN complains when it needs it.
                None => input.notes.push(format!(
                    "`build.ssh: {}`: SSH_AUTH_SOCK is not set, so there is no agent to pass on",
                    agent.id
                )),
            }
        }
        without_effect(build, &mut input.notes);
        Ok(input)
    }
}

fn refused(key: &str, value: &str, hint: &'static str) -> BuildError {
    BuildError::Key {
        key: key.to_owned(),
        value: value.to_owned(),
        hint,
    }
}

fn is_address(text: &str) -> bool {
    text.contains("://") || text.starts_with("git@")
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
        _ if is_address(value) => Err(refused(
            key,
            value,
            "clone or fetch it, and name the directory",
        )),
        _ => Ok(NamedContext::Directory(
            Path::new(&build.context).join(value),
        )),
    }
}

/// Chooses the one platform that is built: the service's, the only one, or the host's among several.
fn platform(
    build: &Build,
    around: &Surroundings<'_>,
    notes: &mut Vec<String>,
) -> Result<Option<String>, BuildError> {
    let listed = &build.platforms;
    let chosen = match (around.platform, &listed[..]) {
        (Some(platform), _) => Some(platform.to_owned()),
        (None, []) => None,
        (None, [only]) => Some(only.clone()),
        (None, several) if several.iter().any(|one| one == host_platform()) => {
            Some(host_platform().to_owned())
        }
        (None, several) => {
            let hint = "one platform at a time is built: set `platform` of the service, or DOCKER_DEFAULT_PLATFORM";
            return Err(refused("platforms", &several.join(", "), hint));
        }
    };
    let others: Vec<&str> = listed
        .iter()
        .filter(|one| chosen.as_deref() != Some(one.as_str()))
        .map(String::as_str)
        .collect();
    if let (Some(chosen), false) = (&chosen, others.is_empty()) {
        notes.push(format!(
            "`build.platforms`: the image is built for {chosen} only, not for {}",
            others.join(", ")
        ));
    }
    Ok(chosen)
}

fn entitlements(build: &Build, input: &mut BuildInput) -> Result<(), BuildError> {
    for entitlement in &build.entitlements {
        match entitlement.as_str() {
            "security.insecure" => input.allow_insecure = true,
            "network.host" => input.allow_host_network = true,
            other => {
                let hint = "security.insecure and network.host are known";
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
    if !build.cache_from.is_empty() {
        note("cache_from", "only the cache of this machine is used");
    }
    if !build.cache_to.is_empty() {
        note("cache_to", "the cache stays on this machine");
    }
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
