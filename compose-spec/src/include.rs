//! `include`: other projects as parts of this one.
//!
//! Each is loaded with its own directory and `.env`, and gives its services, networks, volumes, secrets, configs and
//! models; its name and its `x-*` do not count. Where two includes define one thing the first is laid over the second, and
//! the including file over both.

use std::path::{Path, PathBuf};

use crate::{
    diagnostic::{Code, Diagnostic},
    discover,
    env::Environment,
    load::{Context, Place, TOP_KIND, assemble, read_documents},
    merge, normalize,
    yaml::{Mapping, Node},
};

/// The sections that an include gives to the file that names it.
const IMPORTED: [&str; 6] = [
    "services", "networks", "volumes", "secrets", "configs", "models",
];
/// Longest chain of includes.
const DEPTH_MAX: usize = 50;

/// Loads what a document includes, as one tree; `None` when there is nothing.
pub(crate) fn load(
    includes: &Node,
    from: &Path,
    place: Place<'_>,
    including: &mut Vec<PathBuf>,
    context: &mut Context<'_>,
) -> Option<Node> {
    let mut all: Option<Node> = None;
    including.push(from.to_path_buf());
    for include in includes.items() {
        let Some(tree) = load_one(include, place, including, context) else {
            continue;
        };
        all = Some(match all {
            None => tree,
            Some(first) => merge::merge(&TOP_KIND, tree, first, &mut context.sink),
        });
    }
    including.pop();
    all
}

fn load_one(
    include: &Node,
    place: Place<'_>,
    including: &mut Vec<PathBuf>,
    context: &mut Context<'_>,
) -> Option<Node> {
    let paths: Vec<PathBuf> = include
        .items_at("path")
        .iter()
        .filter_map(Node::as_text)
        .map(PathBuf::from)
        .collect();
    let first = paths.first()?;
    let span = include
        .items_at("path")
        .first()
        .map_or(include.span, |path| path.span);
    if let Some(again) = including.iter().position(|path| path == first) {
        let chain: Vec<String> = including[again..]
            .iter()
            .chain([first])
            .map(|path| crate::paths::shown(path, &context.cwd))
            .collect();
        let message = format!("includes run in a circle: {}", chain.join(" -> "));
        context
            .sink
            .push(Diagnostic::error(Code::IncludeCycle, message).at(span, ""));
        return None;
    }
    if including.len() > DEPTH_MAX {
        let message = format!("includes are nested deeper than {DEPTH_MAX} levels");
        context
            .sink
            .push(Diagnostic::error(Code::BadInclude, message).at(span, ""));
        return None;
    }
    if first.to_string_lossy().contains(":/") || first.to_string_lossy().contains("oci:") {
        let message = "only local files can be included";
        context.sink.push(
            Diagnostic::error(Code::BadInclude, message)
                .at(span, "this is a remote address")
                .help("fetch it first and include the local copy"),
        );
        return None;
    }
    let directory = match include.text_at("project_directory") {
        Some(directory) => PathBuf::from(directory),
        None => first.parent().map(Path::to_path_buf)?,
    };
    let environment = environment(include, &directory, place.environment, context);
    let documents = read_documents(&paths, Some(span), context);
    let inner = Place {
        directory: &directory,
        environment: &environment,
        is_root: false,
    };
    let mut tree = assemble(documents, inner, including, context)?;
    let services = tree
        .as_mapping_mut()
        .and_then(|tree| tree.get_mut("services"));
    for (_, entry) in services
        .and_then(Node::as_mapping_mut)
        .into_iter()
        .flat_map(Mapping::iter_mut)
    {
        normalize::default_context(&mut entry.value, &directory, &context.paths);
    }
    if let Some(mapping) = tree.as_mapping_mut() {
        mapping.retain(|section, _| IMPORTED.contains(&section));
    }
    Some(tree)
}

/// The variables of an included project: those of the includer win over its own files.
fn environment(
    include: &Node,
    directory: &Path,
    outer: &Environment,
    context: &mut Context<'_>,
) -> Environment {
    let mut environment = outer.clone();
    let files = include.items_at("env_file");
    if files.is_empty() {
        discover::add_dotenv(directory, &mut environment, context);
    }
    let paths: Vec<PathBuf> = files
        .iter()
        .filter_map(Node::as_text)
        .map(PathBuf::from)
        .collect();
    discover::add_env_files(&paths, &mut environment, context);
    environment
}
