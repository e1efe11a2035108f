//! Names that must be defined: services, networks, volumes, secrets, configs.

use super::names;
use crate::{
    diagnostic::{Code, Diagnostic, Sink, Span},
    profiles::Selection,
    yaml::Node,
};

/// Most names that a suggestion lists.
const NAMES_MAX: usize = 8;

/// Reports every name that nothing defines.
pub(super) fn check(tree: &Node, selection: &Selection, sink: &mut Sink) {
    for (name, entry) in tree.entries_at("services") {
        let service = &entry.value;
        for (dependency, entry) in service.entries_at("depends_on") {
            if !is_defined(tree, "services", dependency) {
                undefined_service(tree, name, dependency, entry.key_span, selection, sink);
            }
        }
        let mode = service.get("network_mode");
        if let Some(owner) = mode.and_then(|mode| mode.as_text()?.strip_prefix("service:"))
            && !is_defined(tree, "services", owner)
            && !service
                .entries_at("depends_on")
                .any(|(dependency, _)| &**dependency == owner)
        {
            let span = mode.map_or(entry.key_span, |mode| mode.span);
            undefined_service(tree, name, owner, span, selection, sink);
        }
        contexts(tree, name, service, selection, sink);
        container(tree, name, service, sink);
        for hook in service.items_at("pre_start") {
            container(tree, name, hook, sink);
        }
    }
}

/// Checks the services whose images a build wants as contexts.
fn contexts(tree: &Node, name: &str, service: &Node, selection: &Selection, sink: &mut Sink) {
    let Some(build) = service.get("build") else {
        return;
    };
    for (context, entry) in build.entries_at("additional_contexts") {
        let text = entry.value.as_text().unwrap_or_default();
        let Some(other) = text.strip_prefix("service:") else {
            continue;
        };
        let span = entry.value.span;
        let Some(found) = tree
            .get("services")
            .and_then(|services| services.get(other))
        else {
            undefined_service(tree, name, other, span, selection, sink);
            continue;
        };
        if found.get("build").is_none() {
            let message = format!(
                "service `{name}` builds with the context `{context}`, but `{other}` has no `build`"
            );
            let image = found.text_at("image").unwrap_or("IMAGE");
            sink.push(
                Diagnostic::error(Code::BadValue, message)
                    .at(span, "")
                    .and(found.span, "its image is pulled")
                    .help(format!("name the image itself: `docker-image://{image}`")),
            );
        }
    }
}

/// Checks what a service, or an init container of it, uses.
fn container(tree: &Node, name: &str, container: &Node, sink: &mut Sink) {
    for (network, entry) in container.entries_at("networks") {
        if !is_defined(tree, "networks", network) {
            let place = Place {
                tree,
                user: name,
                span: entry.key_span,
            };
            undefined(
                &place,
                Code::UndefinedNetwork,
                ("network", "networks"),
                network,
                sink,
            );
        }
    }
    for volume in container.items_at("volumes") {
        if volume.text_at("type") == Some("volume")
            && let Some(source) = volume.text_at("source")
            && !is_defined(tree, "volumes", source)
        {
            let span = volume.get("source").map_or(volume.span, |node| node.span);
            let place = Place {
                tree,
                user: name,
                span,
            };
            undefined(
                &place,
                Code::UndefinedVolume,
                ("volume", "volumes"),
                source,
                sink,
            );
        }
    }
    for (what, section) in [("secret", "secrets"), ("config", "configs")] {
        let build = container
            .get("build")
            .map_or(&[][..], |build| build.items_at(section));
        for grant in container.items_at(section).iter().chain(build) {
            let source = grant.text_at("source").unwrap_or_default();
            if !is_defined(tree, section, source) {
                let span = grant.get("source").map_or(grant.span, |node| node.span);
                let place = Place {
                    tree,
                    user: name,
                    span,
                };
                undefined(&place, Code::UndefinedFile, (what, section), source, sink);
            }
        }
    }
    for (model, entry) in container.entries_at("models") {
        if !is_defined(tree, "models", model) {
            let place = Place {
                tree,
                user: name,
                span: entry.key_span,
            };
            let what = ("model", "models");
            undefined(&place, Code::UndefinedModel, what, model, sink);
        }
    }
}

fn is_defined(tree: &Node, section: &str, name: &str) -> bool {
    tree.get(section)
        .is_some_and(|section| section.get(name).is_some())
}

fn undefined_service(
    tree: &Node,
    user: &str,
    name: &str,
    span: Span,
    selection: &Selection,
    sink: &mut Sink,
) {
    if let Some(off) = selection.disabled.get(name) {
        let message = format!("service `{user}` needs `{name}`, which is in no active profile");
        let flags: Vec<String> = off
            .profiles
            .iter()
            .map(|profile| format!("`--profile {profile}`"))
            .collect();
        sink.push(
            Diagnostic::error(Code::UndefinedService, message)
                .at(span, "")
                .and(off.span, "it is off")
                .help(format!("switch it on with {}", flags.join(" or ")))
                .help(format!(
                    "if `{user}` works without it, write `required: false`"
                )),
        );
        return;
    }
    let message = format!("service `{user}` needs `{name}`, which is not defined");
    let diagnostic = Diagnostic::error(Code::UndefinedService, message).at(span, "");
    let others: Vec<&str> = names(tree, "services")
        .filter(|other| *other != user)
        .take(NAMES_MAX)
        .collect();
    let near = crate::diagnostic::nearest(name, names(tree, "services").filter(|o| *o != user));
    sink.push(match near {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None if others.is_empty() => diagnostic,
        None => diagnostic.help(format!("other services are {}", others.join(", "))),
    });
}

/// Who uses a name, and where.
struct Place<'a> {
    tree: &'a Node,
    user: &'a str,
    span: Span,
}

fn undefined(
    place: &Place<'_>,
    code: Code,
    (what, section): (&str, &str),
    name: &str,
    sink: &mut Sink,
) {
    let &Place { tree, user, span } = place;
    let message = format!("service `{user}` uses {what} `{name}`, which is not defined");
    let near = crate::diagnostic::nearest(name, names(tree, section));
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if section == "networks" || section == "volumes" => {
            format!("define it at the top level: `{section}: {{{name}: }}`")
        }
        None => format!("define it under the top-level `{section}:`"),
    };
    let mut diagnostic = Diagnostic::error(code, message).at(span, "").help(help);
    if near.is_none() && section == "volumes" {
        diagnostic = diagnostic.help(format!("if a directory is meant, write `./{name}`"));
    }
    sink.push(diagnostic);
}
