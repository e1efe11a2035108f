//! A step as a vertex of the graph of everything that is built: found in the cache, made by somebody else meanwhile, or made here, once.
//!
//! The order is: look into the cache; claim the key, waiting for whoever makes it; look again; and only when the step really begins take one
//! of the slots. So nobody waits for a step while holding a slot that this step may need.

use std::path::Path;

use super::{
    cache::{CacheError, Hit, Key},
    context::ContextIndex,
    document::epoch_time,
    engine::{Cancelled, Claim, Slot},
    error::StepFailure,
    event::BuildEvent,
    exchange::CachedStep,
    files::{Item, Tree, clamp_times, digest},
    plan::Origin,
    stage::{Context, StageRun},
};
use crate::model::Digest;

/// What a step holds while it is in work.
#[derive(Debug, Default)]
pub(crate) struct Held {
    step: usize,
    text: String,
    claims: Vec<Claim>,
    slot: Option<Slot>,
    /// The key that was not in the cache, the most exact one last.
    missed: Option<Key>,
    /// Directories of the host that it reads, with the paths in them.
    sources: Vec<(std::sync::Arc<ContextIndex>, Vec<u8>)>,
}

impl Held {
    /// Begins with the next step.
    pub(super) fn begin(&mut self, step: usize, text: &str) {
        *self = Self {
            step,
            text: text.to_owned(),
            ..Self::default()
        };
    }
}

impl From<Cancelled> for StepFailure {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl StageRun<'_> {
    /// Ends a step early when its build does not matter any more.
    pub(crate) fn refuse_cancelled(&self) -> Result<(), StepFailure> {
        if self.builder.cancel.is_cancelled() {
            return Err(StepFailure::Cancelled);
        }
        Ok(())
    }

    /// Takes a step's result from the cache, if it is there, or once somebody who makes it now is done. Otherwise it is ours to make.
    ///
    /// `others` are keys of the step that were looked up before: they lead to the result from now on.
    pub(crate) fn take_cached(
        &mut self,
        context: Context<'_>,
        (key, others): (&Key, &[Key]),
        created_by: &str,
    ) -> Result<Option<Hit>, StepFailure> {
        let builder = self.builder;
        let mut hit = if self.use_cache {
            self.find(key)?
        } else {
            None
        };
        if hit.is_none() {
            let claim = builder.engine.claim(key, builder.cancel)?;
            // Between the look and the claim somebody may have made it; without the cache only what was made while we waited counts.
            if self.use_cache || claim.waited {
                hit = self.find(key)?;
            }
            if hit.is_none() {
                let held = self.held.get_mut();
                held.claims.push(claim);
                held.missed = Some(key.clone());
                return Ok(None);
            }
        }
        if let Some(hit) = &mut hit {
            if !others.is_empty() {
                hit.keys = keys_of(others.iter().chain([key]));
                builder.cache.save(hit, &context.instruction.text)?;
            }
            builder.history.note(
                &self.stage.name,
                self.number,
                &context.instruction.text,
                key,
            );
            self.apply(context, hit, created_by);
            (builder.progress)(BuildEvent::Cached {
                step: context.step.id,
            });
        }
        Ok(hit)
    }

    /// Claims what a step has alone while it runs, waiting for whoever has it now.
    pub(crate) fn claim(&self, keys: &[Key]) -> Result<(), StepFailure> {
        for key in keys {
            let claim = self.builder.engine.claim(key, self.builder.cancel)?;
            self.held.borrow_mut().claims.push(claim);
        }
        Ok(())
    }

    /// Looks into the cache of this machine, then into those that were made elsewhere: what they have is in the own one from then on.
    fn find(&self, key: &Key) -> Result<Option<Hit>, StepFailure> {
        let builder = self.builder;
        let found = builder.cache.find(key, builder.layers);
        let found = found.map_err(|error| match error {
            CacheError::Store(error) => StepFailure::Store(error),
            CacheError::Layers(error) => StepFailure::Commit(error),
        })?;
        if found.is_some() || !self.use_cache {
            return Ok(found);
        }
        let imported = builder
            .imports
            .find(key, builder.layers)
            .map_err(StepFailure::Commit)?;
        if let Some(hit) = &imported {
            builder.cache.save(hit, &self.held.borrow().text)?;
        }
        Ok(imported)
    }

    /// Takes a slot and tells why the step is made and not found; called right before anything is written.
    pub(super) fn executes(&self) -> Result<(), StepFailure> {
        let builder = self.builder;
        let slot = builder.engine.slot(builder.cancel)?;
        let mut held = self.held.borrow_mut();
        held.slot = Some(slot);
        let Some(key) = held.missed.take() else {
            return Ok(());
        };
        let history = builder.history;
        let changed_files = |since| {
            let mut named = Vec::new();
            for (index, source) in &held.sources {
                named.extend(index.changes(std::slice::from_ref(source), since));
            }
            (!named.is_empty()).then(|| named.join(", "))
        };
        let what = if self.use_cache {
            history.explain(
                (&self.stage.name, self.number),
                &held.text,
                &key,
                changed_files,
            )
        } else {
            Some("the cache is not used".to_owned())
        };
        history.note(&self.stage.name, self.number, &held.text, &key);
        if let Some(what) = what {
            (builder.progress)(BuildEvent::Changed {
                step: held.step,
                what,
            });
        }
        Ok(())
    }

    /// Gives back what the step held.
    pub(super) fn release(&mut self) {
        let held = self.held.get_mut();
        held.claims.clear();
        held.slot = None;
        held.sources.clear();
    }

    /// Digests what a step reads; files of the host through the index of their context.
    pub(super) fn digest(
        &self,
        origin: &Origin,
        tree: &Tree,
        items: &[Item],
    ) -> Result<Digest, StepFailure> {
        use std::os::unix::ffi::OsStrExt;
        let directory = match origin {
            Origin::Context => &self.builder.input.context,
            Origin::Directory(named) => &named.path,
            Origin::Stage(_) | Origin::Image(_) => return Ok(digest(tree, items, None)?),
        };
        if self.builder.input.is_fetched(directory) {
            return Ok(digest(tree, items, None)?);
        }
        let index = self.builder.cache.context(directory);
        let mut held = self.held.borrow_mut();
        for item in items {
            let path = item.source.as_path().as_os_str().as_bytes().to_vec();
            held.sources.push((std::sync::Arc::clone(&index), path));
        }
        drop(held);
        Ok(digest(tree, items, Some(&index))?)
    }

    /// Makes a layer of an upper directory and remembers it under every key.
    pub(crate) fn commit(
        &mut self,
        context: Context<'_>,
        upper: &Path,
        keys: &[&Key],
        created_by: &str,
    ) -> Result<(), StepFailure> {
        let builder = self.builder;
        self.refuse_cancelled()?;
        let empty = fs_err::read_dir(upper)
            .map_err(StepFailure::Prepare)?
            .next()
            .is_none();
        let layer = if empty {
            None
        } else {
            if let Some(seconds) = builder.epoch {
                clamp_times(upper, seconds)?;
            }
            let layer = builder.layers.commit_layer(upper);
            Some(layer.map_err(StepFailure::Commit)?)
        };
        let hit = Hit {
            layer,
            created: builder.now(),
            keys: keys_of(keys.iter().copied()),
        };
        builder.cache.save(&hit, &context.instruction.text)?;
        self.apply(context, &hit, created_by);
        (builder.progress)(BuildEvent::Done {
            step: context.step.id,
            elapsed: context.step.started.elapsed(),
        });
        Ok(())
    }

    fn apply(&mut self, context: Context<'_>, hit: &Hit, created_by: &str) {
        let made = CachedStep {
            keys: hit.keys.clone(),
            layer: hit.layer.as_ref().map(|layer| layer.diff_id.clone()),
            created: hit.created,
            step: context.instruction.text.clone(),
        };
        self.builder.note_made(self.stage.number, made);
        let created = match self.builder.epoch {
            Some(seconds) => epoch_time(seconds),
            None => hit.created,
        };
        let time = hit.layer.is_some().then_some(created);
        self.state.document.add_history(created_by, time);
        self.state.layers.extend(hit.layer.clone());
    }
}

fn keys_of<'a>(keys: impl Iterator<Item = &'a Key>) -> Vec<Digest> {
    keys.map(|key| key.digest().clone()).collect()
}
