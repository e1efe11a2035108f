//! Conditions of `depends_on` that can never come true.

use crate::{
    diagnostic::{Code, Diagnostic, Sink},
    yaml::Node,
};

/// Reports waits without an end.
pub(super) fn check(tree: &Node, sink: &mut Sink) {
    for (name, entry) in tree.entries_at("services") {
        for (needed, dependency) in entry.value.entries_at("depends_on") {
            let Some(other) = tree.get("services").and_then(|all| all.get(needed)) else {
                continue;
            };
            let condition = dependency.value.get("condition");
            let span = condition.map_or(dependency.key_span, |node| node.span);
            match condition.and_then(Node::as_text) {
                Some("service_healthy") => {
                    if let Some(off) = switched_off(other) {
                        let message = format!(
                            "service `{name}` waits for `{needed}` to be healthy, which has no health check"
                        );
                        sink.push(
                            Diagnostic::error(Code::NeverReady, message)
                                .at(span, "")
                                .and(off.span, "switched off here")
                                .help(format!(
                                    "give `{needed}` a `healthcheck.test`, or wait for `service_started`"
                                )),
                        );
                    }
                }
                Some("service_completed_successfully") => {
                    let restart = other.get("restart");
                    if let Some(restart) = restart
                        && let Some(policy @ ("always" | "unless-stopped")) = restart.as_text()
                    {
                        let message = format!(
                            "service `{name}` waits for `{needed}` to complete, which is always started again"
                        );
                        sink.push(
                            Diagnostic::warning(Code::NeverReady, message)
                                .at(span, "")
                                .and(restart.span, format!("`{policy}`: it never stays ended"))
                                .help(format!("give `{needed}` `restart: on-failure` or none")),
                        );
                    }
                }
                _ => {}
            }
        }
    }
}

/// Returns what switches the health check of a service off.
fn switched_off(service: &Node) -> Option<&Node> {
    let check = service.get("healthcheck")?;
    let disabled = check.get("disable").filter(|node| node.is_true());
    let none = check
        .get("test")
        .filter(|test| test.items().first().and_then(Node::as_text) == Some("NONE"));
    disabled.or(none)
}
