//! Layers read again as tar streams, whatever the store has of them.

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, Read},
};

use proptest::prelude::*;

use super::*;
use crate::image::{
    pipeline::unpack_layer,
    unpack::tests::{Member, Tape},
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn read(store: &ImageStore, diff_id: &Digest) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    store
        .layer_stream(diff_id)
        .unwrap()
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts an image with one layer into the store as a pull does; the layer's bytes are not what we would write.
fn pulled(world: &World, plain: &[u8]) -> (Digest, Digest) {
    let store = &world.store;
    let compressed = gzip(plain);
    let blob = store.write_blob(&compressed).unwrap();
    let workspace = store.workspace().unwrap();
    let (directory, fs_path) = stage(&workspace).unwrap();
    let source = &mut &compressed[..];
    let (diff_id, unpacked) = unpack_layer(source, compressed.len() as u64, &fs_path).unwrap();
    let meta = LayerMeta::new(diff_id.clone(), &unpacked);
    let links = Vec::new();
    store
        .commit_layers(&[Staged {
            directory,
            meta,
            links,
        }])
        .unwrap();
    let config =
        json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}).to_string();
    let gzip_layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    let manifest = json!({"schemaVersion": 2,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest::of(config.as_bytes()), "size": config.len()},
        "layers": [{"mediaType": gzip_layer, "digest": blob, "size": compressed.len()}]});
    let manifest = store.write_blob(manifest.to_string().as_bytes()).unwrap();
    let image = NewImage {
        config: config.into_bytes(),
        manifest: Some(manifest.clone()),
        digest: Some(manifest.clone()),
        blobs: BTreeSet::from([manifest, blob.clone()]),
        references: vec!["docker.io/library/pulled:1".to_owned()],
        origin: None,
    };
    store.add_image(&workspace, image, HashMap::new()).unwrap();
    (diff_id, blob)
}

#[test]
fn a_built_layer_is_written_again_byte_for_byte() {
    let world = World::new();
    let upper = world.upper("a", &"content ".repeat(200_000));
    fs::create_dir(upper.join("sub")).unwrap();
    fs::hard_link(upper.join("a"), upper.join("sub/link")).unwrap();
    let layer = world.store.commit_layer(&upper).unwrap();
    assert_eq!(world.store.layer_blob(&layer.diff_id).unwrap(), None);
    let bytes = read(&world.store, &layer.diff_id).unwrap();
    assert_eq!(digest::of(&bytes), layer.diff_id);
    // Somebody changed the store's files: that is noticed at the end of the stream.
    fs::write(layer.path.join("a"), "changed").unwrap();
    let error = read(&world.store, &layer.diff_id).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let text = error.to_string();
    assert!(text.contains(layer.diff_id.as_str()) && text.contains("damaged"));
}

#[test]
fn a_pulled_layer_is_decoded_from_its_blob() {
    let world = World::new();
    // An order and owners' names that our own writer would not choose.
    let tape = Tape::default().file("z", "last first");
    let odd = Member {
        path: b"a",
        data: b"x",
        mtime: 5,
        ..Member::default()
    };
    let plain = tape.add(&odd).end();
    let (diff_id, blob) = pulled(&world, &plain);
    let found = world.store.layer_blob(&diff_id).unwrap().unwrap();
    assert_eq!(found.digest, blob);
    assert_eq!(fs::read(&found.path).unwrap().len() as u64, found.size);
    assert_eq!(read(&world.store, &diff_id).unwrap(), plain);
    // A blob of the right size with other content.
    fs::remove_file(&found.path).unwrap();
    let mut forged = gzip(&[&plain[..512], b"y", &plain[513..]].concat());
    forged.resize(usize::try_from(found.size).unwrap(), 0);
    fs::write(&found.path, forged).unwrap();
    assert!(read(&world.store, &diff_id).is_err());
}

#[test]
fn a_layer_that_is_in_no_form_there_is_missing() {
    let world = World::new();
    let wanted = digest::of(b"nothing");
    assert!(matches!(
        world.store.layer_stream(&wanted),
        Err(ImageError::LayerMissing(_))
    ));
}

#[test]
fn a_stream_that_is_dropped_early_stops_its_writer() {
    let world = World::new();
    let layer = world.layer("a", &"content ".repeat(1_000_000));
    let mut stream = world.store.layer_stream(&layer.diff_id).unwrap();
    let mut some = [0; 100];
    stream.read_exact(&mut some).unwrap();
    drop(stream);
    // The lease went with it: the layer can be swept.
    world.store.prune(&ALL, &Kept::default()).unwrap();
    assert!(!layer.path.exists());
}

/// What an entry of a generated layer is; names come from a small set, so that they meet.
fn entry() -> impl Strategy<Value = (u8, String, String)> {
    let name = || {
        let part = || proptest::sample::select(vec!["a", "b", "c"]);
        proptest::collection::vec(part(), 1..4).prop_map(|parts| parts.join("/"))
    };
    (0_u8..8, name(), name())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever replaces whatever, behind whatever links: the stream is made again byte for byte.
    #[test]
    fn a_recorded_stream_is_made_again(entries in proptest::collection::vec(entry(), 1..25)) {
        let world = World::new();
        let mut tape = Tape::default();
        for (at, (kind, name, target)) in entries.iter().enumerate() {
            let data = format!("content {at}").repeat(at);
            tape = match kind {
                0..=3 => tape.file(name, &data),
                4 => tape.dir(name, 0o755),
                5 => tape.symlink(name, &format!("/{target}")),
                6 => tape.link(name, target),
                _ => tape.file(&name.replace('/', "/.wh."), ""),
            };
        }
        let plain = tape.end();
        // What cannot be unpacked is another test's affair.
        if let Ok(layer) = world.store.stream_layer(&mut &plain[..]) {
            prop_assert_eq!(read(&world.store, &layer.diff_id).unwrap(), plain);
        }
    }
}
