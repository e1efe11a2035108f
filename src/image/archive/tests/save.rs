//! Archives that were saved are loaded again, by us and by skopeo, and are the same images.
#![expect(clippy::disallowed_methods, reason = "the oracle is a program")]

use std::process::Command;

use super::*;
use crate::image::{
    store::{ImageError, Kept},
    unpack::tests::Member,
};

fn saved(world: &World, names: &[&str], format: SaveFormat) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut bytes = Vec::new();
    save(&world.store, &names, format, &mut bytes).unwrap();
    bytes
}

/// A tar stream as no writer of ours would make it: unsorted, with owners' names, long paths, holes and trailing bytes.
fn odd_layer() -> Vec<u8> {
    let long = "directory/".repeat(15) + "file";
    let named = Member {
        path: b"z",
        data: b"content",
        pax: vec![(b"uname", b"somebody"), (b"atime", b"1.5")],
        ..Member::default()
    };
    let mut bytes = Tape::default()
        .add(&named)
        .add(&Member {
            path: b"long",
            data: "data ".repeat(50_000).as_bytes(),
            pax: vec![(b"path", long.as_bytes())],
            ..Member::default()
        })
        .file("empty", "")
        .link("hard", "z")
        .symlink("link", "/z")
        .dir("a", 0o700)
        .end();
    bytes.extend([0; 4096]);
    bytes
}

fn archive_of(layers: &[Vec<u8>], tag: &str) -> Vec<u8> {
    let names: Vec<String> = (0..layers.len())
        .map(|n| format!("{n}/layer.tar"))
        .collect();
    let manifest = json!([{"Config": "c.json", "RepoTags": [tag], "Layers": names}]);
    let mut tape = add(
        Tape::default(),
        "manifest.json",
        manifest.to_string().as_bytes(),
    );
    tape = add(tape, "c.json", &config("amd64", layers));
    for (name, layer) in names.iter().zip(layers) {
        tape = add(tape, name, layer);
    }
    tape.end()
}

#[test]
fn a_loaded_image_is_saved_with_the_layers_as_they_came() {
    let layers = [odd_layer(), layer("b")];
    let world = World::new();
    world
        .load(&world.file(&archive_of(&layers, "odd:1")))
        .unwrap();
    let id = world.store.find("odd:1").unwrap().unwrap().id;
    world.store.tag("odd:1", "registry.example/odd:2").unwrap();
    for format in [SaveFormat::Docker, SaveFormat::Oci] {
        let bytes = saved(&world, &["odd:1", "registry.example/odd:2"], format);
        assert_eq!(
            bytes,
            saved(&world, &["odd:1", "registry.example/odd:2"], format),
            "an archive of the same images is the same"
        );
        let other = World::new();
        assert_eq!(
            other.load(&other.file(&bytes)).unwrap(),
            ["odd:1", "registry.example/odd:2"]
        );
        assert_eq!(other.store.find("odd:1").unwrap().unwrap().id, id);
    }
}

/// The same name twice, as files, directories and links that replace one another, also behind links that then change.
fn layer_with_duplicates() -> Vec<u8> {
    Tape::default()
        .file("a", "first")
        .file("a", "second")
        .link("b", "a")
        .file("a", "third")
        .file("d/sub/x", "in a directory")
        .file("d/sub", "a file now")
        .file("d", "a file at last")
        .dir("real", 0o755)
        .symlink("lib", "real")
        .file("lib/through", "behind a link")
        .file("lib", "no link any more")
        .file("real/through", "again")
        .file("real", "")
        .file("e", "")
        .file("e", "no more empty")
        .end()
}

#[test]
fn layers_with_duplicate_names_are_saved_as_they_came() {
    let plain = layer_with_duplicates();
    let world = World::new();
    // In the second image the duplicates lie over a layer that makes them a completed copy.
    let below = Tape::default().dir("d", 0o700).dir("./", 0o700).end();
    world
        .load(&world.file(&archive_of(std::slice::from_ref(&plain), "twice:1")))
        .unwrap();
    world
        .load(&world.file(&archive_of(&[below, plain.clone()], "twice:2")))
        .unwrap();
    let record = world.store.find("twice:1").unwrap().unwrap();
    let layer = &record.layers[0];
    for (name, content) in [
        ("a", "third"),
        ("b", "second"),
        ("d", "a file at last"),
        ("lib", "no link any more"),
        ("real", ""),
        ("e", "no more empty"),
    ] {
        assert_eq!(fs::read_to_string(layer.join(name)).unwrap(), content);
    }
    let read = || {
        let mut bytes = Vec::new();
        let mut stream = world.store.layer_stream(&record.diff_ids[0]).unwrap();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(read(), plain);
    let bytes = saved(&world, &["twice:1", "twice:2"], SaveFormat::Docker);
    let other = World::new();
    other.load(&other.file(&bytes)).unwrap();
    assert_eq!(other.store.find("twice:1").unwrap().unwrap().id, record.id);
    // The completed copy is enough to make the stream of.
    world
        .store
        .remove("twice:1", false, &Kept::default())
        .unwrap();
    assert!(!layer.exists());
    assert_eq!(read(), plain);
}

#[test]
fn oci_archives_keep_compressed_layers_and_manifests() {
    let files = oci_layout();
    let archive = files
        .iter()
        .fold(Tape::default(), |tape, (path, bytes)| {
            add(tape, path, bytes)
        })
        .end();
    let world = World::new();
    world.load(&world.file(&archive)).unwrap();
    let first = world.store.find("multi:1").unwrap().unwrap();
    let other = World::new();
    let bytes = saved(&world, &["multi:1"], SaveFormat::Oci);
    other.load(&other.file(&bytes)).unwrap();
    let second = other.store.find("multi:1").unwrap().unwrap();
    assert_eq!((&first.id, &first.manifest), (&second.id, &second.manifest));
    let diff_id = &second.diff_ids[0];
    assert_eq!(
        world.store.layer_blob(diff_id).unwrap().unwrap().digest,
        other.store.layer_blob(diff_id).unwrap().unwrap().digest
    );
}

#[test]
fn names_ids_and_repositories_choose_what_is_saved() {
    let world = World::new();
    world
        .load(&world.file(&archive_of(&[layer("a")], "app:1")))
        .unwrap();
    world
        .load(&world.file(&archive_of(&[layer("b")], "app:2")))
        .unwrap();
    let id = world.store.find("app:1").unwrap().unwrap().id;
    for (names, loaded) in [
        (&["app"][..], vec!["app:1".to_owned(), "app:2".to_owned()]),
        (&["app:2", "app:2"], vec!["app:2".to_owned()]),
        (&[id.short()], vec![id.to_string()]),
        (&[id.short(), "app:1"], vec!["app:1".to_owned()]),
    ] {
        let other = World::new();
        let bytes = saved(&world, names, SaveFormat::Docker);
        assert_eq!(
            other.load(&other.file(&bytes)).unwrap(),
            loaded,
            "{names:?}"
        );
    }
    let missing = save(
        &world.store,
        &["nothing".to_owned()],
        SaveFormat::Docker,
        &mut io::sink(),
    );
    assert!(matches!(
        missing,
        Err(SaveError::Store(ImageError::NotFound(_)))
    ));
}

#[test]
fn a_full_disk_and_a_damaged_layer_are_errors() {
    let world = World::new();
    world
        .load(&world.file(&archive_of(&[odd_layer()], "odd:1")))
        .unwrap();
    let mut full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let names = ["odd:1".to_owned()];
    let error = save(&world.store, &names, SaveFormat::Docker, &mut full).unwrap_err();
    assert!(matches!(error, SaveError::Write(_)), "{error}");
    let record = world.store.find("odd:1").unwrap().unwrap();
    fs::write(record.layers[0].join("z"), "changed").unwrap();
    let error = save(&world.store, &names, SaveFormat::Docker, &mut io::sink()).unwrap_err();
    assert!(matches!(error, SaveError::Layer { .. }), "{error}");
}

fn skopeo(arguments: &[&str]) {
    let output = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet"])
        .args(arguments)
        .output()
        .expect("skopeo; ./tests/run installs it");
    assert!(
        output.status.success(),
        "skopeo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Through skopeo's two formats and back, each way: the layers stay byte for byte, and within one format the config too.
#[test]
fn archives_go_through_skopeo_and_come_back() {
    let world = World::new();
    let layers = [odd_layer(), layer("b")];
    world
        .load(&world.file(&archive_of(&layers, "odd:1")))
        .unwrap();
    let record = world.store.find("odd:1").unwrap().unwrap();
    let path = |name: &str| world.directory.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    fs::write(
        path("ours.tar"),
        saved(&world, &["odd:1"], SaveFormat::Docker),
    )
    .unwrap();
    fs::write(path("oci.tar"), saved(&world, &["odd:1"], SaveFormat::Oci)).unwrap();
    let ours = format!("docker-archive:{}", text("ours.tar"));
    let hybrid = format!("oci-archive:{}", text("ours.tar"));
    let oci = format!("oci-archive:{}", text("oci.tar"));
    for (number, source) in [ours, hybrid, oci].iter().enumerate() {
        let docker = format!("theirs-{number}.tar");
        let layout = format!("layout-{number}");
        skopeo(&[source, &format!("docker-archive:{}:odd:1", text(&docker))]);
        skopeo(&[source, &format!("oci:{}:odd:1", text(&layout))]);
        for name in [docker, layout] {
            let other = World::new();
            other.load(&path(&name)).unwrap();
            let back = other.store.find("odd:1").unwrap().unwrap();
            assert_eq!(back.diff_ids, record.diff_ids, "{source} as {name}");
            // Between docker's form and OCI's skopeo writes the config anew.
            if source.starts_with("oci") == name.starts_with("layout") {
                assert_eq!(back.id, record.id, "{source} as {name}");
            }
        }
    }
}

/// Every compression that people have; xz and bzip2 are made by their own programs.
#[test]
fn compressed_archives_are_read() {
    let plain = archive_of(&[layer("a")], "app:1");
    let world = World::new();
    let path = world.file(&plain);
    for program in ["gzip", "zstd", "xz", "bzip2"] {
        let output = Command::new(program).arg("-c").arg(&path).output().unwrap();
        assert!(output.status.success());
        let other = World::new();
        assert_eq!(
            other.load(&other.file(&output.stdout)).unwrap(),
            ["app:1"],
            "{program}"
        );
        let cut = &output.stdout[..output.stdout.len() / 2];
        assert!(other.load(&other.file(cut)).is_err(), "{program}, cut");
    }
}
