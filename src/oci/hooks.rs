//! Hooks: programs of the host that the bundle's owner asks for. The runtime specification says when; [`runtime::process::hook`] runs them.

use std::{path::Path, time::Duration};

use runtime::process::hook::{self, Place, Program};
use serde_json::Value;

use super::{config::Hook, error::OciError};

/// What hooks are run with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller<'a> {
    /// The container's state, for their standard input.
    pub(super) state: &'a Value,
    /// The environment of those that name none.
    pub(super) environment: &'a [String],
    /// The bundle's directory, where they are run.
    pub(super) bundle: &'a Path,
    /// In the namespaces of this process, whose root is still the host's.
    pub(super) inside: Option<i32>,
}

/// Runs hooks one after the other; the first that fails ends it.
pub(super) fn run_all(hooks: &[Hook], caller: Caller<'_>) -> Result<(), OciError> {
    hooks.iter().try_for_each(|hook| run(hook, caller))
}

fn run(hook: &Hook, caller: Caller<'_>) -> Result<(), OciError> {
    let seconds = |seconds: i64| Duration::from_secs(seconds.try_into().unwrap_or(0));
    let program = Program {
        path: &hook.path,
        arguments: &hook.args,
        environment: hook.env.as_deref().unwrap_or(caller.environment),
        limit: hook.timeout.map_or(hook::TIMEOUT_DEFAULT, seconds),
    };
    let place = Place {
        state: caller.state,
        bundle: caller.bundle,
        inside: caller.inside,
    };
    hook::run(&program, &place).map_err(|error| OciError::Hook {
        path: hook.path.clone(),
        reason: error.to_string(),
    })
}
