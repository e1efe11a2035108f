//! Applies the checks of [`super::lint`] to one build: what they need of the image store is looked up here.

use serde_json::Value;

use super::{
    dockerfile::Dockerfile,
    error::BuildError,
    ignore::Ignore,
    input::{BuildInput, NamedContext},
    layers::Layers,
    lint::{self, Environment, Finding, Options},
    scope::Globals,
    solve,
};
use crate::image::Reference;

/// Overrides the directive of the file.
const OVERRIDE: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// One build as the checks see it.
pub(super) struct Reviewed<'a> {
    pub(super) input: &'a BuildInput,
    pub(super) dockerfile: &'a Dockerfile,
    pub(super) ignore: &'a Ignore,
    pub(super) globals: &'a Globals,
    pub(super) platform: &'a str,
    pub(super) layers: &'a dyn Layers,
}

/// Checks a Dockerfile without building: `--check`. Base images that the store does not have are not fetched; variables of stages on
/// these are not judged.
///
/// # Errors
///
/// A Dockerfile that is none, and `check=error=true` with findings.
pub fn check(input: &BuildInput, layers: &dyn Layers) -> Result<Vec<Finding>, BuildError> {
    let (dockerfile, ignore) = solve::read(input)?;
    let target = super::plan::find_target(&dockerfile, input.target.as_deref())?;
    let platform = solve::platform(input)?;
    let globals = solve::globals(&dockerfile, input, &platform, target)?;
    review(&Reviewed {
        input,
        dockerfile: &dockerfile,
        ignore: &ignore,
        globals: &globals,
        platform: &platform,
        layers,
    })
}

/// Returns the findings, or the error that they are where the file says so.
pub(super) fn review(build: &Reviewed<'_>) -> Result<Vec<Finding>, BuildError> {
    let options = options(build)?;
    let escape = build.dockerfile.escape();
    let none = indexmap::IndexMap::new();
    let mut defaults = Globals::new(&none, build.platform, build.platform, "default", escape);
    for definition in &build.dockerfile.global_args {
        // A default that cannot be expanded was reported when the globals were made.
        drop(defaults.declare(definition));
    }
    let findings = lint::check(
        &lint::Subject {
            dockerfile: build.dockerfile,
            ignore: build.ignore,
            globals: build.globals,
            defaults: &defaults,
            is_image_name: &|name| {
                build.input.additional_contexts.contains_key(name)
                    || name.parse::<Reference>().is_ok()
            },
            base_env: &|name| environment(build, name),
        },
        &options,
    );
    if options.error && !findings.is_empty() {
        return Err(BuildError::Findings(findings));
    }
    Ok(findings)
}

fn options(build: &Reviewed<'_>) -> Result<Options, BuildError> {
    let given = build.input.args.get(OVERRIDE);
    let directive = build.dockerfile.directives.check.as_ref();
    let Some(text) = given.or(directive) else {
        return Ok(Options::default());
    };
    Options::parse(text).map_err(|source| BuildError::CheckOption {
        file: match given {
            Some(_) => OVERRIDE.to_owned(),
            None => build.dockerfile.source.name.clone(),
        },
        source,
    })
}

/// Returns the environment of an image of the store; `None` = it is not there, or not readable, which the build itself reports.
fn environment(build: &Reviewed<'_>, name: &str) -> Option<Environment> {
    let reference = match build.input.additional_contexts.get(name) {
        Some(NamedContext::Image(reference) | NamedContext::Built(reference)) => reference,
        Some(NamedContext::Directory(_) | NamedContext::Address(_)) => return Some(Vec::new()),
        Some(NamedContext::Layout { .. }) => return None,
        None => name,
    };
    let image = build.layers.find(reference, build.platform).ok()??;
    let config = build.layers.config(&image).ok()?;
    let lines = config.pointer("/config/Env").and_then(Value::as_array);
    let lines = lines.into_iter().flatten().filter_map(Value::as_str);
    Some(
        lines
            .map(|line| line.split_once('=').unwrap_or((line, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    )
}
