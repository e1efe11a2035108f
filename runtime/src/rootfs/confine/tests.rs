#![expect(
    clippy::disallowed_methods,
    reason = "plain files are what these tests are about"
)]

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn world() -> (tempfile::TempDir, Root) {
    let world = tempfile::tempdir().unwrap();
    fs::create_dir(world.path().join("root")).unwrap();
    fs::create_dir(world.path().join("outside")).unwrap();
    fs::write(world.path().join("outside/secret"), "secret").unwrap();
    let root = Root::open_dir(world.path().join("root")).unwrap();
    (world, root)
}

#[test]
fn links_that_point_out_are_resolved_inside() {
    let (world, root) = world();
    let outside = world.path().join("outside");
    symlink(&outside, world.path().join("root/absolute")).unwrap();
    symlink("../outside", world.path().join("root/relative")).unwrap();
    for path in [
        "absolute/secret",
        "relative/secret",
        "../outside/secret",
        "/../../outside/secret",
    ] {
        assert_eq!(
            root.read(path).unwrap_err().source.0,
            libc::ENOENT,
            "{path}"
        );
    }
}

#[test]
fn directories_are_made_where_a_dangling_link_points_inside() {
    let (world, root) = world();
    symlink("/run/../srv//data", world.path().join("root/link")).unwrap();
    symlink("../../../outside", world.path().join("root/out")).unwrap();
    root.create_dir_all("/link/a/./b/", 0o755).unwrap();
    root.create_dir_all("out/c", 0o755).unwrap();
    assert!(world.path().join("root/srv/data/a/b").is_dir());
    assert!(world.path().join("root/outside/c").is_dir());
    assert_eq!(
        fs::read_dir(world.path().join("outside")).unwrap().count(),
        1
    );
}

#[test]
fn files_are_made_through_dangling_links_inside() {
    let (world, root) = world();
    fs::create_dir(world.path().join("root/etc")).unwrap();
    symlink(
        "../run/resolve/stub.conf",
        world.path().join("root/etc/resolv.conf"),
    )
    .unwrap();
    ensure(
        root.as_fd(),
        c"/etc/resolv.conf",
        Entry::File,
        Mode::from_raw_mode(0o644),
    )
    .unwrap();
    assert!(world.path().join("root/run/resolve/stub.conf").is_file());
}

#[test]
fn link_loops_end() {
    let (world, root) = world();
    symlink("b", world.path().join("root/a")).unwrap();
    symlink("a", world.path().join("root/b")).unwrap();
    symlink("grow/x", world.path().join("root/grow")).unwrap();
    for path in ["a", "a/c", "grow"] {
        assert_eq!(
            root.create_dir_all(path, 0o755).unwrap_err().source.0,
            libc::ELOOP,
            "{path}"
        );
    }
}

#[test]
fn a_file_in_the_way_is_an_error() {
    let (world, root) = world();
    fs::write(world.path().join("root/file"), "").unwrap();
    for path in ["file", "file/a", "file/a/b"] {
        assert_eq!(
            root.create_dir_all(path, 0o755).unwrap_err().source.0,
            libc::ENOTDIR,
            "{path}"
        );
    }
}

#[test]
fn parents_come_with_the_last_name() {
    let (world, root) = world();
    symlink("/a", world.path().join("root/l")).unwrap();
    root.create_dir_all("a", 0o755).unwrap();
    let (parent, name) = root.open_parent("/l/file").unwrap();
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)).unwrap();
    assert!(world.path().join("root/a/file").is_dir());
    assert_eq!(root.open_parent("top").unwrap().1, "top");
    for path in ["/", "..", "a/..", ""] {
        assert_eq!(
            root.open_parent(path).unwrap_err().source.0,
            libc::EINVAL,
            "{path:?}"
        );
    }
}

#[test]
fn only_regular_files_are_read() {
    let (world, root) = world();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.path().join("root/fifo"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_eq!(root.read("fifo").unwrap_err().source.0, libc::EINVAL);
    assert_eq!(root.read(".").unwrap_err().source.0, libc::EINVAL);
    fs::write(world.path().join("root/file"), "text").unwrap();
    assert_eq!(root.read("/file").unwrap(), b"text");
    let error = root.read("none").unwrap_err().to_string();
    assert!(
        error.starts_with("open none in /") && error.ends_with(": no such file or directory"),
        "{error}"
    );
}

#[test]
fn magic_links_of_procfs_are_not_followed() {
    let root = Root::open_dir("/proc").unwrap();
    assert_eq!(
        root.open("self/exe", OFlags::RDONLY).unwrap_err().source.0,
        libc::ELOOP
    );
    assert_eq!(
        root.open("self/root/etc", OFlags::PATH)
            .unwrap_err()
            .source
            .0,
        libc::ELOOP
    );
}

#[test]
fn a_swapper_never_leads_out() {
    let (world, root) = world();
    let (a, b) = (world.path().join("root/a"), world.path().join("root/b"));
    fs::create_dir(&a).unwrap();
    symlink(world.path().join("outside"), &b).unwrap();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, flags).unwrap();
            }
        });
        for round in 0..500 {
            let outcome = root.create_dir_all(format!("a/{round}"), 0o755);
            assert!(outcome.is_ok() || outcome.is_err_and(|error| error.source.0 == libc::EAGAIN));
        }
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(
        fs::read_dir(world.path().join("outside")).unwrap().count(),
        1
    );
}
