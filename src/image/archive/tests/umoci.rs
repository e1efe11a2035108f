//! What an overlay of our layers shows, compared with what umoci makes of the same image.

use std::{os::fd::AsRawFd, path::PathBuf};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use super::*;
use crate::image::unpack::tests::{
    listing,
    oracle::{run, tree},
};

/// Loads the image of a layout and lists its merged layers; then the same of umoci's directory.
fn both(layout: &Path, tag: &str) -> (Vec<String>, Vec<String>) {
    let world = World::new();
    let id = load_one(&world.store, layout, Some(tag)).unwrap();
    let record = world.store.find(&id).unwrap().unwrap();
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    // An overlay of layers alone has two at least.
    let empty = tempfile::tempdir().unwrap();
    for layer in record.layers.iter().map(PathBuf::as_path) {
        fsconfig_set_string(&context, "lowerdir+", layer).unwrap();
    }
    fsconfig_set_string(&context, "lowerdir+", empty.path()).unwrap();
    fsconfig_create(&context).unwrap();
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    let merged = fsmount(&context, flags, MountAttrFlags::empty()).unwrap();
    let ours = listing(Path::new(&format!(
        "/proc/self/fd/{}/.",
        merged.as_raw_fd()
    )));
    // umoci takes no index: a layout of the one manifest that we have chosen, with the same blobs.
    let place = tempfile::tempdir().unwrap();
    let single = place.path().join("single");
    fs::create_dir(&single).unwrap();
    std::os::unix::fs::symlink(layout.join("blobs"), single.join("blobs")).unwrap();
    let manifest = record.manifest.unwrap();
    let size = fs::metadata(layout.join(blob_file(&manifest)))
        .unwrap()
        .len();
    write_index(&single, manifest.as_str(), size, tag);
    let rootfs = place.path().join("rootfs");
    let image = format!("{}:{tag}", single.display());
    let target = rootfs.to_str().unwrap();
    run("umoci", &["raw", "unpack", "--image", &image, target]);
    (ours, listing(&rootfs))
}

fn assert_same(ours: &[String], theirs: &[String], what: &str) {
    let only = |these: &[String], those: &[String]| {
        let those: std::collections::HashSet<_> = those.iter().collect();
        let only = these.iter().filter(|line| !those.contains(line)).take(10);
        only.cloned().collect::<Vec<_>>()
    };
    assert!(
        ours == theirs,
        "{what}: only ours {:#?}, only theirs {:#?}",
        only(ours, theirs),
        only(theirs, ours)
    );
}

/// Writes a layout with one image of these layers, tagged `made`.
fn write_layout(place: &Path, layers: &[Vec<u8>]) {
    let blobs = place.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = digest_of(bytes);
        fs::write(blobs.join(&digest["sha256:".len()..]), bytes).unwrap();
        digest
    };
    let diff_ids: Vec<_> = layers.iter().map(|layer| digest_of(layer)).collect();
    let platform = Platform::host();
    let config = json!({"os": "linux", "architecture": platform.architecture, "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": []})
    .to_string();
    let described: Vec<_> = layers
        .iter()
        .map(|layer| {
            let blob = gzip(layer);
            json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": put(&blob), "size": blob.len()})
        })
        .collect();
    let manifest = json!({"schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": put(config.as_bytes()), "size": config.len()},
        "layers": described})
    .to_string();
    let digest = put(manifest.as_bytes());
    write_index(place, &digest, manifest.len() as u64, "made");
}

fn write_index(place: &Path, manifest: &str, size: u64, tag: &str) {
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": size,
        "annotations": {"org.opencontainers.image.ref.name": tag}}]});
    fs::write(place.join("index.json"), index.to_string()).unwrap();
    let version = r#"{"imageLayoutVersion":"1.0.0"}"#;
    fs::write(place.join("oci-layout"), version).unwrap();
}

/// Returns a tree of everything that a root filesystem has, as GNU tar writes it.
fn tree_layer() -> Vec<u8> {
    let source = tempfile::tempdir().unwrap();
    tree(source.path());
    let archive = tempfile::NamedTempFile::new().unwrap();
    let (file, root) = (archive.path().to_str().unwrap(), source.path());
    let options = ["--format=pax", "--xattrs", "--xattrs-include=*"];
    let arguments = [
        &options[..],
        &["-cf", file, "-C", root.to_str().unwrap(), "."],
    ]
    .concat();
    run("tar", &arguments);
    fs::read(archive.path()).unwrap()
}

#[test]
fn layers_show_what_umoci_unpacks() {
    let place = tempfile::tempdir().unwrap();
    // What layers do to those below: change, remove, hide, replace by another kind, link.
    let changes = Tape::default()
        .dir("usr/", 0o751)
        .dir("usr/bin/", 0o755)
        .file("usr/bin/.wh.tool", "")
        .file("usr/bin/new", "new")
        .dir("usr/lib/", 0o755)
        .file("usr/lib/.wh..wh..opq", "")
        .file("usr/lib/only", "only")
        .file("empty", "a file in the place of a directory")
        .dir("dangling/", 0o700)
        .dir("var/", 0o755)
        .file("var/.wh.fifo", "")
        .end();
    let top = Tape::default()
        .dir("usr/", 0o755)
        .dir("usr/bin/", 0o755)
        .link("usr/bin/linked", "usr/bin/new")
        .file("usr/bin/tool", "again")
        .end();
    write_layout(place.path(), &[tree_layer(), changes, top]);
    let (ours, theirs) = both(place.path(), "made");
    assert!(ours.len() > 20);
    assert_same(&ours, &theirs, "made");
}

/// Real layers: tens of thousands of files, where `tests/testbed/build` was run.
#[test]
fn images_of_the_testbed_show_what_umoci_unpacks() {
    let layout = Path::new("/var/cache/stack-testbed/oci");
    if !layout.join("index.json").exists() {
        eprintln!("skipped: tests/testbed/build was not run");
        return;
    }
    for tag in ["redis", "busybox"] {
        let (ours, theirs) = both(layout, tag);
        assert!(ours.len() > 200, "{tag}");
        assert_same(&ours, &theirs, tag);
    }
}
