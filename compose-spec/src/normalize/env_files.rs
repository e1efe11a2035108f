//! `env_file` and `label_file`: read at the end, for active services and their init containers, below `environment` and `labels`.

use std::{path::Path, rc::Rc};

use super::services;
use crate::{
    diagnostic::{Code, Diagnostic, Span},
    env::{EnvFile, Environment, Format, Scope, read},
    load::Context,
    paths,
    request::FileKind,
    yaml::{Entry, Mapping, Node, Value},
};

/// Replaces `env_file` by the variables of the files, and completes `labels` from `label_file`.
pub(crate) fn resolve_env_files(
    tree: &mut Node,
    environment: &Environment,
    context: &mut Context<'_>,
) {
    for service in services(tree) {
        resolve(service, environment, context);
        let hooks = service.get_mut("pre_start").map(|hooks| &mut hooks.value);
        if let Some(Value::Sequence(hooks)) = hooks {
            for hook in hooks.iter_mut().filter_map(Node::as_mapping_mut) {
                resolve(hook, environment, context);
            }
        }
    }
}

fn resolve(container: &mut Mapping, environment: &Environment, context: &mut Context<'_>) {
    if context.passes.env_resolution
        && let Some(files) = container.remove("env_file")
    {
        env_files(container, &files.value, environment, context);
    }
    if let Some(files) = container.get("label_file").cloned() {
        label_files(container, &files, context);
    }
}

fn env_files(
    service: &mut Mapping,
    files: &Node,
    environment: &Environment,
    context: &mut Context<'_>,
) {
    let own = take_mapping(service, "environment");
    let mut all = Mapping::default();
    for file in files.items() {
        let Some(path) = file.get("path") else {
            continue;
        };
        let optional = file.get("required").is_some_and(|node| !node.is_true());
        let text = path.as_text().unwrap_or_default();
        if optional && context.files.kind(Path::new(text)).is_none() {
            continue;
        }
        let raw = file.text_at("format") == Some("raw");
        let format = if raw { Format::Raw } else { Format::Compose };
        let outer = |name: &str| {
            let own = || own.get(name).and_then(Node::as_text);
            environment.get(name).or_else(own).map(str::to_owned)
        };
        add(&mut all, text, path.span, format, &outer, context);
    }
    put(service, "environment", all, own, files.span);
}

fn label_files(service: &mut Mapping, files: &Node, context: &mut Context<'_>) {
    let own = take_mapping(service, "labels");
    let mut all = Mapping::default();
    for path in files.items() {
        // Labels describe the service, not the caller: only what the files themselves set is put in.
        let outer = |_: &str| None;
        let text = path.as_text().unwrap_or_default();
        add(&mut all, text, path.span, Format::Compose, &outer, context);
    }
    put(service, "labels", all, own, files.span);
}

fn add(
    all: &mut Mapping,
    path: &str,
    span: Span,
    format: Format,
    outer: &dyn Fn(&str) -> Option<String>,
    context: &mut Context<'_>,
) {
    let name = paths::shown(Path::new(path), &context.cwd);
    if context.files.kind(Path::new(path)) == Some(FileKind::Directory) {
        let message = format!("env file `{name}` is a directory");
        context
            .sink
            .push(Diagnostic::error(Code::FileUnreadable, message).at(span, ""));
        return;
    }
    // Later files of the service see the variables of the earlier ones.
    let scope = Scope {
        outer,
        earlier: &|variable| all.get(variable).and_then(Node::as_text).map(str::to_owned),
    };
    let file = EnvFile {
        path: Path::new(path),
        name: &name,
        named_at: Some(span),
        format,
    };
    let found = read(
        file,
        context.files,
        scope,
        &mut context.sources,
        &mut context.sink,
    );
    for assignment in found.unwrap_or_default() {
        if assignment.name.is_empty() && assignment.value.is_some() {
            let message = format!("env file `{name}`: a variable's name is missing");
            let error = Diagnostic::error(Code::BadEnvFile, message)
                .at(span, "a line of it begins with `=` or `:`");
            context.sink.push(error);
            continue;
        }
        let value = match assignment.value {
            Some(value) => Value::Text(value.into()),
            None => continue,
        };
        all.insert(assignment.name, span, Node::new(value, span));
    }
}

fn take_mapping(service: &mut Mapping, key: &str) -> Mapping {
    match service.remove(key).map(|entry| entry.value.value) {
        Some(Value::Mapping(mapping)) => mapping,
        _ => Mapping::default(),
    }
}

/// Puts the variables of the files, and those of the service over them.
fn put(service: &mut Mapping, key: &str, mut all: Mapping, own: Mapping, span: Span) {
    for (name, Entry { key_span, value }) in own {
        all.insert(Rc::clone(&name), key_span, value);
    }
    if !all.is_empty() {
        service.set(key, Node::new(Value::Mapping(all), span));
    }
}
