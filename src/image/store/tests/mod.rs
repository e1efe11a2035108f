//! The store without registries: layers of the builder, names, removal. Needs root.
#![expect(clippy::disallowed_methods, reason = "the oracle is a program")]

mod faults;
mod many;
mod power;
mod stream;

use std::{
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::Command,
};

use serde_json::json;

use super::*;
use crate::image::{
    digest::{self, Hashing},
    unpack::tests::{listing, xattr},
};
use crate::model::PruneFilter;

const ALL: PruneFilter = PruneFilter {
    all: true,
    until: None,
    labels: Vec::new(),
};

struct World {
    directory: tempfile::TempDir,
    store: ImageStore,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&Root::below(directory.path()));
        Self { directory, store }
    }

    /// Makes an upper directory with one file.
    fn upper(&self, name: &str, content: &str) -> PathBuf {
        let upper = self.directory.path().join(format!("upper-{name}"));
        fs::create_dir(&upper).unwrap();
        fs::write(upper.join(name), content).unwrap();
        // The clock is none of the content.
        for path in [upper.join(name), upper.clone()] {
            let output = Command::new("touch")
                .args(["-d", "2020-01-01 00:00:00"])
                .arg(path)
                .output();
            assert!(output.unwrap().status.success());
        }
        upper
    }

    fn layer(&self, name: &str, content: &str) -> CommittedLayer {
        self.store.commit_layer(&self.upper(name, content)).unwrap()
    }

    fn image(&self, layers: &[&CommittedLayer], variant: &str, tags: &[&str]) -> ImageRecord {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": [variant]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self.store.commit_image(&config, &diff_ids, &tags).unwrap()
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.directory.path().join(directory)) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

#[test]
fn opening_and_reading_an_empty_store_touches_nothing() {
    let world = World::new();
    assert!(world.store.find("redis").unwrap().is_none());
    assert!(world.store.list().unwrap().is_empty());
    assert_eq!(world.names(""), [""; 0]);
}

#[test]
fn an_upper_directory_becomes_a_layer_once() {
    let world = World::new();
    let first = world.layer("a", "content");
    let second = world.layer("a", "content");
    assert_eq!(first, second, "the same files have the same digest");
    assert_eq!(fs::read_to_string(first.path.join("a")).unwrap(), "content");
    assert_eq!(first.size_bytes, 7);
    assert_eq!(world.store.layer(&first.diff_id), Some(first.clone()));
    assert_ne!(world.layer("a", "other").diff_id, first.diff_id);
    assert!(!world.directory.path().join("upper-a").exists());
    assert_eq!(world.names("tmp"), [""; 0]);
}

#[test]
fn images_of_committed_layers_are_found_by_every_name() {
    let world = World::new();
    let (a, b) = (world.layer("a", "1"), world.layer("b", "22"));
    let record = world.image(&[&a, &b], "x", &["app:1", "registry.example:5000/app"]);
    assert_eq!(record.layers, [b.path, a.path]);
    assert_eq!(record.size_bytes, 3);
    for name in [
        "app:1",
        "docker.io/library/app:1",
        "registry.example:5000/app:latest",
        record.id.as_str(),
        record.id.short(),
        &record.id.hex()[..4],
    ] {
        assert_eq!(
            world.store.find(name).unwrap().as_ref(),
            Some(&record),
            "{name}"
        );
    }
    for name in ["app", "app:2", "other", "sha256:00", "ab"] {
        assert!(world.store.find(name).unwrap().is_none(), "{name}");
    }
    let other = json!({"rootfs": {"type": "layers", "diff_ids": []}});
    let wrong = world.store.commit_image(&other, &[a.diff_id], &[]);
    assert!(matches!(wrong, Err(ImageError::Layers { .. })));
    let missing = digest::of(b"none");
    let config = json!({"rootfs": {"type": "layers", "diff_ids": [missing.clone()]}});
    let unknown = world.store.commit_image(&config, &[missing], &[]);
    assert!(matches!(unknown, Err(ImageError::LayerMissing(_))));
}

#[test]
fn prefixes_of_several_ids_are_ambiguous() {
    let world = World::new();
    let a = world.layer("a", "1");
    let images: Vec<ImageRecord> = (0..40)
        .map(|n| world.image(&[&a], &n.to_string(), &[]))
        .collect();
    let shared = images.iter().find(|image| {
        let same = |other: &&ImageRecord| other.id.hex()[..1] == image.id.hex()[..1];
        images.iter().filter(same).count() > 1
    });
    let prefix = &shared.unwrap().id.as_str()[..8];
    assert!(matches!(
        world.store.find(prefix),
        Err(ImageError::Ambiguous { count: 2.., .. })
    ));
}

#[test]
fn tags_move_and_images_go_with_their_last_name() {
    let world = World::new();
    let (a, b, c) = (
        world.layer("a", "1"),
        world.layer("b", "2"),
        world.layer("c", "3"),
    );
    let first = world.image(&[&a, &b], "x", &["app:1"]);
    let second = world.image(&[&a, &c], "y", &["app:2"]);
    world.store.tag("app:1", "app:also").unwrap();
    assert!(matches!(
        world.store.tag("none", "app:3"),
        Err(ImageError::NotFound(_))
    ));
    assert!(matches!(
        world
            .store
            .remove(first.id.short(), false, &Kept::default()),
        Err(ImageError::ManyNames { .. })
    ));
    assert_eq!(
        world
            .store
            .remove("app:1", false, &Kept::default())
            .unwrap(),
        ["docker.io/library/app:1"]
    );
    let removed = world
        .store
        .remove("app:also", false, &Kept::default())
        .unwrap();
    assert_eq!(
        removed,
        [
            "docker.io/library/app:also".to_owned(),
            first.id.to_string()
        ]
    );
    assert!(!b.path.exists(), "only the first image needed it");
    assert!(a.path.exists() && c.path.exists());
    assert_eq!(world.store.find("app:2").unwrap().unwrap().id, second.id);
    assert_eq!(world.names("tmp"), [""; 0]);
    assert!(matches!(
        world.store.remove("app:1", false, &Kept::default()),
        Err(ImageError::NotFound(_))
    ));
    world.store.tag("app:2", "app:3").unwrap();
    assert_eq!(
        world
            .store
            .remove(second.id.short(), true, &Kept::default())
            .unwrap()
            .len(),
        3
    );
    assert_eq!(world.names("layers"), [""; 0]);
    assert_eq!(world.names("blobs/sha256"), [""; 0]);
}

#[test]
fn images_in_use_stay() {
    let world = World::new();
    let a = world.layer("a", "1");
    let image = world.image(&[&a], "x", &["app:1", "app:2"]);
    let in_use = &Kept {
        images: std::slice::from_ref(&image.id),
        layers: &[],
    };
    assert_eq!(
        world.store.remove("app:1", false, in_use).unwrap().len(),
        1,
        "a name may go"
    );
    assert!(matches!(
        world.store.remove("app:2", false, in_use),
        Err(ImageError::InUse(_))
    ));
    assert_eq!(
        world.store.remove("app:2", true, in_use).unwrap(),
        ["docker.io/library/app:2"]
    );
    assert!(matches!(
        world.store.remove(image.id.short(), true, in_use),
        Err(ImageError::InUse(_))
    ));
    assert_eq!(
        world.store.find(image.id.short()).unwrap(),
        Some(image.clone())
    );
    assert!(world.store.prune(&ALL, in_use).unwrap().0.is_empty());
    assert_eq!(
        world
            .store
            .prune(&PruneFilter::default(), &Kept::default())
            .unwrap()
            .0,
        [image.id.to_string()]
    );
    assert!(!a.path.exists());
}

#[test]
fn a_lease_holds_layers_until_the_next_sweep() {
    let world = World::new();
    let (a, b) = (world.layer("a", "1"), world.layer("b", "2"));
    world.image(&[&a], "x", &["app:1"]);
    world.image(&[&b], "y", &["app:2"]);
    let lease = world.store.lease().unwrap();
    world
        .store
        .remove("app:1", false, &Kept::default())
        .unwrap();
    assert!(a.path.exists());
    drop(lease);
    world
        .store
        .remove("app:2", false, &Kept::default())
        .unwrap();
    assert!(!a.path.exists() && !b.path.exists());
    // An orphan that is wanted again is none.
    let c = world.layer("c", "3");
    world.image(&[&c], "z", &["app:3"]);
    let lease = world.store.lease().unwrap();
    world
        .store
        .remove("app:3", false, &Kept::default())
        .unwrap();
    world.image(&[&c], "again", &["app:4"]);
    drop(lease);
    world
        .store
        .prune(&PruneFilter::default(), &Kept::default())
        .unwrap();
    assert!(c.path.exists());
}

#[test]
fn an_image_whose_files_are_gone_counts_as_absent() {
    let world = World::new();
    let a = world.layer("a", "1");
    let image = world.image(&[&a], "x", &["app:1"]);
    fs::remove_dir_all(a.path.parent().unwrap()).unwrap();
    assert!(world.store.find("app:1").unwrap().is_none());
    world.layer("a", "1");
    assert!(world.store.find("app:1").unwrap().is_some());
    let blob = world
        .directory
        .path()
        .join("blobs/sha256")
        .join(image.id.hex());
    assert_eq!(
        fs::metadata(&blob).unwrap().permissions().mode() & 0o777,
        0o444
    );
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, "{}").unwrap();
    assert!(
        world.store.find("app:1").unwrap().is_none(),
        "a damaged config"
    );
}

#[test]
fn what_overlayfs_means_is_written_as_whiteouts_and_read_back() {
    let world = World::new();
    let upper = world.upper("kept", "x");
    fs::create_dir(upper.join("opaque")).unwrap();
    let set = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    set(&upper.join("opaque"), "trusted.overlay.opaque", b"y");
    set(&upper.join("opaque"), "trusted.overlay.impure", b"y");
    set(&upper.join("kept"), "trusted.overlay.origin", b"\0\x01");
    let mode = rustix::fs::Mode::empty();
    let whiteout = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, upper.join("gone"), whiteout, mode, 0).unwrap();
    let layer = world.store.commit_layer(&upper).unwrap();
    assert_eq!(
        xattr(&layer.path.join("kept"), "trusted.overlay.origin"),
        None
    );
    assert_eq!(
        xattr(&layer.path.join("opaque"), "trusted.overlay.opaque").unwrap(),
        b"y"
    );
    let mut stream = Vec::new();
    diff::write_stream(&layer.path, &mut stream).unwrap();
    assert_eq!(digest::of(&stream), layer.diff_id);
    let again = crate::image::unpack::tests::unpack_bytes(&stream);
    assert!(again.is_whiteout("gone") && again.is_opaque("opaque"));
    assert_eq!(listing(&again.root()).len(), 3);
    let named = world.upper(".wh.real", "x");
    assert!(matches!(
        world.store.commit_layer(&named),
        Err(ImageError::WhiteoutName(_))
    ));
}

/// The canonical stream, read by GNU tar and by us, is the tree that it was made of.
#[test]
fn the_canonical_stream_is_read_by_others() {
    let source = tempfile::tempdir().unwrap();
    let script = r"
        umask 027
        mkdir -p usr/bin empty; printf x > usr/bin/tool; chmod 4755 usr/bin/tool; ln usr/bin/tool tool2; ln -s usr/bin bin
        mkfifo fifo; mknod null c 1 3; mknod disk b 259 70000; chown 3000000:5 empty; chown 7:8 usr/bin/tool
        name=$(printf 'n%.0s' $(seq 1 200)); printf long > $name; ln -s $name/$name longlink; printf umlaut > übung
        setfattr -n user.k -v v usr 2>/dev/null || python3 -c 'import os; os.setxattr(b\x22usr\x22, b\x22user.k\x22, b\x22v\x22)'
        find . -exec touch -h -d '1960-01-01 00:00:00' {} +
    ";
    let script = script.replace("\\x22", "\"");
    let made = Command::new("sh")
        .arg("-euc")
        .arg(script)
        .current_dir(source.path())
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let expected = listing(source.path());
    let mut stream = Hashing::new(Vec::new());
    let written = diff::write_stream(source.path(), &mut stream).unwrap();
    let (_, _, bytes) = stream.finish();
    assert_eq!(written.entries, expected.len() as u64 + 1);
    let ours = crate::image::unpack::tests::unpack_bytes(&bytes);
    assert_eq!(listing(&ours.root()), expected);
    let mut archive = tempfile::NamedTempFile::new().unwrap();
    archive.write_all(&bytes).unwrap();
    let oracle = tempfile::tempdir().unwrap();
    let tar = Command::new("tar")
        .args(["-xpf"])
        .arg(archive.path())
        .args(["--xattrs", "--xattrs-include=*", "--same-owner", "-C"])
        .arg(oracle.path())
        .output()
        .unwrap();
    assert!(
        tar.status.success(),
        "{}",
        String::from_utf8_lossy(&tar.stderr)
    );
    assert_eq!(listing(oracle.path()), expected);
}

#[test]
fn a_newer_index_is_refused_and_a_broken_one_named() {
    let world = World::new();
    let path = world.directory.path().join("images.json");
    fs::write(&path, r#"{"version": 99, "references": {}, "images": {}}"#).unwrap();
    assert!(matches!(
        world.store.list(),
        Err(ImageError::Version { version: 99, .. })
    ));
    fs::write(&path, "{").unwrap();
    assert!(matches!(world.store.list(), Err(ImageError::Record(_))));
    assert!(
        fs::metadata(&path).unwrap().size() == 1,
        "a broken index is not overwritten"
    );
}

/// Threads and processes write the index in turns.
#[test]
fn images_added_at_once_are_all_there() {
    let world = World::new();
    let a = world.layer("a", "1");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (world, a) = (&world, &a);
            scope
                .spawn(move || world.image(&[a], &number.to_string(), &[&format!("app:{number}")]));
        }
    });
    assert_eq!(world.store.list().unwrap().len(), 8);
}

#[test]
fn layers_of_the_build_cache_stay_until_it_gives_them_up() {
    let world = World::new();
    let (a, b) = (world.layer("a", "1"), world.layer("b", "2"));
    let image = world.image(&[&a, &b], "x", &["app:1"]);
    let cached = [image.diff_ids[0].clone()];
    let kept = Kept {
        images: &[],
        layers: &cached,
    };
    world.store.remove("app:1", false, &kept).unwrap();
    let is_there = |index: usize| world.store.has_layer(&image.diff_ids[index]);
    assert!(is_there(0) && !is_there(1));
    world.store.prune(&ALL, &kept).unwrap();
    assert!(is_there(0));
    world.store.release_layers(&cached, &cached).unwrap();
    assert!(is_there(0), "another entry of the cache has it");
    world.store.release_layers(&cached, &[]).unwrap();
    assert!(!is_there(0));
}
