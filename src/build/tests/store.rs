//! Builds into the real image store.

use std::{fs, os::unix::fs::MetadataExt};

use super::{
    super::{BuildEvent, LayersError, StoreLayers, build},
    fixture::Fixture,
};
use crate::image::ImageStore;

#[test]
fn images_land_in_the_store_and_are_bases_of_the_next() {
    let fixture = Fixture::new();
    fixture
        .file("etc/passwd", "root:x:0:0::/:\napp:x:7:8::/:\n")
        .file("secret", "gone");
    let root = fixture.root();
    let store = ImageStore::open(&root);
    let pulled = std::sync::Mutex::new(Vec::new());
    let pull = |reference: &str, platform: &str| {
        pulled
            .lock()
            .unwrap()
            .push(format!("{reference} {platform}"));
        Err(LayersError::new("no registry here"))
    };
    let run = |dockerfile: &str, tag: &str| {
        fixture.file("Dockerfile", dockerfile);
        let mut input = fixture.input();
        input.tags.push(tag.to_owned());
        let layers = StoreLayers::open(&store, &pull).unwrap();
        let events = std::sync::Mutex::new(Vec::new());
        let progress = |event| {
            if let BuildEvent::Cached { step } = event {
                events.lock().unwrap().push(step);
            }
        };
        let result = build(&input, fixture.host(&layers, &root, &progress));
        let result = result.map(|built| built.image);
        (result, events.into_inner().unwrap())
    };
    let base = "FROM scratch\nCOPY etc /etc\nCOPY secret /\nUSER app\nENV A=1\n";
    let (first, cached) = run(base, "base:1");
    let first = first.unwrap();
    assert!(cached.is_empty());
    assert_eq!(first.config.env[1], "A=1");
    assert_eq!(store.find("base:1").unwrap().unwrap().id, first.id);
    let (again, cached) = run(base, "base:1");
    assert_eq!((again.unwrap().id, cached.len()), (first.id.clone(), 2));
    let (second, _) = run(
        "FROM base:1\nRUN write /made x && remove /secret\nWORKDIR /home/app\nCOPY --chown=app etc /copy\n",
        "top",
    );
    let second = second.unwrap();
    assert_eq!(second.diff_ids[..2], first.diff_ids[..]);
    assert_eq!(second.layers.len(), 5);
    let made = fs::metadata(second.layers[1].join("home/app")).unwrap();
    assert_eq!((made.uid(), made.gid()), (7, 8));
    let copied = fs::metadata(second.layers[0].join("copy/passwd")).unwrap();
    assert_eq!((copied.uid(), copied.gid()), (7, 8));
    let whiteout = fs::symlink_metadata(second.layers[2].join("secret")).unwrap();
    assert_eq!(
        (whiteout.mode() & libc::S_IFMT, whiteout.rdev()),
        (libc::S_IFCHR, 0)
    );
    assert!(pulled.lock().unwrap().is_empty());
    let (failed, _) = run("FROM absent:2", "x");
    assert!(failed.is_err());
    assert_eq!(*pulled.lock().unwrap(), ["absent:2 linux/amd64"]);
}
