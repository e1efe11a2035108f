//! A plan as text: for `--dry-run`, for logs and for tests.

use std::fmt::{self, Write};

use petgraph::{Direction, visit::EdgeRef};

use super::{Action, ContainerRef, Edge, Plan, Step, StepId};

/// Returns a plan as text, one line a step, each after those that it waits for.
///
/// ```text
/// 1 pull image redis:7 (not in the store)
/// 2 create container shop-db-1 (not there) needs 1
/// ```
pub fn display(plan: &Plan) -> String {
    let order = order(plan);
    let number = |id: StepId| {
        order
            .iter()
            .position(|other| *other == id)
            .map_or(0, |at| at + 1)
    };
    let mut text = String::new();
    for id in &order {
        let step = &plan.graph[*id];
        let mut line = format!("{} {} {}", number(*id), verb(step), step.subject.name);
        let details = details(step);
        if !details.is_empty() {
            push(&mut line, format_args!(" {details}"));
        }
        if !step.cause.is_empty() {
            push(&mut line, format_args!(" ({})", step.cause));
        }
        for (edge, word) in [(Edge::Needs, "needs"), (Edge::After, "after")] {
            let mut earlier: Vec<usize> = plan
                .graph
                .edges_directed(*id, Direction::Incoming)
                .filter(|found| *found.weight() == edge)
                .map(|found| number(found.source()))
                .collect();
            earlier.sort_unstable();
            if !earlier.is_empty() {
                let numbers: Vec<String> = earlier.iter().map(usize::to_string).collect();
                push(&mut line, format_args!(" {word} {}", numbers.join(",")));
            }
        }
        line.push('\n');
        text += &line;
    }
    let mut extra = |kind: &str, lines: &[String]| {
        for line in lines {
            push(&mut text, format_args!("{kind}: {line}\n"));
        }
    };
    extra("confirm", &plan.confirmations);
    extra("notice", &plan.notices);
    if plan.deferred {
        text += "deferred\n";
    }
    text
}

/// Returns what a step does and why, without its subject: `create container 10.201.4.2 (not there)`.
pub fn describe(step: &Step) -> String {
    let mut text = verb(step).to_owned();
    let details = details(step);
    if !details.is_empty() {
        text = format!("{text} {details}");
    }
    if !step.cause.is_empty() {
        text = format!("{text} ({})", step.cause);
    }
    text
}

fn push(text: &mut String, piece: fmt::Arguments<'_>) {
    text.write_fmt(piece)
        .expect("writing to a String cannot fail");
}

/// Topological, among free steps by their making, so that the text is stable.
fn order(plan: &Plan) -> Vec<StepId> {
    let mut left: Vec<StepId> = plan.graph.node_indices().collect();
    let mut order: Vec<StepId> = Vec::new();
    while !left.is_empty() {
        let ready = left.iter().position(|id| {
            let mut earlier = plan.graph.neighbors_directed(*id, Direction::Incoming);
            earlier.all(|before| order.contains(&before))
        });
        // A circle would be a bug of the planner; its steps are shown all the same.
        order.push(left.remove(ready.unwrap_or(0)));
    }
    order
}

fn verb(step: &Step) -> &'static str {
    match &step.action {
        Action::PullImage { .. } => "pull image",
        Action::BuildImage { .. } => "build image",
        Action::EnsureNetwork(_) => "ensure network",
        Action::RemoveNetwork(_) => "remove network",
        Action::EnsureVolume(_) => "ensure volume",
        Action::RemoveVolume { .. } => "remove volume",
        Action::RemoveImage { .. } => "remove image",
        Action::CreateContainer(_) => "create container",
        Action::RunInit { .. } => "run init container",
        Action::AwaitInit { .. } => "await init container",
        Action::StartContainer { .. } => "start container",
        Action::PostStart { .. } => "run the post_start hooks of container",
        Action::StopContainer { .. } => "stop container",
        Action::KillContainer { .. } => "kill container",
        Action::PauseContainer { .. } => "pause container",
        Action::UnpauseContainer { .. } => "unpause container",
        Action::RemoveContainer { .. } => "remove container",
        Action::Await { .. } | Action::AwaitReady { .. } => "await",
    }
}

fn details(step: &Step) -> String {
    match &step.action {
        Action::EnsureNetwork(record) => format!("{}/{}", record.subnet, record.prefix),
        Action::CreateContainer(new) => {
            let mut words: Vec<String> = new
                .endpoints
                .iter()
                .map(|e| format!("{}={}", e.network, e.address))
                .collect();
            let ports = new
                .published
                .iter()
                .map(|p| format!("{}:{}", p.host_port, p.target));
            words.extend(ports);
            words.join(" ")
        }
        Action::RemoveContainer { volumes, .. } if !volumes.is_empty() => {
            format!("and {} volumes", volumes.len())
        }
        Action::KillContainer { signal, .. } => format!("with {signal}"),
        Action::StartContainer {
            container: ContainerRef::New(_),
        } => String::new(),
        Action::Await {
            condition,
            required,
            ..
        } => {
            let word = match condition {
                compose_spec::model::Condition::ServiceStarted => "started",
                compose_spec::model::Condition::ServiceHealthy => "healthy",
                compose_spec::model::Condition::ServiceCompletedSuccessfully => "completed",
            };
            format!("{word}{}", if *required { "" } else { ", not required" })
        }
        Action::AwaitReady { .. } => "ready".to_owned(),
        _ => String::new(),
    }
}
