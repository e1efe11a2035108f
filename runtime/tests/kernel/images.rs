//! Mounts of images, and what of a read-only bind is writable below it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use runtime::spec::{Mount, MountKind, Propagation};

use crate::harness::Test;
use crate::world::{World, bind};

pub(crate) const TESTS: &[Test] = &[
    (
        "an_image_is_mounted_read_only",
        an_image_is_mounted_read_only,
    ),
    (
        "a_part_of_an_image_is_mounted_and_never_leaves_it",
        a_part_of_an_image_is_mounted_and_never_leaves_it,
    ),
    (
        "a_read_only_bind_may_leave_what_is_below_writable",
        a_read_only_bind_may_leave_what_is_below_writable,
    ),
    (
        "every_propagation_is_what_the_kernel_says_back",
        every_propagation_is_what_the_kernel_says_back,
    ),
    (
        "a_target_behind_a_link_stays_inside",
        a_target_behind_a_link_stays_inside,
    ),
];

/// Two layers: the upper one hides a file of the lower one and has a link to the host.
fn layers(world: &World) -> Vec<PathBuf> {
    let (top, base) = (world.path("layers/top"), world.path("layers/base"));
    fs::create_dir_all(top.join("data")).unwrap();
    fs::create_dir_all(base.join("data/sub")).unwrap();
    fs::write(top.join("data/file"), "top").unwrap();
    fs::write(base.join("data/file"), "base").unwrap();
    fs::write(base.join("data/sub/below"), "base").unwrap();
    std::os::unix::fs::symlink("/etc", top.join("host")).unwrap();
    vec![top, base]
}

fn image(lowers: &[PathBuf], subpath: Option<&str>, target: &str) -> Mount {
    Mount {
        target: target.to_owned(),
        kind: MountKind::Image {
            lowers: lowers.to_vec(),
            subpath: subpath.map(str::to_owned),
        },
        read_only: true,
    }
}

fn an_image_is_mounted_read_only() {
    let world = World::new();
    let layers = layers(&world);
    for lowers in [layers.as_slice(), &layers[..1]] {
        let mut spec = world.spec(&[
            "read:/img/data/file",
            "create:/img/x",
            "write:/img/data/file:x",
            "mounts",
            "ls:/img",
        ]);
        spec.mounts = vec![image(lowers, None, "/img")];
        let finished = world.run(spec);
        assert_eq!(finished.answer("read:/img/data/file"), "top");
        assert_eq!(finished.answer("create:/img/x"), "error EROFS");
        assert_eq!(finished.answer("write:/img/data/file:x"), "error EROFS");
        assert_eq!(finished.answer("ls:/img"), "data host");
        let mounts = finished.answer("mounts");
        let line = mounts.lines().find(|line| line.contains(" /img ")).unwrap();
        assert!(line.contains(" ro,nodev"), "{line}");
    }
    assert_eq!(fs::read_dir(world.path("layers/top")).unwrap().count(), 2);
}

fn a_part_of_an_image_is_mounted_and_never_leaves_it() {
    let world = World::new();
    let layers = layers(&world);
    let mut spec = world.spec(&[
        "read:/part/below",
        "read:/one",
        "create:/part/x",
        "ls:/part",
    ]);
    spec.mounts = vec![
        image(&layers, Some("data/sub"), "/part"),
        image(&layers, Some("/data/file"), "/one"),
    ];
    let finished = world.run(spec);
    assert_eq!(finished.answer("read:/part/below"), "base");
    assert_eq!(finished.answer("read:/one"), "top");
    assert_eq!(finished.answer("create:/part/x"), "error EROFS");
    for lowers in [layers.as_slice(), &layers[..1]] {
        // In the image /etc does not exist; the host's is not looked at.
        for path in ["host", "../../../etc", "none"] {
            let mut spec = world.spec(&[]);
            spec.mounts = vec![image(lowers, Some(path), "/part")];
            let error = world.start(spec).err().unwrap();
            assert_eq!(error.source.0, libc::ENOENT, "{path}: {error}");
            assert!(error.subject.contains(path), "{error}");
        }
    }
}

fn a_read_only_bind_may_leave_what_is_below_writable() {
    let world = World::new();
    let below = world.path("share/below");
    fs::create_dir_all(&below).unwrap();
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("sub"), &below, Some("tmpfs"), flags, None::<&str>).unwrap();
    let run = |is_writable: bool, is_recursive: bool| {
        let mut spec = world.spec(&["create:/vol/x", "create:/vol/below/x"]);
        let mut mount = bind(&world.path("share"), "/vol");
        mount.read_only = true;
        let MountKind::Bind {
            writable_below,
            recursive,
            ..
        } = &mut mount.kind
        else {
            unreachable!()
        };
        (*writable_below, *recursive) = (is_writable, is_recursive);
        spec.mounts.push(mount);
        let finished = world.run(spec);
        fs::remove_file(below.join("x")).ok();
        ["create:/vol/x", "create:/vol/below/x"].map(|command| finished.answer(command))
    };
    assert_eq!(run(false, true), ["error EROFS", "error EROFS"]);
    assert_eq!(run(true, true), ["error EROFS", "created"]);
    // Without submounts the directory under the host's mount is seen.
    assert_eq!(run(true, false), ["error EROFS", "error EROFS"]);
    nix::mount::umount(&below).unwrap();
}

fn every_propagation_is_what_the_kernel_says_back() {
    let world = World::new();
    let top = world.path("share");
    let sub = top.join("sub");
    let none = None::<&str>;
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("top"), &top, Some("tmpfs"), flags, none).unwrap();
    fs::create_dir_all(&sub).unwrap();
    nix::mount::mount(Some("sub"), &sub, Some("tmpfs"), flags, none).unwrap();
    let shared = nix::mount::MsFlags::MS_SHARED | nix::mount::MsFlags::MS_REC;
    nix::mount::mount(none, &top, none, shared, none).unwrap();
    // What mountinfo says of the mount and of the one below it. The kernel keeps what a clone had where nothing was asked for.
    for (propagation, top_kind, sub_kind) in [
        (Propagation::Rprivate, "", ""),
        (Propagation::Private, "", "shared"),
        (Propagation::Rslave, "master", "master"),
        (Propagation::Slave, "master", "shared"),
        (Propagation::Rshared, "shared", "shared"),
        (Propagation::Shared, "shared", "shared"),
    ] {
        let mut spec = world.spec(&["mounts"]);
        let mut mount = bind(&top, "/vol");
        let MountKind::Bind {
            propagation: own, ..
        } = &mut mount.kind
        else {
            unreachable!()
        };
        *own = propagation;
        spec.mounts.push(mount);
        let finished = world.run(spec);
        let mounts = finished.answer("mounts");
        let kind = |target: &str| {
            let line = mounts
                .lines()
                .find(|line| line.split(' ').nth(4) == Some(target))
                .unwrap();
            let optional = line.split(" - ").next().unwrap().split(' ').skip(6);
            optional
                .map(|field| field.split(':').next().unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            (kind("/vol").as_str(), kind("/vol/sub").as_str()),
            (top_kind, sub_kind),
            "{propagation:?}"
        );
    }
    nix::mount::umount(&sub).unwrap();
    nix::mount::umount(&top).unwrap();
}

fn a_target_behind_a_link_stays_inside() {
    let world = World::new();
    std::os::unix::fs::symlink("/etc", world.path("image/link")).unwrap();
    std::os::unix::fs::symlink("../../../../srv/new", world.path("image/up")).unwrap();
    fs::write(world.path("share/file"), "text").unwrap();
    let mut spec = world.spec(&[
        "read:/etc/made/file",
        "read:/srv/new/file",
        "stat:/etc/made",
        "stat:/srv/new",
    ]);
    spec.mounts.push(bind(&world.path("share"), "/link/made"));
    spec.mounts.push(bind(&world.path("share"), "/up"));
    let finished = world.run(spec);
    assert_eq!(finished.answer("read:/etc/made/file"), "text");
    assert_eq!(finished.answer("read:/srv/new/file"), "text");
    assert!(!std::path::Path::new("/etc/made").exists());
    assert!(!std::path::Path::new("/srv/new").exists());
    // Made in the container's own layer, by root.
    for made in ["upper/etc/made", "upper/srv/new"] {
        let metadata = fs::metadata(world.path(made)).unwrap();
        assert_eq!(
            (metadata.mode() & 0o7777, metadata.uid(), metadata.gid()),
            (0o755, 0, 0),
            "{made}"
        );
    }
}
