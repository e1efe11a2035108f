//! The rules of COPY: what is selected, where it lands, and with which attributes.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
};

use super::fixture::Fixture;

#[test]
fn modes_links_and_times_are_kept_and_owners_are_root() {
    let fixture = Fixture::new();
    fixture
        .file("app/run.sh", "x")
        .mode("app/run.sh", 0o4755)
        .file("app/sub/data", "y")
        .mode("app/sub", 0o700)
        .link("app/link", "sub/data");
    chown(fixture.path("app/sub/data"), Some(7), Some(8)).unwrap();
    fs::hard_link(fixture.path("app/sub/data"), fixture.path("app/same")).unwrap();
    let old = fs::File::options()
        .write(true)
        .open(fixture.path("app/run.sh"))
        .unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_000_000_123);
    old.set_modified(time).unwrap();
    let built = fixture.build("FROM scratch\nCOPY app /srv/app");
    assert_eq!(
        built.list("/"),
        [
            "d 755 0:0 /",
            "d 755 0:0 /srv",
            "d 755 0:0 /srv/app",
            "l 777 0:0 /srv/app/link -> sub/data",
            "f 4755 0:0 /srv/app/run.sh",
            "f 644 0:0 /srv/app/same",
            "d 700 0:0 /srv/app/sub",
            "f 644 0:0 /srv/app/sub/data",
        ]
    );
    assert_eq!(built.read("/srv/app/sub/data"), "y");
    assert_eq!(built.stat("/srv/app/run.sh").modified().unwrap(), time);
    let same = built.stat("/srv/app/same");
    assert_eq!(
        (same.nlink(), same.ino()),
        (2, built.stat("/srv/app/sub/data").ino())
    );
}

#[test]
fn destinations_follow_the_rules_of_docker() {
    let fixture = Fixture::new();
    fixture.file("a", "a").file("b", "b").file("d/x", "x");
    for (copies, expected) in [
        ("COPY a /new", vec!["f /new"]),
        ("COPY a /new/", vec!["d /new", "f /new/a"]),
        ("COPY a b /new/", vec!["d /new", "f /new/a", "f /new/b"]),
        ("COPY a /p/q/name", vec!["d /p", "d /p/q", "f /p/q/name"]),
        ("COPY d /new", vec!["d /new", "f /new/x"]),
        ("COPY d/ /new/", vec!["d /new", "f /new/x"]),
        ("COPY d /\nCOPY a /x", vec!["f /x"]),
        (
            "COPY d /new\nCOPY a /new",
            vec!["d /new", "f /new/a", "f /new/x"],
        ),
        ("COPY a .", vec!["f /a"]),
        ("WORKDIR /w\nCOPY a b ./", vec!["d /w", "f /w/a", "f /w/b"]),
        ("WORKDIR /w\nCOPY a name", vec!["d /w", "f /w/name"]),
        ("COPY [\"a\", \"/with space\"]", vec!["f /with space"]),
        ("COPY ../../a /../up", vec!["f /up"]),
        ("COPY d d /two", vec!["d /two", "f /two/x"]),
        (
            "COPY . /all/",
            vec![
                "d /all",
                "f /all/Dockerfile",
                "f /all/a",
                "f /all/b",
                "d /all/d",
                "f /all/d/x",
            ],
        ),
    ] {
        let built = fixture.build(&format!("FROM scratch\n{copies}"));
        let listed: Vec<String> = built.list("/")[1..]
            .iter()
            .map(|line| {
                let (kind, rest) = line.split_once(' ').unwrap();
                format!("{kind} {}", &rest[rest.find('/').unwrap()..])
            })
            .collect();
        assert_eq!(listed, expected, "{copies}");
    }
}

#[test]
fn what_cannot_be_copied_is_named() {
    let fixture = Fixture::new();
    fixture
        .file("a", "")
        .file("b", "")
        .file("d/a/x", "")
        .file(".dockerignore", "hidden\n");
    fixture.file("hidden", "");
    for (copies, expected) in [
        (
            "COPY none /",
            "Dockerfile:2:1: COPY none /: `none` does not exist",
        ),
        ("COPY hidden /", "`hidden` is hidden by .dockerignore"),
        (
            "COPY d /\nCOPY a /",
            "cannot replace the directory `/a` with a file",
        ),
        (
            "COPY a /\nCOPY d /",
            "cannot copy a directory to `/a`: it is not a directory",
        ),
        ("COPY a /f\nCOPY b /f/", "cannot copy a directory to `/f`"),
        (
            "COPY a b /f",
            "destination `/f` must be a directory and end with a /",
        ),
        ("COPY [ab /", "`[ab` is not a valid pattern"),
        ("COPY --chmod=9 a /", "--chmod `9` must be octal"),
        (
            "COPY --chown=nobody a /",
            "user `nobody` is not in /etc/passwd of the image",
        ),
        (
            "COPY --chown=0:staff a /",
            "group `staff` is not in /etc/group of the image",
        ),
        ("COPY --chown=-1 a /", "owner `-1` must be"),
        (
            "COPY --exclude=[ a /",
            "--exclude `[` is not a valid pattern",
        ),
        ("COPY https://example.org/x /", "of COPY cannot be a URL"),
        ("ADD --checksum=sha256:00 a /", "requires a URL"),
    ] {
        let error = fixture.error(&format!("FROM scratch\n{copies}"));
        assert!(error.contains(expected), "{copies}: {error}");
    }
}

#[test]
fn links_in_the_destination_stay_inside_the_image() {
    let outside = tempfile::tempdir().unwrap();
    let fixture = Fixture::new();
    fixture.file("a", "new").file("tree/real/keep", "old");
    fixture
        .link("tree/out", outside.path().to_str().unwrap())
        .link("tree/up", "../../../../../..")
        .link("tree/dir", "/real")
        .link("tree/file", "real/keep");
    let built = fixture.build(
        "FROM scratch\nCOPY tree /\nCOPY a /out/x\nCOPY a /up/y\nCOPY a /dir/z\nCOPY a /file\n",
    );
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    let inside = outside.path().to_str().unwrap();
    let listed = built.list("/").join("\n");
    for expected in [
        format!("f 644 0:0 {inside}/x"),
        "f 644 0:0 /y".to_owned(),
        "f 644 0:0 /real/z".to_owned(),
        "l 777 0:0 /file -> real/keep".to_owned(),
    ] {
        assert!(listed.contains(&expected), "{expected} not in\n{listed}");
    }
    assert_eq!(built.read("/real/keep"), "new");
    // A link where a directory is to be copied is not followed.
    fixture.file("over/dir/q", "");
    let error = fixture.error("FROM scratch\nCOPY tree /\nCOPY over /");
    assert!(
        error.contains("cannot copy a directory to `/dir`"),
        "{error}"
    );
}

#[test]
fn links_in_the_source_stay_inside_the_context() {
    let fixture = Fixture::new();
    fixture
        .file("real/x", "x")
        .link("conf", "/etc")
        .link("to", "real");
    let error = fixture.error("FROM scratch\nCOPY conf/passwd /");
    assert!(error.contains("`conf/passwd` does not exist"), "{error}");
    // The last component is followed, what is below is not.
    fixture.link("real/inner", "x");
    let built = fixture.build("FROM scratch\nCOPY to /t\nCOPY to/inner /u");
    assert_eq!(
        built.list("/t")[1..],
        ["l 777 0:0 /t/inner -> x", "f 644 0:0 /t/x"]
    );
    assert_eq!(built.list("/u"), ["f 644 0:0 /u"]);
}

#[test]
fn owners_and_modes_can_be_asked_for() {
    let fixture = Fixture::new();
    fixture
        .file("etc/passwd", "root:x:0:0::/:\napp:x:1000:1001::/:\n")
        .file("etc/group", "root:x:0:\nstaff:x:50:\n")
        .file("d/script", "")
        .file("d/sub/x", "");
    let base = "FROM scratch\nCOPY etc /etc\n";
    for (flags, expected) in [
        ("--chown=app", "755 1000:1001"),
        ("--chown=app:staff", "755 1000:50"),
        ("--chown=5", "755 5:5"),
        ("--chown=5:6", "755 5:6"),
        ("--chown=:staff", "755 0:50"),
        ("--chmod=750", "750 0:0"),
        ("--chmod=u=rwX,go=", "755 0:0"),
    ] {
        let built = fixture.build(&format!("{base}COPY {flags} d /new/d"));
        let listed = built.list("/new");
        let directory = &listed[1];
        assert_eq!(
            directory[2..].split(" /").next().unwrap(),
            expected,
            "{flags}"
        );
    }
    let built = fixture.build(&format!("{base}COPY --chmod=+x --chown=app d /n/"));
    assert_eq!(
        built.list("/n"),
        [
            "d 755 1000:1001 /n",
            "f 755 1000:1001 /n/script",
            "d 755 1000:1001 /n/sub",
            "f 755 1000:1001 /n/sub/x",
        ]
    );
}

#[test]
fn patterns_ignore_rules_and_excludes_select() {
    let fixture = Fixture::new();
    for path in [
        "a.go",
        "b.go",
        "c.txt",
        "dir/d.go",
        "dir/keep/e.go",
        "dir/keep/f.txt",
        "v/x",
    ] {
        fixture.file(path, path);
    }
    fixture.file(
        ".dockerignore",
        "Dockerfile\n.dockerignore\nv\ndir/*\n!dir/keep\nb.go\n",
    );
    let files = |dockerfile: &str| {
        let listed = fixture
            .build(&format!("FROM scratch\n{dockerfile}"))
            .list("/");
        let files = listed.into_iter().filter(|line| line.starts_with('f'));
        files
            .map(|line| line[line.find('/').unwrap()..].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(files("COPY *.go /"), ["/a.go"]);
    assert_eq!(
        files("COPY . /"),
        ["/a.go", "/c.txt", "/dir/keep/e.go", "/dir/keep/f.txt"]
    );
    assert_eq!(files("COPY dir/*/*.go /x/"), ["/x/e.go"]);
    assert_eq!(files("COPY d* /x/"), ["/x/keep/e.go", "/x/keep/f.txt"]);
    assert_eq!(
        files("COPY --exclude=**/*.txt . /"),
        ["/a.go", "/dir/keep/e.go"]
    );
    assert_eq!(files("COPY --exclude=*.txt *.* /"), ["/a.go"]);
    assert_eq!(
        files("COPY --parents dir/keep/*.go a.go /p/"),
        ["/p/a.go", "/p/dir/keep/e.go"]
    );
    assert_eq!(
        files("COPY --parents ./dir/./keep/*.txt /p/"),
        ["/p/keep/f.txt"]
    );
    assert_eq!(files("COPY a.go none* /"), ["/a.go"]);
    assert_eq!(
        fixture.warnings(),
        ["Dockerfile:2:1: no file matches `none*`"]
    );
    // The ignore file beside the Dockerfile wins.
    fixture.file("Dockerfile.dockerignore", "*\n!b.go\n");
    assert_eq!(files("COPY . /"), ["/b.go"]);
}

#[test]
fn documents_become_files() {
    let fixture = Fixture::new();
    let built = fixture.build(
        "FROM scratch\nARG name=world\nCOPY <<one <<-\"two\" /d/\nhello \"$name\"\none\n\t$name\n\ttwo\nCOPY --chmod=755 <<run.sh /run\n#!x\nrun.sh\n",
    );
    assert_eq!(built.read("/d/one"), "hello \"world\"\n");
    assert_eq!(built.read("/d/two"), "$name\n");
    assert_eq!(built.list("/run"), ["f 755 0:0 /run"]);
}

#[test]
fn special_files_are_copied_and_sockets_are_not() {
    let fixture = Fixture::new();
    fixture.file("s/x", "");
    let fifo = fixture.path("s/fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let socket = std::os::unix::net::UnixListener::bind(fixture.path("s/socket")).unwrap();
    let built = fixture.build("FROM scratch\nCOPY s /s");
    assert_eq!(
        built.list("/s")[1..],
        ["p 400 0:0 /s/fifo", "f 644 0:0 /s/x"]
    );
    drop(socket);
}
