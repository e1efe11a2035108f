//! Pulls that succeed, and images that are unusable.

use super::*;

#[tokio::test]
async fn an_image_is_pulled_unpacked_and_found() {
    let (world, fake) = (World::new(), Fake::start().await);
    put(&fake, "1", &[layer("a", 200_000), layer("b", 100)]);
    let name = fake.name("lib/image:1");
    let record = world.pull(&name).await.unwrap();
    assert_eq!(record.platform, "linux/amd64");
    assert_eq!(record.config.cmd.as_ref().unwrap(), &["/bin/x"]);
    assert_eq!(record.layers.len(), 2);
    assert!(record.layers[0].join("b").exists() && record.layers[1].join("a").exists());
    assert_eq!(record.size_bytes, 200_100);
    assert_eq!(world.store.find(&name).unwrap().as_ref(), Some(&record));
    assert_eq!(
        world.store.find(record.id.short()).unwrap().as_ref(),
        Some(&record)
    );
    assert_eq!(
        world.store.list().unwrap()[0].references,
        std::slice::from_ref(&name)
    );
    assert_eq!(
        world.store.config_json(&record.id).unwrap()["unknown"][1],
        json!({"kept": null})
    );
    world.assert_clean(0);
    let phases = world.progress.lock().unwrap();
    assert!(phases.iter().any(|p| matches!(p.phase, LayerPhase::Fetching { current_bytes, total_bytes } if current_bytes <= total_bytes)));
    assert_eq!(
        phases
            .iter()
            .filter(|p| p.phase == LayerPhase::Done)
            .count(),
        2
    );
}

#[tokio::test]
async fn an_unchanged_tag_costs_one_head_and_a_moved_one_only_what_is_new() {
    let (world, fake) = (World::new(), Fake::start().await);
    put(&fake, "1", &[layer("a", 1000)]);
    let name = fake.name("image:1");
    let first = world.pull(&name).await.unwrap();
    fake.log();
    assert_eq!(world.pull(&name).await.unwrap(), first);
    assert_eq!(fake.log(), ["HEAD /v2/image/manifests/1"]);
    put(&fake, "1", &[layer("a", 1000), layer("b", 1000)]);
    let second = world.pull(&name).await.unwrap();
    assert_ne!(second.id, first.id);
    let fetched = fake
        .log()
        .into_iter()
        .filter(|line| line.contains("/blobs/"))
        .count();
    assert_eq!(fetched, 2, "the config and the new layer");
    let listed = world.store.list().unwrap();
    assert!(
        listed
            .iter()
            .any(|image| image.id == first.id && image.references.is_empty())
    );
}

#[tokio::test]
async fn an_index_is_searched_for_the_platform() {
    let (world, fake) = (World::new(), Fake::start().await);
    let mut entries = Vec::new();
    for (architecture, content) in [("arm64", "arm"), ("amd64", "amd")] {
        let plain = layer(content, 50);
        let config = config_json(architecture, &[digest_of(&plain)]);
        let manifest = manifest_json(&fake, &config, &[(gzip(&plain), plain)]).to_string();
        let digest = fake.put_manifest(architecture, MANIFEST, manifest.as_bytes());
        entries.push(json!({"mediaType": MANIFEST, "digest": digest, "size": manifest.len(), "platform": {"os": "linux", "architecture": architecture}}));
    }
    entries.insert(0, json!({"mediaType": MANIFEST, "digest": digest_of(b"x"), "size": 1, "platform": {"os": "unknown", "architecture": "unknown"}}));
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string();
    let digest = fake.put_manifest("multi", INDEX, index.as_bytes());
    let record = world.pull(&fake.name("image:multi")).await.unwrap();
    assert!(record.layers[0].join("amd").exists());
    let other = world
        .pull_for(&fake.name("image:multi"), Some("linux/arm64/v8"))
        .await
        .unwrap();
    assert_eq!(other.platform, "linux/arm64");
    let pinned = fake.name(&format!("image@{digest}"));
    assert_eq!(world.store.find(&pinned).unwrap().unwrap().id, other.id);
    let error = world
        .pull_for(&fake.name("image:multi"), Some("linux/s390x"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` is not made for linux/s390x; it is for linux/arm64, linux/amd64",
            fake.name("image:multi")
        )
    );
}

/// F9: the compression is told by magic.
#[tokio::test]
async fn layers_are_read_whatever_their_media_type_says() {
    let (world, fake) = (World::new(), Fake::start().await);
    let plain = [layer("a", 500), layer("b", 500), layer("c", 500)];
    let zstd = zstd::stream::encode_all(&plain[0][..], 1).unwrap();
    let members = [gzip(&plain[1][..700]), gzip(&plain[1][700..])].concat();
    put_as(
        &fake,
        "1",
        &[
            (zstd, plain[0].clone()),
            (members, plain[1].clone()),
            (plain[2].clone(), plain[2].clone()),
        ],
    );
    let record = world.pull(&fake.name("image:1")).await.unwrap();
    for (layer, name) in record.layers.iter().rev().zip(["a", "b", "c"]) {
        assert!(layer.join(name).exists());
    }
}

/// F9.
#[tokio::test]
async fn unusable_manifests_are_named() {
    let (world, fake) = (World::new(), Fake::start().await);
    for (tag, kind, body, part) in [
        (
            "old",
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            json!({"schemaVersion": 1, "fsLayers": []}),
            "schema 1",
        ),
        (
            "empty",
            INDEX,
            json!({"schemaVersion": 2, "manifests": []}),
            "is not made for",
        ),
        (
            "chart",
            MANIFEST,
            json!({"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": digest_of(b"{}"), "size": 2}}),
            "helm",
        ),
        ("text", MANIFEST, json!("nothing"), "malformed"),
    ] {
        fake.put_manifest(tag, kind, body.to_string().as_bytes());
        let error = world
            .pull(&fake.name(&format!("image:{tag}")))
            .await
            .unwrap_err();
        assert!(text(&error).contains(part), "{tag}: {}", text(&error));
    }
    world.assert_clean(0);
}

/// F10.
#[tokio::test]
async fn a_config_that_disagrees_with_the_layers_is_refused() {
    let (world, fake) = (World::new(), Fake::start().await);
    let plain = layer("a", 500);
    for (tag, diff_ids, part) in [
        ("count", vec![], "the manifest has 1 layers, the config 0"),
        ("value", vec![digest_of(b"other")], "its diff id is"),
    ] {
        let manifest = manifest_json(
            &fake,
            &config_json("amd64", &diff_ids),
            &[(gzip(&plain), plain.clone())],
        );
        fake.put_manifest(tag, MANIFEST, manifest.to_string().as_bytes());
        let error = world
            .pull(&fake.name(&format!("image:{tag}")))
            .await
            .unwrap_err();
        assert!(text(&error).contains(part), "{}", text(&error));
        assert!(world.store.list().unwrap().is_empty());
    }
    assert_eq!(world.names("layers"), [""; 0]);
    world.assert_clean(0);
}

/// 3.2: a hard link to a file of a lower layer, and a directory that only the lower layer describes.
#[tokio::test]
async fn layers_that_depend_on_those_below_are_completed() {
    use std::os::unix::fs::MetadataExt;
    let (world, fake) = (World::new(), Fake::start().await);
    let below = Tape::default()
        .dir("./", 0o755)
        .dir("tmp", 0o1777)
        .dir("bin", 0o711)
        .file("bin/tool", "tool")
        .symlink("sbin", "bin")
        .end();
    let above = Tape::default()
        .dir("./", 0o755)
        .file("tmp/new", "x")
        .link("tool2", "sbin/tool")
        .link("bin/tool3", "tool2")
        .end();
    put(&fake, "1", &[below.clone(), above]);
    let record = world.pull(&fake.name("image:1")).await.unwrap();
    let top = &record.layers[0];
    assert_eq!(
        fs_err::metadata(top.join("tmp")).unwrap().mode() & 0o7777,
        0o1777
    );
    assert_eq!(fs_err::read_to_string(top.join("tool2")).unwrap(), "tool");
    assert_eq!(fs_err::metadata(top.join("bin/tool")).unwrap().nlink(), 3);
    assert_eq!(
        fs_err::metadata(top.join("bin")).unwrap().mode() & 0o7777,
        0o711
    );
    assert!(
        top.parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("chain-")
    );
    // The same file on top of other layers: nothing of the first stack shows.
    let implied = Tape::default().dir("./", 0o755).file("tmp/new", "x").end();
    put(&fake, "2", &[below, implied.clone()]);
    put(&fake, "3", &[layer("z", 10), implied]);
    let mode = |record: &ImageRecord| {
        fs_err::metadata(record.layers[0].join("tmp"))
            .unwrap()
            .mode()
            & 0o7777
    };
    assert_eq!(
        mode(&world.pull(&fake.name("image:2")).await.unwrap()),
        0o1777
    );
    assert_eq!(
        mode(&world.pull(&fake.name("image:3")).await.unwrap()),
        0o755
    );
    let lost = Tape::default().dir("./", 0o755).link("x", "nowhere").end();
    put(&fake, "4", &[lost]);
    let error = world.pull(&fake.name("image:4")).await.unwrap_err();
    assert!(
        text(&error).contains("a hard link to a file that is in no layer"),
        "{}",
        text(&error)
    );
    world.assert_clean(0);
}

#[tokio::test]
async fn what_an_opaque_root_hides_is_not_mounted() {
    let (world, fake) = (World::new(), Fake::start().await);
    let opaque = Tape::default()
        .dir("./", 0o755)
        .file(".wh..wh..opq", "")
        .file("new", "x")
        .end();
    put(&fake, "1", &[layer("a", 10), opaque]);
    let record = world.pull(&fake.name("image:1")).await.unwrap();
    assert_eq!((record.layers.len(), record.diff_ids.len()), (1, 2));
}

#[tokio::test]
async fn two_pulls_at_once_fetch_every_layer_once() {
    let (world, fake) = (World::new(), Fake::start().await);
    put(&fake, "1", &[layer("a", 100_000), layer("b", 100_000)]);
    put(&fake, "2", &[layer("b", 100_000), layer("a", 100_000)]);
    fake.fault("/blobs/", 4, Reply::Drip);
    let names = [
        fake.name("image:1"),
        fake.name("image:2"),
        fake.name("image:1"),
    ];
    let pulls = names.iter().map(|name| world.pull(name));
    for record in futures_util::future::join_all(pulls).await {
        assert_eq!(record.unwrap().layers.len(), 2);
    }
    let log = fake.log();
    for name in ["a", "b"] {
        let digest = digest_of(&gzip(&layer(name, 100_000)));
        assert_eq!(
            log.iter().filter(|line| line.contains(&digest)).count(),
            1,
            "{log:?}"
        );
    }
    world.assert_clean(0);
}
