//! What every pass of loading shares: the files read so far, the findings, and the budgets that bound the work.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    rc::Rc,
};

use crate::{
    Files, Passes, Request,
    canonical::{Budget, Reader, Setting},
    diagnostic::{Code, Diagnostic, Sink, SourceId, Sources, Span},
    env::Environment,
    interpolate::{Interpolator, Memory},
    paths,
    yaml::{self, Node},
};

/// Largest Compose file, in bytes: 8 MiB. A larger one is refused with `S0106`.
pub const FILE_BYTES_MAX: usize = 8 << 20;
/// Most files of one project: includes can multiply.
const FILES_MAX: usize = 500;

/// What every pass needs.
pub(crate) struct Context<'a> {
    /// The disk.
    pub(crate) files: &'a dyn Files,
    /// Current directory: paths below it are shown relative to it.
    pub(crate) cwd: PathBuf,
    /// Files read so far.
    pub(crate) sources: Sources,
    /// Findings so far.
    pub(crate) sink: Sink,
    /// Standard input, when it is a Compose file.
    stdin: Option<&'a [u8]>,
    memory: Memory,
    /// Files that `extends` names, which many services may share.
    shared: HashMap<PathBuf, Rc<[Document]>>,
    /// What is done.
    pub(crate) passes: Passes,
    /// Paths as they were written, when they are to be shown so.
    pub(crate) paths: RefCell<paths::Written>,
    /// Profiles of all services.
    pub(crate) profiles: BTreeSet<String>,
    /// What short forms and `extends` may still multiply.
    pub(crate) budget: Budget,
    files_read: usize,
}

/// One document of a file.
pub(crate) struct Document {
    /// Its tree, as written.
    pub(crate) node: Node,
    /// The file, absolute.
    pub(crate) path: PathBuf,
}

/// Where a document's relative paths start, and its variables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Absolute directory.
    pub(crate) directory: &'a Path,
    /// Variables for interpolation.
    pub(crate) environment: &'a Environment,
    /// Whether it is a file of the project itself, not one that is included or extended.
    pub(crate) is_root: bool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(request: &'a Request, passes: Passes, files: &'a dyn Files) -> Self {
        Self {
            files,
            cwd: request.working_dir.clone(),
            sources: Sources::default(),
            sink: Sink::default(),
            stdin: request.stdin.as_deref(),
            memory: Memory::default(),
            shared: HashMap::new(),
            passes,
            paths: RefCell::default(),
            profiles: BTreeSet::new(),
            budget: Budget::default(),
            files_read: 0,
        }
    }

    /// Returns what was found, and the files that it points into.
    pub(crate) fn finish(self) -> (Vec<Diagnostic>, Vec<Diagnostic>, Sources) {
        let (errors, warnings) = self.sink.finish();
        (errors, warnings, self.sources)
    }

    /// Interpolates a tree.
    pub(crate) fn interpolate(&mut self, node: &mut Node, environment: &Environment) {
        if !self.passes.interpolation {
            return;
        }
        Interpolator::new(environment, &self.sources, &mut self.sink, &mut self.memory).node(node);
    }

    /// Reads a document, or a part of it at `path`, by its kind.
    pub(crate) fn read(
        &mut self,
        section: &'static crate::schema::Section,
        node: Node,
        path: &str,
        place: Place<'_>,
    ) -> Option<Node> {
        let setting = Setting {
            base: place.directory,
            is_root: place.is_root,
            environment: place.environment,
            passes: self.passes,
            paths: &self.paths,
        };
        let reader = Reader::new(setting, &mut self.sink, &mut self.budget, path);
        reader.document(section, node)
    }

    /// Reads the documents of one file; none when it was reported as unreadable.
    pub(crate) fn documents(&mut self, path: &Path, named_at: Option<Span>) -> Vec<Document> {
        self.files_read += 1;
        let Some((id, text)) = self.source(path, named_at) else {
            return Vec::new();
        };
        let errors = self.sink.errors();
        let mut nodes = yaml::parse(id, &text, &mut self.sink);
        if self.sink.errors() == errors {
            self.check_documents(&mut nodes, id);
        }
        nodes
            .into_iter()
            .map(|node| Document {
                node,
                path: path.to_path_buf(),
            })
            .collect()
    }

    /// Reads the documents of a file that may be wanted again.
    pub(crate) fn shared_documents(&mut self, path: &Path, named_at: Span) -> Rc<[Document]> {
        if let Some(known) = self.shared.get(path) {
            return Rc::clone(known);
        }
        let documents: Rc<[Document]> = self.documents(path, Some(named_at)).into();
        self.shared
            .insert(path.to_path_buf(), Rc::clone(&documents));
        documents
    }

    fn source(&mut self, path: &Path, named_at: Option<Span>) -> Option<(SourceId, String)> {
        let stdin = path == Path::new("-");
        let name = if stdin {
            "standard input".into()
        } else {
            paths::shown(path, &self.cwd)
        };
        let fault = |code, fact: &str| {
            let diagnostic = Diagnostic::error(code, format!("`{name}`: {fact}"));
            match named_at {
                Some(span) => diagnostic.at(span, "named here"),
                None => diagnostic,
            }
        };
        if self.files_read > FILES_MAX {
            let fact = format!("the project has more than {FILES_MAX} files");
            self.sink.push(fault(Code::TooLarge, &fact));
            return None;
        }
        let bytes = match self.stdin {
            Some(bytes) if stdin => Ok(bytes.to_vec()),
            _ => self.files.read(path, FILE_BYTES_MAX),
        };
        let bytes = match bytes {
            Ok(bytes) if bytes.len() <= FILE_BYTES_MAX => bytes,
            Ok(_) => {
                let fact = format!("larger than {} MiB", FILE_BYTES_MAX >> 20);
                self.sink.push(fault(Code::TooLarge, &fact));
                return None;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.sink.push(fault(Code::FileMissing, "no such file"));
                return None;
            }
            Err(error) => {
                self.sink
                    .push(fault(Code::FileUnreadable, &error.to_string()));
                return None;
            }
        };
        let Ok(text) = String::from_utf8(bytes) else {
            self.sink.push(fault(Code::FileUnreadable, "not UTF-8"));
            return None;
        };
        let text = text
            .strip_prefix('\u{feff}')
            .map(str::to_owned)
            .unwrap_or(text);
        let id = self.sources.add(&name, &text);
        self.sources.set_named_at(id, named_at);
        Some((id, text))
    }

    /// A file must hold a mapping; documents without content are skipped when another has some.
    fn check_documents(&mut self, nodes: &mut Vec<Node>, id: SourceId) {
        if nodes.len() > 1 {
            nodes.retain(|node| !node.is_null());
        }
        let name = std::sync::Arc::clone(&self.sources.source(id).name);
        if nodes.is_empty() {
            let message = format!("`{name}` is empty");
            let diagnostic = Diagnostic::error(Code::NotAMapping, message)
                .at(Span::new(id, 0, 0), "")
                .help("a Compose file begins with `services:`");
            self.sink.push(diagnostic);
        }
        nodes.retain(|node| {
            let is_mapping = node.as_mapping().is_some();
            if !is_mapping {
                let message = format!("`{name}` must hold a mapping");
                let label = format!("this is {}", node.describe());
                self.sink
                    .push(Diagnostic::error(Code::NotAMapping, message).at(node.span, label));
            }
            is_mapping
        });
    }
}
