//! `stack ps`: the containers of a project, in docker's columns.

use std::time::Duration;

use clap::Args;
use compose_spec::model::PortProtocol;
use runtime::spec::{ContainerState, Health};
use serde_json::{Value, json};

use super::{
    failure::Failure,
    observed,
    session::{Session, service_names},
};
use crate::{
    model::{ContainerRecord, ContainerRole, ObservedContainer, PublishedAddress, Timestamp},
    ui::{human, lines, table::Table, template::Format},
};

/// Longest COMMAND without `--no-trunc`.
const COMMAND_CHARS_MAX: usize = 20;

/// List the containers of the project
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Also stopped containers and one-offs
    #[arg(short, long)]
    all: bool,
    /// table, json (one object a line), json-array, or a template such as '{{.Name}}'
    #[arg(long, default_value = "table", hide_default_value = true)]
    format: Format,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Only names of services
    #[arg(long = "services", conflicts_with = "quiet")]
    services_only: bool,
    /// Only containers in this state; may be given several times
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    status: Vec<String>,
    /// Only containers with this property (status=STATE)
    #[arg(long, value_parser = filter)]
    filter: Option<String>,
    /// Whole commands
    #[arg(long)]
    no_trunc: bool,
    /// Also containers of services that the Compose file does not have
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    orphans: bool,
}

const STATES: [&str; 7] = [
    "created",
    "running",
    "paused",
    "restarting",
    "removing",
    "exited",
    "dead",
];

fn filter(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some(("status", state)) if STATES.contains(&state) => Ok(state.to_owned()),
        Some(("status", _)) => Err(format!("the status can be {}", STATES.join(", "))),
        _ => Err("it has the form status=STATE".into()),
    }
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let target = session.target(&arguments.services)?;
    let services = service_names(&arguments.services)?;
    let mut containers = observed::of_services(session.containers(&target.project)?, &services);
    containers.retain(|container| {
        let is_orphan = target
            .file()
            .is_some_and(|project| !project.services.contains_key(&container.record.service));
        arguments.wants(container) && (arguments.orphans || !is_orphan)
    });
    observed::sort(&mut containers);
    let now = jiff::Timestamp::now();
    let text = if arguments.quiet {
        lines(
            containers
                .iter()
                .map(|container| container.record.id.as_str()),
        )
    } else if arguments.services_only {
        let mut names: Vec<&str> = containers
            .iter()
            .map(|container| container.record.service.as_str())
            .collect();
        names.dedup();
        lines(names)
    } else {
        let rows: Vec<Row<'_>> = containers
            .iter()
            .map(|container| Row {
                container,
                now,
                no_trunc: arguments.no_trunc,
            })
            .collect();
        let objects: Vec<Value> = rows.iter().map(Row::object).collect();
        arguments
            .format
            .render(&objects, || table(&rows))
            .map_err(|error| Failure::Usage(error.to_string()))?
    };
    Ok(session.ui.data(text)?)
}

impl Arguments {
    /// Running ones unless more is asked for, as docker does: a status asked for is enough to show a stopped one.
    fn wants(&self, container: &ObservedContainer) -> bool {
        let mut states = self.status.iter().chain(&self.filter).peekable();
        if states.peek().is_some() {
            return states.any(|state| state == state_word(&container.state));
        }
        self.all || (container.state.is_live() && observed::replica(container).is_some())
    }
}

fn table(rows: &[Row<'_>]) -> Table {
    let mut table = Table::new([
        "NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS",
    ]);
    for row in rows {
        let record = &row.container.record;
        table.row([
            record.name.clone(),
            record.image_reference.clone(),
            row.command(),
            record.service.to_string(),
            row.running_for(),
            row.status(),
            ports(row.published(), record),
        ]);
    }
    table
}

/// A container and the time it is looked at.
struct Row<'a> {
    container: &'a ObservedContainer,
    now: jiff::Timestamp,
    no_trunc: bool,
}

impl Row<'_> {
    fn since(&self, time_ms: u64) -> Duration {
        let now = u64::try_from(self.now.as_millisecond()).unwrap_or(0);
        Duration::from_millis(now.saturating_sub(time_ms))
    }

    fn running_for(&self) -> String {
        format!(
            "{} ago",
            human::rough_duration(self.since(self.container.record.created.0))
        )
    }

    /// `Up 3 minutes (healthy)`, in docker's words.
    fn status(&self) -> String {
        match &self.container.state {
            ContainerState::Created => "Created".into(),
            ContainerState::Running {
                since_ms, health, ..
            } => {
                let up = human::rough_duration(self.since(*since_ms));
                match health_word(health) {
                    "" => format!("Up {up}"),
                    "starting" => format!("Up {up} (health: starting)"),
                    word => format!("Up {up} ({word})"),
                }
            }
            ContainerState::Paused { since_ms, .. } => {
                format!(
                    "Up {} (Paused)",
                    human::rough_duration(self.since(*since_ms))
                )
            }
            ContainerState::Restarting { until_ms, last, .. } => {
                let now = u64::try_from(self.now.as_millisecond()).unwrap_or(0);
                let wait = Duration::from_millis(until_ms.saturating_sub(now));
                format!(
                    "Restarting ({}), next in {}",
                    last.code,
                    human::exact_duration(wait)
                )
            }
            ContainerState::Exited { status, at_ms } => {
                let oom = if status.oom_killed {
                    ", out of memory"
                } else {
                    ""
                };
                let ago = human::rough_duration(self.since(*at_ms));
                format!("Exited ({}) {ago} ago{oom}", status.code)
            }
            ContainerState::Lost { reason } => format!("Dead ({reason})"),
        }
    }

    fn command(&self) -> String {
        let argv = self.container.record.spec.process.argv.join(" ");
        let shown = if self.no_trunc || argv.chars().count() <= COMMAND_CHARS_MAX {
            argv
        } else {
            argv.chars()
                .take(COMMAND_CHARS_MAX - 1)
                .chain(['…'])
                .collect()
        };
        format!("\"{shown}\"")
    }

    /// The ports that lead to it: none while it does not run.
    fn published(&self) -> &[PublishedAddress] {
        if self.container.state.is_live() {
            &self.container.record.published
        } else {
            &[]
        }
    }

    /// The object of `--format json`, with docker's keys, and those of ours that docker has not.
    fn object(&self) -> Value {
        let record = &self.container.record;
        let networks: Vec<&str> = record
            .endpoints
            .iter()
            .map(|endpoint| endpoint.network.as_str())
            .collect();
        let labels: Vec<String> = record
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        json!({
            "Command": self.command(),
            "CreatedAt": created_at(record.created),
            "ExitCode": exit_code(&self.container.state),
            "Health": health(&self.container.state),
            "ID": record.id.as_str(),
            "Image": record.image_reference,
            "Labels": labels.join(","),
            "LocalVolumes": (record.volumes.len() + record.anonymous_volumes.len()).to_string(),
            "Mounts": record.volumes.iter().chain(record.anonymous_volumes.values()).map(String::as_str).collect::<Vec<_>>().join(","),
            "Name": record.name,
            "Names": record.name,
            "Networks": networks.join(","),
            "Oneoff": matches!(record.role, ContainerRole::OneOff { .. }),
            "Ports": ports(self.published(), record),
            "Project": record.project.as_str(),
            "Publishers": self.published().iter().map(publisher).collect::<Vec<_>>(),
            "Restarts": self.container.restarts,
            "RunningFor": self.running_for(),
            "Service": record.service.as_str(),
            "Size": "0B",
            "State": state_word(&self.container.state),
            "Status": self.status(),
        })
    }
}

fn created_at(time: Timestamp) -> String {
    i64::try_from(time.0)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(String::new, |time| {
            time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
        })
}

pub(super) fn state_word(state: &ContainerState) -> &'static str {
    match state {
        ContainerState::Created => "created",
        ContainerState::Running { .. } => "running",
        ContainerState::Paused { .. } => "paused",
        ContainerState::Restarting { .. } => "restarting",
        ContainerState::Exited { .. } => "exited",
        ContainerState::Lost { .. } => "dead",
    }
}

fn health(state: &ContainerState) -> &'static str {
    match state {
        ContainerState::Running { health, .. } | ContainerState::Paused { health, .. } => {
            health_word(health)
        }
        _ => "",
    }
}

fn health_word(health: &Health) -> &'static str {
    match health {
        Health::None => "",
        Health::Starting { .. } => "starting",
        Health::Healthy { .. } => "healthy",
        Health::Unhealthy { .. } => "unhealthy",
    }
}

fn exit_code(state: &ContainerState) -> i32 {
    match state {
        ContainerState::Exited { status, .. } => status.code,
        ContainerState::Restarting { last, .. } => last.code,
        _ => 0,
    }
}

/// `0.0.0.0:8080->80/tcp, 443/tcp`: published ports, then those only exposed.
fn ports(published: &[PublishedAddress], record: &ContainerRecord) -> String {
    let shown = published.iter().map(|port| {
        format!(
            "{}->{}/{}",
            super::port::address(port),
            port.target,
            protocol(port.protocol)
        )
    });
    let exposed = record.wanted.expose.iter().filter_map(|port| {
        let (number, protocol_name) = port.split_once('/').unwrap_or((port, "tcp"));
        let is_published = record.published.iter().any(|published| {
            published.target.to_string() == number && protocol(published.protocol) == protocol_name
        });
        (!is_published).then(|| format!("{number}/{protocol_name}"))
    });
    shown.chain(exposed).collect::<Vec<_>>().join(", ")
}

fn publisher(port: &PublishedAddress) -> Value {
    json!({
        "URL": port.host_ip.to_string(),
        "TargetPort": port.target,
        "PublishedPort": port.host_port,
        "Protocol": protocol(port.protocol),
    })
}

pub(super) fn protocol(protocol: PortProtocol) -> &'static str {
    match protocol {
        PortProtocol::Tcp => "tcp",
        PortProtocol::Udp => "udp",
        PortProtocol::Sctp => "sctp",
    }
}

#[cfg(test)]
mod tests;
