//! Changes a service as the flags of `stack run` say. Pure.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use compose_spec::model::{
    BindOptions, Mount, MountSource, Port, PortProtocol, Project, PublishedPort, RestartPolicy,
    Service, ServiceName, Volume,
};
use indexmap::IndexMap;

use super::{attach::Streams, failure::Failure, run::Arguments, values::Variable};

/// Where the command runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Values of variables named without one.
    pub(super) environment: &'a BTreeMap<String, String>,
    /// Where relative host paths start.
    pub(super) working_dir: &'a Path,
    /// What is connected.
    pub(super) streams: Streams,
}

/// The ports of one `--publish`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ports(Vec<Port>);

/// Changes the service that is run. Its neighbours stay as they are.
pub(super) fn apply(
    project: &mut Project,
    name: &ServiceName,
    arguments: &Arguments,
    place: &Place<'_>,
) -> Result<(), Failure> {
    let mut volumes = std::mem::take(&mut project.volumes);
    let service = project
        .services
        .get_mut(name)
        .ok_or_else(|| Failure::message(format!("there is no service `{name}`")))?;
    change_process(service, arguments, place)?;
    change_network(service, arguments);
    for text in &arguments.volumes {
        add_mount(service, &mut volumes, text, place)?;
    }
    // A one-off ends when its command does, and it is one container under a name of its own.
    service.restart = RestartPolicy::No;
    service.container_name = None;
    service.replicas = 1;
    if let Some(policy) = arguments.pull {
        service.pull_policy = policy;
    }
    for label in &arguments.labels {
        service
            .labels
            .insert(label.name.clone(), label.value.clone().unwrap_or_default());
    }
    service.cap_add.extend(arguments.cap_add.iter().cloned());
    service.cap_drop.extend(arguments.cap_drop.iter().cloned());
    project.volumes = volumes;
    Ok(())
}

fn change_process(
    service: &mut Service,
    arguments: &Arguments,
    place: &Place<'_>,
) -> Result<(), Failure> {
    if let Some(entrypoint) = &arguments.entrypoint {
        let words = words(entrypoint).ok_or_else(|| {
            Failure::Usage(format!(
                "--entrypoint: a quote is not closed in `{entrypoint}`"
            ))
        })?;
        // Another entrypoint drops the command, as in docker.
        service.entrypoint = Some(words);
        service.command = Some(Vec::new());
    }
    if !arguments.command().is_empty() {
        service.command = Some(arguments.command().to_vec());
    }
    for Variable { name, value } in &arguments.env {
        let value = value
            .clone()
            .or_else(|| place.environment.get(name).cloned());
        service.environment.insert(name.clone(), value);
    }
    if let Some(user) = &arguments.user {
        service.user = Some(user.clone());
    }
    if let Some(directory) = &arguments.workdir {
        service.working_dir = Some(directory.clone());
    }
    service.tty = place.streams.tty;
    service.stdin_open = place.streams.stdin;
    Ok(())
}

fn change_network(service: &mut Service, arguments: &Arguments) {
    if !arguments.service_ports {
        service.ports.clear();
    }
    service
        .ports
        .extend(arguments.publish.iter().flat_map(|ports| ports.0.clone()));
}

/// `[SOURCE:]TARGET[:OPTIONS]`: a path starts with `.`, `/` or `~`, anything else is the key of a volume.
fn add_mount(
    service: &mut Service,
    volumes: &mut IndexMap<String, Volume>,
    text: &str,
    place: &Place<'_>,
) -> Result<(), Failure> {
    let invalid = |why: &str| {
        Failure::Usage(format!(
            "--volume: {why} in `{text}`; it has the form [SOURCE:]TARGET[:ro]"
        ))
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] if target.starts_with('/') => (Some(source), target, ""),
        [target, options] => (None, target, options),
        [source, target, options] => (Some(source), target, options),
        _ => return Err(invalid("there are too many parts")),
    };
    if !target.starts_with('/') {
        return Err(invalid("the target is not an absolute path"));
    }
    let (mut read_only, mut nocopy) = (false, false);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "nocopy" => nocopy = true,
            _ => return Err(invalid(&format!("option `{option}` is unknown"))),
        }
    }
    let source = match source {
        None => MountSource::Anonymous {
            nocopy,
            labels: IndexMap::new(),
        },
        Some("") => return Err(invalid("the source is empty")),
        Some(path) if path.starts_with(['.', '/', '~']) => MountSource::Bind {
            path: host_path(path, place),
            options: BindOptions {
                create_host_path: true,
                propagation: None,
                recursive: None,
                selinux: None,
            },
        },
        Some(key) => {
            // A volume that the file does not have is one of this name on the host, as in docker.
            volumes.entry(key.to_owned()).or_insert_with(|| Volume {
                name: key.to_owned(),
                external: false,
                driver: None,
                driver_opts: IndexMap::new(),
                labels: IndexMap::new(),
                extensions: IndexMap::new(),
            });
            MountSource::Volume {
                key: key.to_owned(),
                nocopy,
                subpath: None,
            }
        }
    };
    service.mounts.retain(|mount| mount.target != target);
    service.mounts.push(Mount {
        target: target.to_owned(),
        read_only,
        source,
    });
    Ok(())
}

/// Makes a path absolute and takes `.` and `..` out of it, without looking at the disk.
fn host_path(path: &str, place: &Place<'_>) -> PathBuf {
    let home = place.environment.get("HOME").map_or("/", String::as_str);
    let path = match path.strip_prefix('~') {
        Some(rest) => Path::new(home).join(rest.trim_start_matches('/')),
        None => place.working_dir.join(path),
    };
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean
}

/// `[[IP:]HOST:]PORT[/PROTOCOL]`, where HOST and PORT may be ranges of the same length.
pub(super) fn ports(text: &str) -> Result<Ports, String> {
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, "tcp")) => (rest, PortProtocol::Tcp),
        Some((rest, "udp")) => (rest, PortProtocol::Udp),
        Some((_, protocol)) => return Err(format!("`{protocol}` is neither tcp nor udp")),
        None => (text, PortProtocol::Tcp),
    };
    let (rest, target) = match rest.rsplit_once(':') {
        Some((rest, target)) => (Some(rest), target),
        None => (None, rest),
    };
    let (host_ip, published) = match rest.map(|rest| rest.rsplit_once(':').ok_or(rest)) {
        None => (None, None),
        Some(Err(published)) => (None, Some(published)),
        Some(Ok((ip, published))) => {
            let bare = ip.trim_start_matches('[').trim_end_matches(']');
            let ip = bare
                .parse::<IpAddr>()
                .map_err(|_error| format!("`{ip}` is not an address"))?;
            (Some(ip), Some(published))
        }
    };
    let targets = range(target)?;
    let hosts = match published {
        None | Some("") => None,
        Some(published) => Some(range(published)?),
    };
    let width = targets.1 - targets.0;
    let port = |offset: u16| {
        let published = match hosts {
            None => PublishedPort::Ephemeral,
            Some((first, last)) if last - first == width => PublishedPort::Fixed(first + offset),
            Some((first, last)) => PublishedPort::Range(first, last),
        };
        Port {
            target: targets.0 + offset,
            published,
            host_ip,
            protocol,
        }
    };
    if hosts.is_some_and(|(first, last)| width > 0 && last - first != width) {
        return Err("the two ranges have not the same length".into());
    }
    Ok(Ports((0..=width).map(port).collect()))
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| format!("`{text}` is not a port"))
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(format!("`{text}` runs backwards"));
    }
    Ok((first, last))
}

/// Splits a line at blanks as a shell does, with quotes and backslashes; `None` when a quote is not closed.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().push(characters.next()?),
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests;
