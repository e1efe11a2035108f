//! Runs one stage: instruction by instruction, each on the result of the one before.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    cache::Cache,
    dockerfile::{Dockerfile, Instruction, InstructionKind, Span},
    document::{Document, epoch_time},
    engine::Engine,
    error::{BuildError, StepError, StepFailure},
    event::{BuildEvent, Progress, StepName},
    exchange::CachedStep,
    explain::History,
    files::{Tree, mount},
    ignore::Ignore,
    imports::{Awaited, Imports},
    input::BuildInput,
    layers::{Layer, Layers},
    plan::{Base, PlannedStage, PlannedStep},
    runner::StepRunner,
    scope::{Args, Globals, Scope},
    vertex::Held,
    workspace::{StepRoom, Workspace},
};
use crate::model::{Digest, Timestamp};

/// What all stages of one build share.
pub(crate) struct Builder<'a> {
    pub(crate) input: &'a BuildInput,
    pub(crate) dockerfile: &'a Dockerfile,
    pub(crate) globals: &'a Globals,
    pub(crate) layers: &'a dyn Layers,
    pub(crate) runner: &'a dyn StepRunner,
    pub(crate) cache: &'a Cache,
    pub(crate) workspace: &'a Workspace,
    pub(crate) ignore: &'a Ignore,
    /// SOURCE_DATE_EPOCH in seconds.
    pub(crate) epoch: Option<i64>,
    pub(crate) progress: Progress<'a>,
    pub(crate) next_id: AtomicUsize,
    /// What is shared with other builds.
    pub(crate) engine: &'a Engine,
    /// Cancelled when the build does not matter any more, or when one of its stages has failed.
    pub(crate) cancel: &'a CancellationToken,
    /// Why steps are not cached.
    pub(crate) history: &'a History,
    /// Caches that were made elsewhere.
    pub(crate) imports: &'a Imports<'a>,
    /// What was made or found so far, with the number of its stage.
    pub(crate) made: Mutex<Vec<(usize, CachedStep)>>,
}

/// The result of a stage so far.
#[derive(Debug, Clone)]
pub(crate) struct StageState {
    /// The lowest first.
    pub(crate) layers: Vec<Layer>,
    pub(crate) document: Document,
    /// ARGs that it declared, for stages that begin with it.
    pub(crate) args: Args,
}

impl StageState {
    /// Digests the diff ids: what the filesystem holds.
    pub(crate) fn chain(&self) -> String {
        let mut sum = Sha256::new();
        for layer in &self.layers {
            sum.update(layer.diff_id.as_str());
            sum.update("\n");
        }
        Digest::from_sha256(&sum.finalize().into())
            .as_str()
            .to_owned()
    }
}

/// A stage while it runs.
pub(crate) struct StageRun<'a> {
    pub(crate) builder: &'a Builder<'a>,
    pub(crate) stage: &'a PlannedStage,
    /// Results of the stages that this one needs.
    pub(crate) inputs: &'a BTreeMap<usize, StageState>,
    pub(crate) state: StageState,
    pub(crate) scope: Scope,
    pub(super) number: usize,
    total: usize,
    pub(super) use_cache: bool,
    pub(super) held: RefCell<Held>,
}

/// A step that was announced and is not over.
#[derive(Debug)]
pub(crate) struct ActiveStep {
    pub(crate) id: usize,
    pub(super) started: Instant,
}

/// What a layer-making step needs to know of the instruction it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) instruction: &'a Instruction,
    pub(crate) step: &'a ActiveStep,
}

impl<'a> Builder<'a> {
    /// Runs a stage.
    pub(crate) fn stage(
        &'a self,
        stage: &'a PlannedStage,
        inputs: &'a BTreeMap<usize, StageState>,
    ) -> Result<StageState, BuildError> {
        let state = match &stage.base {
            Base::Scratch | Base::Directory(_) => StageState {
                layers: Vec::new(),
                document: Document::scratch(&stage.platform),
                args: Args::new(),
            },
            Base::Stage(index) => {
                let base = &inputs[index];
                StageState {
                    layers: base.layers.clone(),
                    document: base.document.inherited(),
                    args: base.args.clone(),
                }
            }
            Base::Image(image) => StageState {
                layers: image_layers(image),
                document: Document::of_base(&image.config),
                args: Args::new(),
            },
        };
        let steps = stage.steps.iter().filter(|step| is_shown(step)).count();
        let from_image = matches!(stage.base, Base::Image(_));
        let filter = &self.input.no_cache_filter;
        let mut run = StageRun {
            builder: self,
            stage,
            inputs,
            scope: Scope::new(self.globals, state.document.env()).inherit(state.args.clone()),
            state,
            number: 0,
            total: steps + usize::from(from_image),
            use_cache: !self.input.no_cache && !filter.contains(&stage.name),
            held: RefCell::default(),
        };
        // The triggers of the base were planned as steps of this stage.
        drop(run.state.document.take_triggers());
        if let Base::Image(image) = &stage.base {
            let short = image.record.id.short();
            let base = run.begin(&format!("FROM {} ({short})", stage_base(self, stage)));
            (self.progress)(BuildEvent::Cached { step: base.id });
        }
        for step in &stage.steps {
            run.step(step)?;
        }
        run.state.args.clone_from(run.scope.args());
        Ok(run.state)
    }

    /// Returns the directories of layers for overlayfs: the topmost first, at least one.
    pub(crate) fn lowers(&self, layers: &[Layer]) -> Result<Vec<PathBuf>, StepFailure> {
        if layers.is_empty() {
            return Ok(vec![self.workspace.empty().to_owned()]);
        }
        // overlayfs takes a directory only once; of a layer that lies twice in an image the upper one covers the lower.
        let mut seen = BTreeSet::new();
        let mut lowers = Vec::new();
        for layer in layers.iter().rev() {
            let path = self.path(layer)?;
            if seen.insert(path.clone()) {
                lowers.push(path);
            }
        }
        Ok(lowers)
    }

    /// Returns the directory of a layer, waiting for it where it comes from a cache.
    pub(crate) fn path(&self, layer: &Layer) -> Result<PathBuf, StepFailure> {
        if let Some(path) = &layer.path {
            return Ok(path.clone());
        }
        match self.imports.wait(&layer.diff_id, self.cancel) {
            Awaited::Here => {}
            Awaited::Lost => return Err(StepFailure::LostLayer),
            Awaited::Cancelled => return Err(StepFailure::Cancelled),
        }
        let path = self.layers.layer(&layer.diff_id);
        path.map_err(StepFailure::Commit)?
            .ok_or(StepFailure::LostLayer)
    }

    /// Opens the merged view of layers for reading.
    pub(crate) fn merged(&self, layers: &[Layer], name: &str) -> Result<Tree, StepFailure> {
        if layers.is_empty() {
            return Ok(Tree::open(self.workspace.empty())?);
        }
        let mut lowers = self.lowers(layers)?;
        // Without an upper, overlayfs wants two.
        lowers.push(self.workspace.empty().to_owned());
        Ok(Tree::of_mount(mount(&lowers, None)?, name))
    }

    /// Notes that a stage consists of a step.
    pub(super) fn note_made(&self, stage: usize, step: CachedStep) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.push((stage, step));
    }

    /// Returns the time of a layer made now.
    pub(super) fn now(&self) -> Timestamp {
        if let Some(seconds) = self.epoch {
            return epoch_time(seconds);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = now.map_or(0, |now| now.as_millis());
        Timestamp(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// Returns the layers of an image, the lowest first.
pub(crate) fn image_layers(image: &super::plan::BaseImage) -> Vec<Layer> {
    let record = &image.record;
    // Layers below an opaque root are not mounted and have no path: what stands for them is hidden as they are.
    let hidden = record.diff_ids.len().saturating_sub(record.layers.len());
    let lowest = record.layers.last();
    let paths = std::iter::repeat_n(lowest, hidden)
        .flatten()
        .chain(record.layers.iter().rev());
    record
        .diff_ids
        .iter()
        .zip(paths)
        .map(|(diff_id, path)| Layer {
            diff_id: diff_id.clone(),
            path: Some(path.clone()),
        })
        .collect()
}

fn stage_base(builder: &Builder<'_>, stage: &PlannedStage) -> String {
    let place = builder.dockerfile.source.place(stage.span);
    let base = place
        .line
        .split_whitespace()
        .find(|word| !word.starts_with("--") && !word.eq_ignore_ascii_case("from"));
    base.map_or_else(String::new, |base| {
        let expanded = builder.globals.expand(base);
        expanded.map_or_else(|_| base.to_owned(), |expanded| expanded.text)
    })
}

/// Whether a step does something that takes time.
fn is_shown(step: &PlannedStep) -> bool {
    matches!(
        step.instruction.kind,
        InstructionKind::Run(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Add(_)
            | InstructionKind::Workdir(_)
    )
}

impl StageRun<'_> {
    fn step(&mut self, step: &PlannedStep) -> Result<(), BuildError> {
        let instruction = &step.instruction;
        if !is_shown(step) {
            return self
                .meta(instruction)
                .map_err(|failure| self.error(instruction, failure, Vec::new()));
        }
        let active = self.begin(&instruction.text);
        let context = Context {
            instruction,
            step: &active,
        };
        let mut output = Vec::new();
        self.refuse_cancelled()
            .map_err(|failure| self.error(instruction, failure, Vec::new()))?;
        let result = match &instruction.kind {
            InstructionKind::Copy(copy) => self.copy(context, copy, &step.origins[0]),
            InstructionKind::Add(add) => self.add(context, add),
            InstructionKind::Run(run) => self.run(context, run, &step.origins, &mut output),
            InstructionKind::Workdir(path) => self.workdir(context, path),
            _ => Ok(()),
        };
        self.release();
        result.map_err(|failure| {
            (self.builder.progress)(match failure {
                // The build starts over.
                StepFailure::Cancelled | StepFailure::LostLayer => {
                    BuildEvent::Cancelled { step: active.id }
                }
                _ => BuildEvent::Failed { step: active.id },
            });
            self.error(instruction, failure, output)
        })
    }

    fn error(
        &self,
        instruction: &Instruction,
        failure: StepFailure,
        last_output: Vec<String>,
    ) -> BuildError {
        let dockerfile = self.builder.dockerfile;
        let span = match &failure {
            // These know a better place than the whole instruction, and already carry it.
            StepFailure::Syntax(error) => {
                return BuildError::Step(Box::new(StepError {
                    place: error.place.clone(),
                    text: instruction.text.clone(),
                    failure,
                    last_output,
                }));
            }
            _ => instruction.span,
        };
        BuildError::Step(Box::new(StepError {
            place: dockerfile.source.place(span),
            text: instruction.text.clone(),
            failure,
            last_output,
        }))
    }

    fn begin(&mut self, text: &str) -> ActiveStep {
        self.number += 1;
        let id = self.builder.next_id.fetch_add(1, Ordering::Relaxed);
        self.held.get_mut().begin(id, text);
        (self.builder.progress)(BuildEvent::Started {
            step: StepName {
                id,
                stage: self.stage.name.clone(),
                number: self.number,
                total: self.total,
                text: text.to_owned(),
            },
        });
        ActiveStep {
            id,
            started: Instant::now(),
        }
    }

    /// Says that something works but deserves a look.
    pub(crate) fn warn(&self, span: Span, text: &str) {
        let place = self.builder.dockerfile.source.place(span);
        (self.builder.progress)(BuildEvent::Warning {
            text: format!("{place}: {text}"),
        });
    }

    /// Makes scratch directories for a step: its room, upper and work. The upper's root looks like the root of the layer below,
    /// because it becomes the root of the merged view.
    pub(crate) fn room(
        &self,
        layers: &[Layer],
    ) -> Result<(StepRoom, PathBuf, PathBuf), StepFailure> {
        let below = layers.last().map(|layer| self.builder.path(layer));
        let below = below.transpose()?;
        self.executes()?;
        let make = || {
            let room = self.builder.workspace.step()?;
            let upper = room.directory("upper")?;
            let work = room.directory("work")?;
            let (mode, uid, gid) = match &below {
                None => (0o755, 0, 0),
                Some(path) => {
                    use std::os::unix::fs::MetadataExt;
                    let root = fs_err::metadata(path)?;
                    (root.mode() & 0o7777, root.uid(), root.gid())
                }
            };
            std::os::unix::fs::chown(&upper, Some(uid), Some(gid))?;
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs_err::set_permissions(&upper, permissions)?;
            Ok((room, upper, work))
        };
        make().map_err(StepFailure::Prepare)
    }
}
