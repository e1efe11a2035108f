//! One build from beginning to end.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Mutex, PoisonError, atomic::AtomicUsize},
};

use tokio_util::sync::CancellationToken;

use super::{
    cache::Cache,
    dockerfile::{self, Dockerfile, InstructionKind},
    engine::Engine,
    error::{BuildError, StepFailure},
    event::{BuildEvent, Progress},
    exchange::{self, CachedStep, ImportedCache, MadeStep},
    explain::History,
    fetch::read_context_file,
    ignore::Ignore,
    imports::Imports,
    input::{BuildInput, DockerfileSource, ignore_beside},
    layers::Layers,
    plan::{Plan, Planner, check_platform, find_target},
    review::{Reviewed, review},
    runner::StepRunner,
    schedule,
    scope::{Globals, is_proxy},
    stage::{Builder, StageState},
    workspace::Workspace,
};
use crate::{
    model::{Digest, ImageRecord},
    store::Root,
};

/// Largest Dockerfile or ignore file in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 16 << 20;
/// Stages of one build that are in work at the same time.
const STAGES_MAX: usize = 32;

/// What a build works with.
#[derive(Clone, Copy)]
pub struct BuildHost<'a> {
    /// The image store.
    pub layers: &'a dyn Layers,
    /// The state root.
    pub root: &'a Root,
    /// Runs the processes of RUN.
    pub runner: &'a dyn StepRunner,
    /// What is shared with other builds.
    pub engine: &'a Engine,
    /// Cancel it to stop the build: running steps are killed, finished ones stay in the cache.
    pub cancel: &'a CancellationToken,
    /// Caches that were made elsewhere, asked after the own one in this order.
    pub imports: &'a [ImportedCache<'a>],
    /// Is told what happens.
    pub progress: Progress<'a>,
}

/// A finished build.
#[derive(Debug, Clone)]
pub struct Built {
    /// The image.
    pub image: ImageRecord,
    /// Every step that was made or found in a cache, stage by stage: what a cache for others consists of.
    pub steps: Vec<MadeStep>,
}

impl std::fmt::Debug for BuildHost<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildHost")
            .field("root", self.root)
            .finish_non_exhaustive()
    }
}

/// Builds an image and tags it. Blocks; an interrupted build leaves only litter in `tmp/`, which the next one removes.
pub fn build(input: &BuildInput, host: BuildHost<'_>) -> Result<Built, BuildError> {
    let (dockerfile, ignore) = read(input)?;
    warn(&dockerfile, input, host.progress);
    let target = find_target(&dockerfile, input.target.as_deref())?;
    let platform = platform(input)?;
    let globals = globals(&dockerfile, input, &platform, target)?;
    let planner = Planner {
        dockerfile: &dockerfile,
        input,
        globals: &globals,
        platform: &platform,
        layers: host.layers,
        images: BTreeMap::new(),
    };
    let plan = planner.plan(target)?;
    let findings = review(&Reviewed {
        input,
        dockerfile: &dockerfile,
        ignore: &ignore,
        globals: &globals,
        platform: &platform,
        layers: host.layers,
    })?;
    let workspace = Workspace::create(&host.root.tmp()).map_err(BuildError::Workspace)?;
    let cache = Cache::open(host.root);
    let history = History::open(host.root, input);
    let imports = Imports::new(host.imports);
    let (epoch, mut first_id) = (epoch(input)?, 0);
    let result = loop {
        // A failed stage stops the others, but not whoever shares the caller's token.
        let cancel = host.cancel.child_token();
        let builder = Builder {
            input,
            dockerfile: &dockerfile,
            globals: &globals,
            layers: host.layers,
            runner: host.runner,
            cache: &cache,
            workspace: &workspace,
            ignore: &ignore,
            epoch,
            progress: host.progress,
            next_id: AtomicUsize::new(first_id),
            engine: host.engine,
            cancel: &cancel,
            history: &history,
            imports: &imports,
            made: Mutex::default(),
        };
        let (result, lost) = imports.serve(host.progress, || run(&builder, &plan));
        if !lost || is_final(&result) {
            break result.map(|state| (state, made(&builder, &plan)));
        }
        // Each time round something more is known to be lost.
        first_id = builder.next_id.into_inner();
    };
    cache.save_contexts();
    history.save(crate::store::now().0);
    for path in cache.take_malformed() {
        (host.progress)(BuildEvent::Warning {
            text: format!("`{}` is not a valid record and was ignored", path.display()),
        });
    }
    for finding in &findings {
        (host.progress)(BuildEvent::Warning {
            text: finding.to_string(),
        });
    }
    let (state, steps) = result?;
    let image = finish(input, host.layers, (&state, &steps), epoch)?;
    Ok(Built { image, steps })
}

/// Whether a build during which a layer was lost ended for another reason.
fn is_final(result: &Result<StageState, BuildError>) -> bool {
    match result {
        Ok(_) => false,
        Err(BuildError::Step(error)) => !matches!(error.failure, StepFailure::LostLayer),
        Err(_) => true,
    }
}

/// Runs the planned stages and returns the target's result.
fn run(builder: &Builder<'_>, plan: &Plan) -> Result<StageState, BuildError> {
    let needs = plan
        .stages
        .keys()
        .map(|stage| (*stage, plan.needs(*stage)))
        .collect();
    // Stages mostly wait; what works at the same time is bounded by the engine's slots.
    let threads = plan.stages.len().min(STAGES_MAX);
    let mut done = schedule::run(
        needs,
        threads,
        |stage, inputs| builder.stage(&plan.stages[&stage], inputs),
        || builder.cancel.cancel(),
    )?;
    Ok(done
        .remove(&plan.target)
        .expect("the target is a stage of its own plan"))
}

/// Makes the image of the target's result and of the steps that led to it.
fn finish(
    input: &BuildInput,
    layers: &dyn Layers,
    (state, steps): (&StageState, &[MadeStep]),
    epoch: Option<i64>,
) -> Result<ImageRecord, BuildError> {
    let mut document = state.document.clone();
    for (name, value) in &input.labels {
        document.set_label(name, value);
    }
    let diff_ids: Vec<Digest> = state
        .layers
        .iter()
        .map(|layer| layer.diff_id.clone())
        .collect();
    let mut config = document.finish(&diff_ids, epoch);
    if input.inline_cache {
        let own = steps.iter().filter(|made| made.in_image);
        let own: Vec<CachedStep> = own.map(|made| made.step.clone()).collect();
        exchange::add_inline(&mut config, &own);
    }
    layers
        .commit_image(&config, &diff_ids, &input.tags)
        .map_err(BuildError::Commit)
}

/// Lists what was made or found, always in the same order, although stages run at the same time.
fn made(builder: &Builder<'_>, plan: &Plan) -> Vec<MadeStep> {
    let of_image = plan.of_image();
    let mut made = builder.made.lock().unwrap_or_else(PoisonError::into_inner);
    made.sort_by_key(|(stage, _)| *stage);
    let steps = made.drain(..).map(|(stage, step)| MadeStep {
        step,
        in_image: of_image.contains(&stage),
    });
    steps.collect()
}

/// Reads the Dockerfile and the ignore file.
pub(super) fn read(input: &BuildInput) -> Result<(Dockerfile, Ignore), BuildError> {
    let (dockerfile, path) = match &input.dockerfile {
        DockerfileSource::Inline { name, text } => {
            (dockerfile::parse(name, text.as_bytes())?, None)
        }
        DockerfileSource::Path(path) => {
            let bytes = read_of(input, path)?.ok_or_else(|| BuildError::Read {
                path: input.context.join(path).display().to_string(),
                source: io::ErrorKind::NotFound.into(),
            })?;
            let name = path.display().to_string();
            (dockerfile::parse(&name, &bytes)?, Some(path.as_path()))
        }
    };
    let ignore = ignore_beside(path, |path| read_of(input, path))?;
    Ok((dockerfile, ignore))
}

/// Reads a file that lies in the context; with a context of this machine it may lie elsewhere too.
fn read_of(input: &BuildInput, path: &Path) -> Result<Option<Vec<u8>>, BuildError> {
    if input.is_fetched(&input.context) && path.is_relative() {
        return read_context_file(&input.context, path);
    }
    read_file(&input.context.join(path))
}

/// Reads a small file; `None` = there is none.
pub(super) fn read_file(path: &Path) -> Result<Option<Vec<u8>>, BuildError> {
    let fail = |source| BuildError::Read {
        path: path.display().to_string(),
        source,
    };
    match fs_err::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail(error)),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            Err(fail(io::ErrorKind::FileTooLarge.into()))
        }
        Ok(metadata) if !metadata.is_file() => Err(fail(io::ErrorKind::InvalidInput.into())),
        Ok(_) => fs_err::read(path).map(Some).map_err(fail),
    }
}

/// Reports arguments that nothing declares.
fn warn(dockerfile: &Dockerfile, input: &BuildInput, progress: Progress<'_>) {
    let stages = dockerfile
        .stages
        .iter()
        .flat_map(|stage| &stage.instructions);
    let declared: Vec<&str> = stages
        .filter_map(|instruction| match &instruction.kind {
            InstructionKind::Arg(definitions) => Some(definitions),
            _ => None,
        })
        .flatten()
        .chain(&dockerfile.global_args)
        .map(|definition| definition.name.text.as_str())
        .collect();
    for name in input.args.keys() {
        let known = declared.contains(&name.as_str())
            || is_proxy(name)
            || name == "SOURCE_DATE_EPOCH"
            || ["BUILDKIT_", "BUILD", "TARGET"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
        if !known {
            let text = format!("build argument `{name}` is not declared by any ARG");
            progress(BuildEvent::Warning { text });
        }
    }
}

pub(super) fn platform(input: &BuildInput) -> Result<String, BuildError> {
    match &input.platform {
        None => Ok(host_platform().to_owned()),
        Some(text) => check_platform(text).map_err(|_failure| BuildError::Platform(text.clone())),
    }
}

/// Returns the platform of this program, as images name it.
pub(super) fn host_platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        "arm" => "linux/arm/v7",
        "riscv64" => "linux/riscv64",
        "powerpc64" => "linux/ppc64le",
        "s390x" => "linux/s390x",
        _ => "linux/unknown",
    }
}

pub(super) fn globals(
    dockerfile: &Dockerfile,
    input: &BuildInput,
    platform: &str,
    target: usize,
) -> Result<Globals, BuildError> {
    let stage = dockerfile.stages[target]
        .name
        .as_deref()
        .unwrap_or("default");
    let escape = dockerfile.escape();
    let mut globals = Globals::new(&input.args, host_platform(), platform, stage, escape);
    for definition in &dockerfile.global_args {
        globals.declare(definition).map_err(|error| {
            let span = definition.name.span;
            BuildError::Step(Box::new(super::error::StepError {
                place: dockerfile.source.place(span),
                text: format!("ARG {}", definition.name.text),
                failure: error.into(),
                last_output: Vec::new(),
            }))
        })?;
    }
    Ok(globals)
}

/// SOURCE_DATE_EPOCH: a build argument wins over what the caller found elsewhere.
fn epoch(input: &BuildInput) -> Result<Option<i64>, BuildError> {
    match input.args.get("SOURCE_DATE_EPOCH").map(String::as_str) {
        None | Some("") => Ok(input.source_date_epoch),
        Some(text) => match text.parse() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_not_a_number) => Err(BuildError::Epoch(text.to_owned())),
        },
    }
}
