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
