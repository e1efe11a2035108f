//! Two processes that pull into one store at the same time.
#![expect(
    clippy::disallowed_methods,
    reason = "the other process is this test program"
)]

use std::process::{Command, Stdio};

use super::*;

const ROOT: &str = "STACK_TEST_PULL_ROOT";
const NAME: &str = "STACK_TEST_PULL_NAME";

/// What the other processes do. Run as a test of its own it has nothing to do.
#[test]
#[ignore = "the other half of the test below"]
fn pulls_what_it_is_told() {
    let (Some(root), Some(name)) = (std::env::var_os(ROOT), std::env::var_os(NAME)) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = ImageStore::open(&Root::below(std::path::Path::new(&root)));
    let registries = Registries::default().impatient();
    let name = name.into_string().unwrap();
    let pull = pull(&store, &name, Some("linux/amd64"), &registries, &|_| {});
    let record = runtime.block_on(pull).unwrap();
    assert_eq!(record.layers.len(), 2);
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
