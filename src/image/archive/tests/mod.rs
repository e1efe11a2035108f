//! Archives of both kinds, good and hostile. Needs root.

mod save;
mod umoci;

use std::{io::Write, path::PathBuf};

use serde_json::json;

use super::*;
use crate::{
    image::{platform::Platform, unpack::tests::Tape},
    store::Root,
};

struct World {
    directory: tempfile::TempDir,
    store: ImageStore,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&Root::below(directory.path().join("state")));
        Self { directory, store }
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join("archive.tar");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn load(&self, path: &Path) -> Result<Vec<String>, LoadError> {
        load(&self.store, path, &|_| {})
    }
}

fn layer(name: &str) -> Vec<u8> {
    Tape::default().dir("./", 0o755).file(name, name).end()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn digest_of(bytes: &[u8]) -> String {
    crate::image::digest::of(bytes).to_string()
}

fn add(tape: Tape, path: &str, bytes: &[u8]) -> Tape {
    let member = crate::image::unpack::tests::Member {
        path: path.as_bytes(),
        data: bytes,
        ..Default::default()
    };
    tape.add(&member)
}

fn config(architecture: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| digest_of(layer)).collect();
    json!({"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": diff_ids}})
        .to_string()
        .into_bytes()
}

/// Makes what `docker save` makes; the second layer is a link to where it lies, as older versions wrote it.
fn docker_archive() -> Vec<u8> {
    let layers = [layer("a"), layer("b")];
    let manifest = json!([{"Config": "c.json", "RepoTags": ["app:1", "registry.example/app:2"], "Layers": ["1/layer.tar", "2/layer.tar"]}]);
    let tape = add(
        Tape::default(),
        "manifest.json",
        manifest.to_string().as_bytes(),
    );
    let tape = add(tape, "c.json", &config("amd64", &layers));
    let tape = add(tape, "1/layer.tar", &layers[0]);
    let tape = add(tape, "shared/layer.tar", &gzip(&layers[1]));
    tape.dir("2", 0o755)
        .symlink("2/layer.tar", "../shared/layer.tar")
        .end()
}

#[test]
fn archives_of_docker_are_loaded_compressed_or_not() {
    let plain = docker_archive();
    for bytes in [
        plain.clone(),
        gzip(&plain),
        zstd::stream::encode_all(&plain[..], 1).unwrap(),
    ] {
        let world = World::new();
        assert_eq!(
            world.load(&world.file(&bytes)).unwrap(),
            ["app:1", "registry.example/app:2"]
        );
        let record = world.store.find("app:1").unwrap().unwrap();
        assert!(record.layers[0].join("b").exists() && record.layers[1].join("a").exists());
        assert_eq!(
            fs::read_dir(world.directory.path().join("state/tmp"))
                .unwrap()
                .count(),
            0
        );
        // Again: the layers are there.
        let again = load(&world.store, &world.file(&bytes), &|_| {}).unwrap();
        assert_eq!(again, ["app:1", "registry.example/app:2"]);
    }
}

/// Makes an OCI layout as a list of files, with an index inside the index.
fn oci_layout() -> Vec<(String, Vec<u8>)> {
    let mut files = vec![(
        "oci-layout".to_owned(),
        br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
    )];
    let mut blob = |bytes: Vec<u8>| {
        let (digest, size) = (digest_of(&bytes), bytes.len());
        files.push((
            format!("blobs/sha256/{}", &digest["sha256:".len()..]),
            bytes,
        ));
        (digest, size)
    };
    let mut manifests = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let plain = layer(architecture);
        let (layer_digest, layer_size) = blob(gzip(&plain));
        let (digest, size) = blob(config(architecture, &[plain]));
        let manifest = json!({
            "schemaVersion": 2,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": size},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer_digest, "size": layer_size}],
        });
        let (digest, size) = blob(manifest.to_string().into_bytes());
        manifests.push(json!({"digest": digest, "size": size, "platform": {"os": "linux", "architecture": architecture}}));
    }
    let (digest, size) = blob(
        json!({"schemaVersion": 2, "manifests": manifests})
            .to_string()
            .into_bytes(),
    );
    let index = json!({"schemaVersion": 2, "manifests": [
        {"digest": digest, "size": size, "annotations": {"io.containerd.image.name": "docker.io/library/multi:1", "org.opencontainers.image.ref.name": "1"}},
        {"digest": digest, "size": size, "annotations": {"org.opencontainers.image.ref.name": "latest"}},
    ]});
    files.push(("index.json".to_owned(), index.to_string().into_bytes()));
    files
}

#[test]
fn oci_layouts_are_loaded_as_directory_and_as_archive() {
    let files = oci_layout();
    let world = World::new();
    let directory = world.directory.path().join("layout");
    for (path, bytes) in &files {
        fs::create_dir_all(directory.join(path).parent().unwrap()).unwrap();
        fs::write(directory.join(path), bytes).unwrap();
    }
    let host = Platform::host();
    let names = world.load(&directory).unwrap();
    assert_eq!(names[0], "multi:1");
    assert!(
        names[1].starts_with("sha256:"),
        "a bare tag is no name: {names:?}"
    );
    let record = world.store.find("multi:1").unwrap().unwrap();
    assert!(record.layers[0].join(&host.architecture).exists());
    assert!(record.manifest.is_some());
    let archive = files
        .iter()
        .fold(Tape::default(), |tape, (path, bytes)| {
            add(tape, path, bytes)
        })
        .end();
    let other = World::new();
    other.load(&other.file(&archive)).unwrap();
    assert_eq!(other.store.find("multi:1").unwrap().unwrap().id, record.id);
}

#[test]
fn hostile_and_broken_archives_are_refused() {
    let world = World::new();
    let secret = world.directory.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let manifest = |config: &str, layer: &str| {
        json!([{"Config": config, "Layers": [layer]}])
            .to_string()
            .into_bytes()
    };
    let one = [layer("a")];
    let climbing = format!("../../../../../..{}", secret.display());
    let linked = add(Tape::default(), "manifest.json", &manifest("c", "l"))
        .symlink("c", &climbing)
        .end();
    let with_layer = |bytes: &[u8]| {
        let tape = add(Tape::default(), "manifest.json", &manifest("c", "l"));
        add(add(tape, "c", &config("amd64", &one)), "l", bytes).end()
    };
    let mut blob = oci_layout();
    blob[1].1.push(0);
    let blob = blob
        .iter()
        .fold(Tape::default(), |tape, (path, bytes)| {
            add(tape, path, bytes)
        })
        .end();
    for (bytes, part) in [
        (linked, "`c` of the archive"),
        (
            add(Tape::default(), "manifest.json", &manifest(&climbing, "l")).end(),
            "of the archive",
        ),
        (with_layer(&layer("b")), "its diff id is"),
        (
            with_layer(b"no tar at all, and longer than nothing"),
            "layer `l` of the archive",
        ),
        (
            add(Tape::default(), "manifest.json", b"[").end(),
            "`manifest.json` of the archive",
        ),
        (Tape::default().file("x", "y").end(), "neither"),
        (b"garbage".repeat(200), "load `"),
        (blob, "corrupt"),
    ] {
        let error = world.load(&world.file(&bytes)).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
        assert!(world.store.list().unwrap().is_empty());
    }
    assert!(matches!(
        world.load(Path::new("/nonexistent.tar")),
        Err(LoadError::Read { .. })
    ));
    assert_eq!(
        fs::read_dir(world.directory.path().join("state/tmp"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(fs::read_to_string(secret).unwrap(), "secret");
}
