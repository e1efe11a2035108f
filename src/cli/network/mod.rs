//! `stack network …`: the networks of this machine.

mod change;
mod list;

use std::net::IpAddr;

use clap::{Args, Subcommand};

use super::{failure::Failure, filter::Filter, session::Session, values::pair};
use crate::{model::ObservedNetwork, observe, ui::template::Format};

/// Networks of this machine
#[derive(Debug, Subcommand)]
pub(super) enum NetworkCommand {
    Create(CreateArguments),
    /// Show everything that is known of networks
    Inspect {
        /// Names, or starts of ids
        #[arg(value_name = "NETWORK", required = true)]
        names: Vec<String>,
        /// json or a template
        #[arg(short, long)]
        format: Option<Format>,
    },
    /// List networks
    #[command(alias = "list")]
    Ls {
        /// dangling=true|false, driver=NAME, label=KEY[=VALUE] or name=TEXT
        #[arg(short, long = "filter", value_name = "NAME=VALUE", value_parser = Filter::of_list)]
        filters: Vec<Filter>,
        /// table, json or a template
        #[arg(long, default_value = "table", hide_default_value = true)]
        format: Format,
        /// Whole ids
        #[arg(long)]
        no_trunc: bool,
        /// Only ids
        #[arg(short, long)]
        quiet: bool,
    },
    /// Remove networks that nothing uses and no project will want again
    Prune {
        /// label=KEY[=VALUE] or label!=KEY[=VALUE]
        #[arg(long = "filter", value_name = "NAME=VALUE", value_parser = Filter::of_prune)]
        filters: Vec<Filter>,
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },
    /// Remove networks that no container is on
    #[command(alias = "remove")]
    Rm {
        /// Names, or starts of ids
        #[arg(value_name = "NETWORK", required = true)]
        names: Vec<String>,
        /// One that does not exist is no error
        #[arg(short, long)]
        force: bool,
    },
}

/// Make a network that belongs to no project: Compose files use it as `external: true`
#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// Its name
    #[arg(value_name = "NETWORK")]
    name: String,
    /// Only `bridge` is known
    #[arg(short, long, default_value = "bridge", hide_default_value = true)]
    driver: String,
    /// Its subnet, such as 10.1.0.0/24; without one a free one is chosen
    #[arg(long, value_name = "SUBNET")]
    subnet: Option<String>,
    /// Part of the subnet from which addresses are given
    #[arg(long, value_name = "SUBNET", requires = "subnet")]
    ip_range: Option<String>,
    /// Address of the bridge; without one the first of the subnet
    #[arg(long, value_name = "ADDRESS", requires = "subnet")]
    gateway: Option<IpAddr>,
    /// An address that no container is given
    #[arg(long = "aux-address", value_name = "NAME=ADDRESS", value_parser = pair, requires = "subnet")]
    aux_addresses: Vec<(String, String)>,
    /// No way out of the host
    #[arg(long)]
    internal: bool,
    /// IPv6 addresses, which stack's networks do not have yet: refused
    #[arg(long)]
    ipv6: bool,
    /// Taken for Docker's sake: every network is
    #[arg(long)]
    attachable: bool,
    /// A label of it
    #[arg(long = "label", value_name = "KEY[=VALUE]", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// An option of the driver, such as com.docker.network.driver.mtu=1400
    #[arg(short, long = "opt", value_name = "KEY=VALUE", value_parser = pair)]
    options: Vec<(String, String)>,
}

pub(super) fn run(session: &Session<'_>, command: &NetworkCommand) -> Result<(), Failure> {
    match command {
        NetworkCommand::Create(arguments) => change::create(session, arguments),
        NetworkCommand::Inspect { names, format } => list::inspect(session, names, format.as_ref()),
        NetworkCommand::Ls {
            filters,
            format,
            no_trunc,
            quiet,
        } => list::all(session, filters, format, (*no_trunc, *quiet)),
        NetworkCommand::Prune { filters, force } => change::prune(session, filters, *force),
        NetworkCommand::Rm { names, force } => change::remove(session, names, *force),
    }
}

/// Every network of the machine, by name.
fn networks(session: &Session<'_>) -> Result<Vec<ObservedNetwork>, Failure> {
    observe::networks(&session.settings.root).map_err(|error| Failure::error(&error))
}

/// Returns the networks that a prune removes: of no project that is wanted, and without containers.
pub(super) fn unused(session: &Session<'_>) -> Result<Vec<ObservedNetwork>, Failure> {
    let root = &session.settings.root;
    let mut networks = networks(session)?;
    networks.retain(|network| {
        let project = network.record.project.as_ref();
        network.users.is_empty() && !project.is_some_and(|name| root.project(name).exists())
    });
    Ok(networks)
}

#[cfg(test)]
mod tests;
