//! A project directory, a store and a runner for builds of tests.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Mutex,
};

use runtime::spec::{ContainerSpec, ExitStatus, Rootfs};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::{
    BuildError, BuildEvent, BuildInput, Layer, Layers, LayersError, RunnerError, StepRunner, build,
    files,
};
use crate::{
    model::{Digest, ImageConfig, ImageRecord, Timestamp},
    store::Root,
};

/// A context, a state root and what the last build said.
pub(super) struct Fixture {
    directory: tempfile::TempDir,
    pub(super) store: Store,
    pub(super) runner: Runner,
    pub(super) events: Mutex<Vec<BuildEvent>>,
}

/// A finished build: the image and a merged view of it.
pub(super) struct Built {
    pub(super) record: ImageRecord,
    pub(super) config: Value,
    directory: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        assert!(rustix::process::getuid().is_root(), "these tests need root");
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("context")).unwrap();
        let store = Store {
            directory: directory.path().join("store"),
            images: Mutex::new(BTreeMap::new()),
            remote: Mutex::new(BTreeMap::new()),
            pulled: Mutex::new(Vec::new()),
        };
        fs::create_dir(&store.directory).unwrap();
        Self {
            directory,
            store,
            runner: Runner::default(),
            events: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn root(&self) -> Root {
        Root::below(self.directory.path().join("state"))
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
        self.events.lock().unwrap().clear();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let record = build(
            &input,
            &self.store,
            &self.root(),
            &self.runner,
            &|event| self.events.lock().unwrap().push(event),
        );
        assert_eq!(
            fs::read_to_string("/proc/self/mountinfo").unwrap(),
            mounts,
            "a mount was left or seen"
        );
        let left = fs::read_dir(self.root().tmp()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "litter in tmp/");
        let record = record?;
        let config = self.store.config(&record).unwrap();
        Ok(Built {
            record,
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
    lines.push(format!("{kind} {mode:o} {uid}:{gid} /{}{target}", path.display()));
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

/// Images and layers in a directory.
pub(super) struct Store {
    directory: PathBuf,
    images: Mutex<BTreeMap<String, (ImageRecord, Value)>>,
    /// What a registry would have.
    remote: Mutex<BTreeMap<String, Value>>,
    pub(super) pulled: Mutex<Vec<String>>,
}

impl Store {
    /// Makes an image without layers that a pull of `reference` would find.
    pub(super) fn offer(&self, reference: &str, config: Value) {
        let mut remote = self.remote.lock().unwrap();
        remote.insert(reference.to_owned(), config);
    }

    pub(super) fn forget_layers(&self) {
        for entry in fs::read_dir(&self.directory).unwrap() {
            fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
    }
}

impl Layers for Store {
    fn find(&self, reference: &str, _: &str) -> Result<Option<ImageRecord>, LayersError> {
        let images = self.images.lock().unwrap();
        Ok(images.get(reference).map(|(record, _)| record.clone()))
    }

    fn pull(&self, reference: &str, _: &str) -> Result<ImageRecord, LayersError> {
        self.pulled.lock().unwrap().push(reference.to_owned());
        let config = self.remote.lock().unwrap().get(reference).cloned();
        let config = config.ok_or_else(|| LayersError::new("manifest unknown"))?;
        self.commit_image(&config, &[], &[reference.to_owned()])
    }

    fn config(&self, image: &ImageRecord) -> Result<Value, LayersError> {
        let images = self.images.lock().unwrap();
        let found = images.values().find(|(record, _)| record.id == image.id);
        Ok(found.unwrap().1.clone())
    }

    fn layer(&self, diff_id: &Digest) -> Result<Option<PathBuf>, LayersError> {
        let path = self.directory.join(diff_id.hex());
        Ok(path.exists().then_some(path))
    }

    fn commit_layer(&self, upper: &Path) -> Result<Layer, LayersError> {
        let mut sum = Sha256::new();
        hash(upper, upper, &mut sum);
        let diff_id = Digest::from_sha256(&sum.finalize().into());
        let path = self.directory.join(diff_id.hex());
        if !path.exists() {
            fs::rename(upper, &path).unwrap();
        }
        Ok(Layer { diff_id, path })
    }

    fn commit_image(
        &self,
        config: &Value,
        diff_ids: &[Digest],
        tags: &[String],
    ) -> Result<ImageRecord, LayersError> {
        let record = ImageRecord {
            id: Digest::from_sha256(&Sha256::digest(config.to_string()).into()),
            manifest: None,
            config: ImageConfig::default(),
            platform: "linux/amd64".to_owned(),
            layers: diff_ids
                .iter()
                .rev()
                .map(|diff_id| self.directory.join(diff_id.hex()))
                .collect(),
            diff_ids: diff_ids.to_vec(),
            created: Timestamp(0),
            size_bytes: 0,
        };
        let mut images = self.images.lock().unwrap();
        images.insert(record.id.to_string(), (record.clone(), config.clone()));
        for tag in tags {
            images.insert(tag.clone(), (record.clone(), config.clone()));
        }
        Ok(record)
    }
}

/// Hashes what a tar stream would hold, times included.
fn hash(root: &Path, path: &Path, sum: &mut Sha256) {
    let stat = fs::symlink_metadata(path).unwrap();
    let relative = path.strip_prefix(root).unwrap().display();
    let (mode, uid, gid, time) = (stat.mode(), stat.uid(), stat.gid(), stat.mtime());
    sum.update(format!("{relative} {mode:o} {uid} {gid} {time} {}\n", stat.mtime_nsec()));
    if stat.is_dir() {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        names.iter().for_each(|path| hash(root, path, sum));
    } else if stat.is_file() {
        sum.update(fs::read(path).unwrap());
    } else if stat.is_symlink() {
        sum.update(fs::read_link(path).unwrap().as_os_str().as_encoded_bytes());
    }
}

/// Runs the commands `write PATH TEXT…`, `remove PATH`, `mkdir PATH`, `say TEXT…`, `exit N`, separated by ` && `, in the merged root.
#[derive(Default)]
pub(super) struct Runner {
    pub(super) specs: Mutex<Vec<ContainerSpec>>,
}

impl Runner {
    pub(super) fn last(&self) -> ContainerSpec {
        self.specs.lock().unwrap().last().unwrap().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.specs.lock().unwrap().len()
    }
}

impl StepRunner for Runner {
    fn run(
        &self,
        spec: ContainerSpec,
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<ExitStatus, RunnerError> {
        self.specs.lock().unwrap().push(spec.clone());
        let Rootfs::Overlay {
            lowers,
            upper,
            work,
            mount_point,
        } = &spec.rootfs
        else {
            panic!("RUN needs an overlay");
        };
        assert!(mount_point.is_dir());
        let merged = files::mount(lowers, Some((upper, work))).unwrap();
        let root = PathBuf::from(format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&merged)
        ));
        for mount in &spec.mounts {
            if !mount.target.starts_with("/dev/") {
                assert!(
                    root.join(mount.target.trim_start_matches('/')).exists(),
                    "no mount point {}",
                    mount.target
                );
            }
        }
        let script = spec.process.argv.last().unwrap().clone();
        let mut code = 0;
        for command in script.split(" && ").map(str::trim) {
            let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
            let (path, text) = rest.split_once(' ').unwrap_or((rest, ""));
            let target = root.join(path.trim_start_matches('/'));
            match name {
                "write" => fs::write(target, text).unwrap(),
                "remove" => fs::remove_file(target).unwrap(),
                "mkdir" => fs::create_dir(target).unwrap(),
                "say" => output(format!("{rest}\n").as_bytes()),
                "exit" => code = rest.parse().unwrap(),
                "missing" => {
                    return Err(RunnerError {
                        message: "execute missing: no such file in the container".to_owned(),
                        code: 127,
                    });
                }
                _ => {}
            }
        }
        Ok(ExitStatus {
            code,
            signal: None,
            oom_killed: false,
            requested: false,
        })
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
