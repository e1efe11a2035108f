//! The pipeline as a table of contents.

use std::path::PathBuf;

pub(crate) use crate::context::{Context, Document, Place};
use crate::{
    Files, LoadError, Loaded, Passes, Request,
    diagnostic::{SourceId, Span},
    discover, extends, include,
    locations::Locations,
    merge,
    model::{Project, ProjectName, ServiceName},
    normalize, profiles, project, render,
    schema::{Kind, TOP},
    validate,
    yaml::{Mapping, Node, Value},
};

/// The kind of a whole document.
pub(crate) static TOP_KIND: Kind = Kind::Section(&TOP);

/// Loads a project: every error of its files at once, or the project.
pub fn load(request: &Request, files: &dyn Files) -> Result<Loaded, LoadError> {
    let mut context = Context::new(request, Passes::default(), files);
    let outcome = pipeline(request, &mut context);
    let (errors, warnings, sources) = context.finish();
    match outcome {
        Some(Outcome {
            project,
            inactive,
            canonical,
            locations,
        }) if errors.is_empty() => Ok(Loaded {
            project,
            inactive,
            canonical,
            warnings,
            sources,
            locations,
        }),
        _ => {
            let diagnostics = errors.into_iter().chain(warnings).collect();
            Err(LoadError {
                diagnostics,
                sources,
            })
        }
    }
}

struct Outcome {
    project: Project,
    inactive: Vec<ServiceName>,
    canonical: serde_json::Value,
    locations: Locations,
}

fn pipeline(request: &Request, context: &mut Context<'_>) -> Option<Outcome> {
    let Read {
        tree,
        name,
        origin,
        selection,
        locations,
    } = read(request, context)?;
    let project = project::build(&tree, &name, &origin, &mut context.sink);
    let inactive = selection
        .disabled
        .keys()
        .filter_map(|name| name.parse().ok());
    let inactive = inactive.collect();
    let canonical = render::canonical(&selection.restrict(tree));
    Some(Outcome {
        project: project?,
        inactive,
        canonical,
        locations,
    })
}

/// A project that is read and checked, as a tree.
pub(crate) struct Read {
    /// The canonical tree of active services.
    pub(crate) tree: Node,
    /// The project's name.
    pub(crate) name: ProjectName,
    /// Files, directory and variables.
    pub(crate) origin: discover::Origin,
    /// Which services are on.
    pub(crate) selection: profiles::Selection,
    /// Where each value was written.
    pub(crate) locations: Locations,
}

/// Reads a project; `None` when there was an error.
pub(crate) fn read(request: &Request, context: &mut Context<'_>) -> Option<Read> {
    let passes = context.passes;
    let mut origin = discover::origin(request, context)?;
    let documents = read_documents(&origin.files, None, context);
    let name = discover::name(request, &origin, &documents, context)?;
    let shown = name.shown(passes);
    origin.environment.set("COMPOSE_PROJECT_NAME", shown);

    let place = Place {
        directory: &origin.directory,
        environment: &origin.environment,
        is_root: true,
    };
    let mut tree = assemble(documents, place, &mut Vec::new(), context)?;
    merge::settle(&TOP, &mut tree, &mut context.sink);
    normalize::normalize(&mut tree, &name, &origin, context);
    let locations = Locations::of(&tree, &context.sources);
    context.profiles = profiles::of(&tree);
    let selection = if passes.interpolation {
        profiles::select(&mut tree, request, &origin.environment, &mut context.sink)
    } else {
        profiles::Selection::default()
    };
    validate::always(&tree, &mut context.sink);
    if passes.consistency && passes.interpolation {
        validate::validate(&tree, &selection, &mut context.sink);
        normalize::scale_deploys(&mut tree);
    }
    if passes.interpolation {
        normalize::resolve_env_files(&mut tree, &origin.environment, context);
        profiles::prune(&mut tree);
    }
    if !passes.path_resolution {
        context.paths.borrow().restore(&mut tree, &origin.directory);
    }
    (context.sink.errors() == 0).then_some(Read {
        tree,
        name: name.project,
        origin,
        selection,
        locations,
    })
}

/// Reads the documents of several files, in order.
pub(crate) fn read_documents(
    files: &[PathBuf],
    named_at: Option<Span>,
    context: &mut Context<'_>,
) -> Vec<Document> {
    files
        .iter()
        .flat_map(|path| context.documents(path, named_at))
        .collect()
}

/// Makes one canonical tree of documents: each is interpolated, read, completed by what it includes and extends, and laid
/// over those before. `including` is the chain of files that led here.
pub(crate) fn assemble(
    documents: Vec<Document>,
    place: Place<'_>,
    including: &mut Vec<PathBuf>,
    context: &mut Context<'_>,
) -> Option<Node> {
    let mut tree: Option<Node> = None;
    for Document { mut node, path } in documents {
        context.interpolate(&mut node, place.environment);
        let Some(mut node) = context.read(&TOP, node, "", place) else {
            continue;
        };
        let includes = node
            .as_mapping_mut()
            .and_then(|mapping| mapping.remove("include"));
        if let Some(includes) = includes
            && let Some(included) = include::load(&includes.value, &path, place, including, context)
        {
            node = merge::merge(&TOP_KIND, included, node, &mut context.sink);
        }
        extends::apply(&mut node, &path, place, context);
        tree = Some(match tree {
            None => node,
            Some(base) => merge::merge(&TOP_KIND, base, node, &mut context.sink),
        });
    }
    let mut tree = tree?;
    if let Some(mapping) = tree.as_mapping_mut()
        && context.passes.interpolation
        && mapping.get("services").is_none()
    {
        let span = Span::new(first_source(mapping)?, 0, 0);
        mapping.insert(
            "services",
            span,
            Node::new(Value::Mapping(Mapping::default()), span),
        );
    }
    Some(tree)
}

fn first_source(mapping: &Mapping) -> Option<SourceId> {
    mapping
        .iter()
        .next()
        .map(|(_, entry)| entry.key_span.source)
}
