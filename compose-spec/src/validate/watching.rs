//! Rules of `develop.watch` that cannot be followed (Compose Develop Specification).

use crate::{
    diagnostic::{Code, Diagnostic, Sink, Span},
    yaml::Node,
};

/// Reports rules that lack what their action needs, or have what it does not use.
pub(super) fn check(name: &str, service: &Node, sink: &mut Sink) {
    let Some(develop) = service.get("develop") else {
        return;
    };
    for (index, rule) in develop.items_at("watch").iter().enumerate() {
        let path = format!("services.{name}.develop.watch[{index}]");
        if let Some(action) = rule.get("action")
            && !sink.is_damaged(&path)
        {
            check_rule(&path, rule, action, sink);
        }
    }
}

fn check_rule(path: &str, rule: &Node, action: &Node, sink: &mut Sink) {
    let kind = action.as_text().unwrap_or_default();
    let (copies, runs) = (kind.starts_with("sync"), kind == "sync+exec");
    match rule.get("target") {
        None if copies => missing(path, "target", (action, kind), sink),
        Some(target) if copies && !target.as_text().is_some_and(|text| text.starts_with('/')) => {
            let message = format!("`{path}.target` must be an absolute path in the container");
            sink.push(Diagnostic::error(Code::BadMount, message).at(target.span, ""));
        }
        Some(target) if !copies => useless(path, "target", (target.span, kind), sink),
        _ => {}
    }
    let exec = rule.get("exec");
    let command = exec.and_then(|exec| exec.get("command"));
    let is_empty = |command: &Node| {
        command.items().is_empty() && command.as_text().is_none_or(|text| text.trim().is_empty())
    };
    if runs && command.is_none_or(is_empty) {
        missing(path, "exec.command", (action, kind), sink);
    }
    if let Some(exec) = exec.filter(|_| !runs) {
        useless(path, "exec", (exec.span, kind), sink);
    }
    if let Some(initial) = rule.get("initial_sync").filter(|node| node.is_true())
        && !copies
    {
        useless(path, "initial_sync", (initial.span, kind), sink);
    }
}

fn missing(path: &str, key: &str, (action, kind): (&Node, &str), sink: &mut Sink) {
    let message = format!("`{path}` needs `{key}`");
    let reason = format!("`{kind}` needs it");
    sink.push(Diagnostic::error(Code::MissingKey, message).at(action.span, reason));
}

fn useless(path: &str, key: &str, (span, kind): (Span, &str), sink: &mut Sink) {
    let message = format!("`{path}.{key}` has no effect");
    let reason = format!("`{kind}` does not use it");
    sink.push(Diagnostic::warning(Code::NoEffect, message).at(span, reason));
}
