//! The world of one scenario.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::{image, leaks};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A state root, a project directory and private namespaces. The calling thread, and what it starts, lives in them.
pub(crate) struct World {
    directory: TempDir,
    name: String,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Panics unless the command succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// Panics unless the command ended with this code.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

impl World {
    /// Makes a world with the busybox image loaded; `compose` is its Compose file.
    pub(crate) fn new(compose: &str) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "kernel tests need root: run ./tests/run as root"
        );
        Self::empty().filled(compose)
    }

    /// Makes a world whose state root lies on a disk of its own, of this size (`32m`). The disk goes with the mount namespace.
    pub(crate) fn on_small_disk(compose: &str, size: &str) -> Self {
        let world = Self::empty();
        fs_err::create_dir(world.root()).unwrap();
        let options = format!("size={size}");
        nix::mount::mount(
            Some("tmpfs"),
            &world.root(),
            Some("tmpfs"),
            nix::mount::MsFlags::empty(),
            Some(options.as_str()),
        )
        .unwrap();
        world.filled(compose)
    }

    fn filled(self, compose: &str) -> Self {
        let world = self;
        world.write("compose.yaml", compose);
        let archive = world.directory.path().join("busybox.tar");
        image::write_busybox(&archive);
        world
            .stack(&["image", "load", "-i", archive.to_str().unwrap()])
            .ok();
        world
    }

    fn empty() -> Self {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
        nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        run_tool("ip", &["link", "set", "lo", "up"]);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let name = format!("t{}n{number}", std::process::id());
        let directory = tempfile::Builder::new()
            .prefix("stack-test-")
            .tempdir()
            .unwrap();
        fs_err::create_dir(directory.path().join("project")).unwrap();
        Self { directory, name }
    }

    /// The state root.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// The project directory.
    pub(crate) fn project(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.project().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    /// Makes `log/all`, a file of the project that containers of any user write to when it is mounted.
    pub(crate) fn make_log(&self) {
        self.clear_log();
        for name in ["log", "log/all"] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs_err::set_permissions(self.project().join(name), mode).unwrap();
        }
    }

    /// Empties it.
    pub(crate) fn clear_log(&self) {
        self.write("log/all", "");
    }

    /// Its lines; none where it was not made.
    pub(crate) fn log(&self, between: &str) -> String {
        let text = fs_err::read_to_string(self.project().join("log/all")).unwrap_or_default();
        text.lines().collect::<Vec<_>>().join(between)
    }

    /// Runs `stack` in the project directory and waits for it.
    pub(crate) fn stack(&self, arguments: &[&str]) -> Output {
        let output = self
            .command(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Returns the command that runs `stack` in the project directory.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
        command
            .current_dir(self.project())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.directory.path())
            .env("STACK_ROOT", self.root())
            .env("COMPOSE_PROJECT_NAME", &self.name)
            .args(arguments);
        command
    }

    /// Returns the row of a service from `ps -a --format json`.
    pub(crate) fn row(&self, service: &str) -> Option<serde_json::Value> {
        let output = self.stack(&["ps", "-a", "--format", "json"]).ok();
        output
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .find(|row| row["Service"] == service)
    }

    /// Returns the directory of the only container of a service.
    pub(crate) fn container(&self, service: &str) -> PathBuf {
        let mut found = fs_err::read_dir(self.root().join("containers"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                let text = fs_err::read_to_string(path.join("record.json")).unwrap();
                let record: serde_json::Value = serde_json::from_str(&text).unwrap();
                record["service"] == service
            });
        let path = found
            .next()
            .unwrap_or_else(|| panic!("service {service} has no container"));
        assert!(
            found.next().is_none(),
            "service {service} has several containers"
        );
        path
    }

    /// Returns the host pid of a service's first process, and that of its monitor.
    pub(crate) fn pids(&self, service: &str) -> (i32, i32) {
        let text = fs_err::read_to_string(self.container(service).join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&text).unwrap();
        let number = |key: &str| i32::try_from(state[key].as_i64().unwrap_or(0)).unwrap();
        (number("pid"), number("monitor_pid"))
    }

    /// Returns the pids of the supervisor of this root.
    pub(crate) fn supervisors(&self) -> Vec<i32> {
        leaks::processes(&self.root())
            .into_iter()
            .filter(|(_, line)| line.split('\0').nth(1) == Some("supervisor"))
            .map(|(pid, _)| pid)
            .collect()
    }

    /// Takes the project down and checks that nothing of it is left.
    #[track_caller]
    pub(crate) fn finish(self) {
        self.stack(&["down", "-v", "-t", "0", "--remove-orphans"])
            .ok();
        // A disk of the test's own is no leak; without one there is nothing to unmount.
        let _none = nix::mount::umount2(&self.root(), nix::mount::MntFlags::MNT_DETACH);
        leaks::check(&self.root(), &self.name);
    }
}

impl Drop for World {
    /// Ends what a failed scenario left running.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.root().join("run/supervisor.log");
            eprintln!(
                "--- supervisor.log\n{}",
                fs_err::read_to_string(log).unwrap_or_default()
            );
            let _down = self.stack(&["down", "-v", "-t", "0"]);
            leaks::kill_all(&self.root());
        }
    }
}

/// Runs a tool of the host that tests need.
pub(crate) fn run_tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; ./tests/run installs it"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a path lies below a directory, as text.
pub(crate) fn is_below(text: &str, directory: &Path) -> bool {
    text.contains(directory.to_str().unwrap())
}
