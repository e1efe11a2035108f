//! What `config` shows: the project as it was understood, with passes left out on demand, and the variables that it uses.
//!
//! Without interpolation there is no project, only a model: attributes keep what was written (`512m`, `${PORT}:80`), and
//! lists in which a variable stands keep their short forms, because what they mean is not known.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    Diagnostic, Files, LoadError, Locations, Request, Sources, interpolate,
    load::{self, Context},
    render,
};

/// Passes of loading, each of which `config` can leave out. By default all are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    /// Variables are replaced. Without it nothing is checked that depends on values, no service is left out, and the
    /// output is sorted by key.
    pub interpolation: bool,
    /// Names, the default network, implied dependencies and the defaults of builds are filled in.
    pub normalization: bool,
    /// Paths become absolute. Without it they stay as written, or relative to the project directory when they come from
    /// a file elsewhere.
    pub path_resolution: bool,
    /// References, contradictions and names on the host are checked.
    pub consistency: bool,
    /// `env_file` becomes part of `environment`.
    pub env_resolution: bool,
}

impl Default for Passes {
    fn default() -> Self {
        Self {
            interpolation: true,
            normalization: true,
            path_resolution: true,
            consistency: true,
            env_resolution: true,
        }
    }
}

/// A project as `config` shows it.
#[derive(Debug)]
pub struct Configuration {
    /// The canonical form, to be written by [`crate::emit`]; restricted to the services asked for and what they need.
    pub canonical: Value,
    /// Profiles of all services, active or not.
    pub profiles: BTreeSet<String>,
    /// The variables that interpolation sees: those of the caller, of environment files, and `COMPOSE_PROJECT_NAME`.
    /// Values may be secrets.
    pub environment: BTreeMap<String, String>,
    /// What has no effect or is deprecated.
    pub warnings: Vec<Diagnostic>,
    /// The files that the warnings point into.
    pub sources: Sources,
    /// Where each value was written.
    pub locations: Locations,
}

/// Reads a project for showing it.
///
/// # Errors
///
/// Every error of the files, except those that only the passes left out would find.
pub fn configuration(
    request: &Request,
    passes: Passes,
    files: &dyn Files,
) -> Result<Configuration, LoadError> {
    let mut context = Context::new(request, passes, files);
    let read = load::read(request, &mut context).map(|read| {
        let environment = read.origin.environment.values().clone();
        let canonical = if passes.interpolation {
            render::canonical(&read.selection.restrict(read.tree))
        } else {
            render::plain(&read.tree)
        };
        (canonical, environment, read.locations)
    });
    let profiles = std::mem::take(&mut context.profiles);
    let (errors, warnings, sources) = context.finish();
    match read {
        Some((canonical, environment, locations)) if errors.is_empty() => Ok(Configuration {
            canonical,
            profiles,
            environment,
            warnings,
            sources,
            locations,
        }),
        _ => Err(LoadError {
            diagnostics: errors.into_iter().chain(warnings).collect(),
            sources,
        }),
    }
}

/// A variable that a model uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// `${NAME:?message}`: it must be set.
    pub required: bool,
    /// The text of `${NAME:-text}`; empty when there is none.
    pub default: String,
    /// The text of `${NAME:+text}`; empty when there is none.
    pub alternate: String,
}

/// Returns the variables of a model that was read without interpolation, by name. Of several uses with a default the one
/// that is met first counts.
pub fn variables(model: &Value) -> Vec<Variable> {
    let mut found = BTreeMap::new();
    collect(model, &mut found);
    found.into_values().collect()
}

fn collect(value: &Value, found: &mut BTreeMap<String, Variable>) {
    match value {
        Value::String(text) if text.contains('$') => {
            for used in interpolate::variables(text) {
                let known = found.entry(used.name.clone()).or_insert_with(|| Variable {
                    name: used.name.clone(),
                    ..Variable::default()
                });
                known.required |= used.required;
                for (known, used) in [
                    (&mut known.default, used.default),
                    (&mut known.alternate, used.alternate),
                ] {
                    if known.is_empty() {
                        *known = used;
                    }
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(map) => map.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}
