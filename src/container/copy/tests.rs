use std::{
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
};

use super::*;

fn host(path: &Path) -> Place {
    Place::host(path.to_str().unwrap(), Path::new("/")).unwrap()
}

/// Packs a path under a name and returns the stream.
fn packed(path: &Path, name: &str) -> Vec<u8> {
    let mut stream = Vec::new();
    let opened = host(path).open(false).unwrap();
    pack(&opened, Path::new(name), &mut stream, None).unwrap();
    stream
}

fn unpacked(stream: &[u8], target: &Path, owners: Owners) -> Result<Extracted, CopyError> {
    let directory = host(target).open_directory().unwrap();
    extract(stream, directory.as_fd(), owners, None)
}

fn me() -> Owners {
    Owners::Fixed(
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

/// A stream of entries: name, kind, link target or content.
fn stream(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, text) in entries {
        let mut header = tar::Header::new_gnu();
        // set_path would refuse the names that matter here.
        let bytes = name.as_bytes();
        header.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        header.set_entry_type(*kind);
        header.set_mode(0o4755);
        header.set_mtime(1_700_000_000);
        let is_link = kind.is_symlink() || kind.is_hard_link();
        if is_link {
            header.set_link_name_literal(text).unwrap();
        }
        let content = if is_link { "" } else { text };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn a_tree_comes_out_as_it_went_in() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    fs_err::create_dir_all(from.join("deep/er")).unwrap();
    fs_err::create_dir(&to).unwrap();
    fs_err::write(from.join("a"), "hello").unwrap();
    fs_err::hard_link(from.join("a"), from.join("b")).unwrap();
    let long = "n".repeat(200);
    fs_err::write(from.join("deep/er").join(&long), vec![7; 100_000]).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", from.join("deep/link")).unwrap();
    let extracted = unpacked(&packed(&from, "new"), &to, me()).unwrap();
    assert_eq!((extracted.entries, extracted.bytes), (7, 100_005));
    let new = to.join("new");
    assert_eq!(fs_err::read(new.join("a")).unwrap(), b"hello");
    let (a, b) = (
        fs_err::metadata(new.join("a")).unwrap(),
        fs_err::metadata(new.join("b")).unwrap(),
    );
    assert_eq!(a.ino(), b.ino(), "a hard link stays one");
    let before = fs_err::metadata(from.join("a")).unwrap();
    assert_eq!((a.mode(), a.mtime()), (before.mode(), before.mtime()));
    assert_eq!(
        fs_err::read(new.join("deep/er").join(&long)).unwrap().len(),
        100_000
    );
    assert_eq!(
        fs_err::read_link(new.join("deep/link")).unwrap(),
        Path::new("/etc/passwd")
    );
}

#[test]
fn the_content_of_a_directory_has_no_top() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    fs_err::create_dir_all(&from).unwrap();
    fs_err::create_dir(&to).unwrap();
    fs_err::write(from.join("a"), "x").unwrap();
    unpacked(&packed(&from, ""), &to, me()).unwrap();
    assert_eq!(fs_err::read(to.join("a")).unwrap(), b"x");
}

#[test]
fn nothing_is_written_through_a_link_or_above_the_target() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let directory = tempfile::tempdir().unwrap();
    let (to, outside) = (
        directory.path().join("to"),
        directory.path().join("outside"),
    );
    fs_err::create_dir(&outside).unwrap();
    fs_err::write(outside.join("secret"), "untouched").unwrap();
    let away = outside.to_str().unwrap();
    let cases: [&[(&str, tar::EntryType, &str)]; 7] = [
        &[("../outside/secret", Regular, "bad")],
        &[("a/../../outside/secret", Regular, "bad")],
        &[("link", Symlink, away), ("link/secret", Regular, "bad")],
        &[("link", Symlink, away), ("link/new/", Directory, "")],
        &[
            ("link", Symlink, "../outside"),
            ("copy", Link, "link/secret"),
        ],
        &[("copy", Link, "../outside/secret")],
        &[("secret/", Directory, ""), ("secret", Regular, "bad")],
    ];
    for case in cases {
        fs_err::create_dir(&to).unwrap();
        assert!(unpacked(&stream(case), &to, me()).is_err(), "{case:?}");
        assert_eq!(
            fs_err::read(outside.join("secret")).unwrap(),
            b"untouched",
            "{case:?}"
        );
        assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 1, "{case:?}");
        fs_err::remove_dir_all(&to).unwrap();
    }
    // Absolute names are below the target, a link that is written over is replaced.
    fs_err::create_dir(&to).unwrap();
    std::os::unix::fs::symlink(outside.join("secret"), to.join("here")).unwrap();
    let fine = stream(&[("/here", Regular, "good"), ("/new/file", Regular, "good")]);
    unpacked(&fine, &to, me()).unwrap();
    assert_eq!(fs_err::read(to.join("here")).unwrap(), b"good");
    assert_eq!(fs_err::read(to.join("new/file")).unwrap(), b"good");
    assert_eq!(fs_err::read(outside.join("secret")).unwrap(), b"untouched");
}

#[test]
fn another_owner_gets_no_set_user_id_bit() {
    let directory = tempfile::tempdir().unwrap();
    let file = stream(&[("a", tar::EntryType::Regular, "x")]);
    unpacked(&file, directory.path(), me()).unwrap();
    let mode = fs_err::metadata(directory.path().join("a")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn broken_streams_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let whole = stream(&[("a", tar::EntryType::Regular, "hello")]);
    for length in [100, 512, 514] {
        let result = unpacked(&whole[..length], directory.path(), me());
        assert!(
            matches!(result, Err(CopyError::Stream { .. })),
            "{length}: {result:?}"
        );
    }
    assert!(unpacked(&[0xff; 1024], directory.path(), me()).is_err());
}

#[test]
fn files_without_a_size_are_read_to_find_out() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = packed(Path::new("/proc/sys/kernel/ostype"), "ostype");
    unpacked(&bytes, directory.path(), me()).unwrap();
    assert_eq!(
        fs_err::read(directory.path().join("ostype")).unwrap(),
        b"Linux\n"
    );
}

/// A directory as the root of a container.
fn mirror(root: &Path, target: &str) -> Mirror {
    Mirror::of_place(Place::below(root, "web", target).unwrap())
}

#[test]
fn single_files_are_made_equal_and_nothing_else_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    fs_err::create_dir_all(from.join("sub")).unwrap();
    fs_err::create_dir(&to).unwrap();
    let source = from.join("file");
    fs_err::write(&source, "one").unwrap();
    let mut mirror = mirror(&to, "/app/src");
    // What leads there is made.
    let put = |mirror: &mut Mirror, relative: &str| mirror.put(&source, Path::new(relative));
    assert_eq!(put(&mut mirror, "a/b/file").unwrap(), Mirrored::Changed);
    let target = to.join("app/src/a/b/file");
    let inode = || fs_err::metadata(&target).unwrap().ino();
    let first = inode();
    assert_eq!(put(&mut mirror, "a/b/file").unwrap(), Mirrored::Equal);
    assert_eq!(inode(), first, "an equal file is left alone");
    fs_err::write(&source, "two").unwrap();
    std::os::unix::fs::chown(&target, Some(1234), Some(2345)).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
    fs_err::set_permissions(&source, executable).unwrap();
    assert_eq!(put(&mut mirror, "a/b/file").unwrap(), Mirrored::Changed);
    let metadata = fs_err::metadata(&target).unwrap();
    assert_eq!(fs_err::read(&target).unwrap(), b"two");
    assert_eq!((metadata.uid(), metadata.gid()), (1234, 2345));
    assert_eq!(
        metadata.mode() & 0o7777,
        0o755,
        "no rights of another owner"
    );
    assert_eq!(
        metadata.modified().unwrap(),
        fs_err::metadata(&source).unwrap().modified().unwrap()
    );
    // New files belong to who owns their directory.
    std::os::unix::fs::chown(target.parent().unwrap(), Some(77), Some(78)).unwrap();
    put(&mut mirror, "a/b/c/other").unwrap();
    let other = fs_err::metadata(to.join("app/src/a/b/c/other")).unwrap();
    assert_eq!((other.uid(), other.gid()), (77, 78));
    // Directories, links, and one kind in the place of another.
    mirror.put(&from.join("sub"), Path::new("sub")).unwrap();
    assert!(to.join("app/src/sub").is_dir());
    assert_eq!(put(&mut mirror, "sub").unwrap(), Mirrored::Changed);
    assert!(to.join("app/src/sub").is_file());
    let link = from.join("link");
    std::os::unix::fs::symlink("../out", &link).unwrap();
    mirror.put(&link, Path::new("sub")).unwrap();
    assert_eq!(
        mirror.put(&link, Path::new("sub")).unwrap(),
        Mirrored::Equal
    );
    assert_eq!(
        fs_err::read_link(to.join("app/src/sub")).unwrap(),
        Path::new("../out")
    );
    let error = put(&mut mirror, "a/b").unwrap_err().to_string();
    assert_eq!(error, "replace /app/src/a/b", "it has files in it");
    let socket = from.join("socket");
    let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(
        mirror.put(&socket, Path::new("socket")).unwrap(),
        Mirrored::Left
    );
    let gone = mirror.put(&from.join("gone"), Path::new("gone"));
    assert!(gone.is_err());
    let names = fs_err::read_dir(to.join("app/src")).unwrap().count();
    assert_eq!(names, 2, "nothing unfinished is left");

    let remove = |mirror: &mut Mirror, relative: &str| {
        let path = from.join(relative);
        mirror.remove(&path, Path::new(relative)).unwrap()
    };
    assert_eq!(remove(&mut mirror, "a"), Mirrored::Changed);
    assert_eq!(remove(&mut mirror, "a"), Mirrored::Equal);
    assert_eq!(remove(&mut mirror, "a/b/file"), Mirrored::Equal);
    assert_eq!(remove(&mut mirror, ""), Mirrored::Equal);
    assert!(to.join("app/src/sub").is_symlink());
}

#[test]
fn a_file_goes_into_a_target_that_is_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("app.py"), directory.path().join("to"));
    fs_err::create_dir_all(to.join("there")).unwrap();
    fs_err::write(&from, "one").unwrap();
    for (target, found) in [
        ("/there", "there/app.py"),
        ("/missing/", "missing/app.py"),
        ("/other/main.py", "other/main.py"),
    ] {
        let mut mirror = mirror(&to, target);
        mirror.put(&from, Path::new("")).unwrap();
        assert!(to.join(found).is_file(), "{target}");
        mirror.remove(&from, Path::new("")).unwrap();
        assert!(!to.join(found).exists(), "{target}");
    }
    assert!(to.join("there").is_dir());
}

#[test]
fn links_of_the_container_lead_nowhere_but_into_it() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("file"), directory.path().join("to"));
    fs_err::write(&from, "new").unwrap();
    fs_err::create_dir_all(to.join("data")).unwrap();
    let outside = directory.path().join("outside");
    fs_err::create_dir(&outside).unwrap();
    fs_err::write(outside.join("file"), "old").unwrap();
    let link = |target: &Path, name: &str| {
        std::os::unix::fs::symlink(target, to.join(name)).unwrap();
    };
    link(Path::new("/data"), "app");
    link(&outside, "evil");
    mirror(&to, "/app").put(&from, Path::new("file")).unwrap();
    assert_eq!(fs_err::read(to.join("data/file")).unwrap(), b"new");
    // A link in the place of the file is replaced, not followed.
    link(&outside.join("file"), "data/planted");
    mirror(&to, "/data")
        .put(&from, Path::new("planted"))
        .unwrap();
    for path in ["file", "../../outside/file"] {
        let _refused = mirror(&to, "/evil").put(&from, Path::new(path));
        let _refused = mirror(&to, "/evil").remove(&from, Path::new(path));
    }
    assert_eq!(fs_err::read(outside.join("file")).unwrap(), b"old");
}
