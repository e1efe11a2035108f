//! The machine stops before the disk has everything: a file system that is shut down under the store (`EXT4_IOC_SHUTDOWN`, of XFS the same) and
//! mounted again, as after a power failure. Needs root.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    faults::{archive, assert_sound, start_everything},
    *,
};
use crate::image::load;

/// What the disk gets of what is in memory: the journal, which has the names, or nothing.
#[derive(Debug, Clone, Copy)]
enum Rest {
    Names = 1,
    Nothing = 2,
}

/// File systems whose power can fail here, with the smallest disk that they take, in MiB. Btrfs cannot be shut down before Linux 6.19: its disk as
/// it is at that moment is what the next boot finds.
const FILE_SYSTEMS: [(&str, u64); 3] = [("ext4", 64), ("xfs", 320), ("btrfs", 320)];

/// A disk of its own whose power can fail.
struct Disk {
    directory: PathBuf,
    file_system: &'static str,
}

impl Disk {
    /// Runs something with a disk of every file system that kernel and tools have, in a mount namespace of its own.
    fn with_each(work: impl Fn(&Self) + Sync) {
        use nix::{
            mount::{MsFlags, mount},
            sched::{CloneFlags, unshare},
        };
        let known = fs::read_to_string("/proc/filesystems").unwrap();
        for (file_system, mib) in FILE_SYSTEMS {
            let mkfs = Command::new(format!("mkfs.{file_system}"))
                .arg("-V")
                .output();
            let is_known = known.lines().any(|line| line.trim() == file_system);
            if file_system != "ext4" && !(mkfs.is_ok() && is_known) {
                continue;
            }
            let directory = tempfile::tempdir().unwrap();
            let disk = Self {
                directory: directory.path().to_owned(),
                file_system,
            };
            let on_it = || {
                unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
                let none = None::<&str>;
                mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
                fs::create_dir(disk.path()).unwrap();
                let image = fs::File::create(disk.image()).unwrap();
                image.set_len(mib << 20).unwrap();
                run(&format!("mkfs.{file_system}"), &["-q", &disk.image()]);
                disk.mount();
                work(&disk);
                disk.unmount();
            };
            std::thread::scope(|scope| scope.spawn(on_it).join().unwrap());
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("mnt")
    }

    fn image(&self) -> String {
        self.directory.join("disk").display().to_string()
    }

    fn copy(&self) -> String {
        self.image() + ".then"
    }

    fn store(&self) -> ImageStore {
        ImageStore::open(&Root::below(self.path()))
    }

    fn mount(&self) {
        let path = self.path().display().to_string();
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop", &self.image(), &path]);
        // Another test may be quicker to take the loop device that was free.
        loop {
            let output = mount.output().unwrap();
            if output.status.success() {
                break;
            }
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(Instant::now() < deadline, "{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn unmount(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let path = self.path().display().to_string();
        // A thread that writes back may be at it still.
        while !Command::new("umount")
            .arg(&path)
            .output()
            .unwrap()
            .status
            .success()
        {
            assert!(Instant::now() < deadline, "{path} is in use");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Takes the disk away from everybody at once.
    fn cut(&self, rest: Rest) {
        if self.file_system == "btrfs" {
            return run("cp", &["--sparse=always", &self.image(), &self.copy()]);
        }
        let path = self.path().display().to_string();
        let ioctl = "import fcntl, os, struct, sys; \
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', int(sys.argv[2])))";
        run("python3", &["-c", ioctl, &path, &(rest as u32).to_string()]);
    }

    /// Begins the next boot.
    fn boot(&self) {
        self.unmount();
        if self.file_system == "btrfs" {
            fs::rename(self.copy(), self.image()).unwrap();
        }
        self.mount();
        let unsynced = self.path().join("unsynced");
        let own = unsynced.join(crate::store::boot_id());
        if own.exists() {
            fs::rename(own, unsynced.join("the boot before")).unwrap();
        }
    }

    fn archive(&self, tag: &str) -> PathBuf {
        let path = self.directory.join(format!("{tag}.tar"));
        fs::write(&path, archive(tag)).unwrap();
        path
    }

    /// Keeps everybody else from writing back, for as long as the result lives.
    fn hold_back(&self) -> fs::File {
        let own = self.path().join("unsynced").join(crate::store::boot_id());
        fs::create_dir_all(&own).unwrap();
        let held = fs::File::open(own).unwrap();
        flock(held.as_fd(), FlockOperation::LockExclusive).unwrap();
        held
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path().join(directory));
        (entries.into_iter().flatten())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
}

#[test]
fn what_the_disk_did_not_get_is_no_image_after_the_power_failed() {
    Disk::with_each(|disk| {
        let store = disk.store();
        let held = disk.hold_back();
        load(&store, &disk.archive("1"), &|_| {}).unwrap();
        assert!(store.find("app:1").unwrap().is_some());
        disk.cut(Rest::Names);
        drop(held);
        disk.boot();
        // Without the marks it would pass for whole: every name is there, and nothing in the files.
        let layers = disk.names("layers");
        assert!(layers.len() == 2 || disk.file_system == "btrfs");
        for layer in layers {
            let file = disk.path().join("layers").join(layer).join("meta.json");
            assert!(fs::read(file).unwrap_or_default().is_empty());
        }

        drop(store.lease().unwrap());
        assert!(store.list().unwrap().is_empty());
        assert_eq!(disk.names("layers"), [""; 0]);
        assert_eq!(disk.names("unsynced"), [""; 0]);
        load(&store, &disk.archive("1"), &|_| {}).unwrap();
        assert_sound(&store);
    });
}

#[test]
fn what_the_disk_has_got_outlives_a_power_failure() {
    Disk::with_each(|disk| {
        let store = disk.store();
        load(&store, &disk.archive("1"), &|_| {}).unwrap();
        store.flush().unwrap();
        let held = disk.hold_back();
        load(&store, &disk.archive("2"), &|_| {}).unwrap();
        store.tag("app:2", "app:also").unwrap();
        disk.cut(Rest::Names);
        drop(held);
        disk.boot();
        store.recover().unwrap();
        assert!(store.find("app:1").unwrap().is_some());
        assert_eq!(store.list().unwrap().len(), 1);
        assert!(store.find("app:also").unwrap().is_none());
        assert_sound(&store);
    });
}

/// What lacks is told by marks alone: a boot that ended well takes nothing with it.
#[test]
fn the_boot_before_takes_nothing_that_it_has_not_marked() {
    let world = World::new();
    let image = world.image(&[&world.layer("a", "content")], "1", &["app:1"]);
    world.store.flush().unwrap();
    let unsynced = world.directory.path().join("unsynced");
    fs::create_dir_all(unsynced.join("the boot before")).unwrap();
    // Somebody took its config away: that is not for this to judge.
    let config = world
        .directory
        .path()
        .join("blobs/sha256")
        .join(image.id.hex());
    fs::remove_file(config).unwrap();
    world.store.recover().unwrap();
    assert_eq!(world.store.list().unwrap().len(), 1);
    assert_eq!(world.names("unsynced"), [crate::store::boot_id()]);
}

/// Only what was written is without a mark, and what has none is whole: at whatever moment the power fails.
#[test]
fn a_power_failure_at_any_moment_leaves_images_whole_or_absent() {
    for round in 0..12_u32 {
        Disk::with_each(|disk| {
            for tag in ["1", "2"] {
                disk.archive(tag);
            }
            std::os::unix::fs::symlink(disk.path(), disk.directory.join("state")).unwrap();
            let mut child = start_everything(&disk.directory);
            std::thread::sleep(Duration::from_millis(u64::from(round) * 7));
            // A copy must be of one moment.
            if disk.file_system == "btrfs" {
                child.kill().unwrap();
            }
            disk.cut(if round % 2 == 0 {
                Rest::Names
            } else {
                Rest::Nothing
            });
            child.kill().unwrap();
            child.wait().unwrap();
            disk.boot();
            let store = disk.store();
            store.recover().unwrap();
            assert_sound(&store);
            load(&store, &disk.directory.join("1.tar"), &|_| {}).unwrap();
            assert_sound(&store);
        });
    }
}
