//! Overlays as the kernel sees them, in both ways of telling it.

use std::fs;
use std::os::fd::AsFd;

use runtime::rootfs::confine::Root;
use runtime::rootfs::overlay::{self, Overlay, Upper, Way};
use runtime::spec::{Rootfs, UserMap};

use crate::harness::Test;
use crate::world::{DISK, World};

pub(crate) const TESTS: &[Test] = &[
    (
        "many_layers_are_stacked_in_order_both_ways",
        many_layers_are_stacked_in_order_both_ways,
    ),
    (
        "a_volatile_overlay_serves_one_mount_both_ways",
        a_volatile_overlay_serves_one_mount_both_ways,
    ),
    (
        "an_overlay_of_one_text_is_written_and_leaves_no_trace",
        an_overlay_of_one_text_is_written_and_leaves_no_trace,
    ),
    (
        "five_hundred_layers_are_stacked_for_other_users_too",
        five_hundred_layers_are_stacked_for_other_users_too,
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
            volatile: false,
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

/// As many as the kernel takes (`OVL_MAX_STACK`), in a container; and with users of its own, for which each layer is mapped.
fn five_hundred_layers_are_stacked_for_other_users_too() {
    let world = World::new();
    let mut lowers = vec![world.path("image")];
    for number in 1..500 {
        let lower = world.path(&format!("layers/{number:064}"));
        fs::create_dir_all(&lower).unwrap();
        fs::write(lower.join("top"), number.to_string()).unwrap();
        fs::write(lower.join(format!("own-{number}")), "").unwrap();
        lowers.push(lower);
    }
    for users in [None, Some(UserMap::of_range(200_000, 65_536))] {
        let mut spec = world.spec(&["read:/top", "stat:/own-1", "stat:/own-499"]);
        let Rootfs::Overlay { lowers: layers, .. } = &mut spec.rootfs else {
            panic!("an overlay");
        };
        layers.clone_from(&lowers);
        spec.users = users;
        // The files' disk may have no mapped mounts (Linux 6.3 for tmpfs): `users` looks at what is said then.
        let has_mapped = spec.users.is_none() || maps_mounts();
        match world.start(spec) {
            Ok(running) => {
                let finished = running.finish();
                assert_eq!(finished.answer("read:/top"), "1");
                for file in ["stat:/own-1", "stat:/own-499"] {
                    assert!(
                        !finished.answer(file).contains("error"),
                        "{}",
                        finished.text
                    );
                }
            }
            Err(error) => assert!(!has_mapped, "{error}"),
        }
    }
}

/// Tells whether the tests' files are on a filesystem whose mounts can be mapped.
fn maps_mounts() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0_u32));
    let version = (numbers.next().unwrap(), numbers.next().unwrap());
    version >= (6, 3) || std::env::var_os(DISK).is_some()
}

/// The kernel leaves a mark in the work directory: what was not synced must not be mounted again.
fn a_volatile_overlay_serves_one_mount_both_ways() {
    let world = World::new();
    let lowers = [world.path("image")];
    let mount_point = world.path("root");
    for (number, way) in ways().into_iter().enumerate() {
        let (upper, work) = (
            world.path(&format!("volatile-{number}/upper")),
            world.path(&format!("volatile-{number}/work")),
        );
        fs::create_dir_all(&upper).unwrap();
        fs::create_dir_all(&work).unwrap();
        let overlay = Overlay {
            lowers: &lowers,
            upper: Some(Upper {
                directory: &upper,
                work: &work,
                volatile: true,
            }),
            mount_point: &mount_point,
            users: None,
        };
        let root = Root::from_fd(overlay::mount_by(&overlay, way).unwrap(), "overlay");
        let file = root.create("etc/new", 0o644).unwrap();
        rustix::fs::fsync(&file).unwrap();
        drop((root, file));
        assert!(upper.join("etc/new").exists(), "{way:?}");
        assert!(work.join("work/incompat/volatile").is_dir(), "{way:?}");
        assert!(overlay::mount_by(&overlay, way).is_err(), "{way:?}");
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
            volatile: false,
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
