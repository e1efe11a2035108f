//! Mounts: `[source:]target[:options]`, or the long form.

use std::path::Path;

use super::{
    Reader,
    short::{item_text, mapping, shown},
};
use crate::{
    diagnostic::{Code, Span, nearest},
    paths,
    schema::{CONSISTENCY, SELINUX},
    yaml::{Mapping, Node, Value},
};

const PROPAGATIONS: [&str; 6] = [
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

/// `volumes: ["./a:/b:ro"]` becomes one long item.
pub(crate) fn volume(reader: &mut Reader<'_>, node: &Node) -> Vec<Node> {
    let Some(text) = item_text(reader, node) else {
        return Vec::new();
    };
    let span = node.span;
    let refuse = |reader: &mut Reader<'_>, problem: &str| {
        let what = format!("`{}` is not a mount: {problem}", shown(node));
        let help = "the form is [source:]target[:options]";
        let _: Option<()> = reader.refuse(Code::BadMount, span, what, help);
        Vec::new()
    };
    let parts: Vec<&str> = text.split(':').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return refuse(reader, "a part between colons is empty");
    }
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => return refuse(reader, "too many colons"),
    };
    let cleaned;
    let target = if target.starts_with('/') && !reader.is_open(target) {
        cleaned = paths::clean(Path::new(target));
        &*cleaned.to_string_lossy()
    } else {
        target
    };
    let Some(source) = source else {
        return vec![mapping(
            span,
            [
                ("type", Node::text("volume", span)),
                ("target", Node::text(target, span)),
            ],
        )];
    };
    let bind = source.starts_with(['.', '/', '~']);
    let kind = if bind { "bind" } else { "volume" };
    let Options {
        details,
        read_only,
        no_copy,
        idle,
    } = match options_of(options, bind, span) {
        Ok(options) => options,
        Err(option) => {
            let (problem, help) = unknown_option(option, bind, shown(node));
            let what = format!("`{}` is not a mount: {problem}", shown(node));
            let _: Option<()> = reader.refuse(Code::BadMount, span, what, &help);
            return Vec::new();
        }
    };
    if let Some((option, reason)) = idle {
        reader.idle_option(option, span, reason);
    }
    let mut item = mapping(
        span,
        [
            ("type", Node::text(kind, span)),
            ("source", Node::text(source, span)),
            ("target", Node::text(target, span)),
        ],
    );
    if let Some(fields) = item.as_mapping_mut() {
        if read_only {
            fields.set("read_only", Node::new(Value::Bool(true), span));
        }
        fields.set(kind, Node::new(Value::Mapping(details), span));
        if no_copy {
            // It means nothing to a bind, and stays where it belongs.
            let mut volume = Mapping::default();
            volume.set("nocopy", Node::new(Value::Bool(true), span));
            fields.set("volume", Node::new(Value::Mapping(volume), span));
        }
    }
    vec![item]
}

/// The options of a short form.
struct Options<'a> {
    /// The `bind` or `volume` section.
    details: Mapping,
    read_only: bool,
    /// `nocopy` of a bind.
    no_copy: bool,
    /// One without effect, and why it has none.
    idle: Option<(&'a str, &'static str)>,
}

/// Returns what is wrong with an option, and what to write. Its text may come from a variable: then it is not repeated.
fn unknown_option(option: &str, bind: bool, shown: &str) -> (String, String) {
    const KNOWN: [&str; 5] = ["ro", "rw", "nocopy", "z", "Z"];
    let named = if shown.contains(option) {
        format!("`{option}`")
    } else {
        "an option".to_owned()
    };
    if !bind && PROPAGATIONS.contains(&option) {
        let help = "a path of the host begins with `./` or `/`";
        return (format!("{named} is for paths of the host"), help.to_owned());
    }
    let help = match nearest(option, KNOWN.into_iter().chain(PROPAGATIONS)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "options are ro, rw, nocopy, z, Z and, for paths, rslave and its kin".to_owned(),
    };
    (format!("{named} is no option"), help)
}

/// Reads the options of a short form; an unknown one is the error.
fn options_of(options: &str, bind: bool, span: Span) -> Result<Options<'_>, &str> {
    let yes = || Node::new(Value::Bool(true), span);
    let mut details = Mapping::default();
    let mut read_only = false;
    let mut no_copy = false;
    let mut idle = None;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "nocopy" if bind => no_copy = true,
            "nocopy" => details.set("nocopy", yes()),
            "z" | "Z" if bind => details.set("selinux", Node::text(option, span)),
            "z" | "Z" => idle = Some((option, SELINUX)),
            "cached" | "delegated" | "consistent" => idle = Some((option, CONSISTENCY)),
            _ if PROPAGATIONS.contains(&option) && bind => {
                details.set("propagation", Node::text(option, span));
            }
            _ => return Err(option),
        }
    }
    if bind {
        details.set("create_host_path", yes());
    }
    Ok(Options {
        details,
        read_only,
        no_copy,
        idle,
    })
}

/// Completes and checks a mount of the long form.
pub(crate) fn finish_volume(reader: &mut Reader<'_>, node: &mut Node) -> bool {
    let span = node.span;
    let kind = node.text_at("type").unwrap_or_default().to_owned();
    let place = |key: &str| node.get(key).map_or(span, |value| value.span);
    let (source_span, target_span) = (place("source"), place("target"));
    let source = node.text_at("source").unwrap_or_default().to_owned();
    let target = node.text_at("target").map(str::to_owned);
    if matches!(kind.as_str(), "cluster" | "npipe") {
        let message = format!("mounts of type `{kind}` do not exist on one Linux machine");
        return refuse(reader, place("type"), &message);
    }
    if matches!(kind.as_str(), "bind" | "image") && source.is_empty() {
        return refuse(
            reader,
            span,
            &format!("a mount of type `{kind}` needs a `source`"),
        );
    }
    let Some(target) = target else {
        return refuse(reader, span, "`target` is missing");
    };
    let open = reader.is_open(&target);
    if !target.starts_with('/') && !open {
        return refuse(
            reader,
            target_span,
            "`target` must be an absolute path in the container",
        );
    }
    if let Some(propagation) = node
        .get("bind")
        .and_then(|bind| bind.text_at("propagation"))
        && !propagation.is_empty()
        && !PROPAGATIONS.contains(&propagation)
        && !reader.is_open(propagation)
    {
        let message = format!("a propagation is one of {}", PROPAGATIONS.join(", "));
        let bind = node.get("bind");
        let place = bind.and_then(|bind| bind.get("propagation"));
        return refuse(reader, place.map_or(span, |node| node.span), &message);
    }
    if reader.is_model()
        && let Some(bind) = node
            .as_mapping_mut()
            .and_then(|mount| mount.get_mut("bind"))
        && let span = bind.span
        && let Some(bind) = bind.as_mapping_mut()
        && bind.get("create_host_path").is_none()
    {
        bind.set("create_host_path", Node::new(Value::Bool(true), span));
    }
    let absolute = (kind == "bind").then(|| reader.absolute(&source, source_span));
    if let (Some(fields), Some(absolute)) = (node.as_mapping_mut(), absolute) {
        fields.insert("source", source_span, Node::text(absolute, source_span));
    }
    true
}

fn refuse(reader: &mut Reader<'_>, span: Span, problem: &str) -> bool {
    let _: Option<()> = reader.refuse(Code::BadMount, span, problem, "");
    false
}

/// Returns the target, which tells mounts and devices apart.
pub(crate) fn target_key(node: &Node) -> String {
    node.text_at("target").unwrap_or_default().to_owned()
}
