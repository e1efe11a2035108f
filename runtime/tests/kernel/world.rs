//! A host of its own for each test: mount, network, ipc and uts namespaces, a directory on a tmpfs, and an image with the helper program.

use std::fs::{self, File};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;
use runtime::cgroup::JoinPlan;
use runtime::check::check;
use runtime::error::Error;
use runtime::process::{LaunchIo, SockFilter, launch};
use runtime::spec::{ContainerSpec, Mount, MountKind, Process, Propagation, Rootfs};
use rustix::process::{WaitId, WaitIdOptions};

use crate::running::{Finished, Running};

/// Time in which anything awaited must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Names a directory on a disk that takes the tests' files in place of a tmpfs, which has no mapped mounts before Linux 6.3. What is
/// written there stays.
pub(crate) const DISK: &str = "STACK_TEST_DISK";

/// The host of one test. Dropping it checks that nothing was left behind.
pub(crate) struct World {
    /// Holds everything; a tmpfs that only this test sees, or a directory of [`DISK`].
    dir: PathBuf,
    mounts: String,
    descriptors: usize,
}

impl World {
    /// Makes the namespaces, the directory and the image.
    pub(crate) fn new() -> Self {
        assert!(rustix::process::getuid().is_root(), "these tests need root");
        let probe = probe();
        let flags = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS;
        nix::sched::unshare(flags).unwrap();
        let none = None::<&str>;
        nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let dir = tempfile::Builder::new()
            .prefix("stack-floor-")
            .tempdir()
            .unwrap()
            .keep();
        match std::env::var_os(DISK) {
            None => {
                let (kind, options) = (Some("tmpfs"), Some("mode=755"));
                nix::mount::mount(Some("world"), &dir, kind, MsFlags::empty(), options).unwrap();
            }
            Some(disk) => {
                let place = Path::new(&disk).join(dir.file_name().unwrap());
                fs::create_dir(&place).unwrap();
                nix::mount::mount(Some(&place), &dir, none, MsFlags::MS_BIND, none).unwrap();
            }
        }
        for name in [
            "image/bin",
            "image/etc",
            "image/tmp",
            "image/srv",
            "upper",
            "work",
            "root",
            "share",
        ] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        fs::copy(probe, dir.join("image/bin/probe")).unwrap();
        fs::write(
            dir.join("image/etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nweb:x:1000:1000::/srv/web:/bin/sh\n",
        )
        .unwrap();
        fs::write(
            dir.join("image/etc/group"),
            "root:x:0:\nweb:x:1000:\nlogs:x:2000:web\n",
        )
        .unwrap();
        fs::set_permissions(dir.join("image/tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        Self {
            dir,
            mounts,
            descriptors: descriptors(),
        }
    }

    /// Returns a path on the test's host.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Describes a container that runs the helper program with these commands.
    pub(crate) fn spec(&self, commands: &[&str]) -> ContainerSpec {
        let mut argv = vec!["probe".to_owned()];
        argv.extend(commands.iter().map(ToString::to_string));
        let rootfs = Rootfs::Overlay {
            lowers: vec![self.path("image")],
            upper: self.path("upper"),
            work: self.path("work"),
            mount_point: self.path("root"),
            volatile: false,
        };
        let mut spec = ContainerSpec::new("f00d", rootfs, process(argv));
        spec.hostname = "web-1".into();
        spec.cgroup.parent = "stack/test".into();
        spec
    }

    /// Runs a container to its end.
    pub(crate) fn run(&self, spec: ContainerSpec) -> Finished {
        self.start(spec).unwrap().finish()
    }

    /// Starts a container.
    pub(crate) fn start(&self, spec: ContainerSpec) -> Result<Running, Error> {
        self.start_with(spec, &JoinPlan::default(), &[])
    }

    /// Starts a container in a control group, with a filter.
    #[expect(
        clippy::unused_self,
        reason = "a container lives in a world, also when its description says all"
    )]
    pub(crate) fn start_with(
        &self,
        spec: ContainerSpec,
        join: &JoinPlan,
        filter: &[SockFilter],
    ) -> Result<Running, Error> {
        let (io, output) = files();
        let spec = check(spec).unwrap();
        let launched = launch(&spec, io, join, filter)?;
        Ok(Running::new(launched, output, spec.into_spec()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The first failure is the one to report; the tmpfs goes with its namespace.
            nix::mount::umount2(&self.dir, MntFlags::MNT_DETACH).ok();
            fs::remove_dir(&self.dir).ok();
            return;
        }
        assert_eq!(
            fs::read_to_string("/proc/self/mountinfo").unwrap(),
            self.mounts,
            "mounts were left"
        );
        assert_eq!(descriptors(), self.descriptors, "descriptors were left");
        let children = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
        assert_eq!(
            children.err(),
            Some(rustix::io::Errno::CHILD),
            "processes were left"
        );
        nix::mount::umount2(&self.dir, MntFlags::MNT_DETACH).unwrap();
        fs::remove_dir(&self.dir).unwrap();
    }
}

/// Describes a process with root's usual environment.
pub(crate) fn process(argv: Vec<String>) -> Process {
    let env = vec!["PATH=/bin:/usr/bin".to_owned()];
    Process {
        argv,
        env,
        cwd: "/".into(),
        user: String::new(),
        groups: vec![],
    }
}

/// Describes a process that runs the helper program.
pub(crate) fn probe_process(commands: &[&str]) -> Process {
    let mut argv = vec!["probe".to_owned()];
    argv.extend(commands.iter().map(ToString::to_string));
    process(argv)
}

/// Describes a bind mount.
pub(crate) fn bind(source: &Path, target: &str) -> Mount {
    let kind = MountKind::Bind {
        source: source.to_owned(),
        subpath: None,
        recursive: true,
        propagation: Propagation::Rprivate,
        writable_below: false,
    };
    Mount {
        target: target.into(),
        kind,
        read_only: false,
    }
}

/// Returns /dev/null as input and one pipe as both outputs, with its read end.
pub(crate) fn files() -> (LaunchIo, File) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let stdin = OwnedFd::from(File::open("/dev/null").unwrap());
    let stderr = write.try_clone().unwrap();
    (
        LaunchIo::Files {
            stdin,
            stdout: write,
            stderr,
        },
        File::from(read),
    )
}

/// Waits for a child, at most until the deadline, and returns its exit code.
pub(crate) fn wait(pidfd: BorrowedFd<'_>) -> i32 {
    let mut poll = [rustix::event::PollFd::new(
        &pidfd,
        rustix::event::PollFlags::IN,
    )];
    let timeout = rustix::event::Timespec {
        tv_sec: DEADLINE.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    assert_eq!(
        rustix::event::poll(&mut poll, Some(&timeout)),
        Ok(1),
        "the child does not end"
    );
    let status = rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED)
        .unwrap()
        .unwrap();
    status
        .exit_status()
        .unwrap_or_else(|| 128 + status.terminating_signal().unwrap())
}

/// Builds the helper program when it is older than its source, and returns its path.
pub(crate) fn probe() -> PathBuf {
    if let Some(built) = std::env::var_os("STACK_TEST_PROBE") {
        return built.into();
    }
    let target = std::env::current_exe().unwrap();
    let binary = target.ancestors().nth(2).unwrap().join("probe");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/probe/src");
    if !source.exists() {
        // In the test machine of tests/qemu there are programs only.
        return binary;
    }
    let newest = fs::read_dir(source)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().modified().unwrap())
        .max();
    let is_built = fs::metadata(&binary).is_ok_and(|metadata| metadata.modified().ok() >= newest);
    if !is_built {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "probe"])
            .status()
            .unwrap();
        assert!(status.success(), "the helper program does not build");
    }
    binary
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}
