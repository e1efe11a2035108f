//! Against registries that others wrote.
#![expect(clippy::disallowed_methods, reason = "the registry is a program")]

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use super::*;
use crate::image::unpack::tests::listing;

/// A running program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {complaint}"
    );
}

/// Starts Debian's docker-registry on a free port.
fn start_registry(directory: &Path) -> (Running, String) {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let settings = directory.join("registry.yml");
    let store = directory.join("registry");
    let text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}', secret: x}}\n",
        store.display()
    );
    fs_err::write(&settings, text).unwrap();
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(&settings)
        .env("OTEL_TRACES_EXPORTER", "none")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running(child);
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(Instant::now() < deadline, "the registry starts");
        std::thread::yield_now();
    }
    (running, address)
}

/// Writes a layout with one image, whose layers are real trees.
fn write_layout(layout: &Path, trees: &[&str]) {
    let blobs = layout.join("blobs/sha256");
    fs_err::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8]| {
        let digest = digest_of(bytes);
        fs_err::write(blobs.join(&digest["sha256:".len()..]), bytes).unwrap();
        digest
    };
    let mut diff_ids = Vec::new();
    let mut layers = Vec::new();
    for tree in trees {
        let output = Command::new("tar")
            .args([
                "-cf",
                "-",
                "--format=pax",
                "--xattrs",
                "--xattrs-include=*",
                "-C",
                "/",
                tree,
            ])
            .output()
            .unwrap();
        assert!(output.status.success());
        diff_ids.push(digest_of(&output.stdout));
        let zipped = gzip(&output.stdout);
        layers.push(json!({"mediaType": LAYER, "digest": blob(&zipped), "size": zipped.len()}));
    }
    let config = config_json("amd64", &diff_ids).to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob(config.as_bytes()), "size": config.len()},
        "layers": layers,
    })
    .to_string();
    let index = json!({"schemaVersion": 2, "manifests": [
        {"mediaType": MANIFEST, "digest": blob(manifest.as_bytes()), "size": manifest.len(), "annotations": {"org.opencontainers.image.ref.name": "x"}},
    ]});
    fs_err::write(layout.join("index.json"), index.to_string()).unwrap();
    fs_err::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion": "1.0.0"}"#,
    )
    .unwrap();
}

/// A real tree through skopeo and docker-registry, pulled as OCI, as Docker schema 2 and through a mirror, and loaded
/// from the archive that skopeo makes.
#[tokio::test]
#[ignore = "needs Debian's docker-registry and skopeo (tests/run.sh installs them)"]
async fn a_real_registry_gives_the_tree_that_was_pushed() {
    let directory = tempfile::tempdir().unwrap();
    let (_registry, address) = start_registry(directory.path());
    let layout = directory.path().join("layout");
    let trees = ["usr/bin", "usr/share/doc", "etc"];
    write_layout(&layout, &trees);
    let source = format!("oci:{}:x", layout.display());
    let copy = |arguments: &[&str]| {
        run(
            "skopeo",
            &[&["copy", "--insecure-policy"][..], arguments].concat(),
        );
    };
    copy(&[
        "--dest-tls-verify=false",
        &source,
        &format!("docker://{address}/library/tree:oci"),
    ]);
    copy(&[
        "--dest-tls-verify=false",
        "--format=v2s2",
        &source,
        &format!("docker://{address}/library/tree:v2s2"),
    ]);
    let mut world = World::new();
    let started = Instant::now();
    let record = world
        .pull(&format!("{address}/library/tree:oci"))
        .await
        .unwrap();
    eprintln!(
        "pulled {} bytes in {:?}",
        record.size_bytes,
        started.elapsed()
    );
    let oracle = tempfile::tempdir().unwrap();
    for (tree, layer) in trees.iter().zip(record.layers.iter().rev()) {
        let archive = directory.path().join("tree.tar");
        let archive = archive.to_str().unwrap();
        let format = ["--format=pax", "--xattrs", "--xattrs-include=*"];
        run(
            "tar",
            &[&["-cf", archive][..], &format, &["-C", "/", tree]].concat(),
        );
        let target = oracle.path().join(tree.replace('/', "-"));
        fs_err::create_dir(&target).unwrap();
        run(
            "tar",
            &[
                &["-xpf", archive, "--same-owner"][..],
                &format[1..],
                &["-C", target.to_str().unwrap()],
            ]
            .concat(),
        );
        assert_eq!(
            listing(&layer.join(tree)),
            listing(&target.join(tree)),
            "{tree}"
        );
    }
    world.registries = world
        .registries
        .clone()
        .with_mirror("docker.io", &format!("http://{address}"))
        .unwrap();
    assert_eq!(
        world.pull("tree:v2s2").await.unwrap().diff_ids,
        record.diff_ids
    );
    let archive = directory.path().join("docker.tar");
    copy(&[
        &source,
        &format!("docker-archive:{}:tree:loaded", archive.display()),
    ]);
    let other = World::new();
    assert_eq!(
        crate::image::load(&other.store, &archive, &|_| {}).unwrap(),
        ["tree:loaded"]
    );
    assert_eq!(
        other.store.find("tree:loaded").unwrap().unwrap().diff_ids,
        record.diff_ids
    );
    let begun = Instant::now();
    copy(&[
        "--src-tls-verify=false",
        &format!("docker://{address}/library/tree:oci"),
        &format!("dir:{}", directory.path().join("dir").display()),
    ]);
    eprintln!(
        "skopeo copied it without unpacking in {:?}",
        begun.elapsed()
    );
}
