//! Full disks and killed processes at every step of load, commit, save, remove and prune. Needs root.

use std::{
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use super::*;
use crate::image::{SaveFormat, load, save, unpack::tests::Tape};

/// Runs something on a thread whose mount namespace is its own, with a tiny tmpfs on a directory.
fn on_tiny_disk(size_bytes: usize, work: impl FnOnce(&Path) + Send) {
    use nix::{
        mount::{MsFlags, mount},
        sched::{CloneFlags, unshare},
    };
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            let (tmpfs, options) = (Some("tmpfs"), format!("size={size_bytes}"));
            mount(
                tmpfs,
                directory.path(),
                tmpfs,
                MsFlags::empty(),
                Some(&*options),
            )
            .unwrap();
            work(directory.path());
        });
        thread.join().unwrap();
    });
}

fn grow(path: &Path) {
    let flags = nix::mount::MsFlags::MS_REMOUNT;
    nix::mount::mount(None::<&str>, path, None::<&str>, flags, Some("size=64M")).unwrap();
}

/// An archive with one image of two layers, about 400 KiB.
pub(super) fn archive(tag: &str) -> Vec<u8> {
    let layers = ["a", "b"].map(|name| {
        Tape::default()
            .dir("./", 0o755)
            .file(name, &name.repeat(200_000))
            .file(&format!("{name}-{tag}"), tag)
            .end()
    });
    let diff_ids: Vec<_> = layers.iter().map(|layer| digest::of(layer)).collect();
    let config = json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let manifest =
        json!([{"Config": "c", "RepoTags": [format!("app:{tag}")], "Layers": ["0", "1"]}]);
    let member = |tape: Tape, path: &str, bytes: &[u8]| {
        tape.add(&crate::image::unpack::tests::Member {
            path: path.as_bytes(),
            data: bytes,
            ..Default::default()
        })
    };
    let tape = member(Tape::default(), "0", &layers[0]);
    let tape = member(tape, "1", &layers[1]);
    let tape = member(tape, "c", config.to_string().as_bytes());
    member(tape, "manifest.json", manifest.to_string().as_bytes()).end()
}

/// Everything that the store shows is complete: every image is found, and every layer is what its diff id says.
pub(super) fn assert_sound(store: &ImageStore) {
    for image in store.list().unwrap() {
        let record = store.find(image.id.as_str()).unwrap();
        let record = record.unwrap_or_else(|| panic!("{} is only half there", image.id));
        for diff_id in &record.diff_ids {
            let copied = io::copy(&mut store.layer_stream(diff_id).unwrap(), &mut io::sink());
            copied.unwrap_or_else(|error| panic!("{diff_id}: {error}"));
        }
    }
    let layers = fs::read_dir(store.state().join("layers"));
    for entry in layers.into_iter().flatten() {
        let path = entry.unwrap().path();
        assert!(path.join("meta.json").exists() && path.join("fs").exists());
    }
}

fn assert_no_litter(store: &ImageStore) {
    let left: Vec<_> = fs::read_dir(store.state().join("tmp"))
        .into_iter()
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_load_that_fills_the_disk_leaves_nothing_and_succeeds_with_room() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("app.tar");
    fs::write(&path, archive("1")).unwrap();
    let (mut failed, mut succeeded) = (0, 0);
    // Every size lets it come a little further.
    for size in (16..640).step_by(24) {
        let mut loaded = false;
        on_tiny_disk(size << 10, |disk| {
            let store = ImageStore::open(&Root::below(disk));
            let result = load(&store, &path, &|_| {});
            assert_sound(&store);
            match &result {
                Ok(_) => loaded = true,
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains("no space left"), "{size}: {text}");
                    assert!(store.list().unwrap().is_empty());
                    assert_no_litter(&store);
                    grow(disk);
                    load(&store, &path, &|_| {}).unwrap();
                }
            }
            assert!(store.find("app:1").unwrap().is_some());
            assert_sound(&store);
        });
        if loaded {
            succeeded += 1;
        } else {
            failed += 1;
        }
    }
    assert!(
        failed > 10 && succeeded > 0,
        "{failed} failed, {succeeded} did not"
    );
}

#[test]
fn other_operations_on_a_full_disk_change_all_or_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("app.tar");
    fs::write(&path, archive("1")).unwrap();
    let upper = outer.path().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::write(upper.join("file"), "x".repeat(100_000)).unwrap();
    for room in (0..200).step_by(8) {
        on_tiny_disk(8 << 20, |disk| {
            let store = ImageStore::open(&Root::below(disk));
            load(&store, &path, &|_| {}).unwrap();
            let filler = disk.join("filler");
            fill(&filler, room << 10);
            let is_full = |result: Result<(), ImageError>| match result {
                Ok(()) => false,
                Err(error) => {
                    assert!(error.is_no_space(), "{room}: {error}");
                    true
                }
            };
            let copied = is_full(store.copy_layer(&upper).map(drop));
            assert_sound(&store);
            // What a build made is moved, and needs next to no room; its record does.
            let built = tempfile::tempdir_in(disk).map(|built| {
                let result = store.commit_layer(&built.keep());
                is_full(result.map(drop))
            });
            if let Ok(true) = built {
                assert_no_litter(&store);
            }
            assert_sound(&store);
            let tagged = is_full(store.tag("app:1", "app:2"));
            assert_eq!(store.find("app:2").unwrap().is_none(), tagged);
            let names = ["app:1".to_owned()];
            let mut archive = fs::File::create(disk.join("saved")).unwrap();
            assert!(save(&store, &names, SaveFormat::Docker, &mut archive).is_err());
            fs::remove_file(disk.join("saved")).unwrap();
            // Removing works on a full disk or says why it does not; it never does half of it.
            match store.remove("app:1", true, &Kept::default()) {
                Ok(_) => assert!(store.find("app:1").unwrap().is_none()),
                Err(error) => assert!(error.is_no_space(), "{error}"),
            }
            assert_sound(&store);
            fs::remove_file(&filler).unwrap();
            store.prune(&ALL, &Kept::default()).unwrap();
            assert!(store.list().unwrap().is_empty());
            assert_eq!(fs::read_dir(disk.join("layers")).unwrap().count(), 0);
            assert_no_litter(&store);
            assert!(copied || room > 50);
        });
    }
}

/// Fills the disk but for some room.
fn fill(filler: &Path, room: usize) {
    let mut file = fs::File::create(filler).unwrap();
    let block = [1; 4096];
    while file.write_all(&block).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(room as u64)).unwrap();
}

const PLACE: &str = "STACK_TEST_PLACE";

/// What the killed process does, again and again; run by the test below.
#[test]
#[ignore = "runs in a process that is killed"]
fn everything_in_turn() {
    let Ok(place) = std::env::var(PLACE) else {
        return;
    };
    let place = PathBuf::from(place);
    let store = ImageStore::open(&Root::below(place.join("state")));
    fs::write(place.join("ready"), "").unwrap();
    for round in 0..1_000_000 {
        for tag in ["1", "2"] {
            load(&store, &place.join(format!("{tag}.tar")), &|_| {}).unwrap();
        }
        let upper = place.join(format!("upper-{}", std::process::id()));
        fs::create_dir_all(&upper).unwrap();
        fs::write(upper.join("file"), round.to_string()).unwrap();
        store.copy_layer(&upper).unwrap();
        store.flush().unwrap();
        store.tag("app:1", "app:also").unwrap();
        store.remove("app:1", false, &Kept::default()).unwrap();
        store
            .prune(&PruneFilter::default(), &Kept::default())
            .unwrap();
        store.prune(&ALL, &Kept::default()).unwrap();
        store.flush().unwrap();
    }
}

/// Starts a process that does everything in turn with the store in `state`, and waits until it begins.
pub(super) fn start_everything(place: &Path) -> Child {
    let ready = place.join("ready");
    let _gone = fs::remove_file(&ready);
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "image::store::tests::faults::everything_in_turn",
        ])
        .env(PLACE, place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ready.exists() {
        assert!(Instant::now() < deadline, "the process does not start");
        std::thread::yield_now();
    }
    child
}

/// A process that does everything in turn is killed at some moment, dozens of times. Whatever moment it was, the store
/// is sound, and the next one can do everything.
#[test]
fn processes_killed_at_any_moment_leave_a_sound_store() {
    let outer = tempfile::tempdir().unwrap();
    let place = outer.path();
    for tag in ["1", "2"] {
        fs::write(place.join(format!("{tag}.tar")), archive(tag)).unwrap();
    }
    let store = ImageStore::open(&Root::below(place.join("state")));
    for round in 0..40_u32 {
        let mut child = start_everything(place);
        // Another moment each time; how long a step takes is the machine's affair.
        let moment = Instant::now() + Duration::from_micros(u64::from(round * round) * 90);
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_sound(&store);
    }
    load(&store, &place.join("1.tar"), &|_| {}).unwrap();
    assert_sound(&store);
    store.prune(&ALL, &Kept::default()).unwrap();
    assert!(store.list().unwrap().is_empty());
    assert_no_litter(&store);
    assert_eq!(fs::read_dir(place.join("state/layers")).unwrap().count(), 0);
    assert_eq!(
        fs::read_dir(place.join("state/blobs/sha256"))
            .unwrap()
            .count(),
        0
    );
}
