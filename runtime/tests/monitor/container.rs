//! A container of the tests: a root directory with busybox, a description, a monitor, and a look at what is left at the end.

use std::{
    ffi::OsString,
    io::Read,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use runtime::{
    cgroup::{Cgroup, Hierarchies},
    monitor::{
        Client,
        protocol::{Event, Ready, Request},
    },
    spec::{
        CgroupPlace, ContainerSpec, ContainerState, Probe, ProbeTest, Process, Rootfs, StateRecord,
    },
};

/// Programs of the containers.
const APPLETS: &[&str] = &[
    "cat", "dd", "echo", "false", "head", "kill", "mkdir", "readlink", "sh", "sleep", "stty",
    "tail", "test", "touch", "true", "wc", "yes",
];
/// Longest wait for anything.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// One container.
pub(crate) struct Container {
    files: tempfile::TempDir,
    pub(crate) spec: ContainerSpec,
    pub(crate) supervisor: Vec<OsString>,
    monitor: Option<Child>,
    parent: String,
}

impl Container {
    /// A container that runs a shell script.
    pub(crate) fn new(script: &str) -> Container {
        let files = tempfile::tempdir().unwrap();
        let rootfs = files.path().join("rootfs");
        for directory in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
            std::fs::create_dir_all(rootfs.join(directory)).unwrap();
        }
        std::fs::copy("/bin/busybox", rootfs.join("bin/busybox"))
            .expect("Debian's busybox-static is installed");
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        let parent = format!("stack-test-{}", std::process::id());
        let mut spec = ContainerSpec::new("c".repeat(64), Rootfs::Directory(rootfs), shell(script));
        spec.hostname = "test".into();
        spec.shm_size_bytes = 1 << 20;
        spec.cgroup = CgroupPlace {
            parent: parent.clone(),
            name: files
                .path()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .replace('.', "t"),
        };
        spec.security.capabilities = ["CHOWN", "KILL", "SETUID", "SETGID"]
            .map(str::to_owned)
            .to_vec();
        spec.log.dir = Some(files.path().join("log"));
        spec.log.file_bytes_max = 1 << 26;
        Container {
            files,
            spec,
            supervisor: vec![],
            monitor: None,
            parent,
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.files.path()
    }

    /// A path in the container, as the host sees it.
    pub(crate) fn inside(&self, path: &str) -> PathBuf {
        self.directory()
            .join("rootfs")
            .join(path.trim_start_matches('/'))
    }

    /// Starts a monitor that starts the container; panics when that is refused.
    pub(crate) fn start(&mut self) -> i32 {
        match self.run("start") {
            Ready::Started { pid, warnings } => {
                assert_eq!(warnings, Vec::<String>::new());
                pid
            }
            other => panic!("{other:?}"),
        }
    }

    /// Starts a monitor and gives its first word.
    pub(crate) fn run(&mut self, mode: &str) -> Ready {
        let spec = serde_json::to_vec(&self.spec).unwrap();
        std::fs::write(self.directory().join("spec.json"), spec).unwrap();
        let mut monitor = Command::new(std::env::current_exe().unwrap())
            .arg("--monitor")
            .arg(self.directory())
            .arg(mode)
            .args(&self.supervisor)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        monitor
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        self.monitor = Some(monitor);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.directory()).unwrap()
    }

    /// Sends one request on a connection of its own and gives the answer.
    pub(crate) fn ask(&self, request: &Request) -> Event {
        self.ask_with(request, &[])
    }

    pub(crate) fn ask_with(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Event {
        let client = self.connect();
        client.request(request, descriptors).unwrap();
        client.receive().unwrap().expect("an answer").0
    }

    pub(crate) fn stop(&self) {
        let stop = Request::Stop {
            signal: Some(libc::SIGKILL),
            grace_ms: None,
        };
        assert_eq!(self.ask(&stop), Event::Done);
    }

    pub(crate) fn record(&self) -> StateRecord {
        let text = std::fs::read(self.directory().join("state.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Waits until the recorded state fulfils a condition.
    pub(crate) fn await_state(&self, what: &str, holds: impl Fn(&ContainerState) -> bool) {
        let mut last = None;
        let done = eventually(|| {
            last = Some(self.record().state);
            last.as_ref().is_some_and(&holds)
        });
        assert!(done, "{what}: {last:?}; log: {:#?}", self.log());
    }

    pub(crate) fn await_file(&self, path: &str) {
        assert!(
            eventually(|| self.inside(path).exists()),
            "{path}; log: {:#?}",
            self.log()
        );
    }

    /// Waits for the monitor's own end; gives its exit status.
    pub(crate) fn wait(&mut self) -> i32 {
        let mut monitor = self.monitor.take().unwrap();
        let mut status = None;
        let ended = eventually(|| {
            status = monitor.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended, "the monitor goes on; log: {:#?}", self.log());
        status.unwrap().code().unwrap_or(-1)
    }

    pub(crate) fn monitor_pid(&self) -> i32 {
        self.monitor.as_ref().unwrap().id().try_into().unwrap()
    }

    /// Kills the monitor with SIGKILL.
    pub(crate) fn kill_monitor(&mut self) {
        let mut monitor = self.monitor.take().unwrap();
        monitor.kill().unwrap();
        monitor.wait().unwrap();
    }

    /// The lines of the log as `stream tag text`, without times.
    pub(crate) fn log(&self) -> Vec<String> {
        let file = self.directory().join("log/current.log");
        String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default())
            .lines()
            .map(|line| line.split_once(' ').unwrap().1.to_owned())
            .collect()
    }

    /// The lines of one stream.
    pub(crate) fn printed(&self, stream: &str) -> Vec<String> {
        let prefix = format!("{stream} F ");
        let lines = self.log();
        lines
            .iter()
            .filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
            .collect()
    }

    pub(crate) fn cgroup(&self) -> Cgroup {
        Cgroup::open(&self.spec.cgroup).unwrap()
    }

    /// Nothing of the container is left but its files.
    pub(crate) fn assert_clean(&self) {
        assert!(self.cgroup().is_absent(), "control groups are left");
        assert!(
            !self.directory().join("monitor.sock").exists(),
            "the socket is left"
        );
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(mut monitor) = self.monitor.take() {
            // Its own way first, so that it leaves nothing.
            drop(Client::connect(self.directory()).map(|client| {
                let stop = Request::Stop {
                    signal: Some(libc::SIGKILL),
                    grace_ms: Some(0),
                };
                drop(client.request(&stop, &[]));
                drop(client.receive());
            }));
            let ended = eventually(|| monitor.try_wait().unwrap().is_some());
            if !ended {
                monitor.kill().unwrap();
                monitor.wait().unwrap();
            }
        }
        drop(self.cgroup().remove());
        let hierarchies = Hierarchies::detect().unwrap();
        let mounts = hierarchies.v1.iter().map(|mount| &mount.mount_point);
        let left = mounts
            .chain(&hierarchies.v2)
            .any(|mount_point| mount_point.join(&self.parent).exists());
        assert!(!left || std::thread::panicking(), "{} is left", self.parent);
    }
}

/// A shell that runs a script.
pub(crate) fn shell(script: &str) -> Process {
    Process {
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin".to_owned()],
        cwd: "/".to_owned(),
        user: String::new(),
        groups: vec![],
    }
}

/// A probe that runs a script every 50 ms.
pub(crate) fn probe(script: &str) -> Probe {
    Probe {
        test: ProbeTest::Exec(["/bin/sh", "-c", script].map(str::to_owned).to_vec()),
        interval_ms: 50,
        timeout_ms: 10_000,
        retries: 2,
        start_period_ms: 0,
        start_interval_ms: 50,
    }
}

/// Waits until something holds; false when it does not for too long.
pub(crate) fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        // Gives way to what is waited for.
        std::thread::yield_now();
    }
}
