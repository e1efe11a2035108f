//! Targets of mounts, and paths of environment files: one path is written in one way.

use std::path::Path;

use crate::{
    paths,
    yaml::{Mapping, Node, Value},
};

/// Cleans the paths of a service's environment files, and of those of its init containers: `/p/./e` is `/p/e`.
///
/// Before, two spellings of one file are two files, of which the later one has the last word, as in docker compose.
pub(super) fn clean_env_files(service: &mut Node) {
    each_container(service, |container| {
        paths_at(container, "env_file", "path", true);
    });
}

/// Cleans the targets of a service's mounts, and of those of its init containers: `/a/` is `/a`.
///
/// It happens when all documents are one, as in docker compose: laid over each other, mounts are told apart by the text of
/// their targets, and two at one place are an error then.
pub(super) fn clean(service: &mut Node) {
    each_container(service, |container| {
        paths_at(container, "volumes", "target", false);
    });
}

/// Calls a function with a service and with each of its init containers.
fn each_container(service: &mut Node, change: impl Fn(&mut Mapping)) {
    let Some(service) = service.as_mapping_mut() else {
        return;
    };
    change(service);
    let hooks = service.get_mut("pre_start").map(|hooks| &mut hooks.value);
    if let Some(Value::Sequence(hooks)) = hooks {
        let hooks = hooks.iter_mut().filter_map(Node::as_mapping_mut);
        hooks.for_each(change);
    }
}

/// Cleans the paths at a key of the items of a list, also those in which a variable stands when they are `open`.
fn paths_at(container: &mut Mapping, list: &str, key: &str, open: bool) {
    let Some(Value::Sequence(items)) = container.get_mut(list).map(|list| &mut list.value) else {
        return;
    };
    let items = items.iter_mut().filter_map(Node::as_mapping_mut);
    for path in items.filter_map(|item| item.get_mut(key)) {
        let text = path.as_text().filter(|text| open || !text.contains('$'));
        if let Some(text) = text {
            let clean = paths::clean(Path::new(text));
            *path = Node::text(clean.to_string_lossy(), path.span);
        }
    }
}
