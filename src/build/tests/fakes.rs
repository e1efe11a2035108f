//! A store in a directory, and a runner that understands a few commands.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use runtime::spec::{ContainerSpec, Device, DeviceAccess, ExitStatus, Rootfs};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::super::{
    Layer, Layers, LayersError, RunnerError, StepDevice, StepNetwork, StepNetworkError, StepRunner,
    Write, files,
};
use crate::image::{DownloadError, Downloaded};
use crate::model::{Digest, ImageConfig, ImageRecord, Timestamp};

/// Images and layers in a directory.
pub(super) struct Store {
    directory: PathBuf,
    images: Mutex<BTreeMap<String, (ImageRecord, Value)>>,
    /// What a registry would have.
    remote: Mutex<BTreeMap<String, Value>>,
    pub(super) pulled: Mutex<Vec<String>>,
}

impl Store {
    pub(super) fn new(directory: PathBuf) -> Self {
        fs::create_dir(&directory).unwrap();
        Self {
            directory,
            images: Mutex::default(),
            remote: Mutex::default(),
            pulled: Mutex::default(),
        }
    }

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
        Ok(Layer {
            diff_id,
            path: Some(path),
        })
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
    sum.update(format!(
        "{relative} {mode:o} {uid} {gid} {time} {}\n",
        stat.mtime_nsec()
    ));
    if stat.is_dir() {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        for path in &names {
            hash(root, path, sum);
        }
    } else if stat.is_file() {
        sum.update(fs::read(path).unwrap());
    } else if stat.is_symlink() {
        sum.update(fs::read_link(path).unwrap().as_os_str().as_encoded_bytes());
    }
}

/// Runs the commands `write PATH TEXT…`, `remove PATH`, `mkdir PATH`, `say TEXT…`, `exit N`, separated by ` && `, in the merged root.
///
/// `wait` waits until it is cancelled, once somebody else does `meet`.
pub(super) struct Runner {
    pub(super) specs: Mutex<Vec<ContainerSpec>>,
    /// What servers have, by address.
    pub(super) files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Addresses that were asked, with the authorization.
    pub(super) asked: Mutex<Vec<(String, Option<String>)>>,
    pub(super) waiting: std::sync::Barrier,
    /// Networks that steps have now.
    pub(super) lent: Arc<AtomicUsize>,
    /// Networks cannot be made.
    pub(super) no_network: AtomicBool,
}

/// Counts networks that steps have.
struct Loan(Arc<AtomicUsize>);

impl Drop for Loan {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Default for Runner {
    fn default() -> Self {
        Self {
            specs: Mutex::default(),
            files: Mutex::default(),
            asked: Mutex::default(),
            waiting: std::sync::Barrier::new(2),
            lent: Arc::default(),
            no_network: AtomicBool::new(false),
        }
    }
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
    fn device(&self, name: &str) -> Result<StepDevice, String> {
        if name != "here.test/kind=one" {
            return Err(format!("no file describes `{name}`"));
        }
        Ok(StepDevice {
            nodes: vec![Device {
                source: "/dev/null".into(),
                target: "/dev/one".to_owned(),
                access: DeviceAccess::ALL,
            }],
            env: vec!["DEVICE=one".to_owned()],
            groups: vec!["44".to_owned()],
            ..StepDevice::default()
        })
    }

    fn network(&self, _insecure: bool) -> Result<StepNetwork, StepNetworkError> {
        if self.no_network.load(Ordering::SeqCst) {
            return Err(StepNetworkError("no nf_tables".to_owned()));
        }
        self.lent.fetch_add(1, Ordering::SeqCst);
        Ok(StepNetwork {
            netns: "/run/ns".into(),
            resolv_conf: "nameserver 192.0.2.1\n".to_owned(),
            gateway: [192, 0, 2, 2].into(),
            loan: Box::new(Loan(Arc::clone(&self.lent))),
        })
    }

    fn download(
        &self,
        address: &str,
        authorization: Option<&str>,
        write: Write<'_>,
    ) -> Result<Downloaded, DownloadError> {
        let asked = (address.to_owned(), authorization.map(str::to_owned));
        self.asked.lock().unwrap().push(asked);
        match self.files.lock().unwrap().get(address) {
            None => Err(DownloadError::Status {
                host: "fake".to_owned(),
                status: 404,
            }),
            Some(bytes) => {
                write(bytes).map_err(DownloadError::Write)?;
                Ok(Downloaded {
                    modified: Some(784_111_777),
                    file_name: None,
                })
            }
        }
    }

    fn run(
        &self,
        spec: ContainerSpec,
        output: &mut dyn FnMut(&[u8]),
        cancel: &CancellationToken,
    ) -> Result<ExitStatus, RunnerError> {
        self.specs.lock().unwrap().push(spec.clone());
        let Rootfs::Overlay {
            lowers,
            upper,
            work,
            mount_point,
            volatile: true,
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
                "wait" => {
                    self.waiting.wait();
                    while !cancel.is_cancelled() {
                        std::thread::yield_now();
                    }
                    code = 137;
                }
                "meet" => drop(self.waiting.wait()),
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
