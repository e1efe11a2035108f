//! Pushes to a registry in this process: F11, resume, mounts, families. They need root, as unpacking does.

use std::sync::Mutex;

use serde_json::{Value, json};

use PushPhase::{Compressed, Compressing, Done, Exists};

use super::*;
use crate::{
    image::{
        pull,
        registry::fake::{Fake, Reply},
    },
    model::{Credential, RegistryAccess},
    store::Root,
};

struct World {
    _directory: tempfile::TempDir,
    store: ImageStore,
    registries: Registries,
    events: Mutex<Vec<PushEvent>>,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            store: ImageStore::open(&Root::below(directory.path())),
            _directory: directory,
            registries: Registries::default().impatient(),
            events: Mutex::default(),
        }
    }

    /// Makes an image as the builder does: layers of files, no compressed form.
    fn build(&self, name: &str, layers: &[(&str, usize)]) {
        let mut diff_ids = Vec::new();
        for (file, size) in layers {
            let upper = tempfile::tempdir_in(self.store.state()).unwrap();
            let mut seed = file.bytes().map(u64::from).sum::<u64>() | 1;
            let mut noise = || {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed.to_le_bytes()[0]
            };
            let content: Vec<u8> = (0..*size).map(|_| noise()).collect();
            fs::write(upper.path().join(file), content).unwrap();
            let layer = self.store.commit_layer(&upper.keep()).unwrap();
            diff_ids.push(layer.diff_id);
        }
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let tags = [name.to_owned()];
        self.store.commit_image(&config, &diff_ids, &tags).unwrap();
    }

    async fn push(&self, name: &str) -> Result<Pushed, PushError> {
        let tell = |event| self.events.lock().unwrap().push(event);
        let push = push(&self.store, name, &self.registries, &tell);
        tokio::time::timeout(Duration::from_secs(60), push)
            .await
            .expect("a push ends")
    }

    fn phases(&self) -> Vec<PushPhase> {
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        let phases = events.into_iter().filter_map(|event| match event {
            PushEvent::Layer(progress) => Some(progress.phase),
            PushEvent::Warning(_) => None,
        });
        phases
            .filter(|phase| !matches!(phase, PushPhase::Sending { .. }))
            .collect()
    }
}

async fn registry() -> Fake {
    let fake = Fake::start().await;
    fake.take_uploads(None);
    fake
}

fn count(log: &[String], start: &str) -> usize {
    log.iter().filter(|line| line.starts_with(start)).count()
}

#[tokio::test]
async fn a_built_image_is_pushed_once_and_can_be_pulled() {
    let (world, fake) = (World::new(), registry().await);
    let name = fake.name("team/app:1");
    world.build(&name, &[("a", 40_000), ("b", 50_000)]);
    let pushed = world.push(&name).await.unwrap();
    let mut phases = world.phases();
    phases.sort_by_key(|phase| format!("{phase:?}"));
    assert_eq!(
        phases,
        [Compressed, Compressed, Compressing, Compressing, Done, Done]
    );
    let (kind, manifest) = fake.manifest("1").unwrap();
    assert_eq!(kind, "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(crate::image::digest::of(&manifest), pushed.digest);
    fake.log();

    // Nothing is compressed or sent again, under another tag either.
    world.push(&name).await.unwrap();
    assert_eq!(world.phases(), [Exists, Exists]);
    let log = fake.log();
    assert_eq!(
        (count(&log, "POST"), count(&log, "PATCH")),
        (0, 0),
        "{log:?}"
    );

    let other = World::new();
    let record = pull(
        &other.store,
        &name,
        Some("linux/amd64"),
        &other.registries,
        &|_| {},
    );
    let record = record.await.unwrap();
    assert_eq!(record.size_bytes, 90_000);
    assert_eq!(record.manifest, Some(pushed.digest.clone()));
}

#[tokio::test]
async fn a_pulled_image_is_pushed_as_it_came() {
    for (config, layer, manifest) in [
        (
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.distribution.manifest.v2+json",
        ),
        (
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.manifest.v1+json",
        ),
    ] {
        let (world, from, to) = (World::new(), Fake::start().await, registry().await);
        let plain = crate::image::unpack::tests::Tape::default()
            .dir("./", 0o755)
            .file("a", "text")
            .end();
        let blob = zstd::stream::encode_all(&plain[..], 3).unwrap();
        let text = json!({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["x"]}, "odd": [1],
            "rootfs": {"type": "layers", "diff_ids": [crate::image::digest::of(&plain)]},
        })
        .to_string();
        let bytes = json!({
            "schemaVersion": 2, "mediaType": manifest, "annotations": {"kept": "as it is"},
            "config": {"mediaType": config, "digest": from.put_blob(text.as_bytes()), "size": text.len()},
            "layers": [{"mediaType": layer, "digest": from.put_blob(&blob), "size": blob.len()}],
        });
        let bytes = format!("{bytes:#}");
        from.put_manifest("1", manifest, bytes.as_bytes());
        let source = from.name("image:1");
        pull(
            &world.store,
            &source,
            Some("linux/amd64"),
            &world.registries,
            &|_| {},
        )
        .await
        .unwrap();
        let target = to.name("copy:2");
        world.store.tag(&source, &target).unwrap();
        world.push(&target).await.unwrap();
        assert_eq!(
            to.manifest("2").unwrap(),
            (manifest.to_owned(), bytes.into_bytes())
        );

        // Without its compressed layer it keeps its family and content, if not its bytes.
        let lost = crate::image::digest::of(&blob);
        fs::remove_file(world.store.state().join("blobs/sha256").join(lost.hex())).unwrap();
        let again = to.name("copy:3");
        world.store.tag(&source, &again).unwrap();
        match world.push(&again).await {
            Ok(_) => {
                let (kind, made) = to.manifest("3").unwrap();
                assert_eq!(kind, manifest);
                let made: Value = serde_json::from_slice(&made).unwrap();
                assert_eq!(made["config"]["mediaType"], config);
                assert_eq!(made["layers"][0]["mediaType"], layer);
            }
            // Files alone do not always give the same stream; then it is said, and nothing is sent.
            Err(PushError::Store { .. }) => assert_eq!(to.manifest("3"), None),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn blobs_of_other_repositories_are_mounted() {
    let (world, fake) = (World::new(), registry().await);
    let (first, second) = (fake.name("team/one:1"), fake.name("team/two:1"));
    world.build(&first, &[("a", 1000)]);
    world.store.tag(&first, &second).unwrap();
    world.push(&first).await.unwrap();
    fake.log();
    world.phases();
    world.push(&second).await.unwrap();
    assert_eq!(world.phases(), [PushPhase::Mounted]);
    let log = fake.log();
    assert_eq!(count(&log, "PUT /v2/team/two/blobs"), 0, "{log:?}");

    // A registry that does not mount begins an upload instead, which is used.
    let third = fake.name("team/three:1");
    world.store.tag(&first, &third).unwrap();
    let ignored = Reply::Plain(
        202,
        vec![("location", "/v2/team/three/blobs/uploads/none".to_owned())],
        vec![],
    );
    fake.fault("mount=", 1, ignored);
    world.push(&third).await.unwrap();
    assert_eq!(world.phases().last(), Some(&Done));
}

/// Pushes one layer of 100 kB in pieces of 30 kB through a fault and returns the log.
async fn survives(contains: &str, times: usize, fault: Reply) -> Vec<String> {
    let (mut world, fake) = (World::new(), registry().await);
    world.registries = world.registries.with_upload_piece(30_000);
    let name = fake.name("app:1");
    world.build(&name, &[("a", 100_000)]);
    fake.fault(contains, times, fault);
    world.push(&name).await.unwrap();
    let (_, manifest) = fake.manifest("1").unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert!(
        fake.blob(manifest["layers"][0]["digest"].as_str().unwrap())
            .is_some()
    );
    fake.log()
}

#[tokio::test]
async fn broken_uploads_go_on_where_they_stopped() {
    let whole = survives("nothing", 0, Reply::Reset).await;
    assert_eq!(count(&whole, "PATCH"), 4, "{whole:?}");
    // Half a piece was taken: the next one starts in its middle.
    let cut = survives("PATCH", 1, Reply::Cut(10_000)).await;
    assert_eq!(
        (count(&cut, "PATCH"), count(&cut, "POST")),
        (5, 2),
        "{cut:?}"
    );
    // The piece was taken and only the answer was lost: it is not sent again.
    let lost = survives("PATCH", 1, Reply::Lost).await;
    assert_eq!(count(&lost, "PATCH"), 4, "{lost:?}");
    for fault in [
        Reply::Plain(500, vec![], vec![]),
        Reply::Plain(503, vec![("retry-after", "0".to_owned())], vec![]),
        Reply::Plain(429, vec![("retry-after", "0".to_owned())], vec![]),
        Reply::Reset,
    ] {
        for request in [
            "PATCH",
            "PUT /v2/app/blobs",
            "PUT /v2/app/manifests",
            "POST",
            "HEAD",
        ] {
            survives(request, 2, fault.clone()).await;
        }
    }
}

#[tokio::test]
async fn a_lost_upload_begins_again_and_one_without_pieces_goes_whole() {
    let unknown = br#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#.to_vec();
    let lost = survives("PATCH", 1, Reply::Plain(404, vec![], unknown.clone())).await;
    assert_eq!(count(&lost, "PUT /v2/app/blobs"), 2, "{lost:?}");
    survives(
        "GET /v2/app/blobs/uploads",
        9,
        Reply::Plain(404, vec![], unknown),
    )
    .await;
    let whole = survives("PATCH", 9, Reply::Plain(405, vec![], vec![])).await;
    assert_eq!(count(&whole, "PATCH"), 1, "{whole:?}");
}

#[tokio::test]
async fn pieces_are_as_large_as_the_registry_wants() {
    let (mut world, fake) = (World::new(), Fake::start().await);
    fake.take_uploads(Some(60_000));
    world.registries = world.registries.with_upload_piece(30_000);
    let name = fake.name("app:1");
    world.build(&name, &[("a", 100_000)]);
    world.push(&name).await.unwrap();
    assert_eq!(count(&fake.log(), "PATCH"), 2);
}

#[tokio::test]
async fn one_token_permits_the_whole_push() {
    let (mut world, fake) = (World::new(), registry().await);
    let (first, second) = (fake.name("one:1"), fake.name("two:1"));
    world.build(&first, &[("a", 1000)]);
    world.store.tag(&first, &second).unwrap();
    world.push(&first).await.unwrap();
    let challenge = format!(
        r#"Bearer realm="{}/token",service="s",scope="repository:two:pull""#,
        fake.url()
    );
    fake.guard("Bearer T", &challenge);
    let token = json!({"token": "T"}).to_string().into_bytes();
    fake.fault("/token", 9, Reply::Plain(200, vec![], token));
    let access = RegistryAccess {
        credentials: BTreeMap::from([(
            fake.address.to_string(),
            Credential::password("me", "secret"),
        )]),
        ..RegistryAccess::default()
    };
    world.registries = world.registries.for_caller(&Arc::new(access)).unwrap();
    fake.log();
    world.push(&second).await.unwrap();
    let log = fake.log();
    let asked: Vec<_> = log.iter().filter(|line| line.contains("/token")).collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let scopes =
        "GET /token?service=s&scope=repository:two:pull,push&scope=repository:one:pull&account=me";
    assert!(asked[0].starts_with(scopes), "{asked:?}");
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let (world, fake) = (World::new(), registry().await);
    let name = fake.name("app:1");
    let error = world.push(&name).await.unwrap_err();
    assert!(matches!(&error, PushError::NotHere(_)), "{error}");
    world.build(&name, &[("a", 1000)]);
    let host = fake.address;
    for (contains, reply, part, hint) in [
        (
            "HEAD",
            Reply::Plain(
                401,
                vec![("www-authenticate", "Basic realm=\"x\"".into())],
                vec![],
            ),
            "there are no credentials",
            format!("stack login {host}"),
        ),
        (
            "POST",
            Reply::Plain(403, vec![], br#"{"errors":[{"code":"DENIED"}]}"#.to_vec()),
            "there are no credentials",
            format!("stack login {host}"),
        ),
        (
            "manifests",
            Reply::With("docker-content-digest", format!("sha256:{:064x}", 7)),
            "the registry says that it got",
            String::new(),
        ),
    ] {
        let fake = registry().await;
        let named = fake.name("app:1");
        world.store.tag(&name, &named).unwrap();
        fake.fault(contains, 20, reply);
        let error = world.push(&named).await.unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        let hint = hint.replace(&host.to_string(), &fake.address.to_string());
        assert_eq!(error.hints().concat(), hint);
    }
    let pinned = format!("{}@sha256:{:064x}", fake.name("app"), 7);
    assert!(matches!(
        world.push(&pinned).await,
        Err(PushError::NotHere(_))
    ));
}

#[tokio::test]
async fn foreign_layers_stay_where_they_are() {
    let (world, fake) = (World::new(), registry().await);
    let plain = crate::image::unpack::tests::Tape::default()
        .dir("./", 0o755)
        .file("a", "text")
        .end();
    let foreign = crate::image::digest::of(&plain);
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [&foreign]},
    })
    .to_string();
    let elsewhere = Fake::start().await;
    elsewhere.put_blob(&plain);
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": kind,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": elsewhere.put_blob(config.as_bytes()), "size": config.len()},
        "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "digest": foreign, "size": plain.len(), "urls": ["http://127.0.0.1:1/layer"],
        }],
    });
    elsewhere.put_manifest("1", kind, manifest.to_string().as_bytes());
    let source = elsewhere.name("image:1");
    pull(
        &world.store,
        &source,
        Some("linux/amd64"),
        &world.registries,
        &|_| {},
    )
    .await
    .unwrap();
    let target = fake.name("image:1");
    world.store.tag(&source, &target).unwrap();
    world.push(&target).await.unwrap();
    assert_eq!(fake.blob(foreign.as_str()), None);
    assert_eq!(
        fake.manifest("1").unwrap().1,
        manifest.to_string().into_bytes()
    );
}
