//! What will be built: the stages that the target needs, each with its base and with the origin of everything that it reads.
//!
//! Base images are fetched here, because their ONBUILD triggers are instructions and may read further stages. A base is resolved once per
//! build, so all its uses see the same image.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use petgraph::{Direction, graphmap::DiGraphMap};
use serde_json::Value;

use super::{
    bases::whole_directory,
    dockerfile::{Dockerfile, Instruction, Span, nearest},
    error::{BuildError, StepError, StepFailure},
    ignore::Ignore,
    input::BuildInput,
    layers::Layers,
    scope::Globals,
};
use crate::model::ImageRecord;

/// An image that stages use.
#[derive(Debug)]
pub(crate) struct BaseImage {
    pub(crate) record: ImageRecord,
    pub(crate) config: Value,
}

/// What a stage begins with.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    Scratch,
    Stage(usize),
    Image(Arc<BaseImage>),
    /// The files of a directory, with nothing configured.
    Directory(Arc<NamedDirectory>),
}

/// Where `--from` reads.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// The build context.
    Context,
    /// A named directory.
    Directory(Arc<NamedDirectory>),
    Stage(usize),
    Image(Arc<BaseImage>),
}

/// A directory of the host that has a name in the build.
#[derive(Debug)]
pub(crate) struct NamedDirectory {
    pub(crate) path: PathBuf,
    /// Its own `.dockerignore`.
    pub(crate) ignore: Ignore,
}

/// One instruction, with the origins that it names: that of COPY, or one for each mount of RUN.
#[derive(Debug, Clone)]
pub(crate) struct PlannedStep {
    pub(crate) instruction: Instruction,
    pub(crate) origins: Vec<Origin>,
}

/// One stage to run.
#[derive(Debug)]
pub(crate) struct PlannedStage {
    /// Its place in the file, from 0.
    pub(crate) number: usize,
    /// Its name, or its number.
    pub(crate) name: String,
    pub(crate) base: Base,
    /// The FROM line.
    pub(crate) span: Span,
    pub(crate) platform: String,
    pub(crate) steps: Vec<PlannedStep>,
}

/// The stages that the target needs, by their number in the file.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) stages: BTreeMap<usize, PlannedStage>,
    pub(crate) target: usize,
    /// An edge leads from a stage to one that needs it.
    pub(crate) graph: DiGraphMap<usize, ()>,
}

impl Plan {
    /// Returns the stages that this one needs.
    pub(crate) fn needs(&self, stage: usize) -> Vec<usize> {
        self.graph
            .neighbors_directed(stage, Direction::Incoming)
            .collect()
    }
}

impl Plan {
    /// Returns the target and the stages that it begins with: the image is made of their steps.
    pub(crate) fn of_image(&self) -> BTreeSet<usize> {
        let mut stages = BTreeSet::from([self.target]);
        let mut at = self.target;
        while let Base::Stage(below) = self.stages[&at].base {
            stages.insert(below);
            at = below;
        }
        stages
    }
}

/// Finds the number of the target stage.
pub(crate) fn find_target(
    dockerfile: &Dockerfile,
    target: Option<&str>,
) -> Result<usize, BuildError> {
    let Some(target) = target else {
        return Ok(dockerfile.stages.len() - 1);
    };
    let lower = target.to_lowercase();
    let by_name = dockerfile
        .stages
        .iter()
        .rposition(|stage| stage.name.as_deref() == Some(lower.as_str()));
    let by_number = || target.parse().ok().filter(|n| *n < dockerfile.stages.len());
    by_name
        .or_else(by_number)
        .ok_or_else(|| BuildError::Target {
            target: target.to_owned(),
            suggestion: nearest(&lower, names(dockerfile)),
        })
}

pub(super) fn names(dockerfile: &Dockerfile) -> impl Iterator<Item = &str> {
    dockerfile
        .stages
        .iter()
        .filter_map(|stage| stage.name.as_deref())
}

/// Makes plans.
pub(crate) struct Planner<'a> {
    pub(crate) dockerfile: &'a Dockerfile,
    pub(crate) input: &'a BuildInput,
    pub(crate) globals: &'a Globals,
    pub(crate) platform: &'a str,
    pub(crate) layers: &'a dyn Layers,
    /// Images resolved so far, by platform and reference.
    pub(crate) images: BTreeMap<(String, String), Arc<BaseImage>>,
}

impl Planner<'_> {
    /// Plans a target with everything that it needs.
    pub(crate) fn plan(mut self, target: usize) -> Result<Plan, BuildError> {
        let mut plan = Plan {
            stages: BTreeMap::new(),
            target,
            graph: DiGraphMap::new(),
        };
        let mut pending = vec![target];
        while let Some(index) = pending.pop() {
            if plan.stages.contains_key(&index) {
                continue;
            }
            let stage = self.stage(index)?;
            plan.graph.add_node(index);
            for needed in needs(&stage) {
                plan.graph.add_edge(needed, index, ());
                pending.push(needed);
            }
            plan.stages.insert(index, stage);
        }
        Ok(plan)
    }

    fn stage(&mut self, index: usize) -> Result<PlannedStage, BuildError> {
        let dockerfile = self.dockerfile;
        let stage = &dockerfile.stages[index];
        let fail = |failure| self.error(stage.span, &stage_line(stage), failure);
        let platform = match &stage.platform {
            None => self.platform.to_owned(),
            Some(word) => {
                let text = self.globals.expand(&word.text);
                let text = text.map_err(|error| fail(error.into()))?.text;
                check_platform(&text).map_err(|failure| fail(*failure))?
            }
        };
        let base = self
            .base(index, &platform)
            .map_err(|failure| self.error(stage.span, &stage_line(stage), failure))?;
        let triggers = self
            .triggers(&base)
            .map_err(|failure| self.error(stage.span, &stage_line(stage), failure))?
            .into_iter()
            .map(|trigger| Instruction {
                span: stage.span,
                ..trigger
            });
        let mut steps = Vec::new();
        if let Base::Directory(directory) = &base {
            steps.push(whole_directory(stage, directory));
        }
        for instruction in triggers.chain(stage.instructions.iter().cloned()) {
            let origins = self
                .origins(&instruction, index, &platform)
                .map_err(|failure| self.error(instruction.span, &instruction.text, failure))?;
            steps.push(PlannedStep {
                instruction,
                origins,
            });
        }
        Ok(PlannedStage {
            number: index,
            name: stage.name.clone().unwrap_or_else(|| index.to_string()),
            base,
            span: stage.span,
            platform,
            steps,
        })
    }

    fn error(&self, span: Span, text: &str, failure: StepFailure) -> BuildError {
        BuildError::Step(Box::new(StepError {
            place: self.dockerfile.source.place(span),
            text: text.to_owned(),
            failure,
            last_output: Vec::new(),
        }))
    }
}

/// Returns the stages that a stage reads.
fn needs(stage: &PlannedStage) -> Vec<usize> {
    let base = match stage.base {
        Base::Stage(index) => Some(index),
        _ => None,
    };
    let origins = stage.steps.iter().flat_map(|step| &step.origins);
    base.into_iter()
        .chain(origins.filter_map(|origin| match origin {
            Origin::Stage(index) => Some(*index),
            _ => None,
        }))
        .collect()
}

/// Returns a FROM line as it is shown.
pub(crate) fn stage_line(stage: &super::dockerfile::Stage) -> String {
    match &stage.name {
        Some(name) => format!("FROM {} AS {name}", stage.base.text),
        None => format!("FROM {}", stage.base.text),
    }
}

/// Checks the form of a platform.
pub(crate) fn check_platform(text: &str) -> Result<String, Box<StepFailure>> {
    let parts: Vec<&str> = text.split('/').collect();
    if (2..=3).contains(&parts.len()) && parts.iter().all(|part| !part.is_empty()) {
        return Ok(text.to_owned());
    }
    Err(Box::new(StepFailure::Value {
        what: "platform",
        value: text.to_owned(),
        rule: "must be os/architecture or os/architecture/variant",
    }))
}
