//! Overlays as the kernel sees them, in both ways of telling it.

use std::fs;
use std::os::fd::AsFd;

use runtime::rootfs::confine::Root;
use runtime::rootfs::overlay::{self, Overlay, Upper, Way};

use crate::harness::Test;
use crate::world::World;

pub(crate) const TESTS: &[Test] = &[
    (
        "many_layers_are_stacked_in_order_both_ways",
        many_layers_are_stacked_in_order_both_ways,
    ),
    (
        "an_overlay_of_one_text_is_written_and_leaves_no_trace",
        an_overlay_of_one_text_is_written_and_leaves_no_trace,
    ),
];

/// Both ways where the kernel understands both.
fn ways() -> Vec<Way> {
    let mut ways = vec![overlay::best_way(), Way::OneText];
    ways.dedup();
    ways
}

fn many_layers_are_stacked_in_order_both_ways() {
    let world = World::new();
    let mut lowers = Vec::new();
    for number in 0..200 {
        // Names as long as those of the image store, so that neither text limit is met by luck; and one with special characters.
        let lower = world.path(&format!(
            "layers/{number:064}/f,s:{}",
            "x".repeat(if number == 7 { 200 } else { 1 })
        ));
        fs::create_dir_all(&lower).unwrap();
        fs::write(lower.join("top"), number.to_string()).unwrap();
        fs::write(lower.join(format!("own-{number}")), "").unwrap();
        lowers.push(lower);
    }
    let (upper, work, mount_point) = (world.path("upper"), world.path("work"), world.path("root"));
    let overlay = Overlay {
        lowers: &lowers,
        upper: Some(Upper {
            directory: &upper,
            work: &work,
        }),
        mount_point: &mount_point,
        users: None,
    };
    for way in ways() {
        let tree = overlay::mount_by(&overlay, way).unwrap();
        let root = Root::from_fd(tree.as_fd().try_clone_to_owned().unwrap(), "overlay");
        assert_eq!(root.read("top").unwrap(), b"0", "{way:?}");
        assert!(
            (0..200).all(|number| root.read(format!("own-{number}")).is_ok()),
            "{way:?}"
        );
        drop((root, tree));
    }
    let missing = [world.path("none")];
    let overlay = Overlay {
        lowers: &missing,
        ..overlay
    };
    for way in ways() {
        assert_eq!(
            overlay::mount_by(&overlay, way).unwrap_err().source.0,
            libc::ENOENT
        );
    }
}

fn an_overlay_of_one_text_is_written_and_leaves_no_trace() {
    let world = World::new();
    let lowers = [world.path("image")];
    let (upper, work, mount_point) = (world.path("upper"), world.path("work"), world.path("root"));
    let overlay = Overlay {
        lowers: &lowers,
        upper: Some(Upper {
            directory: &upper,
            work: &work,
        }),
        mount_point: &mount_point,
        users: None,
    };
    let tree = overlay::mount_by(&overlay, Way::OneText).unwrap();
    let root = Root::from_fd(tree, "overlay");
    drop(root.create("etc/new", 0o644).unwrap());
    rustix::fs::unlinkat(
        root.open("etc", rustix::fs::OFlags::PATH).unwrap(),
        "group",
        rustix::fs::AtFlags::empty(),
    )
    .unwrap();
    drop(root);
    assert!(upper.join("etc/new").exists());
    assert_eq!(fs::read_dir(&mount_point).unwrap().count(), 0);
    assert!(world.path("image/etc/group").exists());
}
