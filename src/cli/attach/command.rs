//! `stack attach`: the user's streams become those of a running container's first process.

use clap::Args;

use super::{DetachKeys, End, Streams, attach};
use crate::cli::{
    exec,
    failure::Failure,
    observed,
    session::{Session, service_names},
};

/// Attach this terminal to a running container
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Replica number
    #[arg(long)]
    index: Option<u32>,
    /// Do not send standard input
    #[arg(long)]
    no_stdin: bool,
    /// Keys that leave the container running; empty = none
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q", value_parser = str::parse::<DetachKeys>)]
    detach_keys: DetachKeys,
    /// Pass signals to the process
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    sig_proxy: bool,
}

pub(in crate::cli) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("attach")?;
    let named = std::slice::from_ref(&arguments.service);
    let target = session.target(named)?;
    let service = service_names(named)?.remove(0);
    let containers = session.containers(&target.project)?;
    let container = observed::running_replica(containers, &service, arguments.index)?;
    let stdio = container.record.spec.stdio;
    let streams = Streams {
        tty: stdio.tty,
        stdin: !arguments.no_stdin && stdio.stdin,
        sig_proxy: arguments.sig_proxy,
    };
    let directory = session.settings.root.container(&container.record.id);
    let name = &container.record.name;
    match attach(session, &directory, name, streams, &arguments.detach_keys)? {
        End::Exited(status) => exec::end(status),
        End::Detached => Ok(()),
    }
}
