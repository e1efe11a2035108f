//! Which services are on, and which resources are used.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Request,
    diagnostic::{Code, Diagnostic, Sink, Span},
    env::Environment,
    yaml::{Mapping, Node},
};

/// The outcome of the selection.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// Services that exist, but in no active profile.
    pub(crate) disabled: BTreeMap<String, Disabled>,
    /// Services named on the command line and what they need; empty = all.
    named: BTreeSet<String>,
}

/// A service that no active profile has on.
#[derive(Debug)]
pub(crate) struct Disabled {
    /// Its profiles, any of which would switch it on.
    pub(crate) profiles: Vec<String>,
    /// Where it is defined.
    pub(crate) span: Span,
}

impl Selection {
    /// Keeps the named services and what they need.
    pub(crate) fn restrict(&self, mut tree: Node) -> Node {
        if self.named.is_empty() {
            return tree;
        }
        if let Some(services) = services_mut(&mut tree) {
            services.retain(|name, _| self.named.contains(name));
        }
        prune(&mut tree);
        tree
    }
}

/// Removes services of inactive profiles.
pub(crate) fn select(
    tree: &mut Node,
    request: &Request,
    environment: &Environment,
    sink: &mut Sink,
) -> Selection {
    let mut active: BTreeSet<String> = request.profiles.iter().cloned().collect();
    if active.is_empty() {
        let list = environment.get("COMPOSE_PROFILES").unwrap_or_default();
        active = list.split(',').map(|name| name.trim().to_owned()).collect();
    }
    let known = tree.get("services").and_then(Node::as_mapping);
    for name in &request.services {
        if let Some(service) = known.and_then(|services| services.get(name)) {
            active.extend(profiles(service).map(str::to_owned));
            continue;
        }
        let names = known.into_iter().flat_map(Mapping::keys);
        sink.push(
            Diagnostic::error(Code::UnknownService, format!("no such service: `{name}`"))
                .did_you_mean(name, names),
        );
    }
    let mut disabled = BTreeMap::new();
    if let Some(services) = services_mut(tree) {
        services.retain(|name, entry| {
            let mut wanted = profiles(&entry.value).peekable();
            let on = wanted.peek().is_none()
                || active.contains("*")
                || wanted.any(|profile| active.contains(profile));
            if !on {
                let off = Disabled {
                    profiles: profiles(&entry.value).map(str::to_owned).collect(),
                    span: entry.key_span,
                };
                disabled.insert(name.to_owned(), off);
            }
            on
        });
    }
    drop_optional_dependencies(tree, &disabled);
    Selection {
        disabled,
        named: closure(tree, &request.services),
    }
}

/// Returns the profiles of all services.
pub(crate) fn of(tree: &Node) -> BTreeSet<String> {
    tree.entries_at("services")
        .flat_map(|(_, entry)| profiles(&entry.value))
        .map(str::to_owned)
        .collect()
}

fn profiles(service: &Node) -> impl Iterator<Item = &str> {
    service
        .items_at("profiles")
        .iter()
        .filter_map(Node::as_text)
}

/// The services of a tree.
pub(crate) fn services_mut(tree: &mut Node) -> Option<&mut Mapping> {
    tree.as_mapping_mut()?.get_mut("services")?.as_mapping_mut()
}

/// `required: false` on a service that is off means nothing.
fn drop_optional_dependencies(tree: &mut Node, disabled: &BTreeMap<String, Disabled>) {
    for (_, entry) in services_mut(tree).into_iter().flat_map(Mapping::iter_mut) {
        let dependencies = entry
            .value
            .as_mapping_mut()
            .and_then(|service| service.get_mut("depends_on"))
            .and_then(Node::as_mapping_mut);
        if let Some(dependencies) = dependencies {
            dependencies.retain(|name, entry| {
                let optional = entry
                    .value
                    .get("required")
                    .is_some_and(|node| !node.is_true());
                !(optional && disabled.contains_key(name))
            });
        }
    }
}

/// Returns the named services and everything they depend on.
fn closure(tree: &Node, names: &[String]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut open: Vec<&str> = names.iter().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        let Some(service) = tree.get("services").and_then(|services| services.get(name)) else {
            continue;
        };
        if out.insert(name.to_owned()) {
            open.extend(service.entries_at("depends_on").map(|(name, _)| &**name));
        }
    }
    out
}

/// Removes networks, volumes, secrets, configs and models that no service uses.
pub(crate) fn prune(tree: &mut Node) {
    for section in ["networks", "volumes", "secrets", "configs", "models"] {
        let used = used(tree, section);
        let Some(top) = tree.as_mapping_mut() else {
            return;
        };
        if let Some(resources) = top.get_mut(section).and_then(Node::as_mapping_mut) {
            resources.retain(|key, _| used.contains(key));
        }
    }
}

fn used(tree: &Node, section: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (_, entry) in tree.entries_at("services") {
        used_by(&entry.value, section, &mut out);
        for hook in entry.value.items_at("pre_start") {
            used_by(hook, section, &mut out);
        }
    }
    out
}

fn used_by(container: &Node, section: &str, out: &mut BTreeSet<String>) {
    match section {
        "networks" | "models" => {
            let entries = container.entries_at(section);
            out.extend(entries.map(|(key, _)| key.to_string()));
        }
        "volumes" => {
            let volumes = container.items_at("volumes").iter();
            let volumes = volumes.filter(|volume| volume.text_at("type") == Some("volume"));
            let sources = volumes.filter_map(|volume| volume.text_at("source"));
            out.extend(sources.map(str::to_owned));
        }
        _ => {
            let build = container
                .get("build")
                .map_or(&[][..], |build| build.items_at(section));
            let grants = container.items_at(section).iter().chain(build);
            let sources = grants.filter_map(|grant| grant.text_at("source"));
            out.extend(sources.map(str::to_owned));
        }
    }
}
