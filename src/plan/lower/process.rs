//! The first process: what runs, with which environment, as whom and where, and how it is stopped.

use std::time::Duration;

use compose_spec::model::{NetworkMode, RestartPolicy, Service};
use runtime::spec::{self, Process, StopPolicy};

use super::{
    LowerInput,
    devices::Devices,
    error::{Checks, Refusal},
    signal::signal_number,
};
use crate::model::ImageConfig;

/// PATH of a container whose image sets none, as Docker has it.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Time between the stop signal and SIGKILL.
pub(super) const GRACE_DEFAULT: Duration = Duration::from_secs(10);
const SIGTERM: i32 = 15;

/// Lowers the process. `host_name` is what HOSTNAME says.
pub(super) fn lower(input: &LowerInput<'_>, host_name: &str, checks: &mut Checks<'_>) -> Process {
    let service = &input.new.service;
    let image = &input.image.config;
    let argv = argv(service, image);
    if argv.is_empty() {
        checks.refuse("command", Refusal::NoCommand);
    }
    Process {
        argv,
        env: environment(service, image, host_name, checks),
        cwd: working_dir(service, image, checks),
        user: user(service, image, checks),
        groups: groups(service, checks),
    }
}

/// Adds what devices bring along. A variable of the service or image wins over one of a device.
pub(super) fn add_device_edits(process: &mut Process, devices: &Devices) {
    for entry in &devices.env {
        let name = entry
            .split_once('=')
            .map_or(entry.as_str(), |(name, _)| name);
        let is_set = |set: &String| {
            set.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('='))
        };
        if !process.env.iter().any(is_set) {
            process.env.push(entry.clone());
        }
    }
    for group in &devices.groups {
        if !process.groups.contains(group) {
            process.groups.push(group.clone());
        }
    }
}

/// A set entrypoint drops the image's CMD; a cleared one (`[]`) does not.
fn argv(service: &Service, image: &ImageConfig) -> Vec<String> {
    let image_cmd = || image.cmd.clone().unwrap_or_default();
    let (entrypoint, inherits_cmd) = match &service.entrypoint {
        None => (image.entrypoint.clone().unwrap_or_default(), true),
        Some(entrypoint) => (entrypoint.clone(), entrypoint.is_empty()),
    };
    let command = match &service.command {
        Some(command) => command.clone(),
        None if inherits_cmd => image_cmd(),
        None => Vec::new(),
    };
    [entrypoint, command].concat()
}

/// Docker's order: the daemon's defaults, then the service's values, then what only the image sets.
/// A variable without a value takes away the one of the image or the defaults.
fn environment(
    service: &Service,
    image: &ImageConfig,
    host_name: &str,
    checks: &mut Checks<'_>,
) -> Vec<String> {
    let mut env = Vec::new();
    let image_has = |name: &str| image.env.iter().any(|entry| variable_name(entry) == name);
    let service_has = |name: &str| service.environment.contains_key(name);
    let mut default = |name: &str, value: &str| {
        if !image_has(name) && !service_has(name) {
            env.push(format!("{name}={value}"));
        }
    };
    default("PATH", PATH_DEFAULT);
    default("HOSTNAME", host_name);
    if service.tty {
        default("TERM", "xterm");
    }
    for (name, value) in &service.environment {
        if name.is_empty() || name.contains(['=', '\0']) {
            checks.invalid(
                format!("environment.{name}"),
                "variable name",
                name,
                "it must not be empty or contain `=`",
            );
        }
        if let Some(value) = value {
            if value.contains('\0') {
                checks.invalid(
                    format!("environment.{name}"),
                    "value of variable",
                    name,
                    "it contains a NUL byte",
                );
            }
            env.push(format!("{name}={value}"));
        }
    }
    env.extend(
        image
            .env
            .iter()
            .filter(|entry| entry.find('=').is_some_and(|at| at > 0))
            .filter(|entry| !service_has(variable_name(entry)))
            .cloned(),
    );
    env
}

fn variable_name(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

fn working_dir(service: &Service, image: &ImageConfig, checks: &mut Checks<'_>) -> String {
    match service.working_dir.as_deref() {
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => {
            checks.invalid("working_dir", "path", path, "it must be absolute");
            "/".to_owned()
        }
        None if image.working_dir.is_empty() => "/".to_owned(),
        None if image.working_dir.starts_with('/') => image.working_dir.clone(),
        None => format!("/{}", image.working_dir),
    }
}

/// `user[:group]`; whether they exist is told by the container's own files when it starts.
fn user(service: &Service, image: &ImageConfig, checks: &mut Checks<'_>) -> String {
    let Some(user) = &service.user else {
        return image.user.clone();
    };
    let is_fine = match user.split_once(':') {
        None => user.is_empty() || is_id(user),
        Some((user, group)) => {
            (user.is_empty() || is_id(user)) && (group.is_empty() || is_id(group))
        }
    };
    if !is_fine {
        checks.invalid("user", "user", user, "`user[:group]`, names or numbers");
    }
    user.clone()
}

fn groups(service: &Service, checks: &mut Checks<'_>) -> Vec<String> {
    for (index, group) in service.group_add.iter().enumerate() {
        if !is_id(group) {
            checks.invalid(
                format!("group_add[{index}]"),
                "group",
                group,
                "a name or number",
            );
        }
    }
    service.group_add.clone()
}

/// A name or number; signs and blanks could be read as another id (CVE-2026-30892).
fn is_id(text: &str) -> bool {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // The largest number means "leave it as it is" to setresuid(2).
        return text.parse::<u32>().is_ok_and(|number| number != u32::MAX);
    }
    let is_foreign = |c: char| c.is_control() || c.is_whitespace() || matches!(c, ':' | ',' | '/');
    !text.is_empty() && !text.starts_with(['-', '+']) && !text.contains(is_foreign)
}

/// Lowers the NIS domain name.
pub(super) fn domain_name(service: &Service, checks: &mut Checks<'_>) -> Option<String> {
    let name = service.domainname.clone()?;
    if !is_host_name(&name) {
        checks.invalid("domainname", "domain name", &name, HOST_NAME_RULE);
    }
    Some(name)
}

const HOST_NAME_RULE: &str = "1 to 64 letters, digits, `.`, `-` and `_`";

fn is_host_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=64).contains(&name.len()) && name.chars().all(is_letter)
}

/// Returns the host name of the container: that of the host when it shares its network, as in Docker.
pub(super) fn host_name(input: &LowerInput<'_>, checks: &mut Checks<'_>) -> String {
    let service = &input.new.service;
    if let Some(name) = &service.hostname {
        if service.uts == compose_spec::model::Namespace::Host {
            checks.conflict("hostname", "`hostname`", "`uts: host`");
        }
        if let NetworkMode::Service(_) | NetworkMode::Container(_) = service.network {
            checks.conflict("hostname", "`hostname`", "a shared `network_mode`");
        }
        if !is_host_name(name) {
            checks.invalid("hostname", "host name", name, HOST_NAME_RULE);
        }
        return name.clone();
    }
    if service.network == NetworkMode::Host && !input.host.hostname.is_empty() {
        return input.host.hostname.clone();
    }
    input.id.short().to_owned()
}

/// Lowers the restart policy. The monitor does not know `unless-stopped`: who was stopped stays so is the supervisor's to remember.
pub(super) fn restart(policy: RestartPolicy) -> spec::RestartPolicy {
    match policy {
        RestartPolicy::No => spec::RestartPolicy::No,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => spec::RestartPolicy::Always,
        RestartPolicy::OnFailure { attempts_max } => {
            spec::RestartPolicy::OnFailure { attempts_max }
        }
    }
}

/// Lowers stop signal and grace.
pub(super) fn stop(service: &Service, image: &ImageConfig, checks: &mut Checks<'_>) -> StopPolicy {
    let signal = match (&service.stop_signal, &image.stop_signal) {
        (Some(text), _) => signal_number(text).unwrap_or_else(|| {
            checks.refuse(
                "stop_signal",
                Refusal::Unknown {
                    kind: "signal",
                    name: text.clone(),
                },
            );
            SIGTERM
        }),
        (None, Some(text)) => signal_number(text).unwrap_or_else(|| {
            checks.warn(format!(
                "the image's STOPSIGNAL `{text}` is unknown, SIGTERM is used"
            ));
            SIGTERM
        }),
        (None, None) => SIGTERM,
    };
    StopPolicy {
        signal,
        grace_ms: milliseconds(service.stop_grace.unwrap_or(GRACE_DEFAULT)),
    }
}

/// Whole milliseconds of a duration, rounded up.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
