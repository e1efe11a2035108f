//! ADD: archives, addresses, and flags that do not fit.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt};

use super::{
    super::{NamedContext, Secret},
    fixture::{Fixture, chain},
};

/// Makes a tar archive of names and contents; a name with a slash at the end is a directory.
pub(super) fn archive(members: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000);
        let directory = name.ends_with('/');
        header.set_mode(if directory { 0o750 } else { 0o640 });
        header.set_entry_type(if directory {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        // `set_path` refuses what hostile archives hold.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

#[test]
fn local_archives_are_unpacked_with_their_owners_and_other_files_are_copied() {
    let fixture = Fixture::new();
    let tar = archive(&[("dir/", ""), ("dir/file", "x"), ("../../out", "y")]);
    let write = |name: &str, bytes: &[u8]| std::fs::write(fixture.path(name), bytes).unwrap();
    write("a.tar", &tar);
    write("b.tgz", &gzip(&tar));
    write("c.zst", &zstd::stream::encode_all(&tar[..], 1).unwrap());
    write("text.gz", &gzip(b"just text"));
    let dockerfile = "FROM scratch\nADD a.tar /a/\nADD b.tgz /b\nADD c.zst text.gz /c/\nADD --unpack=false a.tar /raw/\nADD --chown=1:2 --chmod=700 a.tar /own\n";
    let built = fixture.build(dockerfile);
    assert_eq!(
        built.list("/"),
        [
            "d 755 0:0 /",
            "d 755 0:0 /a",
            "d 750 7:8 /a/dir",
            "f 640 7:8 /a/dir/file",
            "f 640 7:8 /a/out",
            "d 755 0:0 /b",
            "d 750 7:8 /b/dir",
            "f 640 7:8 /b/dir/file",
            "f 640 7:8 /b/out",
            "d 755 0:0 /c",
            "d 750 7:8 /c/dir",
            "f 640 7:8 /c/dir/file",
            "f 640 7:8 /c/out",
            "f 644 0:0 /c/text.gz",
            "d 700 1:2 /own",
            "d 700 1:2 /own/dir",
            "f 700 1:2 /own/dir/file",
            "f 700 1:2 /own/out",
            "d 755 0:0 /raw",
            "f 644 0:0 /raw/a.tar",
        ]
    );
    assert_eq!(built.stat("/a/dir/file").mtime(), 1_000_000);
    fixture.build(dockerfile);
    assert!(
        fixture
            .steps()
            .iter()
            .all(|step| step.starts_with("CACHED"))
    );
}

#[test]
fn an_archive_that_would_remove_files_is_refused() {
    let fixture = Fixture::new();
    let hostile = archive(&[(".wh.etc", "")]);
    std::fs::write(fixture.path("x.tar"), hostile).unwrap();
    let error = fixture.error("FROM scratch\nADD x.tar /");
    assert!(error.starts_with("Dockerfile:2:1"), "{error}");
    assert!(error.contains("unpack `x.tar`: entry `.wh.etc`"), "{error}");
}

#[test]
fn an_address_is_fetched_into_a_private_file_and_its_checksum_saves_asking() {
    let fixture = Fixture::new();
    let address = "https://files.test:8443/dir/tool?v=1";
    let serve = |bytes: &[u8]| {
        let mut files = fixture.runner.files.lock().unwrap();
        *files = BTreeMap::from([(address.to_owned(), bytes.to_vec())]);
    };
    let asked = || fixture.runner.asked.lock().unwrap().len();
    serve(b"one");
    let plain = format!("FROM scratch\nADD {address} /bin/\n");
    let built = fixture.build(&plain);
    assert_eq!(built.list("/bin")[1], "f 600 0:0 /bin/tool");
    assert_eq!(built.stat("/bin/tool").mtime(), 784_111_777);
    fixture.build(&plain);
    assert_eq!(fixture.steps(), [format!("CACHED ADD {address} /bin/")]);
    serve(b"two");
    assert_eq!(fixture.build(&plain).read("/bin/tool"), "two");
    assert_eq!(asked(), 3);
    // sha256 of `two`.
    let sum = "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
    let checked = format!("FROM scratch\nADD --checksum={sum} {address} /t\n");
    fixture.build(&checked);
    assert_eq!(asked(), 4);
    fixture.build(&checked);
    assert_eq!(asked(), 4, "the promise was enough");
    serve(b"three");
    let error = fixture.error(&checked.replace("/t\n", "/u\n"));
    assert!(error.contains(&format!("not {sum}")), "{error}");
    let error = fixture.error("FROM scratch\nADD http://nowhere.test/x /");
    assert!(
        error.contains("fetch `http://nowhere.test/x`: fake answered with status 404"),
        "{error}"
    );
}

#[test]
fn a_fetched_archive_is_unpacked_only_when_asked_and_secrets_open_doors() {
    let fixture = Fixture::new();
    let address = "http://h:1/x.tar";
    let tar = archive(&[("file", "x")]);
    let files = BTreeMap::from([(address.to_owned(), tar)]);
    *fixture.runner.files.lock().unwrap() = files;
    let dockerfile = format!("FROM scratch\nADD {address} /kept/\nADD --unpack {address} /open\n");
    let built = fixture.try_build_with(&dockerfile, |input| {
        let token = Secret::Value(b"secret-token\n".to_vec());
        input
            .secrets
            .insert("HTTP_AUTH_TOKEN_h:1".to_owned(), token);
    });
    let built = built.map_err(|error| chain(&error)).unwrap();
    assert_eq!(built.list("/kept")[1], "f 600 0:0 /kept/x.tar");
    assert_eq!(built.list("/open")[1], "f 640 7:8 /open/file");
    let asked = fixture.runner.asked.lock().unwrap();
    assert_eq!(asked[0].1.as_deref(), Some("Bearer secret-token"));
    assert!(!built.config.to_string().contains("secret-token"));
}

#[test]
fn flags_that_do_not_fit_are_refused() {
    let fixture = Fixture::new();
    fixture.file("x", "x");
    for (line, expected) in [
        (
            "ADD --checksum=sha256:00 x /",
            "requires a URL or a git repository",
        ),
        (
            "ADD --checksum=md5:00 http://h/x /",
            "must be sha256: and 64 hex digits",
        ),
        ("ADD --keep-git-dir x /", "requires a git repository"),
        ("ADD http://h/ /", "names no file"),
        (
            "ADD https://h/x.git#a:../b /",
            "leads out of the repository",
        ),
        ("COPY http://h/x /", "cannot be a URL: use ADD"),
    ] {
        *fixture.runner.files.lock().unwrap() = BTreeMap::from([("http://h/".to_owned(), vec![])]);
        let error = fixture.error(&format!("FROM scratch\n{line}"));
        assert!(error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn a_stage_can_begin_with_a_named_directory_and_its_own_ignore_file() {
    let fixture = Fixture::new();
    fixture
        .file("lib/a", "a")
        .file("lib/hidden", "h")
        .file("lib/.dockerignore", "hidden\n.dockerignore");
    let build = |dockerfile: &str| {
        let built = fixture.try_build_with(dockerfile, |input| {
            let lib = NamedContext::Directory(input.context.join("lib"));
            input.additional_contexts.insert("lib".to_owned(), lib);
        });
        built.map_err(|error| chain(&error)).unwrap()
    };
    let built = build("FROM lib\nCOPY --from=lib a /b\n");
    assert_eq!(built.list("/")[1..], ["f 644 0:0 /a", "f 644 0:0 /b"]);
    let built = build("FROM scratch\nCOPY --from=lib . /\n");
    assert_eq!(built.list("/")[1..], ["f 644 0:0 /a"]);
}
