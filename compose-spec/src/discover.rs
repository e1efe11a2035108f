//! Which Compose files are read, from which directory, with which variables, and what the project is called.

use std::path::{Path, PathBuf};

use crate::{
    Passes, Request,
    diagnostic::{Code, Diagnostic},
    env::{Assignment, EnvFile, Environment, Format, Scope, read},
    load::{Context, Document},
    model::ProjectName,
    paths,
    request::FileKind,
};

const BASE_NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
/// The variable that switches `.env` off.
const DISABLE: &str = "COMPOSE_DISABLE_ENV_FILE";
const OVERRIDE_NAMES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// Where a project begins.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Compose files, absolute, in merge order; `-` is standard input.
    pub(crate) files: Vec<PathBuf>,
    /// Base of relative paths, absolute.
    pub(crate) directory: PathBuf,
    /// Variables for interpolation.
    pub(crate) environment: Environment,
}

/// Finds files, directory and environment.
pub(crate) fn origin(request: &Request, context: &mut Context<'_>) -> Option<Origin> {
    let cwd = &request.working_dir;
    let asked = request
        .project_directory
        .as_ref()
        .map(|dir| paths::clean(&cwd.join(dir)));
    let mut environment = Environment::new(&request.environment);
    let env_files = env_file_list(request, &environment);
    let start = asked
        .clone()
        .or_else(|| directory_of(&request.files, cwd))
        .unwrap_or_else(|| cwd.clone());
    if env_files.is_empty() {
        add_first_dotenv(&start, &mut environment, context);
    } else {
        let paths: Vec<PathBuf> = env_files
            .iter()
            .map(|path| paths::clean(&cwd.join(path)))
            .collect();
        add_env_files(&paths, &mut environment, context);
    }
    // Without its variables a file would seem to be wrong in many places.
    if context.sink.errors() > 0 {
        return None;
    }
    let files = compose_files(request, asked.as_deref(), &environment, context)?;
    let directory = asked
        .or_else(|| directory_of(&files, cwd))
        .unwrap_or_else(|| cwd.clone());
    if env_files.is_empty() && directory != start {
        add_dotenv(&directory, &mut environment, context);
    }
    if context.sink.errors() > 0 {
        return None;
    }
    Some(Origin {
        files,
        directory,
        environment,
    })
}

/// Returns the directory of the first file that is not standard input.
fn directory_of(files: &[PathBuf], cwd: &Path) -> Option<PathBuf> {
    let first = files.iter().find(|path| !is_stdin(path))?;
    paths::clean(&cwd.join(first))
        .parent()
        .map(Path::to_path_buf)
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// `--env-file`, else `COMPOSE_ENV_FILES`.
fn env_file_list(request: &Request, environment: &Environment) -> Vec<PathBuf> {
    if !request.env_files.is_empty() {
        return request.env_files.clone();
    }
    let list = environment
        .non_empty("COMPOSE_ENV_FILES")
        .unwrap_or_default();
    list.split(',')
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect()
}

/// Adds `.env` of a directory, if there is one.
pub(crate) fn add_dotenv(
    directory: &Path,
    environment: &mut Environment,
    context: &mut Context<'_>,
) {
    if let Some(path) = dotenv_of(directory, environment, context) {
        add_env_files(&[path], environment, context);
    }
}

/// As [`add_dotenv`], for the file that is read before all else: it may switch environment files off, itself included.
/// Then only what steers compose counts of it.
fn add_first_dotenv(directory: &Path, environment: &mut Environment, context: &mut Context<'_>) {
    let Some(path) = dotenv_of(directory, environment, context) else {
        return;
    };
    let mut all = assignments(&[path], environment, context);
    let mut with_all = environment.clone();
    with_all.add_below(all.clone());
    if with_all.is_true(DISABLE) {
        all.retain(|assignment| assignment.name.starts_with("COMPOSE_"));
    }
    environment.add_below(all);
}

fn dotenv_of(
    directory: &Path,
    environment: &Environment,
    context: &Context<'_>,
) -> Option<PathBuf> {
    let path = directory.join(".env");
    let is_there = context.files.kind(&path) == Some(FileKind::File);
    (is_there && !environment.is_true(DISABLE)).then_some(path)
}

/// Adds the variables of files below those that are set; later files win and see the earlier ones.
pub(crate) fn add_env_files(
    paths: &[PathBuf],
    environment: &mut Environment,
    context: &mut Context<'_>,
) {
    let all = assignments(paths, environment, context);
    environment.add_below(all);
}

fn assignments(
    paths: &[PathBuf],
    environment: &Environment,
    context: &mut Context<'_>,
) -> Vec<Assignment> {
    let mut all: Vec<Assignment> = Vec::new();
    for path in paths {
        let name = paths::shown(path, &context.cwd);
        let file = EnvFile {
            path,
            name: &name,
            named_at: None,
            format: Format::Compose,
        };
        let scope = Scope {
            outer: &|name| environment.get(name).map(str::to_owned),
            earlier: &|name| {
                let earlier = all.iter().rev();
                earlier
                    .filter(|assignment| assignment.name == name)
                    .find_map(|assignment| assignment.value.clone())
            },
        };
        let found = read(
            file,
            context.files,
            scope,
            &mut context.sources,
            &mut context.sink,
        );
        all.extend(found.unwrap_or_default());
    }
    all
}

/// `-f`, else `COMPOSE_FILE`, else the file that is found.
fn compose_files(
    request: &Request,
    asked: Option<&Path>,
    environment: &Environment,
    context: &mut Context<'_>,
) -> Option<Vec<PathBuf>> {
    let cwd = &request.working_dir;
    let absolute = |path: &Path| {
        if is_stdin(path) {
            path.to_path_buf()
        } else {
            paths::clean(&cwd.join(path))
        }
    };
    if !request.files.is_empty() {
        return Some(request.files.iter().map(|path| absolute(path)).collect());
    }
    if let Some(list) = environment.get("COMPOSE_FILE") {
        let separator = environment
            .non_empty("COMPOSE_PATH_SEPARATOR")
            .unwrap_or(":");
        let names = || list.split(separator);
        if names().any(str::is_empty) {
            let message = format!("COMPOSE_FILE: there is an empty path in `{list}`");
            context
                .sink
                .push(Diagnostic::error(Code::FileMissing, message).help(
                    "name files with one separator between two, or leave the variable unset",
                ));
            return None;
        }
        return Some(names().map(|path| absolute(Path::new(path))).collect());
    }
    let start = asked.unwrap_or(cwd);
    for directory in start.ancestors() {
        let found = present(&BASE_NAMES, directory, context);
        if let Some(first) = found.first() {
            warn_about_several(&found, context);
            let mut files = vec![first.clone()];
            let overrides = present(&OVERRIDE_NAMES, directory, context);
            warn_about_several(&overrides, context);
            files.extend(overrides.into_iter().next());
            return Some(files);
        }
    }
    let message = format!(
        "no compose.yaml in `{}` or the directories above",
        start.display()
    );
    context.sink.push(
        Diagnostic::error(Code::NoComposeFile, message)
            .help("name one with `-f`, or change into the directory of the project"),
    );
    None
}

fn present(names: &[&str], directory: &Path, context: &Context<'_>) -> Vec<PathBuf> {
    names
        .iter()
        .map(|name| directory.join(name))
        .filter(|path| context.files.kind(path) == Some(FileKind::File))
        .collect()
}

fn warn_about_several(found: &[PathBuf], context: &mut Context<'_>) {
    let [first, others @ ..] = found else { return };
    if others.is_empty() {
        return;
    }
    let shown = |path: &PathBuf| format!("`{}`", paths::shown(path, &context.cwd));
    let ignored: Vec<String> = others.iter().map(shown).collect();
    let message = format!("{} is used, {} is not", shown(first), ignored.join(", "));
    context.sink.push(
        Diagnostic::warning(Code::SeveralComposeFiles, message)
            .help("keep one of them, or name the wanted ones with `-f`"),
    );
}

/// What the project is called.
#[derive(Debug)]
pub(crate) struct Name {
    /// The name that fits.
    pub(crate) project: ProjectName,
    /// What the files say, when that decides: it is shown where names are not made to fit.
    pub(crate) written: Option<String>,
}

impl Name {
    /// Returns the name as it is shown.
    pub(crate) fn shown(&self, passes: Passes) -> &str {
        match &self.written {
            Some(written) if !passes.normalization => written,
            _ => self.project.as_str(),
        }
    }
}

/// Decides the project's name: `-p`, the environment, the last file that has one, the directory.
pub(crate) fn name(
    request: &Request,
    origin: &Origin,
    documents: &[Document],
    context: &mut Context<'_>,
) -> Option<Name> {
    let environment = &origin.environment;
    let strict = match (
        &request.project_name,
        environment.non_empty("COMPOSE_PROJECT_NAME"),
    ) {
        (Some(name), _) if !name.is_empty() => Some((name.as_str(), "-p")),
        (_, Some(name)) => Some((name, "COMPOSE_PROJECT_NAME")),
        _ => None,
    };
    if let Some((name, from)) = strict {
        return match name.parse() {
            Ok(project) => Some(Name {
                project,
                written: None,
            }),
            Err(error) => {
                let message = format!("{from}: {error}");
                context.sink.push(
                    Diagnostic::error(Code::ProjectName, message)
                        .help(format!("for example `{}`", normalized(name))),
                );
                None
            }
        };
    }
    let written = documents.iter().rev().find_map(|document| {
        let mut node = document
            .node
            .get("name")
            .filter(|node| node.as_text().is_some_and(|text| !text.is_empty()))?
            .clone();
        // A name that variables leave empty is an error; one that is written so is as none.
        context.interpolate(&mut node, environment);
        node.as_text().map(|text| (text.to_owned(), node.span))
    });
    let base = origin
        .directory
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let (written, span) = written.unzip();
    let text = normalized(
        written
            .as_ref()
            .or(base.as_ref())
            .map_or("", String::as_str),
    );
    if let Ok(project) = text.parse() {
        return Some(Name { project, written });
    }
    let mut diagnostic = Diagnostic::error(Code::ProjectName, "the project has no usable name")
        .help("give one with `-p`, or write `name:` into the Compose file");
    if let Some(span) = span {
        diagnostic = diagnostic.at(span, "no letter or digit of a-z, 0-9 is left of it");
    }
    context.sink.push(diagnostic);
    None
}

/// Lower case; what is no letter, digit, `-` or `_` is dropped; `-` and `_` are dropped in front.
fn normalized(text: &str) -> String {
    let fits = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let kept: String = text.to_lowercase().chars().filter(fits).collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}
