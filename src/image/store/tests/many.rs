//! More layers than fit into one page of mount options: up to what one overlay mount takes, and really mounted.

use std::{collections::HashMap, os::fd::OwnedFd};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use super::*;
use crate::image::{pipeline::unpack_layer, unpack::tests::Tape};

/// Makes an image of so many layers in one commit: each has a file of its own and a newer version of a shared one.
fn image_of(store: &ImageStore, count: usize) -> Result<ImageRecord, ImageError> {
    let workspace = store.workspace()?;
    let mut staged = Vec::new();
    let mut diff_ids = Vec::new();
    for number in 0..count {
        let bytes = Tape::default()
            .dir("./", 0o755)
            .file(&format!("own-{number}"), "x")
            .file("newest", &number.to_string())
            .end();
        let (directory, fs_path) = stage(&workspace)?;
        let (diff_id, unpacked) = unpack_layer(&mut &bytes[..], 0, &fs_path).unwrap();
        diff_ids.push(diff_id.clone());
        staged.push(Staged {
            directory,
            meta: LayerMeta::new(diff_id, &unpacked),
            links: Vec::new(),
        });
    }
    store.commit_layers(&staged)?;
    let config = json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let image = NewImage {
        config: config.to_string().into_bytes(),
        manifest: None,
        digest: None,
        blobs: std::collections::BTreeSet::new(),
        references: vec![format!("docker.io/library/deep:{count}")],
        origin: None,
    };
    store.add_image(&workspace, image, HashMap::new())
}

fn mount(layers: &[PathBuf]) -> OwnedFd {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    for layer in layers {
        fsconfig_set_string(&context, "lowerdir+", layer.to_str().unwrap()).unwrap();
    }
    fsconfig_create(&context).unwrap();
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    fsmount(&context, flags, MountAttrFlags::empty()).unwrap()
}

#[test]
fn images_of_many_layers_are_mounted_and_too_many_are_refused_by_name() {
    // On the disk each commit would wait for it; here it is only about the number.
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = ImageStore::open(&Root::below(place.path()));
    for count in [131, 500] {
        let record = image_of(&store, count).unwrap();
        assert_eq!(record.layers.len(), count);
        let merged = mount(&record.layers);
        let open = |name: &str| {
            let mode = rustix::fs::Mode::empty();
            let file = rustix::fs::openat(&merged, name, rustix::fs::OFlags::RDONLY, mode);
            let mut text = String::new();
            io::Read::read_to_string(&mut std::fs::File::from(file.unwrap()), &mut text).unwrap();
            text
        };
        assert_eq!(open("newest"), (count - 1).to_string());
        for number in [0, 127, 128, count - 1] {
            assert_eq!(open(&format!("own-{number}")), "x");
        }
    }
    let error = image_of(&store, 501).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("deep:501") && text.contains("501 layers"),
        "{text}"
    );
    assert!(store.find("deep:501").unwrap().is_none());
}
