//! The canonical tree becomes [`Project`]. Everything is checked by now; what still cannot be said in the model is
//! reported with its place.

mod build;
mod device;
mod lifecycle;
mod network;
mod resources;
mod service;
mod storage;

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::{
    diagnostic::Sink,
    discover::Origin,
    env::Environment,
    model::{ExtraHost, Project, ProjectName, ServiceName},
    render,
    yaml::{Node, Value},
};

/// Builds the project; `None` when a finding was reported.
pub(crate) fn build(
    tree: &Node,
    name: &ProjectName,
    origin: &Origin,
    sink: &mut Sink,
) -> Option<Project> {
    let errors = sink.errors();
    let mut builder = Builder {
        tree,
        project: name,
        environment: &origin.environment,
        sink,
        aliases: network::aliases(tree),
    };
    let services = builder.services();
    let project = Project {
        working_dir: origin.directory.clone(),
        files: origin.files.clone(),
        services,
        networks: builder.networks(),
        volumes: builder.volumes(),
        secrets: builder.file_objects("secrets"),
        configs: builder.file_objects("configs"),
        models: builder.models(),
        extensions: extensions(tree),
        name: name.clone(),
    };
    (sink.errors() == errors).then_some(project)
}

/// What building needs.
struct Builder<'a> {
    tree: &'a Node,
    project: &'a ProjectName,
    environment: &'a Environment,
    sink: &'a mut Sink,
    /// Names that `links: [service:alias]` give to services.
    aliases: HashMap<&'a str, Vec<String>>,
}

impl Builder<'_> {
    fn services(&mut self) -> IndexMap<ServiceName, crate::model::Service> {
        let tree = self.tree;
        tree.entries_at("services")
            .filter_map(|(name, entry)| {
                let name: ServiceName = name.parse().ok()?;
                Some((name.clone(), self.service(name, &entry.value)))
            })
            .collect()
    }
}

/// Returns a text, when the attribute is there and not empty.
fn text(node: &Node, key: &str) -> Option<String> {
    node.text_at(key)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// Returns a list of texts.
fn texts(node: &Node, key: &str) -> Vec<String> {
    node.items_at(key)
        .iter()
        .filter_map(Node::as_text)
        .map(str::to_owned)
        .collect()
}

/// Returns whether a flag is set.
fn flag(node: &Node, key: &str) -> bool {
    node.get(key).is_some_and(Node::is_true)
}

/// Returns an integer.
fn int(node: &Node, key: &str) -> Option<i64> {
    node.get(key).and_then(Node::as_int)
}

/// Returns a size in bytes; `None` for 0, which means no limit.
fn size(node: &Node, key: &str) -> Option<u64> {
    node.text_at(key)?.parse().ok().filter(|bytes| *bytes > 0)
}

/// Returns a mapping of texts; a key without a value has the empty text.
fn pairs(node: &Node, key: &str) -> IndexMap<String, String> {
    node.entries_at(key)
        .map(|(key, entry)| {
            (
                key.to_string(),
                entry.value.as_text().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

/// Returns a mapping of texts; a key without a value has none.
fn optional_pairs(node: &Node, key: &str) -> IndexMap<String, Option<String>> {
    node.entries_at(key)
        .map(|(key, entry)| (key.to_string(), entry.value.as_text().map(str::to_owned)))
        .collect()
}

/// Returns a length of time.
fn duration(node: &Node, key: &str) -> Option<std::time::Duration> {
    let nanos = crate::canonical::units::parse_duration(node.text_at(key)?)?;
    u64::try_from(nanos)
        .ok()
        .map(std::time::Duration::from_nanos)
}

/// Returns a command; `None` leaves it to the image.
fn command(node: &Node, key: &str) -> Option<Vec<String>> {
    let node = node.get(key)?;
    match &node.value {
        Value::Sequence(items) => Some(
            items
                .iter()
                .filter_map(Node::as_text)
                .map(str::to_owned)
                .collect(),
        ),
        _ => None,
    }
}

/// Returns `host=address` items taken apart.
fn extra_hosts(node: &Node) -> Vec<ExtraHost> {
    node.items_at("extra_hosts")
        .iter()
        .filter_map(|item| item.as_text()?.split_once('='))
        .map(|(host, address)| ExtraHost {
            host: host.to_owned(),
            address: address.to_owned(),
        })
        .collect()
}

/// Returns `x-*` values as given.
fn extensions(node: &Node) -> IndexMap<String, serde_json::Value> {
    let mapping = node
        .as_mapping()
        .into_iter()
        .flat_map(crate::yaml::Mapping::iter);
    mapping
        .filter(|(key, _)| key.starts_with("x-"))
        .map(|(key, entry)| (key.to_string(), render::plain(&entry.value)))
        .collect()
}
