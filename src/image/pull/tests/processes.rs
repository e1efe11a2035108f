//! Two processes that pull into one store at the same time.
#![expect(
    clippy::disallowed_methods,
    reason = "the other process is this test program"
)]

use std::{
    process::{Child, Command, Stdio},
    time::Instant,
};

use super::*;
use crate::{image::Kept, model::ImageRecord};

const ROOT: &str = "STACK_TEST_PULL_ROOT";
const NAME: &str = "STACK_TEST_PULL_NAME";

/// What the other processes do. Run as a test of its own it has nothing to do.
#[test]
#[ignore = "the other half of the test below"]
fn pulls_what_it_is_told() {
    let Some(told) = Told::of_environment() else {
        return;
    };
    assert_eq!(told.pull().layers.len(), 2);
}

/// What another process is told to pull.
struct Told {
    root: std::path::PathBuf,
    name: String,
    store: ImageStore,
}

impl Told {
    /// Returns `None` in a process that was told nothing.
    fn of_environment() -> Option<Self> {
        let root = std::path::PathBuf::from(std::env::var_os(ROOT)?);
        Some(Self {
            name: std::env::var_os(NAME)?.into_string().unwrap(),
            store: ImageStore::open(&Root::below(&root)),
            root,
        })
    }

    fn pull(&self) -> ImageRecord {
        let registries = Registries::default().impatient();
        let platform = Some("linux/amd64");
        let pull = pull(&self.store, &self.name, platform, &registries, &|_| {});
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(pull).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_at_once_fetch_every_layer_once() {
    let (world, fake) = (World::new(), Fake::start().await);
    let digests = put(&fake, "1", &[layer("a", 100_000), layer("b", 100_000)]);
    // Each takes 140 ms, so that the processes meet.
    fake.fault("/blobs/", 4, Reply::Drip);
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "image::pull::tests::processes::pulls_what_it_is_told",
            ])
            .args(["--ignored", "--nocapture"])
            .env(ROOT, world.directory.path())
            .env(NAME, fake.name("image:1"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children = [start(), start(), start()];
    let wait = spawn_blocking(|| children.map(|child| child.wait_with_output().unwrap()));
    for output in wait.await.unwrap() {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(text.contains("1 passed"), "{text}");
    }
    let log = fake.log();
    for digest in digests {
        let asked = log.iter().filter(|line| line.contains(&digest)).count();
        assert_eq!(asked, 1, "{log:?}");
    }
    assert_eq!(world.names("layers").len(), 2);
    world.assert_clean(0);
}

/// Pulls, forgets and pulls again until it is killed; run by the test below.
#[test]
#[ignore = "runs in a process that is killed"]
fn pulls_and_removes_in_turn() {
    let Some(told) = Told::of_environment() else {
        return;
    };
    fs_err::write(told.root.join("ready"), "").unwrap();
    for _round in 0..1_000_000 {
        told.pull();
        let removed = told.store.remove(&told.name, false, &Kept::default());
        removed.unwrap();
    }
}

/// Everything that the store shows is complete: the image, if it is there, and every layer by its diff id.
fn assert_sound(world: &World, name: &str) {
    if world.store.list().unwrap().is_empty() {
        return;
    }
    let record = world.store.find(name).unwrap();
    let record = record.expect("what is listed is complete");
    for diff_id in &record.diff_ids {
        let mut stream = world.store.layer_stream(diff_id).unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    }
    for layer in &record.layers {
        assert!(layer.with_file_name("meta.json").exists());
    }
}

/// Waits until the other process has begun, then a moment that differs from round to round, and kills it.
async fn kill_at(world: &World, mut child: Child, after: Duration) {
    let ready = world.directory.path().join("ready");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ready.exists() {
        assert!(Instant::now() < deadline, "the process does not start");
        tokio::task::yield_now().await;
    }
    fs_err::remove_file(ready).unwrap();
    let moment = Instant::now() + after;
    while Instant::now() < moment {
        tokio::task::yield_now().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A process that pulls and removes in turn is killed at some moment, again and again. Whatever moment it was, the store
/// is sound, the next one goes on with what was kept, and a prune leaves nothing at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn pulls_killed_at_any_moment_leave_a_sound_store() {
    let (world, fake) = (World::new(), Fake::start().await);
    // The third layer has a link into the second, so it is completed from below and committed with the image.
    let linked = Tape::default().link("linked", "b").file("c", "c").end();
    put(
        &fake,
        "1",
        &[layer("a", 200_000), layer("b", 300_000), linked],
    );
    let name = fake.name("image:1");
    for round in 0..30_u32 {
        // In every third round bytes come slowly, so that downloads are cut as well as commits.
        fake.fault("/blobs/", usize::from(round % 3 == 0) * 3, Reply::Drip);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact"])
            .arg("image::pull::tests::processes::pulls_and_removes_in_turn")
            .env(ROOT, world.directory.path())
            .env(NAME, &name)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        kill_at(
            &world,
            child,
            Duration::from_micros(u64::from(round * round) * 200),
        )
        .await;
        assert_sound(&world, &name);
    }
    world.pull(&name).await.unwrap();
    assert_sound(&world, &name);
    world.assert_clean(0);
    let all = crate::model::PruneFilter {
        all: true,
        ..Default::default()
    };
    world.store.prune(&all, &Kept::default()).unwrap();
    for directory in ["layers", "blobs/sha256", "tmp", "ingest"] {
        assert_eq!(world.names(directory), [""; 0], "{directory}");
    }
}
