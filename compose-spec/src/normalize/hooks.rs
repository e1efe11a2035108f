//! `pre_start`: what an init container does not say is as in its service.

use crate::{
    diagnostic::{Code, Diagnostic},
    load::Context,
    merge,
    schema::{INIT_HOOK, Kind},
    yaml::{Mapping, Node, Value},
};

static INIT_HOOK_KIND: Kind = Kind::Section(&INIT_HOOK);

/// What an init container has of its own: its mounts are added to those of the service when the container is made.
const OWN: &str = "volumes";

/// Lays each entry of `pre_start` over the container part of its service.
pub(super) fn inherit(services: &mut Mapping, context: &mut Context<'_>) {
    for (_, entry) in services.iter_mut() {
        let Some(service) = entry.value.as_mapping_mut() else {
            continue;
        };
        if service
            .get("pre_start")
            .is_none_or(|hooks| hooks.items().is_empty())
        {
            continue;
        }
        let base = container_part(service);
        let Some(hooks) = service.get_mut("pre_start") else {
            continue;
        };
        let place = hooks.span;
        let Value::Sequence(hooks) = &mut hooks.value else {
            continue;
        };
        let base = Node::new(Value::Mapping(base), place);
        if !context
            .budget
            .spend(base.count().saturating_mul(hooks.len()))
        {
            let message = "`pre_start` multiplies the service too often";
            let error = Diagnostic::error(Code::TooLarge, message).at(place, "");
            return context.sink.push(error);
        }
        for hook in hooks {
            let own = std::mem::replace(hook, Node::new(Value::Null, place));
            *hook = inherited(base.clone(), own, context);
        }
    }
}

fn container_part(service: &Mapping) -> Mapping {
    let mut part = Mapping::default();
    for (key, entry) in service.iter() {
        if INIT_HOOK.field(key).is_some() && &**key != OWN {
            part.insert(std::rc::Rc::clone(key), entry.key_span, entry.value.clone());
        }
    }
    part
}

fn inherited(mut base: Node, own: Node, context: &mut Context<'_>) -> Node {
    // The two exclude each other: what the hook says of its network takes the place of all that the service says.
    if let Some(below) = base.as_mapping_mut() {
        for (said, dropped) in [("network_mode", "networks"), ("networks", "network_mode")] {
            if own.get(said).is_some() {
                below.remove(dropped);
            }
        }
    }
    merge::merge(&INIT_HOOK_KIND, base, own, &mut context.sink)
}
