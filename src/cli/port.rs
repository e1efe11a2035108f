//! `stack port SERVICE PORT`: where a port of a container appears on the host.

use std::net::IpAddr;

use clap::Args;
use compose_spec::model::PortProtocol;

use super::{
    failure::Failure,
    observed, ps,
    session::{Session, service_names},
};
use crate::model::PublishedAddress;

/// Print where a port of a service appears on the host
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Port in the container; PORT/PROTOCOL also says which protocol
    #[arg(value_name = "PRIVATE_PORT", value_parser = private_port)]
    port: PrivatePort,
    /// Replica number
    #[arg(long)]
    index: Option<u32>,
    /// tcp or udp
    #[arg(long, default_value = "tcp", value_parser = parse_protocol)]
    protocol: PortProtocol,
}

#[derive(Debug, Clone, Copy)]
struct PrivatePort {
    number: u16,
    protocol: Option<PortProtocol>,
}

fn private_port(text: &str) -> Result<PrivatePort, String> {
    let (number, protocol) = match text.split_once('/') {
        Some((number, protocol)) => (number, Some(parse_protocol(protocol)?)),
        None => (text, None),
    };
    let number = number
        .parse()
        .map_err(|_error| format!("`{number}` is not a port"))?;
    Ok(PrivatePort { number, protocol })
}

fn parse_protocol(text: &str) -> Result<PortProtocol, String> {
    match text {
        "tcp" => Ok(PortProtocol::Tcp),
        "udp" => Ok(PortProtocol::Udp),
        _ => Err("it can be tcp or udp".into()),
    }
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let target = session.target(std::slice::from_ref(&arguments.service))?;
    let service = service_names(std::slice::from_ref(&arguments.service))?.remove(0);
    let containers = session.containers(&target.project)?;
    let container = observed::running_replica(containers, &service, arguments.index)?;
    let protocol = arguments.port.protocol.unwrap_or(arguments.protocol);
    let found: Vec<String> = container
        .record
        .published
        .iter()
        .filter(|port| port.target == arguments.port.number && port.protocol == protocol)
        .map(|port| format!("{}\n", address(port)))
        .collect();
    if found.is_empty() {
        return Err(Failure::message(format!(
            "port {}/{} of `{}` is not published",
            arguments.port.number,
            ps::protocol(protocol),
            container.record.name
        )));
    }
    Ok(session.ui.data(found.concat())?)
}

/// `0.0.0.0:8080`, `[::]:8080`.
pub(super) fn address(port: &PublishedAddress) -> String {
    match port.host_ip {
        IpAddr::V4(ip) => format!("{ip}:{}", port.host_port),
        IpAddr::V6(ip) => format!("[{ip}]:{}", port.host_port),
    }
}
