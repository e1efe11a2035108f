//! COPY and ADD.

use serde_json::{Value, json};

use super::{owner, transfer::Request};
use crate::build::{
    cache::Key,
    dockerfile::{Add, Copy},
    error::StepFailure,
    files::{Entry, Item, Owner, Placer, Selector, Tree, mount},
    ignore::Ignore,
    layers::Layer,
    plan::Origin,
    stage::{Context, StageRun, image_layers},
};

/// Where COPY reads.
struct Source {
    tree: Tree,
    /// `.dockerignore` applies.
    ignored: bool,
    /// A directory of the host: owners do not count.
    ownerless: bool,
}

impl StageRun<'_> {
    pub(crate) fn copy(
        &mut self,
        context: Context<'_>,
        copy: &Copy,
        origin: &Origin,
    ) -> Result<(), StepFailure> {
        for word in &copy.transfer.sources {
            if is_remote(&self.scope.expand(&word.text)?) {
                return Err(StepFailure::Value {
                    what: "source",
                    value: word.text.clone(),
                    rule: "of COPY cannot be a URL: use ADD",
                });
            }
        }
        let request = self.request(&copy.transfer, copy.parents)?;
        self.transfer(context, "COPY", &request, origin)
    }

    pub(crate) fn add(&mut self, context: Context<'_>, add: &Add) -> Result<(), StepFailure> {
        let request = self.request(&add.transfer, false)?;
        if let Some(source) = request.sources.iter().find(|source| is_remote(source)) {
            return Err(StepFailure::Unsupported(format!("ADD of `{source}`")));
        }
        if let Some(checksum) = &add.checksum {
            return Err(StepFailure::Value {
                what: "--checksum",
                value: checksum.text.clone(),
                rule: "requires a URL or a git repository as source",
            });
        }
        if add.keep_git_dir.is_some() {
            return Err(StepFailure::Value {
                what: "--keep-git-dir",
                value: String::new(),
                rule: "requires a git repository as source",
            });
        }
        if add.unpack != Some(false) {
            self.refuse_archives(&request)?;
        }
        self.transfer(context, "ADD", &request, &Origin::Context)
    }

    /// ADD unpacks local archives: until it can, it must not copy them as files.
    fn refuse_archives(&self, request: &Request) -> Result<(), StepFailure> {
        let source = Source {
            tree: Tree::open(&self.builder.input.context)?,
            ignored: true,
            ownerless: true,
        };
        let exclude = Ignore::default();
        for written in &request.sources {
            for item in self.selector(&source, &exclude, false).select(written)? {
                if !item.is_directory() && is_archive(&source.tree, &item)? {
                    let name = item.name.display();
                    return Err(StepFailure::Unsupported(format!(
                        "unpacking the archive `{name}` (use COPY, or ADD --unpack=false, and RUN tar)"
                    )));
                }
            }
        }
        Ok(())
    }

    fn transfer(
        &mut self,
        context: Context<'_>,
        name: &str,
        request: &Request,
        origin: &Origin,
    ) -> Result<(), StepFailure> {
        let created_by = request.history(name);
        // With --link the result does not depend on what is below, but for names of owners.
        let link_owner = match &request.chown {
            Some(chown) if request.link => {
                let image = self.builder.merged(&self.state.layers, "the image")?;
                Some(owner::find(chown, &image)?)
            }
            _ => None,
        };
        let on = if request.link {
            json!(link_owner.map(|owner| (owner.uid, owner.gid)))
        } else {
            json!([self.state.chain(), request.chown])
        };
        let key = |content: &Value| {
            Key::of(json!({
                "step": "copy",
                "on": on,
                "link": request.link,
                "destination": [request.destination.path, request.destination.directory],
                "chmod": request.chmod.as_ref().map(|(text, _)| text),
                "documents": request.documents,
                "content": content,
                "epoch": self.builder.epoch,
            }))
        };
        let mut keys = Vec::new();
        if let Some(layers) = self.origin_layers(origin) {
            let chain = chain(&layers);
            let definition = key(&json!([
                "by definition",
                chain,
                request.sources,
                request.exclude,
                request.parents
            ]));
            if self
                .take_cached(context, &definition, &created_by)?
                .is_some()
            {
                return Ok(());
            }
            keys.push(definition);
        }
        let source = self.source(origin)?;
        let items = self.items(context, request, &source)?;
        let content = key(&json!([
            "by content",
            self.digest(origin, &source.tree, &items)?
        ]));
        if let Some(hit) = self.take_cached(context, &content, &created_by)? {
            for key in &keys {
                let text = &context.instruction.text;
                self.builder.cache.save(key, &hit, text)?;
            }
            return Ok(());
        }
        keys.push(content);
        let below: &[Layer] = if request.link {
            &[]
        } else {
            &self.state.layers
        };
        let (_room, upper, work) = self.room(below)?;
        let lowers = self.builder.lowers(below);
        let merged = Tree::of_mount(mount(&lowers, Some((&upper, &work)))?, "the image");
        let owner = match (&request.chown, link_owner) {
            (_, Some(owner)) => Some(owner),
            (Some(chown), None) => Some(owner::find(chown, &merged)?),
            (None, None) => None,
        };
        write(&merged, &source.tree, request, &items, owner)?;
        drop(merged);
        let keys: Vec<&Key> = keys.iter().collect();
        self.commit(context, &upper, &keys, &created_by)
    }

    /// Selects all sources.
    fn items(
        &self,
        context: Context<'_>,
        request: &Request,
        source: &Source,
    ) -> Result<Vec<Item>, StepFailure> {
        let patterns = request.exclude.iter().map(String::as_str);
        let exclude = Ignore::of_patterns(patterns).map_err(|pattern| StepFailure::Value {
            what: "--exclude",
            value: pattern,
            rule: "is not a valid pattern",
        })?;
        let selector = self.selector(source, &exclude, request.parents);
        let mut items = Vec::new();
        for written in &request.sources {
            let found = selector.select(written)?;
            if found.is_empty() {
                let text = format!("no file matches `{written}`");
                self.warn(context.instruction.span, &text);
            }
            items.extend(found);
        }
        Ok(items)
    }

    fn selector<'s>(
        &'s self,
        source: &'s Source,
        exclude: &'s Ignore,
        parents: bool,
    ) -> Selector<'s> {
        static NOTHING: std::sync::LazyLock<Ignore> = std::sync::LazyLock::new(Ignore::default);
        Selector {
            tree: &source.tree,
            ignore: if source.ignored {
                self.builder.ignore
            } else {
                &NOTHING
            },
            exclude,
            ownerless: source.ownerless,
            parents,
        }
    }

    /// Returns the layers of a stage or image that is read.
    pub(super) fn origin_layers(&self, origin: &Origin) -> Option<Vec<Layer>> {
        match origin {
            Origin::Stage(index) => Some(self.inputs[index].layers.clone()),
            Origin::Image(image) => Some(image_layers(image)),
            Origin::Context | Origin::Directory(_) => None,
        }
    }

    fn source(&self, origin: &Origin) -> Result<Source, StepFailure> {
        let tree = match origin {
            Origin::Context => Tree::open(&self.builder.input.context)?,
            Origin::Directory(path) => Tree::open(path)?,
            Origin::Stage(_) | Origin::Image(_) => {
                let layers = self.origin_layers(origin).unwrap_or_default();
                self.builder.merged(&layers, "the source")?
            }
        };
        Ok(Source {
            tree,
            ignored: matches!(origin, Origin::Context),
            ownerless: matches!(origin, Origin::Context | Origin::Directory(_)),
        })
    }

    /// Selects a path of an origin, for a bind mount of RUN: its tree, the selection and the digest.
    pub(super) fn select_for_mount(
        &self,
        origin: &Origin,
        path: &str,
    ) -> Result<(Tree, Vec<Item>, String), StepFailure> {
        let source = self.source(origin)?;
        let exclude = Ignore::default();
        let items = self.selector(&source, &exclude, false).select(path)?;
        let digest = self.digest(origin, &source.tree, &items)?;
        Ok((source.tree, items, digest.as_str().to_owned()))
    }
}

fn chain(layers: &[Layer]) -> Vec<&str> {
    layers.iter().map(|layer| layer.diff_id.as_str()).collect()
}

/// Writes everything into the merged view.
fn write(
    merged: &Tree,
    source: &Tree,
    request: &Request,
    items: &[Item],
    owner: Option<Owner>,
) -> Result<(), StepFailure> {
    let count = items.len() + request.documents.len();
    let files = request.documents.len() + items.iter().filter(|item| !item.is_directory()).count();
    let destination = &request.destination;
    if count > 1 && files > 0 && !destination.directory {
        let target = merged.resolve(&destination.path)?;
        if merged.directory(&target).is_err() {
            return Err(StepFailure::Value {
                what: "destination",
                value: destination.path.display().to_string(),
                rule: "must be a directory and end with a / when there is more than one source",
            });
        }
    }
    let chmod = request.chmod.as_ref().map(|(_, chmod)| chmod);
    let mut placer = Placer::new(merged, owner, chmod);
    for item in items {
        placer.place(source, item, destination)?;
    }
    for (name, content) in &request.documents {
        placer.document(name, content.as_bytes(), destination)?;
    }
    Ok(())
}

/// Whether a source of ADD is fetched rather than copied.
fn is_remote(source: &str) -> bool {
    let schemes = ["http://", "https://", "git://", "ssh://", "git@"];
    schemes.iter().any(|scheme| source.starts_with(scheme))
}

/// Tells an archive by its first bytes: gzip, bzip2, xz, zstd, or a tar header.
fn is_archive(tree: &Tree, item: &Item) -> Result<bool, StepFailure> {
    use std::io::Read;
    let regular = item.entries.first().is_some_and(Entry::is_regular_file);
    if !regular {
        return Ok(false);
    }
    let mut head = Vec::new();
    tree.file(&item.source)?
        .take(512)
        .read_to_end(&mut head)
        .map_err(StepFailure::Prepare)?;
    let magics: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    Ok(magics.iter().any(|magic| head.starts_with(magic))
        || head.get(257..262).is_some_and(|magic| magic == b"ustar"))
}
