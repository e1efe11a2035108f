//! Targets of mounts: one path is written in one way.

use std::path::Path;

use crate::{
    paths,
    yaml::{Mapping, Node, Value},
};

/// Cleans the targets of a service's mounts, and of those of its init containers: `/a/` is `/a`.
///
/// It happens when all documents are one, as in docker compose: laid over each other, mounts are told apart by the text of
/// their targets, and two at one place are an error then.
pub(super) fn clean(service: &mut Node) {
    let Some(service) = service.as_mapping_mut() else {
        return;
    };
    targets(service);
    let hooks = service.get_mut("pre_start").map(|hooks| &mut hooks.value);
    if let Some(Value::Sequence(hooks)) = hooks {
        hooks
            .iter_mut()
            .filter_map(Node::as_mapping_mut)
            .for_each(targets);
    }
}

fn targets(container: &mut Mapping) {
    let volumes = container
        .get_mut("volumes")
        .map(|volumes| &mut volumes.value);
    let Some(Value::Sequence(volumes)) = volumes else {
        return;
    };
    let mounts = volumes.iter_mut().filter_map(Node::as_mapping_mut);
    for target in mounts.filter_map(|mount| mount.get_mut("target")) {
        // In a model a variable may stand in it, of which a part between slashes may become `..`.
        let text = target.as_text().filter(|text| !text.contains('$'));
        if let Some(text) = text {
            let clean = paths::clean(Path::new(text));
            *target = Node::text(clean.to_string_lossy(), target.span);
        }
    }
}
