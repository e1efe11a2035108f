//! `extends`: a service laid over another one, of the same file or of another.
//!
//! The base brings everything but its own `extends`; its relative paths start from the directory of its own file.

use std::path::{Path, PathBuf};

use crate::{
    diagnostic::{Code, Diagnostic, Span},
    load::{Context, Place},
    merge,
    schema::{Kind, SERVICE},
    yaml::{Entry, Mapping, Node},
};

/// Longest chain of `extends`.
const DEPTH_MAX: usize = 50;

static SERVICE_KIND: Kind = Kind::Section(&SERVICE);

/// One step of a chain: a service of a file, and where it is named.
struct Step {
    file: PathBuf,
    service: String,
    span: Span,
}

/// Applies every `extends` of a canonical document.
pub(crate) fn apply(node: &mut Node, file: &Path, place: Place<'_>, context: &mut Context<'_>) {
    let Some(services) = node
        .as_mapping_mut()
        .and_then(|mapping| mapping.get_mut("services"))
        .and_then(Node::as_mapping_mut)
    else {
        return;
    };
    let names: Vec<String> = services
        .iter()
        .filter(|(_, entry)| entry.value.get("extends").is_some())
        .map(|(name, _)| name.to_string())
        .collect();
    for name in names {
        resolve(services, &name, file, place, &mut Vec::new(), context);
    }
}

/// Resolves the `extends` of one service in place.
fn resolve(
    services: &mut Mapping,
    name: &str,
    file: &Path,
    place: Place<'_>,
    chain: &mut Vec<Step>,
    context: &mut Context<'_>,
) {
    let Some(service) = services.get_mut(name) else {
        return;
    };
    let Some(Entry { value: extends, .. }) = service
        .as_mapping_mut()
        .and_then(|mapping| mapping.remove("extends"))
    else {
        return;
    };
    let Some(base_name) = extends.text_at("service").map(str::to_owned) else {
        if extends.as_mapping().is_some() {
            let message = format!("`extends` of service `{name}` lacks the key `service`");
            context
                .sink
                .push(Diagnostic::error(Code::MissingKey, message).at(extends.span, ""));
        }
        return;
    };
    let span = extends
        .get("service")
        .map_or(extends.span, |node| node.span);
    chain.push(Step {
        file: file.to_path_buf(),
        service: name.to_owned(),
        span,
    });
    let other = extends
        .text_at("file")
        .map(PathBuf::from)
        .filter(|other| other != file);
    let base = match other {
        None if in_circle(chain, file, &base_name, context) => None,
        None if services.get(&base_name).is_none() => {
            report_missing(name, &base_name, span, services.keys(), context);
            None
        }
        None => {
            resolve(services, &base_name, file, place, chain, context);
            let base = services.get(&base_name);
            base.filter(|base| copy_allowed(base, span, context))
                .cloned()
        }
        Some(other) => {
            let file_span = extends.get("file").map_or(span, |node| node.span);
            let wanted = Wanted {
                file: &other,
                file_span,
                by: name,
                service: &base_name,
                span,
            };
            from_file(wanted, place, chain, context)
        }
    };
    chain.pop();
    // What the base lacks because of an error, this service does not lack by its own fault.
    if base.is_none() || context.sink.is_damaged(&format!("services.{base_name}")) {
        context.sink.damage(&format!("services.{name}"));
    }
    if let (Some(base), Some(service)) = (base, services.get_mut(name)) {
        lay_on(base, service, context);
    }
}

/// Lays a service over its base, in the place of the service.
fn lay_on(base: Node, service: &mut Node, context: &mut Context<'_>) {
    let empty = Node::new(crate::yaml::Value::Null, service.span);
    let own = std::mem::replace(service, empty);
    let (span, mark) = (own.span, own.mark);
    let merged = merge::merge(&SERVICE_KIND, base, own, &mut context.sink);
    *service = Node {
        span,
        mark,
        ..merged
    };
}

/// A base in another file: which, who wants it, and where that is said.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    file: &'a Path,
    file_span: Span,
    by: &'a str,
    service: &'a str,
    span: Span,
}

/// Reads the base from another file.
fn from_file(
    wanted: Wanted<'_>,
    place: Place<'_>,
    chain: &mut Vec<Step>,
    context: &mut Context<'_>,
) -> Option<Node> {
    let Wanted {
        file,
        file_span,
        by,
        service: base_name,
        span,
    } = wanted;
    if in_circle(chain, file, base_name, context) {
        return None;
    }
    let documents = context.shared_documents(file, file_span);
    if documents.is_empty() {
        return None;
    }
    let mut found: Option<Mapping> = None;
    let mut names: Vec<String> = Vec::new();
    let directory = file.parent().unwrap_or(file).to_path_buf();
    let place = Place {
        directory: &directory,
        environment: place.environment,
        is_root: false,
    };
    for document in &*documents {
        let Some(services) = document.node.get("services").and_then(Node::as_mapping) else {
            continue;
        };
        names.extend(services.keys().map(str::to_owned));
        let Some(read) = read_needed(services, base_name, span, place, context) else {
            continue;
        };
        match &mut found {
            None => found = Some(read),
            Some(below) => lay_over(below, read, context),
        }
    }
    let mut services = found.unwrap_or_default();
    if services.get(base_name).is_none() {
        if !names.iter().any(|known| known == base_name) {
            report_missing(
                by,
                base_name,
                span,
                names.iter().map(String::as_str),
                context,
            );
        }
        return None;
    }
    resolve(&mut services, base_name, file, place, chain, context);
    services.remove(base_name).map(|entry| entry.value)
}

/// Interpolates and reads the service that is wanted and those that it extends in the same document.
fn read_needed(
    services: &Mapping,
    base_name: &str,
    span: Span,
    place: Place<'_>,
    context: &mut Context<'_>,
) -> Option<Mapping> {
    let mut read = Mapping::default();
    let mut wanted = vec![base_name.to_owned()];
    while let Some(name) = wanted.pop() {
        let Some(entry) = services.entry(&name).filter(|_| read.get(&name).is_none()) else {
            continue;
        };
        if !copy_allowed(&entry.value, span, context) {
            return None;
        }
        let Entry {
            key_span,
            mut value,
        } = entry.clone();
        context.interpolate(&mut value, place.environment);
        let Some(service) = context.read(&SERVICE, value, &format!("services.{name}"), place)
        else {
            continue;
        };
        if let Some(next) = service
            .get("extends")
            .and_then(|extends| extends.text_at("service"))
        {
            wanted.push(next.to_owned());
        }
        read.insert(name, key_span, service);
    }
    Some(read)
}

fn lay_over(below: &mut Mapping, above: Mapping, context: &mut Context<'_>) {
    for (name, entry) in above {
        match below.remove(&name) {
            None => below.insert(name, entry.key_span, entry.value),
            Some(lower) => {
                let merged =
                    merge::merge(&SERVICE_KIND, lower.value, entry.value, &mut context.sink);
                below.insert(name, lower.key_span, merged);
            }
        }
    }
}

fn in_circle(chain: &[Step], file: &Path, service: &str, context: &mut Context<'_>) -> bool {
    let again = chain
        .iter()
        .position(|step| step.file == file && step.service == service);
    if again.is_none() && chain.len() <= DEPTH_MAX {
        return false;
    }
    let steps = &chain[again.unwrap_or_default()..];
    let mut names: Vec<&str> = steps.iter().map(|step| step.service.as_str()).collect();
    names.push(service);
    let message = match again {
        Some(_) => format!("`extends` runs in a circle: {}", names.join(" -> ")),
        None => format!("`extends` is nested deeper than {DEPTH_MAX} levels"),
    };
    let mut diagnostic = Diagnostic::error(Code::ExtendsCycle, message);
    if let Some(last) = steps.last() {
        diagnostic = diagnostic.at(last.span, "");
    }
    for step in &steps[..steps.len().saturating_sub(1)] {
        diagnostic = diagnostic.and(step.span, "");
    }
    context.sink.push(diagnostic);
    true
}

fn copy_allowed(base: &Node, span: Span, context: &mut Context<'_>) -> bool {
    let allowed = context.budget.spend(base.count());
    if !allowed {
        let message = "`extends` makes the project too large";
        context
            .sink
            .push(Diagnostic::error(Code::TooLarge, message).at(span, ""));
    }
    allowed
}

fn report_missing<'n>(
    name: &str,
    base: &str,
    span: Span,
    known: impl Iterator<Item = &'n str>,
    context: &mut Context<'_>,
) {
    let message = format!("service `{name}` extends `{base}`, which does not exist");
    context.sink.push(
        Diagnostic::error(Code::BadExtends, message)
            .at(span, "")
            .did_you_mean(base, known),
    );
}
