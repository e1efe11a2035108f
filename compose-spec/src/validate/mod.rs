//! What one value cannot show: references, cycles, contradictions.

mod cycle;
mod limits;
mod ports;
mod references;
mod subnets;
mod values;
mod waiting;
mod watching;
mod words;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::{
    diagnostic::{Code, Diagnostic, Sink, Span},
    paths,
    profiles::Selection,
    yaml::{Mapping, Node},
};

/// Checks what holds whatever else is asked for, also of a model with variables: where secrets and configs come from, and
/// what is not ours.
pub(crate) fn always(tree: &Node, sink: &mut Sink) {
    for section in ["secrets", "configs"] {
        for (key, entry) in tree.entries_at(section) {
            check_file_object(section, key, &entry.value, entry.key_span, sink);
        }
    }
    for (name, entry) in tree.entries_at("services") {
        let reservations = ["deploy", "resources", "reservations"];
        let reservations = reservations
            .iter()
            .try_fold(&entry.value, |node, key| node.get(key));
        let reserved = reservations.map_or(&[][..], |node| node.items_at("devices"));
        for request in entry.value.items_at("gpus").iter().chain(reserved) {
            if let (Some(count), Some(names)) = (request.get("count"), request.get("device_ids")) {
                let message =
                    format!("service `{name}`: `count` and `device_ids` exclude each other");
                sink.push(
                    Diagnostic::error(Code::Conflict, message)
                        .at(names.span, "these are given")
                        .and(count.span, "and as many of any"),
                );
            }
        }
    }
    for (key, entry) in tree.entries_at("volumes") {
        check_external_volume(key, &entry.value, sink);
    }
}

/// Checks a completed tree of active services.
pub(crate) fn validate(tree: &Node, selection: &Selection, sink: &mut Sink) {
    references::check(tree, selection, sink);
    cycle::check(tree, sink);
    ports::check(tree, sink);
    subnets::check(tree, sink);
    waiting::check(tree, sink);
    let mut names: HashMap<&str, (&str, Span)> = HashMap::new();
    for (name, entry) in tree.entries_at("services") {
        let service = &entry.value;
        check_image(name, service, entry.key_span, sink);
        check_conflicts(name, service, sink);
        check_mounts(name, service, sink);
        check_namespaces(name, service, sink);
        values::check(name, service, sink);
        watching::check(name, service, sink);
        if let Some(node) = service.get("container_name")
            && let Some(container) = node.as_text()
            && let Some((other, place)) = names.insert(container, (name, node.span))
        {
            let message = format!("services `{other}` and `{name}` have one `container_name`");
            sink.push(
                Diagnostic::error(Code::DuplicateName, message)
                    .at(node.span, "here again")
                    .and(place, "first here")
                    .help("without `container_name` names never collide"),
            );
        }
    }
    for (key, entry) in tree.entries_at("volumes") {
        check_volume(key, &entry.value, sink);
    }
    for (key, entry) in tree.entries_at("networks") {
        check_network(key, &entry.value, sink);
    }
}

fn check_image(name: &str, service: &Node, span: Span, sink: &mut Sink) {
    let has = |key| service.get(key).is_some();
    let empty = service.text_at("image") == Some("");
    let damaged = sink.is_damaged(&format!("services.{name}"));
    if has("build") || has("provider") || (has("image") && !empty) || damaged {
        return;
    }
    let message = format!("service `{name}` has neither `image` nor `build`");
    let written = service.get("image").map(|image| image.span);
    let label = match written {
        Some(_) => "this is empty",
        None => "",
    };
    sink.push(Diagnostic::error(Code::NoImage, message).at(written.unwrap_or(span), label));
}

fn check_conflicts(name: &str, service: &Node, sink: &mut Sink) {
    let mut conflict = |first: &Node, second: &Node, what: &str| {
        let message = format!("service `{name}`: {what}");
        sink.push(
            Diagnostic::error(Code::Conflict, message)
                .at(second.span, "this")
                .and(first.span, "and this"),
        );
    };
    if let (Some(mode), Some(networks)) = (service.get("network_mode"), service.get("networks")) {
        conflict(
            mode,
            networks,
            "`network_mode` and `networks` exclude each other",
        );
    }
    let limits = service
        .get("deploy")
        .and_then(|d| d.get("resources"))
        .and_then(|r| r.get("limits"));
    for (plain, limit) in [
        ("mem_limit", "memory"),
        ("cpus", "cpus"),
        ("pids_limit", "pids"),
    ] {
        if let (Some(a), Some(b)) = (service.get(plain), limits.and_then(|l| l.get(limit)))
            && !is_zero(a)
            && (a.as_text(), a.as_int(), a.as_float()) != (b.as_text(), b.as_int(), b.as_float())
        {
            let what = format!("`{plain}` and `deploy.resources.limits.{limit}` differ");
            conflict(a, b, &what);
        }
    }
    let reserved = service
        .get("deploy")
        .and_then(|d| d.get("resources"))
        .and_then(|r| r.get("reservations")?.get("memory"));
    if let (Some(a), Some(b)) = (service.get("mem_reservation"), reserved)
        && !is_zero(a)
        && a.as_text() != b.as_text()
    {
        let what = "`mem_reservation` and `deploy.resources.reservations.memory` differ";
        conflict(a, b, what);
    }
    let replicas = service
        .get("deploy")
        .and_then(|deploy| deploy.get("replicas"));
    let scale = service.get("scale");
    if let (Some(a), Some(b)) = (scale, replicas)
        && a.as_int() != b.as_int()
    {
        conflict(a, b, "`scale` and `deploy.replicas` differ");
    }
    let many = scale
        .or(replicas)
        .filter(|node| node.as_int().is_some_and(|count| count > 1));
    if let (Some(container), Some(many)) = (service.get("container_name"), many) {
        conflict(
            container,
            many,
            "a fixed `container_name` allows one replica only",
        );
    }
    if let Some(build) = service.get("build") {
        check_build(service, build, &mut conflict);
    }
}

/// A limit of zero is none.
fn is_zero(limit: &Node) -> bool {
    limit.as_text() == Some("0") || limit.as_int() == Some(0) || limit.as_float() == Some(0.0)
}

/// Returns how many replicas a service has, and where that is said.
fn replicas(service: &Node) -> Option<(i64, Span)> {
    let deploy = || {
        service
            .get("deploy")
            .and_then(|deploy| deploy.get("replicas"))
    };
    let node = service.get("scale").or_else(deploy)?;
    Some((node.as_int()?, node.span))
}

/// A service in the network of another container has that container's ports, names and servers.
fn check_namespaces(name: &str, service: &Node, sink: &mut Sink) {
    let Some(mode) = service.get("network_mode") else {
        return;
    };
    let text = mode.as_text().unwrap_or_default();
    let Some(owner) = text
        .strip_prefix("service:")
        .or_else(|| text.strip_prefix("container:"))
    else {
        if let ("host", Some(ports)) = (text, service.get("ports"))
            && !ports.items().is_empty()
        {
            let message = format!("`services.{name}.ports` has no effect");
            let reason = "in the host's network every port is the host's own";
            sink.push(Diagnostic::warning(Code::NoEffect, message).at(ports.span, reason));
        }
        return;
    };
    for key in [
        "ports",
        "hostname",
        "dns",
        "extra_hosts",
        "mac_address",
        "links",
    ] {
        let Some(node) = service.get(key) else {
            continue;
        };
        if node.as_text().is_none() && node.items().is_empty() {
            continue;
        }
        let message =
            format!("service `{name}`: `{key}` cannot be set in the network of another container");
        sink.push(
            Diagnostic::error(Code::Conflict, message)
                .at(node.span, "")
                .and(mode.span, "the network is not its own")
                .help(format!("set `{key}` on `{owner}`")),
        );
    }
}

fn check_build(service: &Node, build: &Node, conflict: &mut dyn FnMut(&Node, &Node, &str)) {
    if let (Some(file), Some(inline)) = (build.get("dockerfile"), build.get("dockerfile_inline")) {
        conflict(
            file,
            inline,
            "`dockerfile` and `dockerfile_inline` exclude each other",
        );
    }
    if let (Some(platform), Some(platforms)) = (service.get("platform"), build.get("platforms")) {
        let items = platforms.items();
        if !items.is_empty()
            && !items
                .iter()
                .any(|item| item.as_text() == platform.as_text())
        {
            conflict(
                platform,
                platforms,
                "`build.platforms` must include `platform`",
            );
        }
    }
}

fn check_mounts(name: &str, service: &Node, sink: &mut Sink) {
    let mut targets: HashMap<PathBuf, Span> = HashMap::new();
    let mut mount = |target: &str, span: Span, sink: &mut Sink| {
        if let Some(first) = targets.insert(paths::clean(Path::new(target)), span) {
            let message = format!("service `{name}` mounts two things at `{target}`");
            sink.push(
                Diagnostic::error(Code::DuplicateMount, message)
                    .at(span, "here again")
                    .and(first, "first here"),
            );
        }
    };
    for volume in service.items_at("volumes") {
        if let Some(target) = volume.text_at("target") {
            mount(target, volume.span, sink);
        }
    }
    for tmpfs in service.items_at("tmpfs") {
        let text = tmpfs.as_text().unwrap_or_default();
        let target = text.split(':').next().unwrap_or_default();
        if !target.starts_with('/') {
            let message = format!("service `{name}`: a `tmpfs` needs an absolute path");
            sink.push(Diagnostic::error(Code::BadMount, message).at(tmpfs.span, ""));
        }
        mount(target, tmpfs.span, sink);
    }
}

fn check_file_object(section: &str, key: &str, node: &Node, span: Span, sink: &mut Sink) {
    let sources: Vec<(&str, &Node)> = ["file", "environment", "content"]
        .into_iter()
        .filter_map(|source| node.get(source).map(|node| (source, node)))
        .collect();
    let external = node.get("external").is_some_and(Node::is_true);
    match sources[..] {
        [(a, first), (b, second), ..] => {
            let message = format!("`{section}.{key}` has two sources: `{a}` and `{b}`");
            sink.push(
                Diagnostic::error(Code::Conflict, message)
                    .at(second.span, "")
                    .and(first.span, ""),
            );
        }
        [] if !external && !sink.is_damaged(&format!("{section}.{key}")) => {
            let wanted = match section {
                "secrets" => "`file` or `environment`",
                _ => "`file`, `environment` or `content`",
            };
            let message = format!("`{section}.{key}` needs {wanted}");
            sink.push(Diagnostic::error(Code::MissingKey, message).at(span, ""));
        }
        _ => {}
    }
}

fn check_volume(key: &str, node: &Node, sink: &mut Sink) {
    if let Some(driver) = node.get("driver")
        && !matches!(driver.as_text(), Some("" | "local"))
    {
        let message = format!("`volumes.{key}`: the only volume driver is `local`");
        let mut diagnostic = Diagnostic::error(Code::Unsupported, message).at(driver.span, "");
        if driver.as_text().is_some_and(|text| text.contains("nfs")) {
            diagnostic = diagnostic.help(
                "for NFS write `driver_opts: {type: nfs, o: \"addr=SERVER\", device: \":/PATH\"}`",
            );
        }
        sink.push(diagnostic);
    }
}

/// What is not ours has the attributes that it has.
fn check_external_volume(key: &str, node: &Node, sink: &mut Sink) {
    let external = node.get("external").filter(|external| external.is_true());
    for name in ["driver", "driver_opts", "labels"] {
        if let (Some(external), Some(attribute)) = (external, node.get(name)) {
            let message = format!("`volumes.{key}` is external: it cannot have `{name}`");
            sink.push(
                Diagnostic::error(Code::Conflict, message)
                    .at(attribute.span, "")
                    .and(external.span, "here"),
            );
        }
    }
}

fn check_network(key: &str, node: &Node, sink: &mut Sink) {
    let external = node.get("external").is_some_and(Node::is_true);
    if let Some(driver) = node.get("driver")
        && !external
        && !matches!(
            driver.as_text(),
            Some("" | "default" | "bridge" | "host" | "none")
        )
    {
        let message = format!("`networks.{key}`: the network drivers are bridge, host and none");
        sink.push(
            Diagnostic::error(Code::Unsupported, message)
                .at(driver.span, "")
                .did_you_mean(
                    driver.as_text().unwrap_or_default(),
                    ["bridge", "host", "none"],
                ),
        );
    }
    external_alone(
        "networks",
        key,
        node,
        &["driver", "driver_opts", "ipam", "labels"],
        sink,
    );
}

/// What is not ours has the attributes that it has.
fn external_alone(section: &str, key: &str, node: &Node, keys: &[&str], sink: &mut Sink) {
    if !node.get("external").is_some_and(Node::is_true) {
        return;
    }
    let Some(mapping) = node.as_mapping() else {
        return;
    };
    for attribute in keys
        .iter()
        .filter_map(|name| mapping.entry(name).map(|entry| (name, entry)))
    {
        let (name, entry) = attribute;
        let message = format!("`{section}.{key}.{name}` has no effect");
        let reason = format!("`{key}` is external");
        sink.push(Diagnostic::warning(Code::NoEffect, message).at(entry.key_span, reason));
    }
}

/// Returns the names of a section, for suggestions.
fn names<'t>(tree: &'t Node, section: &str) -> impl Iterator<Item = &'t str> {
    tree.get(section)
        .and_then(Node::as_mapping)
        .into_iter()
        .flat_map(Mapping::keys)
}
