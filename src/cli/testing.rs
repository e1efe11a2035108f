//! Projects and containers for tests.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Read, Write},
    os::unix::net::UnixListener,
    path::Path,
    sync::{Arc, Mutex},
};

use compose_spec::{FileKind, Files, Loaded, Request};
use indexmap::IndexMap;
use runtime::spec::{
    ContainerSpec, ContainerState, ExitStatus, Health, Process, Rootfs, StateRecord,
};

use super::{
    session::Session,
    settings::{Flags, Settings, Terminals},
};
use crate::{
    container::logs::LogTime,
    model::{ContainerId, ContainerRecord, ContainerRole, Digest, ObservedContainer, Timestamp},
    protocol::{Event, Outcome},
    store::{self, Root},
    ui::{
        Ui,
        testing::{Written, captured},
    },
};

/// A disk with one file, `/shop/compose.yaml`.
struct OneFile<'a>(&'a str);

impl Files for OneFile<'_> {
    fn read(&self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
        match self.kind(path) {
            Some(_) => Ok(self.0.as_bytes().to_vec()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        (path == Path::new("/shop/compose.yaml")).then_some(FileKind::File)
    }
}

/// Loads the text of a Compose file of the project `shop`.
pub(crate) fn load(yaml: &str) -> Result<Loaded, compose_spec::LoadError> {
    let request = Request {
        working_dir: "/shop".into(),
        ..Request::default()
    };
    compose_spec::load(&request, &OneFile(yaml))
}

/// Makes a container of a service of the project `shop`, made at `created`.
pub(crate) fn container(
    loaded: &Loaded,
    service: &str,
    replica: u32,
    state: ContainerState,
) -> ObservedContainer {
    let wanted = loaded.project.services[service].clone();
    // Different for each container of a project, and the same each time.
    let mut bytes = [u8::try_from(replica).unwrap(); 32];
    bytes[..service.len()].copy_from_slice(service.as_bytes());
    let id = ContainerId::from_bytes(bytes);
    ObservedContainer {
        record: ContainerRecord {
            version: ContainerRecord::VERSION,
            name: format!("shop-{service}-{replica}"),
            project: loaded.project.name.clone(),
            service: wanted.name.clone(),
            role: ContainerRole::Replica(replica),
            files_digest: String::new(),
            image: Digest::from_sha256(&[7; 32]),
            image_reference: "redis:7".into(),
            spec: spec(id.as_str()),
            id,
            endpoints: Vec::new(),
            published: Vec::new(),
            anonymous_volumes: IndexMap::new(),
            volumes: Vec::new(),
            shared_mounts: Vec::new(),
            mounted_images: Vec::new(),
            labels: IndexMap::new(),
            created: Timestamp(1_767_323_045_000),
            wanted,
        },
        state,
        restarts: 0,
        network_intact: true,
        post_start: crate::model::PostStart::Over,
    }
}

/// A running state without a probe.
pub(crate) fn running(since_ms: u64) -> ContainerState {
    ContainerState::Running {
        pid: 4321,
        since_ms,
        health: Health::None,
    }
}

fn spec(id: &str) -> ContainerSpec {
    let process = Process {
        argv: vec!["docker-entrypoint.sh".into(), "redis-server".into()],
        env: vec!["PATH=/bin".into(), "MODE=prod".into()],
        cwd: "/data".into(),
        user: "redis".into(),
        groups: Vec::new(),
    };
    ContainerSpec {
        hostname: "web".into(),
        ..ContainerSpec::new(id, Rootfs::Directory("/".into()), process)
    }
}

/// A state root with a fake supervisor, and a Compose file beside it.
pub(crate) struct World {
    directory: tempfile::TempDir,
    pub(crate) settings: Settings,
    pub(crate) ui: Ui,
    pub(crate) out: Written,
    pub(crate) err: Written,
    monitors: Monitors,
}

impl World {
    pub(crate) fn new(yaml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let project = directory.path().join("shop");
        fs_err::create_dir(&project).unwrap();
        fs_err::write(project.join("compose.yaml"), yaml).unwrap();
        let flags = Flags {
            root: Some(directory.path().join("state")),
            ..Flags::default()
        };
        let terminals = Terminals {
            stdin: false,
            stdout: false,
            stderr: false,
            rows: 24,
            columns: 80,
        };
        let settings = Settings::resolve(flags, BTreeMap::new(), project, terminals).unwrap();
        let (ui, out, err) = captured(settings.ui);
        Self {
            directory,
            settings,
            ui,
            out,
            err,
            monitors: Monitors::default(),
        }
    }

    pub(crate) fn session(&self) -> Session<'_> {
        Session::new(&self.settings, &self.ui)
    }

    pub(crate) fn host(&self) -> Host {
        Host {
            root: self.settings.root.clone(),
            monitors: Arc::clone(&self.monitors),
        }
    }

    /// Answers one call after another: each handler gets the call's name and body, changes the host and returns the lines of the answer.
    pub(crate) fn serve(&self, handlers: Vec<Handler>) -> std::thread::JoinHandle<Vec<String>> {
        let socket = self.settings.root.supervisor_socket();
        assert!(socket.starts_with(self.directory.path()));
        fs_err::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            let mut calls = Vec::new();
            for handler in handlers {
                let (mut stream, _) = listener.accept().unwrap();
                let request = read_request(&mut stream);
                let name = request
                    .split(' ')
                    .nth(1)
                    .unwrap()
                    .trim_start_matches("/v1/");
                let body = request.split("\r\n\r\n").nth(1).unwrap();
                calls.push(format!("{name} {body}"));
                stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
                handler(&mut |event: &Event| {
                    let mut line = serde_json::to_vec(event).unwrap();
                    line.push(b'\n');
                    // The client may have gone away on purpose.
                    let _gone = stream.write_all(&line);
                });
            }
            calls
        })
    }
}

/// What a fake supervisor does for one call.
pub(crate) type Handler = Box<dyn FnOnce(&mut dyn FnMut(&Event)) + Send>;

fn read_request(stream: &mut std::os::unix::net::UnixStream) -> String {
    let mut request = Vec::new();
    let mut chunk = [0; 8 * 1024];
    loop {
        let length = stream.read(&mut chunk).unwrap();
        request.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (_, wanted) = head.split_once("content-length: ").unwrap();
            if body.len() >= wanted.trim().parse().unwrap() {
                return text;
            }
        }
        assert!(length > 0, "the client closed early");
    }
}

/// Does to the state root what monitors and the supervisor do.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    root: Root,
    monitors: Monitors,
}

/// The locks that monitors of running containers hold.
type Monitors = Arc<Mutex<HashMap<ContainerId, store::Lock>>>;

impl Host {
    pub(crate) fn set(&self, container: &ObservedContainer) {
        let directory = self.root.container(&container.record.id);
        let mut monitors = self.monitors.lock().unwrap();
        store::write_json(&directory.join("record.json"), &container.record).unwrap();
        if container.state.is_live() {
            monitors
                .entry(container.record.id.clone())
                .or_insert_with(|| store::lock(&directory.join("monitor.lock")).unwrap());
        }
        let state = StateRecord {
            version: StateRecord::VERSION,
            boot_id: store::boot_id(),
            monitor_pid: 1,
            init_start_ticks: None,
            state: container.state.clone(),
            restarts: container.restarts,
            log_pipes: Vec::new(),
            started_at_ms: None,
        };
        store::write_json(&directory.join("state.json"), &state).unwrap();
        if !container.state.is_live() {
            drop(monitors.remove(&container.record.id));
        }
    }

    pub(crate) fn log(&self, service: &str, replica: u32, text: &str) {
        let project = "shop".parse().unwrap();
        let directory = self
            .root
            .logs(&project, &service.parse().unwrap(), &replica.to_string());
        fs_err::create_dir_all(&directory).unwrap();
        let now = jiff::Timestamp::now();
        let time = LogTime::from_unix(now.as_second(), now.subsec_nanosecond()).unwrap();
        let mut file = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(directory.join("current.log"))
            .unwrap();
        file.write_all(format!("{} stdout F {text}\n", time.as_str()).as_bytes())
            .unwrap();
    }
}

/// A state of one that has ended.
pub(crate) fn exited(code: i32) -> ContainerState {
    let status = ExitStatus {
        code,
        signal: None,
        oom_killed: false,
        requested: false,
    };
    ContainerState::Exited {
        status,
        at_ms: 1_767_323_050_000,
    }
}

/// The last line of an answer without errors.
pub(crate) fn finished() -> Event {
    Event::Finished(Outcome::default())
}
