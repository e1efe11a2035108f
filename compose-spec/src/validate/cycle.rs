//! Services that wait for each other.

use std::collections::HashMap;

use crate::{
    diagnostic::{Code, Diagnostic, Sink, Span},
    yaml::Node,
};

/// How far a service is walked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not yet.
    New,
    /// On the path from the start.
    Open,
    /// With everything it needs.
    Done,
}

/// Reports each circle once, with its path.
pub(super) fn check(tree: &Node, sink: &mut Sink) {
    let services: Vec<(&str, Vec<(&str, Span)>)> = tree
        .entries_at("services")
        .map(|(name, entry)| {
            let needs = entry.value.entries_at("depends_on");
            (
                &**name,
                needs
                    .map(|(name, entry)| (&**name, entry.key_span))
                    .collect(),
            )
        })
        .collect();
    let index: HashMap<&str, usize> = services
        .iter()
        .enumerate()
        .map(|(at, (name, _))| (*name, at))
        .collect();
    let mut states = vec![State::New; services.len()];
    for start in 0..services.len() {
        if states[start] == State::New {
            walk(start, &services, &index, &mut states, sink);
        }
    }
}

/// Walks in depth without recursion: a chain may be as long as the file.
fn walk(
    start: usize,
    services: &[(&str, Vec<(&str, Span)>)],
    index: &HashMap<&str, usize>,
    states: &mut [State],
    sink: &mut Sink,
) {
    let mut path: Vec<(usize, usize)> = vec![(start, 0)];
    states[start] = State::Open;
    while let Some((service, next)) = path.last_mut() {
        let Some((need, _)) = services[*service].1.get(*next) else {
            states[*service] = State::Done;
            path.pop();
            continue;
        };
        *next += 1;
        let Some(&need) = index.get(need) else {
            continue;
        };
        match states[need] {
            State::New => {
                states[need] = State::Open;
                path.push((need, 0));
            }
            State::Open => report(need, &path, services, sink),
            State::Done => {}
        }
    }
}

fn report(
    again: usize,
    path: &[(usize, usize)],
    services: &[(&str, Vec<(&str, Span)>)],
    sink: &mut Sink,
) {
    let from = path
        .iter()
        .position(|(service, _)| *service == again)
        .unwrap_or_default();
    let circle = &path[from..];
    let names: Vec<&str> = circle
        .iter()
        .map(|(service, _)| services[*service].0)
        .chain([services[again].0])
        .collect();
    let message = format!("services wait for each other: {}", names.join(" -> "));
    let spans: Vec<Span> = circle
        .iter()
        .map(|(service, next)| services[*service].1[next - 1].1)
        .collect();
    let mut diagnostic = Diagnostic::error(Code::DependencyCycle, message);
    if let [others @ .., last] = &spans[..] {
        diagnostic = diagnostic.at(*last, "closes the circle");
        for (span, pair) in others.iter().zip(names.windows(2)) {
            diagnostic = diagnostic.and(*span, format!("`{}` waits for `{}`", pair[0], pair[1]));
        }
    }
    sink.push(diagnostic);
}
