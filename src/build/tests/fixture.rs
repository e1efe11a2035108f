//! A project directory, a store and a runner for builds of tests.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        BuildError, BuildEvent, BuildHost, BuildInput, Engine, ImportedCache, Layers, MadeStep,
        Progress, build, files,
    },
    fakes::{Runner, Store},
};
use crate::{
    model::{Digest, ImageRecord},
    store::Root,
};

/// A context, a state root and what the last build said.
pub(super) struct Fixture {
    directory: tempfile::TempDir,
    pub(super) store: Store,
    pub(super) runner: Runner,
    pub(super) events: Mutex<Vec<BuildEvent>>,
    pub(super) engine: Engine,
    pub(super) cancel: CancellationToken,
    /// Caches that builds may use.
    pub(super) imports: Mutex<Vec<ImportedCache<'static>>>,
}

/// A finished build: the image and a merged view of it.
pub(super) struct Built {
    pub(super) record: ImageRecord,
    pub(super) config: Value,
    pub(super) steps: Vec<MadeStep>,
    store: PathBuf,
    directory: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        assert!(rustix::process::getuid().is_root(), "these tests need root");
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("context")).unwrap();
        let store = Store::new(directory.path().join("store"));
        Self {
            directory,
            store,
            runner: Runner::default(),
            events: Mutex::new(Vec::new()),
            engine: Engine::default(),
            cancel: CancellationToken::new(),
            imports: Mutex::default(),
        }
    }

    pub(super) fn root(&self) -> Root {
        Root::below(self.directory.path().join("state"))
    }

    pub(super) fn store_directory(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join("context").join(path)
    }

    pub(super) fn file(&self, path: &str, content: &str) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self
    }

    pub(super) fn mode(&self, path: &str, mode: u32) -> &Self {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(super) fn link(&self, path: &str, target: &str) -> &Self {
        std::os::unix::fs::symlink(target, self.path(path)).unwrap();
        self
    }

    pub(super) fn input(&self) -> BuildInput {
        BuildInput::new(self.path(""))
    }

    pub(super) fn host<'a>(
        &'a self,
        layers: &'a dyn Layers,
        root: &'a Root,
        progress: Progress<'a>,
    ) -> BuildHost<'a> {
        BuildHost {
            layers,
            root,
            runner: &self.runner,
            engine: &self.engine,
            cancel: &self.cancel,
            imports: &[],
            progress,
        }
    }

    /// Returns what the last build said of steps that were not cached.
    pub(super) fn changes(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let changes = events.iter().filter_map(|event| match event {
            BuildEvent::Changed { what, .. } => Some(what.clone()),
            _ => None,
        });
        changes.collect()
    }

    pub(super) fn try_build(&self, dockerfile: &str) -> Result<Built, BuildError> {
        self.try_build_with(dockerfile, |_| {})
    }

    pub(super) fn try_build_with(
        &self,
        dockerfile: &str,
        change: impl FnOnce(&mut BuildInput),
    ) -> Result<Built, BuildError> {
        self.file("Dockerfile", dockerfile);
        let mut input = self.input();
        change(&mut input);
        let built = self.try_build_input(&input);
        let left = fs::read_dir(self.root().tmp()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "litter in tmp/");
        built
    }

    /// Builds what is there.
    pub(super) fn try_build_input(&self, input: &BuildInput) -> Result<Built, BuildError> {
        self.events.lock().unwrap().clear();
        let progress = |event| self.events.lock().unwrap().push(event);
        let root = self.root();
        let imports = self.imports.lock().unwrap();
        let host = BuildHost {
            imports: &imports,
            ..self.host(&self.store, &root, &progress)
        };
        let built = build(input, host);
        drop(imports);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = self.directory.path().to_str().unwrap();
        assert!(!mounts.contains(ours), "a mount was left");
        let built = built?;
        let config = self.store.config(&built.image).unwrap();
        Ok(Built {
            record: built.image,
            steps: built.steps,
            store: self.store_directory(),
            config,
            directory: tempfile::tempdir().unwrap(),
        })
    }

    pub(super) fn build(&self, dockerfile: &str) -> Built {
        match self.try_build(dockerfile) {
            Ok(built) => built,
            Err(error) => panic!("{}", chain(&error)),
        }
    }

    pub(super) fn error(&self, dockerfile: &str) -> String {
        match self.try_build(dockerfile) {
            Ok(_) => panic!("the build succeeded"),
            Err(error) => chain(&error),
        }
    }

    /// Returns the shown steps of the last build as `CACHED text` or `done text`.
    pub(super) fn steps(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let mut names = BTreeMap::new();
        let mut steps = Vec::new();
        for event in events.iter() {
            match event {
                BuildEvent::Started { step } => drop(names.insert(step.id, step.text.clone())),
                BuildEvent::Cached { step } => steps.push(format!("CACHED {}", names[step])),
                BuildEvent::Done { step, .. } => steps.push(format!("done {}", names[step])),
                _ => {}
            }
        }
        steps
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter_map(|event| match event {
                BuildEvent::Warning { text } => Some(text.clone()),
                _ => None,
            })
            .collect()
    }
}

pub(super) fn chain(error: &BuildError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl Built {
    /// Returns the directory of a layer that the build made.
    pub(super) fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.store.join(diff_id.hex())
    }

    /// Lists a path of the merged image: `kind mode uid:gid path[ -> target]`, below a directory each entry.
    pub(super) fn list(&self, path: &str) -> Vec<String> {
        let empty = self.directory.path().join("empty");
        fs::create_dir_all(&empty).unwrap();
        let mut lowers = self.record.layers.clone();
        lowers.resize(lowers.len().max(1) + 1, empty);
        let merged = files::mount(&lowers, None).unwrap();
        let root = PathBuf::from(format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&merged)
        ));
        let mut lines = Vec::new();
        list(&root, Path::new(path.trim_start_matches('/')), &mut lines);
        lines
    }

    pub(super) fn read(&self, path: &str) -> String {
        let path = path.trim_start_matches('/');
        for layer in &self.record.layers {
            if let Ok(text) = fs::read_to_string(layer.join(path)) {
                return text;
            }
        }
        panic!("{path} is in no layer");
    }

    pub(super) fn stat(&self, path: &str) -> fs::Metadata {
        let path = path.trim_start_matches('/');
        let found = |layer: &PathBuf| fs::symlink_metadata(layer.join(path)).ok();
        self.record.layers.iter().find_map(found).unwrap()
    }
}

fn list(root: &Path, path: &Path, lines: &mut Vec<String>) {
    let whole = root.join(path);
    let Ok(stat) = fs::symlink_metadata(&whole) else {
        lines.push(format!("- /{}", path.display()));
        return;
    };
    let kind = match stat.mode() & libc::S_IFMT {
        libc::S_IFDIR => 'd',
        libc::S_IFREG => 'f',
        libc::S_IFLNK => 'l',
        libc::S_IFIFO => 'p',
        _ => '?',
    };
    let target = fs::read_link(&whole).map_or(String::new(), |to| format!(" -> {}", to.display()));
    let mode = stat.mode() & 0o7777;
    let (uid, gid) = (stat.uid(), stat.gid());
    lines.push(format!(
        "{kind} {mode:o} {uid}:{gid} /{}{target}",
        path.display()
    ));
    if kind == 'd' {
        let mut names: Vec<_> = fs::read_dir(&whole)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        for name in names {
            list(root, &path.join(name), lines);
        }
    }
}

/// A base image config with what tests need.
pub(super) fn base_config(config: &Value) -> Value {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2020-02-02T02:02:02Z",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [] },
        "history": [],
    })
}
