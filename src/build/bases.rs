//! What stages begin with and what they read: earlier stages, images, directories of the host.

use std::{path::Path, sync::Arc};

use serde_json::Value;

use super::{
    dockerfile::{Instruction, InstructionKind, Stage, Transfer, Word, nearest, parse_trigger},
    error::StepFailure,
    input::NamedContext,
    layers::LayersError,
    plan::{Base, BaseImage, NamedDirectory, Origin, PlannedStep, Planner, names, stage_line},
};
use crate::model::ImageRecord;

impl Planner<'_> {
    pub(super) fn base(&mut self, index: usize, platform: &str) -> Result<Base, StepFailure> {
        let stage = &self.dockerfile.stages[index];
        if let Some(name) = &stage.name
            && let Some(context) = self.input.additional_contexts.get(name)
        {
            return self.named_base(context, platform);
        }
        let base = self.globals.expand(&stage.base.text)?.text;
        if base.is_empty() {
            return Err(StepFailure::Value {
                what: "base name",
                value: stage.base.text.clone(),
                rule: "should not be blank",
            });
        }
        let lower = base.to_lowercase();
        // The last stage of this name before this one.
        let earlier = self.dockerfile.stages[..index]
            .iter()
            .rposition(|stage| stage.name.as_deref() == Some(lower.as_str()));
        if let Some(earlier) = earlier {
            return Ok(Base::Stage(earlier));
        }
        if base == "scratch" {
            return Ok(Base::Scratch);
        }
        match self.input.additional_contexts.get(&base) {
            Some(context) => self.named_base(context, platform),
            None => self.image(&base, platform).map(Base::Image),
        }
    }

    fn named_base(&mut self, context: &NamedContext, platform: &str) -> Result<Base, StepFailure> {
        match context {
            NamedContext::Image(reference) => self.image(reference, platform).map(Base::Image),
            NamedContext::Built(reference) => self.built(reference, platform).map(Base::Image),
            NamedContext::Layout { path, .. } => Err(not_loaded(path)),
            NamedContext::Address(address) => Err(not_loaded(address.as_ref())),
            NamedContext::Directory(path) => Self::named_directory(path).map(Base::Directory),
        }
    }

    /// Returns the instructions that a base left for those who build on it.
    pub(super) fn triggers(&self, base: &Base) -> Result<Vec<Instruction>, StepFailure> {
        let texts: Vec<String> = match base {
            Base::Scratch | Base::Directory(_) => Vec::new(),
            Base::Image(image) => {
                let triggers = image.config.pointer("/config/OnBuild");
                let triggers = triggers.and_then(Value::as_array).into_iter().flatten();
                triggers
                    .filter_map(|trigger| trigger.as_str().map(str::to_owned))
                    .collect()
            }
            Base::Stage(index) => self.dockerfile.stages[*index]
                .instructions
                .iter()
                .filter_map(|instruction| match &instruction.kind {
                    InstructionKind::Onbuild(trigger) => Some(trigger.clone()),
                    _ => None,
                })
                .collect(),
        };
        let mut instructions = Vec::new();
        for trigger in texts {
            let parsed = parse_trigger(&trigger, self.dockerfile.escape());
            instructions.extend(parsed.map_err(|source| StepFailure::Trigger { trigger, source })?);
        }
        Ok(instructions)
    }

    pub(super) fn origins(
        &mut self,
        instruction: &Instruction,
        index: usize,
        platform: &str,
    ) -> Result<Vec<Origin>, StepFailure> {
        match &instruction.kind {
            InstructionKind::Copy(copy) => {
                let from = copy.from.as_ref().map(|word| word.text.as_str());
                Ok(vec![self.origin(from, index, platform)?])
            }
            InstructionKind::Run(run) => run
                .mounts
                .iter()
                .map(|mount| self.origin(mount.from(), index, platform))
                .collect(),
            InstructionKind::Add(_) => Ok(vec![Origin::Context]),
            _ => Ok(Vec::new()),
        }
    }

    fn origin(
        &mut self,
        from: Option<&str>,
        index: usize,
        platform: &str,
    ) -> Result<Origin, StepFailure> {
        let Some(from) = from else {
            return Ok(Origin::Context);
        };
        let lower = from.to_lowercase();
        let stages = &self.dockerfile.stages;
        let named = |stage: &Stage| stage.name.as_deref() == Some(lower.as_str());
        if let Some(earlier) = stages[..index].iter().rposition(named) {
            return Ok(Origin::Stage(earlier));
        }
        if stages[index..].iter().any(named) {
            return Err(StepFailure::LaterStage(from.to_owned()));
        }
        if let Ok(number) = from.parse::<usize>() {
            return match number {
                _ if number < index => Ok(Origin::Stage(number)),
                _ if number < stages.len() => Err(StepFailure::LaterStage(from.to_owned())),
                _ => Err(StepFailure::StageNumber(number)),
            };
        }
        match self.input.additional_contexts.get(from) {
            Some(NamedContext::Directory(path)) => {
                Self::named_directory(path).map(Origin::Directory)
            }
            Some(NamedContext::Image(reference)) => {
                self.image(reference, platform).map(Origin::Image)
            }
            Some(NamedContext::Built(reference)) => {
                self.built(reference, platform).map(Origin::Image)
            }
            Some(NamedContext::Layout { path, .. }) => Err(not_loaded(path)),
            Some(NamedContext::Address(address)) => Err(not_loaded(address.as_ref())),
            None => self.image(from, platform).map(Origin::Image),
        }
    }

    fn named_directory(path: &Path) -> Result<Arc<NamedDirectory>, StepFailure> {
        let ignore = super::input::ignore_of(path, None)
            .map_err(|error| StepFailure::NamedDirectory(Box::new(error)))?;
        let path = path.to_owned();
        Ok(Arc::new(NamedDirectory { path, ignore }))
    }

    fn image(&mut self, reference: &str, platform: &str) -> Result<Arc<BaseImage>, StepFailure> {
        let (ask_first, layers) = (self.input.pull, self.layers);
        self.resolved(reference, platform, &|| {
            let found = if ask_first {
                None
            } else {
                layers.find(reference, platform)?
            };
            match found {
                Some(record) => Ok(record),
                None => layers.pull(reference, platform),
            }
        })
    }

    /// Finds an image that only this machine has.
    fn built(&mut self, reference: &str, platform: &str) -> Result<Arc<BaseImage>, StepFailure> {
        let layers = self.layers;
        self.resolved(reference, platform, &|| {
            let found = layers.find(reference, platform)?;
            found.ok_or_else(|| LayersError::new("it was not built for this platform yet"))
        })
    }

    fn resolved(
        &mut self,
        reference: &str,
        platform: &str,
        find: &dyn Fn() -> Result<ImageRecord, LayersError>,
    ) -> Result<Arc<BaseImage>, StepFailure> {
        let key = (platform.to_owned(), reference.to_owned());
        if let Some(image) = self.images.get(&key) {
            return Ok(Arc::clone(image));
        }
        let fetch = || {
            let record = find()?;
            let config = self.layers.config(&record)?;
            Ok(Arc::new(BaseImage { record, config }))
        };
        let image = fetch().map_err(|source| StepFailure::Image {
            reference: reference.to_owned(),
            suggestion: nearest(reference, names(self.dockerfile)),
            source,
        })?;
        self.images.insert(key, Arc::clone(&image));
        Ok(image)
    }
}

/// Layouts and addresses are fetched by the caller, who puts images of the store and directories in their place.
fn not_loaded(path: &Path) -> StepFailure {
    StepFailure::Unsupported(format!(
        "the context `{}`, which was not fetched,",
        path.display()
    ))
}

/// A stage on a directory begins with a copy of it.
pub(super) fn whole_directory(stage: &Stage, directory: &Arc<NamedDirectory>) -> PlannedStep {
    let word = |text: &str| Word {
        text: text.to_owned(),
        span: stage.base.span,
    };
    let transfer = Transfer {
        sources: vec![word(".")],
        documents: Vec::new(),
        destination: word("/"),
        chown: None,
        chmod: None,
        link: false,
        exclude: Vec::new(),
    };
    PlannedStep {
        instruction: Instruction {
            kind: InstructionKind::Copy(super::dockerfile::Copy {
                transfer,
                from: None,
                parents: false,
            }),
            text: stage_line(stage),
            span: stage.span,
            comments: Vec::new(),
        },
        origins: vec![Origin::Directory(Arc::clone(directory))],
    }
}
