//! COPY, and what COPY and ADD have in common: select, digest, look up, write.

use serde_json::{Value, json};

use super::{add::is_remote, owner, transfer::Request};
use crate::build::{
    cache::Key,
    dockerfile::Copy,
    error::StepFailure,
    files::{Item, Owner, Placer, Selector, Tree, digest, mount},
    ignore::Ignore,
    layers::Layer,
    plan::Origin,
    stage::{Context, StageRun, image_layers},
};

/// Where COPY reads.
pub(super) struct Source {
    pub(super) tree: Tree,
    /// What hides files of it.
    pub(super) ignore: Ignore,
    /// A directory of the host: owners do not count.
    pub(super) ownerless: bool,
}

/// Files of one tree that are to be written.
pub(super) struct Part {
    pub(super) tree: Tree,
    pub(super) items: Vec<Item>,
    /// Where they come from; `None` = the step's own room.
    pub(super) origin: Option<Origin>,
    /// The one item is an archive whose contents are written.
    pub(super) is_archive: bool,
}

/// One COPY or ADD while it is looked up and done.
pub(super) struct Work<'r> {
    pub(super) request: &'r Request,
    pub(super) created_by: String,
    /// With --link: who will own the files.
    link_owner: Option<Owner>,
    /// What the result depends on besides the files.
    on: Value,
    epoch: Option<i64>,
}

impl Work<'_> {
    /// Makes a key of what the files are.
    pub(super) fn key(&self, content: &Value) -> Key {
        let request = self.request;
        Key::of(json!({
            "step": "copy",
            "on": self.on,
            "link": request.link,
            "destination": [request.destination.path, request.destination.directory],
            "chmod": request.chmod.as_ref().map(|(text, _)| text),
            "documents": request.documents,
            "content": content,
            "epoch": self.epoch,
        }))
    }
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
        let work = self.work("COPY", &request)?;
        let mut keys = Vec::new();
        if let Some(layers) = self.origin_layers(origin) {
            let definition = work.key(&json!([
                "by definition",
                chain(&layers),
                request.sources,
                request.exclude,
                request.parents
            ]));
            let hit = self.take_cached(context, (&definition, &[]), &work.created_by)?;
            if hit.is_some() {
                return Ok(());
            }
            keys.push(definition);
        }
        let source = self.source(origin)?;
        let exclude = exclude(&request)?;
        let mut items = Vec::new();
        for written in &request.sources {
            items.extend(self.select(context, &source, &exclude, &request, written)?);
        }
        let part = Part {
            tree: source.tree,
            items,
            origin: Some(origin.clone()),
            is_archive: false,
        };
        self.write_parts(context, &work, keys, vec![part])
    }

    /// Prepares a COPY or ADD.
    pub(super) fn work<'r>(
        &self,
        name: &str,
        request: &'r Request,
    ) -> Result<Work<'r>, StepFailure> {
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
        Ok(Work {
            request,
            created_by: request.history(name),
            link_owner,
            on,
            epoch: self.builder.epoch,
        })
    }

    /// Looks the files up by their content, or writes them.
    pub(super) fn write_parts(
        &mut self,
        context: Context<'_>,
        work: &Work<'_>,
        mut keys: Vec<Key>,
        parts: Vec<Part>,
    ) -> Result<(), StepFailure> {
        let mut digests = Vec::new();
        for part in &parts {
            let kind = if part.is_archive { "archive" } else { "files" };
            let digest = match &part.origin {
                Some(origin) => self.digest(origin, &part.tree, &part.items)?,
                None => digest(&part.tree, &part.items, None)?,
            };
            digests.push(json!([kind, digest]));
        }
        let content = work.key(&json!(["by content", digests]));
        let hit = self.take_cached(context, (&content, &keys), &work.created_by)?;
        if hit.is_some() {
            return Ok(());
        }
        keys.push(content);
        let request = work.request;
        let below: &[Layer] = if request.link {
            &[]
        } else {
            &self.state.layers
        };
        let (room, upper, work_directory) = self.room(below)?;
        let lowers = self.builder.lowers(below)?;
        let mounted = mount(&lowers, Some((&upper, &work_directory)))?;
        let merged = Tree::of_mount(mounted, "the image");
        let owner = match (&request.chown, work.link_owner) {
            (_, Some(owner)) => Some(owner),
            (Some(chown), None) => Some(owner::find(chown, &merged)?),
            (None, None) => None,
        };
        let parts: Vec<Part> = parts
            .into_iter()
            .enumerate()
            .map(|(number, part)| super::add::unpacked(part, &room, number))
            .collect::<Result<_, _>>()?;
        write(&merged, request, &parts, owner)?;
        drop(merged);
        let keys: Vec<&Key> = keys.iter().collect();
        self.commit(context, &upper, &keys, &work.created_by)
    }

    /// Selects the files that one source names.
    pub(super) fn select(
        &self,
        context: Context<'_>,
        source: &Source,
        exclude: &Ignore,
        request: &Request,
        written: &str,
    ) -> Result<Vec<Item>, StepFailure> {
        let selector = source.selector(exclude, request.parents);
        let found = selector.select(written)?;
        if found.is_empty() {
            let text = format!("no file matches `{written}`");
            self.warn(context.instruction.span, &text);
        }
        Ok(found)
    }

    /// Returns the layers of a stage or image that is read.
    pub(super) fn origin_layers(&self, origin: &Origin) -> Option<Vec<Layer>> {
        match origin {
            Origin::Stage(index) => Some(self.inputs[index].layers.clone()),
            Origin::Image(image) => Some(image_layers(image)),
            Origin::Context | Origin::Directory(_) => None,
        }
    }

    pub(super) fn source(&self, origin: &Origin) -> Result<Source, StepFailure> {
        let tree = match origin {
            Origin::Context => Tree::open(&self.builder.input.context)?,
            Origin::Directory(directory) => Tree::open(&directory.path)?,
            Origin::Stage(_) | Origin::Image(_) => {
                let layers = self.origin_layers(origin).unwrap_or_default();
                self.builder.merged(&layers, "the source")?
            }
        };
        Ok(Source {
            tree,
            ignore: match origin {
                Origin::Context => self.builder.ignore.clone(),
                Origin::Directory(directory) => directory.ignore.clone(),
                Origin::Stage(_) | Origin::Image(_) => Ignore::default(),
            },
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
        let items = source.selector(&exclude, false).select(path)?;
        let digest = self.digest(origin, &source.tree, &items)?;
        Ok((source.tree, items, digest.as_str().to_owned()))
    }
}

impl Source {
    pub(super) fn selector<'s>(&'s self, exclude: &'s Ignore, parents: bool) -> Selector<'s> {
        Selector {
            tree: &self.tree,
            ignore: &self.ignore,
            exclude,
            ownerless: self.ownerless,
            parents,
        }
    }
}

/// Makes the matcher of `--exclude`.
pub(super) fn exclude(request: &Request) -> Result<Ignore, StepFailure> {
    let patterns = request.exclude.iter().map(String::as_str);
    Ignore::of_patterns(patterns).map_err(|pattern| StepFailure::Value {
        what: "--exclude",
        value: pattern,
        rule: "is not a valid pattern",
    })
}

fn chain(layers: &[Layer]) -> Vec<&str> {
    layers.iter().map(|layer| layer.diff_id.as_str()).collect()
}

/// Writes everything into the merged view.
fn write(
    merged: &Tree,
    request: &Request,
    parts: &[Part],
    owner: Option<Owner>,
) -> Result<(), StepFailure> {
    let items = || parts.iter().flat_map(|part| &part.items);
    let documents = request.documents.len();
    let count = items().count() + documents;
    let files = documents + items().filter(|item| !item.is_directory()).count();
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
    for part in parts {
        for item in &part.items {
            placer.place(&part.tree, item, destination)?;
        }
        placer.forget_source();
    }
    for (name, content) in &request.documents {
        placer.document(name, content.as_bytes(), destination)?;
    }
    Ok(())
}
