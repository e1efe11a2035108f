//! Full disks and killed processes.

use std::os::fd::AsFd;

use rustix::fs::{FlockOperation, flock};

use super::*;

/// Runs something on a thread whose mount namespace is its own, with a tiny tmpfs on a directory.
fn on_tiny_disk<T: Send>(size_bytes: usize, work: impl FnOnce(&std::path::Path) -> T + Send) -> T {
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
            let options = format!("size={size_bytes}");
            mount(
                Some("tmpfs"),
                directory.path(),
                Some("tmpfs"),
                MsFlags::empty(),
                Some(&*options),
            )
            .unwrap();
            work(directory.path())
        });
        thread.join().unwrap()
    })
}

/// U24: one clear error, nothing half-made, and the download goes on once there is room.
#[test]
fn a_full_disk_ends_in_one_error_and_leaves_nothing_half_made() {
    // A layer that compresses well, so that it is the unpacked files that do not fit.
    let big = Tape::default()
        .dir("./", 0o755)
        .file("zeros", &"0".repeat(20 << 20))
        .end();
    let small = layer("small", 1000);
    on_tiny_disk(8 << 20, |path| {
        // Blocking threads of this runtime are started from this thread, and so share its mounts.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let fake = Fake::start().await;
            put(&fake, "1", &[small, big]);
            let store = ImageStore::open(&Root::below(path));
            let registries = Registries::default().impatient();
            let name = fake.name("image:1");
            let pulled = pull(&store, &name, Some("linux/amd64"), &registries, &|_| {}).await;
            let error = pulled.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "pull `{name}`: no space left on the disk of `{}`",
                    path.display()
                )
            );
            assert!(store.list().unwrap().is_empty());
            assert!(store.find(&name).unwrap().is_none());
            let left: Vec<_> = fs_err::read_dir(path.join("tmp")).unwrap().collect();
            assert!(left.is_empty(), "{left:?}");
            // With room for it the same pull succeeds, from what was kept.
            let room = "size=64M";
            nix::mount::mount(
                None::<&str>,
                path,
                None::<&str>,
                nix::mount::MsFlags::MS_REMOUNT,
                Some(room),
            )
            .unwrap();
            fake.log();
            let record = pull(&store, &name, Some("linux/amd64"), &registries, &|_| {})
                .await
                .unwrap();
            assert_eq!(record.size_bytes, 1000 + (20 << 20));
        });
    });
}

/// The download itself fills the disk.
#[test]
fn a_download_that_does_not_fit_is_the_same_error() {
    let big = layer("noise", 3 << 20);
    on_tiny_disk(1 << 20, |path| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let fake = Fake::start().await;
            put_as(&fake, "1", &[(big.clone(), big.clone())]);
            let store = ImageStore::open(&Root::below(path));
            let registries = Registries::default().impatient();
            let pulled = pull(
                &store,
                &fake.name("image:1"),
                Some("linux/amd64"),
                &registries,
                &|_| {},
            )
            .await;
            assert!(
                matches!(pulled, Err(PullError::NoSpace { .. })),
                "{pulled:?}"
            );
        });
    });
}

/// Every size of the disk lets a pull come a little further. It ends in the same error, shows nothing, and with room the
/// next one goes on with the bytes that were kept.
#[test]
fn a_pull_that_fills_the_disk_at_any_step_shows_nothing_and_is_resumed() {
    let layers = [layer("a", 150_000), layer("b", 150_000)];
    let (mut failed, mut resumed) = (0, 0);
    for size in (16..1200).step_by(48) {
        on_tiny_disk(size << 10, |path| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let fake = Fake::start().await;
                put(&fake, "1", &layers);
                let store = ImageStore::open(&Root::below(path));
                let registries = Registries::default().impatient();
                let name = fake.name("image:1");
                let pull =
                    async || pull(&store, &name, Some("linux/amd64"), &registries, &|_| {}).await;
                if let Err(error) = pull().await {
                    assert!(
                        matches!(error, PullError::NoSpace { .. }),
                        "{size}: {error:?}"
                    );
                    assert!(store.list().unwrap().is_empty());
                    let tmp = fs_err::read_dir(path.join("tmp"));
                    assert_eq!(tmp.into_iter().flatten().count(), 0, "{size}");
                    failed += 1;
                    let flags = nix::mount::MsFlags::MS_REMOUNT;
                    nix::mount::mount(None::<&str>, path, None::<&str>, flags, Some("size=64M"))
                        .unwrap();
                    fake.log();
                    pull().await.unwrap();
                    resumed += usize::from(fake.log().iter().any(|line| line.contains("bytes=")));
                }
                let record = store.find(&name).unwrap().unwrap();
                for diff_id in &record.diff_ids {
                    let mut stream = store.layer_stream(diff_id).unwrap();
                    std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
                }
            });
        });
    }
    assert!(
        (10..25).contains(&failed) && resumed > 3,
        "{failed} failed, {resumed} resumed"
    );
}

/// Work directories of killed processes go; those in use stay.
#[tokio::test]
async fn litter_of_killed_processes_is_removed() {
    let (world, fake) = (World::new(), Fake::start().await);
    put(&fake, "1", &[layer("a", 1000)]);
    let tmp = world.directory.path().join("tmp");
    for name in ["image-1-dead/x/fs/deep", "image-2-busy/x", "other-helper"] {
        fs_err::create_dir_all(tmp.join(name)).unwrap();
    }
    let busy = fs_err::File::open(tmp.join("image-2-busy")).unwrap();
    flock(busy.as_fd(), FlockOperation::LockExclusive).unwrap();
    // A lock file without an owner does not hold anybody up.
    fs_err::create_dir_all(world.directory.path().join("ingest")).unwrap();
    let digest = digest_of(&gzip(&layer("a", 1000)));
    let lock = world
        .directory
        .path()
        .join("ingest")
        .join(format!("{}.lock", &digest["sha256:".len()..]));
    fs_err::write(lock, "").unwrap();
    world.pull(&fake.name("image:1")).await.unwrap();
    let mut left = world.names("tmp");
    left.sort();
    assert_eq!(left, ["image-2-busy", "other-helper"]);
}

/// A pull that is dropped half-way leaves nothing but what it has downloaded.
#[tokio::test]
async fn a_dropped_pull_leaves_nothing_half_made() {
    let (world, fake) = (World::new(), Fake::start().await);
    let digest = put(&fake, "1", &[layer("a", 300_000)]).remove(0);
    fake.fault(&digest, 1, Reply::Stall(100_000));
    {
        let name = fake.name("image:1");
        let pull = world.pull(&name);
        let came = async {
            while !world
                .progress
                .lock()
                .unwrap()
                .iter()
                .any(|p| matches!(p.phase, LayerPhase::Fetching { .. }))
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = pull => panic!("it stalls: {ended:?}"),
            () = came => {}
        }
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !world.names("tmp").is_empty()
        || world
            .names("ingest")
            .iter()
            .any(|name| name.contains(".lock"))
    {
        assert!(
            std::time::Instant::now() < deadline,
            "the thread ends with the pull"
        );
        tokio::task::yield_now().await;
    }
    assert!(world.store.list().unwrap().is_empty());
    assert_eq!(world.names("layers"), [""; 0]);
}

/// Layers and blobs that were committed by a killed pull are used by the next one.
#[tokio::test]
async fn layers_of_a_pull_that_did_not_end_are_not_fetched_again() {
    let (world, fake) = (World::new(), Fake::start().await);
    let layers = [layer("a", 1000), layer("b", 200_000)];
    put(&fake, "1", &layers[..1]);
    world.pull(&fake.name("image:1")).await.unwrap();
    fs_err::remove_file(world.directory.path().join("images.json")).unwrap();
    put(&fake, "2", &layers);
    fake.log();
    world.pull(&fake.name("image:2")).await.unwrap();
    let first = digest_of(&gzip(&layers[0]));
    assert!(!fake.log().iter().any(|line| line.contains(&first)));
}

/// A prune between the manifest and the layers takes nothing of the pull.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prune_in_the_middle_of_a_pull_takes_nothing_of_it() {
    let (world, fake) = (World::new(), Fake::start().await);
    let plain = layer("a", 1000);
    put(&fake, "1", std::slice::from_ref(&plain));
    let config = config_json("amd64", &[digest_of(&plain)]).to_string();
    // The config comes at the second try: the manifest lies there alone for so long.
    fake.fault(&digest_of(config.as_bytes()), 1, Reply::Stall(1));
    let name = fake.name("image:1");
    let pull = world.pull(&name);
    tokio::pin!(pull);
    let mut pruned_beside_manifest = 0;
    let record = loop {
        tokio::select! {
            biased;
            record = &mut pull => break record.unwrap(),
            () = tokio::task::yield_now() => {
                let is_there = !world.names("blobs/sha256").is_empty();
                let unnamed = crate::model::PruneFilter::default();
                world.store.prune(&unnamed, &crate::image::Kept::default()).unwrap();
                pruned_beside_manifest += u32::from(is_there);
            }
        }
    };
    assert!(pruned_beside_manifest > 0);
    let manifest = record.manifest.unwrap();
    assert!(world.store.read_blob(&manifest).unwrap().is_some());
    assert_eq!(world.names("blobs/sha256").len(), 3);
}

/// A layer that was pulled can give its stream for as long as it is there, whoever keeps it: saving and pushing need it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layer_and_its_blob_stay_and_go_together() {
    let (world, fake) = (World::new(), Fake::start().await);
    let blobs = put(&fake, "1", &[layer("a", 1000)]);
    let blob = blobs[0].strip_prefix("sha256:").unwrap();
    let name = fake.name("image:1");
    let diff_ids = world.pull(&name).await.unwrap().diff_ids;
    let read = || {
        let mut stream = world.store.layer_stream(&diff_ids[0]).unwrap();
        std::io::copy(&mut stream, &mut std::io::sink())
    };
    // The build cache keeps the layer when its image goes.
    let kept = crate::image::Kept {
        images: &[],
        layers: &diff_ids,
    };
    world.store.remove(&name, false, &kept).unwrap();
    world
        .store
        .prune(&crate::model::PruneFilter::default(), &kept)
        .unwrap();
    assert_eq!(world.names("blobs/sha256"), [blob]);
    read().unwrap();
    // A blob that got lost comes back with the next pull.
    let path = world.directory.path().join("blobs/sha256").join(blob);
    fs_err::remove_file(&path).unwrap();
    world.pull(&name).await.unwrap();
    assert!(path.exists());
    read().unwrap();
    world.store.remove(&name, false, &kept).unwrap();
    world.store.release_layers(&diff_ids, &[]).unwrap();
    assert_eq!(world.names("layers"), [""; 0]);
    assert_eq!(world.names("blobs/sha256"), [""; 0]);
}

/// After a machine has stopped too early, what is not right is fetched again, and nothing else: a large blob is read as the download it may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_is_in_doubt_only_what_is_not_right_is_fetched_again() {
    let (world, fake) = (World::new(), Fake::start().await);
    let layers = [layer("a", 1000), layer("b", 24 << 20), layer("c", 1000)];
    let blobs = put(&fake, "1", &layers);
    let name = fake.name("image:1");
    let record = world.pull(&name).await.unwrap();
    world.store.flush().unwrap();
    let hex = |digest: &str| digest.strip_prefix("sha256:").unwrap().to_owned();
    let state = world.directory.path();
    let lost = state.join("unsynced/the boot before");
    fs_err::create_dir(&lost).unwrap();
    let config = hex(record.id.as_str());
    let marks = (blobs.iter().map(|blob| format!("1-blob-{}", hex(blob))))
        .chain(
            record
                .diff_ids
                .iter()
                .map(|id| format!("2-layer-{}", id.hex())),
        )
        .chain([format!("3-blob-{config}"), "4-layer-never-made".to_owned()]);
    for mark in marks {
        fs_err::write(lost.join(mark), "").unwrap();
    }
    let damaged = state.join("blobs/sha256").join(hex(&blobs[0]));
    fs_err::write(state.join("zeros"), [0; 100]).unwrap();
    fs_err::rename(state.join("zeros"), damaged).unwrap();
    fake.log();

    assert!(world.store.list().unwrap().len() == 1);
    world.store.recover().unwrap();
    assert!(world.store.list().unwrap().is_empty());
    assert_eq!(world.names("layers"), [""; 0]);
    assert_eq!(world.names("unsynced").len(), 1);
    assert_eq!(world.pull(&name).await.unwrap(), record);
    let log = fake.log();
    let is_asked_for = |digest: &str| log.iter().any(|line| line.contains(digest));
    assert!(is_asked_for(&blobs[0]), "{log:?}");
    for kept in [&blobs[1], &blobs[2], &format!("sha256:{config}")] {
        assert!(!is_asked_for(kept), "{log:?}");
    }
    world.assert_clean(0);
    for diff_id in &record.diff_ids {
        let mut stream = world.store.layer_stream(diff_id).unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    }
}
