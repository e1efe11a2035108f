//! Completes a merged tree: names, the default network, builds, and dependencies that other attributes imply.
//! Nothing here can be wrong but contradictions of `external`.

mod env_files;
mod hooks;
mod mounts;

use std::{cell::RefCell, path::Path};

use crate::{
    canonical::short,
    diagnostic::{Code, Diagnostic, Sink, Span},
    discover::{Name, Origin},
    load::Context,
    model::ProjectName,
    paths,
    profiles::services_mut,
    yaml::{Mapping, Node, Value},
};

pub(crate) use env_files::resolve_env_files;

/// Sections whose entries have names on the host.
const RESOURCES: [&str; 4] = ["networks", "volumes", "secrets", "configs"];

/// Completes a tree in place.
pub(crate) fn normalize(tree: &mut Node, name: &Name, origin: &Origin, context: &mut Context<'_>) {
    let passes = context.passes;
    let span = tree.span;
    let Some(top) = tree.as_mapping_mut() else {
        return;
    };
    if let Some(version) = top.remove("version") {
        context.sink.push(
            Diagnostic::warning(Code::Deprecated, "`version` is obsolete and has no effect")
                .at(version.key_span, "")
                .help("remove it"),
        );
    }
    // A bare model has the name that its files have, and else none.
    let bare = !passes.normalization && !passes.interpolation;
    if !bare {
        top.set("name", Node::text(name.shown(passes), span));
    }
    let mut default_wanted = false;
    if let Some(services) = top.get_mut("services").and_then(Node::as_mapping_mut) {
        for (_, entry) in services.iter_mut() {
            default_context(&mut entry.value, &origin.directory, &context.paths);
            default_targets(&mut entry.value);
            mounts::clean_env_files(&mut entry.value);
            default_counts(&mut entry.value, !passes.interpolation);
            if passes.normalization {
                default_wanted |= service(&mut entry.value, !passes.interpolation);
                mounts::clean(&mut entry.value);
            }
        }
        if passes.normalization {
            hooks::inherit(services, context);
        }
    }
    if default_wanted {
        add_default_network(top, span);
    }
    let name = passes.normalization.then_some(&name.project);
    for section in RESOURCES {
        let Some(resources) = top.get_mut(section).and_then(Node::as_mapping_mut) else {
            continue;
        };
        for (key, entry) in resources.iter_mut() {
            if bare && entry.value.is_null() {
                continue;
            }
            resource(section, key, &mut entry.value, name, &mut context.sink);
        }
    }
    if let (true, Some(volumes)) = (
        passes.path_resolution,
        top.get_mut("volumes").and_then(Node::as_mapping_mut),
    ) {
        for (_, entry) in volumes.iter_mut() {
            bind_device(&mut entry.value, origin);
        }
    }
}

fn add_default_network(top: &mut Mapping, span: Span) {
    if top.get("networks").is_none() {
        top.set(
            "networks",
            Node::new(Value::Mapping(Mapping::default()), span),
        );
    }
    if let Some(networks) = top.get_mut("networks").and_then(Node::as_mapping_mut)
        && networks.get("default").is_none()
    {
        networks.set("default", Node::new(Value::Null, span));
    }
}

/// Builds in the directory of the project, also without normalization. An included project has its own.
pub(crate) fn default_context(
    service: &mut Node,
    directory: &Path,
    paths: &RefCell<paths::Written>,
) {
    let span = service.span;
    let Some(service) = service.as_mapping_mut() else {
        return;
    };
    if let Some(build) = service.get_mut("build").and_then(Node::as_mapping_mut)
        && build.get("context").is_none()
    {
        let text = directory.to_string_lossy();
        paths.borrow_mut().note(span, &text, Some("."));
        build.set("context", Node::text(&*text, span));
    }
}

/// Gives secrets the target that they have by default, also without normalization.
fn default_targets(service: &mut Node) {
    let Some(service) = service.as_mapping_mut() else {
        return;
    };
    if let Some(Value::Sequence(grants)) = service.get_mut("secrets").map(|node| &mut node.value) {
        for grant in grants {
            let source = grant.text_at("source").unwrap_or_default().to_owned();
            let span = grant.span;
            if let Some(grant) = grant.as_mapping_mut()
                && grant.get("target").is_none()
            {
                grant.set("target", Node::text(format!("/run/secrets/{source}"), span));
            }
        }
    }
}

/// The services of a tree, those that are mappings.
fn services(tree: &mut Node) -> impl Iterator<Item = &mut Mapping> {
    let entries = services_mut(tree).into_iter().flat_map(Mapping::iter_mut);
    entries.filter_map(|(_, entry)| entry.value.as_mapping_mut())
}

/// Writes `scale` also where `deploy` has its place, as Compose does once it knows that the two agree.
pub(crate) fn scale_deploys(tree: &mut Node) {
    for service in services(tree) {
        let scale = service.get("scale").cloned();
        let deploy = service.get_mut("deploy").and_then(Node::as_mapping_mut);
        if let (Some(scale), Some(deploy)) = (scale, deploy) {
            deploy.set("replicas", scale);
        }
    }
}

/// Requests all devices where neither their number nor their names are given.
fn default_counts(service: &mut Node, is_model: bool) {
    let all = if is_model {
        Value::Text("all".into())
    } else {
        Value::Int(-1)
    };
    let complete = |requests: Option<&mut Node>| {
        let Some(Value::Sequence(items)) = requests.map(|node| &mut node.value) else {
            return;
        };
        for item in items {
            let span = item.span;
            if let Some(request) = item.as_mapping_mut()
                && request.get("count").is_none()
                && request.get("device_ids").is_none()
            {
                request.set("count", Node::new(all.clone(), span));
            }
        }
    };
    let Some(service) = service.as_mapping_mut() else {
        return;
    };
    complete(service.get_mut("gpus"));
    let mut inner = service.get_mut("deploy");
    for key in ["resources", "reservations", "devices"] {
        inner = inner
            .and_then(Node::as_mapping_mut)
            .and_then(|outer| outer.get_mut(key));
    }
    complete(inner);
}

/// Completes one service; returns whether it is on the network `default`, which needs no definition.
fn service(node: &mut Node, is_model: bool) -> bool {
    let span = node.span;
    let dependencies = implied_dependencies(node);
    let Some(service) = node.as_mapping_mut() else {
        return false;
    };
    for (name, restart, place) in dependencies {
        add_dependency(service, &name, restart, place);
    }
    let has_networks = service
        .get("networks")
        .and_then(Node::as_mapping)
        .is_some_and(|networks| !networks.is_empty());
    let default_network =
        !has_networks && service.get("network_mode").is_none() && service.get("provider").is_none();
    if default_network {
        service.set("networks", default_networks(span));
    }
    let on_default = service
        .get("networks")
        .is_some_and(|networks| networks.get("default").is_some());
    if let Some(policy) = service.get_mut("pull_policy")
        && policy.as_text() == Some("if_not_present")
    {
        // Two names of one policy; this one is older.
        policy.value = Value::Text("missing".into());
    }
    if let Some(build) = service.get_mut("build").and_then(Node::as_mapping_mut) {
        if build.get("dockerfile").is_none() && build.get("dockerfile_inline").is_none() {
            build.set("dockerfile", Node::text("Dockerfile", span));
        }
        // An argument that the environment does not set is left to the Dockerfile.
        match build.get_mut("args").map(|args| &mut args.value) {
            Some(Value::Mapping(args)) => args.retain(|_, entry| !entry.value.is_null()),
            Some(Value::Sequence(args)) => {
                args.retain(|arg| arg.as_text().is_some_and(|text| text.contains('=')));
            }
            _ => {}
        }
    }
    if let Some(Value::Sequence(hosts)) = service.get_mut("extra_hosts").map(|n| &mut n.value)
        && !is_model
    {
        hosts.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
    }
    on_default
}

fn default_networks(span: Span) -> Node {
    short_mapping(span, "default", Node::new(Value::Null, span))
}

fn short_mapping(span: Span, key: &str, value: Node) -> Node {
    let mut mapping = Mapping::default();
    mapping.insert(key, span, value);
    Node::new(Value::Mapping(mapping), span)
}

/// Returns the services that other attributes need: name, whether a restart follows, where.
fn implied_dependencies(service: &Node) -> Vec<(String, bool, Span)> {
    let mut out = Vec::new();
    for link in service.items_at("links") {
        let text = link.as_text().unwrap_or_default();
        // With a second colon it is no link: the whole text is the name of a service that is not there.
        let name = match text.split_once(':') {
            Some((name, alias)) if !alias.contains(':') => name,
            _ => text,
        };
        out.push((name.to_owned(), true, link.span));
    }
    for key in ["network_mode", "ipc", "pid", "uts"] {
        if let Some(node) = service.get(key)
            && let Some(name) = node
                .as_text()
                .and_then(|text| text.strip_prefix("service:"))
        {
            out.push((name.to_owned(), true, node.span));
        }
    }
    for item in service.items_at("volumes_from") {
        let name = item.as_text().unwrap_or_default();
        if !name.starts_with("container:") {
            out.push((
                name.split(':').next().unwrap_or_default().to_owned(),
                false,
                item.span,
            ));
        }
    }
    out
}

fn add_dependency(service: &mut Mapping, name: &str, restart: bool, span: Span) {
    if service.get("depends_on").is_none() {
        service.set(
            "depends_on",
            Node::new(Value::Mapping(Mapping::default()), span),
        );
    }
    let Some(all) = service.get_mut("depends_on").and_then(Node::as_mapping_mut) else {
        return;
    };
    if all.get(name).is_some() {
        return;
    }
    let mut dependency = short::started(span);
    if let Some(fields) = dependency.as_mapping_mut() {
        fields.set("restart", Node::new(Value::Bool(restart), span));
    }
    all.insert(name, span, dependency);
}

/// Gives a network, volume, secret or config its name on the host.
fn resource(
    section: &str,
    key: &str,
    node: &mut Node,
    project: Option<&ProjectName>,
    sink: &mut Sink,
) {
    let span = node.span;
    if node.is_null() {
        node.value = Value::Mapping(Mapping::default());
    }
    let Some(fields) = node.as_mapping_mut() else {
        return;
    };
    if let Some(external) = fields
        .get("external")
        .filter(|node| node.as_mapping().is_some())
    {
        let external = external.clone();
        sink.push(
            Diagnostic::warning(
                Code::Deprecated,
                format!("`{section}.{key}`: `external.name` is deprecated"),
            )
            .at(external.span, "")
            .help("write `name:` beside `external: true`"),
        );
        let name = external.get("name").cloned();
        if let (Some(outer), Some(inner)) = (fields.get("name"), &name)
            && outer.as_text() != inner.as_text()
        {
            let message = format!("`{section}.{key}` has two names");
            sink.push(
                Diagnostic::error(Code::Conflict, message)
                    .at(inner.span, "deprecated form")
                    .and(outer.span, "and here"),
            );
        }
        fields.insert(
            "external",
            span,
            Node::new(Value::Bool(true), external.span),
        );
        if let Some(name) = name {
            fields.set("name", name);
        }
    }
    if fields
        .get("name")
        .is_none_or(|name| name.as_text() == Some(""))
        && let Some(project) = project
    {
        let external = fields.get("external").is_some_and(Node::is_true);
        let name = if external {
            key.to_owned()
        } else {
            format!("{project}_{key}")
        };
        fields.set("name", Node::text(name, span));
    }
}

/// The device of a local bind volume is a path of the host.
fn bind_device(volume: &mut Node, origin: &Origin) {
    if !matches!(volume.text_at("driver"), None | Some("" | "local")) {
        return;
    }
    let local = volume.text_at("driver") == Some("local");
    let Some(options) = volume
        .as_mapping_mut()
        .and_then(|volume| volume.get_mut("driver_opts"))
        .and_then(Node::as_mapping_mut)
    else {
        return;
    };
    let bind = options.get("o").and_then(Node::as_text) == Some("bind");
    let device = options
        .get("device")
        .and_then(Node::as_text)
        .map(str::to_owned);
    if let (true, true, Some(device)) = (local, bind, device) {
        let home = origin.environment.get("HOME");
        let path = paths::absolute(&origin.directory, home, &device);
        if let Some(node) = options.get_mut("device") {
            node.value = Value::Text(path.into());
        }
    }
}
