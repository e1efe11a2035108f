//! `stack run`: a one-off container of a service, changed by flags.

use clap::Args;
use compose_spec::model::PullPolicy;

use super::{
    attach::{self, DetachKeys, End, Streams},
    exec,
    failure::Failure,
    overrides,
    session::{Session, service_names},
    values::{self, Variable},
};
use crate::{
    model::ContainerId,
    protocol::{Request, RunRequest},
    ui::progress::ProgressOptions,
};

/// Run a one-off command in a new container of a service
#[derive(Debug, Default, Args)]
#[command(override_usage = "stack run [OPTIONS] SERVICE [COMMAND] [ARGS...]")]
pub(super) struct Arguments {
    /// Build the image before starting
    #[arg(long)]
    build: bool,
    /// Add a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(super) cap_add: Vec<String>,
    /// Take a capability
    #[arg(long, value_name = "CAPABILITY")]
    pub(super) cap_drop: Vec<String>,
    /// Leave the container running in the background and print its name
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Program in place of the image's entrypoint
    #[arg(long)]
    pub(super) entrypoint: Option<String>,
    /// Environment variable; without a value, that of this process
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = values::variable)]
    pub(super) env: Vec<Variable>,
    /// Keep standard input open
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    pub(super) interactive: bool,
    /// Label
    #[arg(short, long = "label", value_name = "NAME=VALUE", value_parser = values::variable)]
    pub(super) labels: Vec<Variable>,
    /// Name of the container
    #[arg(long)]
    name: Option<String>,
    /// Leave dependencies alone
    #[arg(long)]
    no_deps: bool,
    /// Without a terminal [default: with one where there is one]
    #[arg(short = 'T', long)]
    pub(super) no_tty: bool,
    /// With a terminal: the default where there is one
    #[arg(short, long, hide = true, conflicts_with = "no_tty")]
    tty: bool,
    /// Publish a port; may be given several times
    #[arg(short = 'p', long, value_name = "[[IP:]HOST:]PORT", value_parser = overrides::ports)]
    pub(super) publish: Vec<overrides::Ports>,
    /// When to pull: always, missing, never, build
    #[arg(long, value_name = "POLICY", value_parser = values::pull_policy)]
    pub(super) pull: Option<PullPolicy>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// Show no progress of pulls
    #[arg(long)]
    quiet_pull: bool,
    /// Show no output of builds
    #[arg(long)]
    quiet_build: bool,
    /// Remove the container when it has ended
    #[arg(long)]
    rm: bool,
    /// Publish the service's ports
    #[arg(short = 'P', long)]
    pub(super) service_ports: bool,
    /// user[:group] in place of the service's
    #[arg(short, long)]
    pub(super) user: Option<String>,
    /// Mount a volume or host path; may be given several times
    #[arg(short, long = "volume", value_name = "[SOURCE:]TARGET[:ro]")]
    pub(super) volumes: Vec<String>,
    /// Working directory in place of the service's
    #[arg(short, long, value_name = "DIR")]
    pub(super) workdir: Option<String>,
    /// The service, and a command with arguments in place of its own; what follows the service is not ours
    #[arg(value_name = "SERVICE COMMAND", num_args = 1.., required = true, trailing_var_arg = true)]
    words: Vec<String>,
}

impl Arguments {
    /// Returns the command in place of the service's; none = the service's.
    pub(super) fn command(&self) -> &[String] {
        &self.words[1..]
    }
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("run")?;
    let named = &arguments.words[..1];
    let loaded = session.load(named)?;
    let service = service_names(named)?.remove(0);
    let mut project = loaded.project.clone();
    let terminals = session.settings.terminals;
    let streams = Streams {
        tty: !arguments.no_tty && !arguments.detach && terminals.stdin && terminals.stdout,
        stdin: arguments.interactive && !arguments.detach,
        sig_proxy: true,
    };
    let place = overrides::Place {
        environment: &session.settings.environment,
        working_dir: &session.settings.working_dir,
        streams,
    };
    overrides::apply(&mut project, &service, arguments, &place)?;
    let request = Request::Run(Box::new(RunRequest {
        project,
        service,
        no_deps: arguments.no_deps,
        remove: arguments.rm,
        detach: arguments.detach,
        name: arguments.name.clone(),
        build: arguments.build,
    }));
    let options = ProgressOptions {
        quiet_pull: arguments.quiet || arguments.quiet_pull,
        quiet_build: arguments.quiet || arguments.quiet_build,
        dry_run: false,
    };
    let outcome = session.call(&request, options, Some(&loaded))?;
    let id = outcome
        .container
        .as_deref()
        .ok_or_else(|| Failure::message("the supervisor did not tell which container it made"))?
        .parse::<ContainerId>()
        .map_err(|error| Failure::error(&error))?;
    if arguments.detach {
        return Ok(session.ui.data(format!("{}\n", id.as_str()))?);
    }
    let name = session
        .containers(&loaded.project.name)?
        .into_iter()
        .find(|container| container.record.id == id)
        .map_or_else(|| id.short().to_owned(), |container| container.record.name);
    let directory = session.settings.root.container(&id);
    match attach::attach(session, &directory, &name, streams, &DetachKeys::default())? {
        End::Exited(status) => exec::end(status),
        End::Detached => Ok(()),
    }
}
