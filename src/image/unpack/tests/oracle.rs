//! A real tree through real writers, compared with what GNU tar makes of it.
#![expect(clippy::disallowed_methods, reason = "the oracle is a program")]

use std::process::Command;

use super::*;

pub(in crate::image) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Makes a tree with everything that a root filesystem has.
pub(in crate::image) fn tree(root: &Path) {
    let script = r#"
        mkdir -p usr/bin usr/lib/deep var/tmp empty "caf$(printf '\351')" dev
        printf 'hello\n' > usr/bin/tool; chmod 4755 usr/bin/tool
        head -c 300000 /dev/urandom > usr/lib/blob; truncate -s 2M usr/lib/sparse; printf x | dd of=usr/lib/sparse bs=1 seek=1500000 conv=notrunc 2>/dev/null
        ln usr/lib/blob usr/lib/deep/blob2; ln -s usr/lib lib; ln -s /absolute/target dangling; ln -s ../../escape usr/up
        mkfifo var/fifo; mknod dev/null c 1 3; mknod dev/disk b 8 1
        chown 1234:5678 usr/lib/blob; chown -h 12:34 lib; chown 3000000:1 empty; chmod 1777 var/tmp; chmod 0 usr/lib/deep
        name=$(printf 'n%.0s' $(seq 1 200)); mkdir "$name"; printf long > "$name/$name"; ln -s "$name/$name" longlink
        touch -d '1965-01-02 03:04:05.678' var/old; touch -d '2101-01-01' var/future; touch -d '2020-02-02 02:02:02.123456789' usr/bin/tool usr/lib usr
        python3 - <<'END'
import os
os.setxattr("usr/bin/tool", "security.capability", b"\x01\0\0\x02\0\x20\0\0" + bytes(12))
os.setxattr("usr/lib/blob", "user.note", b"value \x00\xff")
os.setxattr("var", "trusted.mine", b"1")
END
    "#;
    let output = Command::new("sh")
        .arg("-euc")
        .arg(script)
        .current_dir(root)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_tree_through_gnu_tar_is_the_same_tree() {
    let source = tempfile::tempdir().unwrap();
    tree(source.path());
    let expected = listing(source.path());
    assert!(expected.len() > 20);
    let root = source.path().to_str().unwrap();
    for format in [
        &["--format=pax", "--xattrs", "--xattrs-include=*"][..],
        &["--format=pax", "--xattrs", "--xattrs-include=*", "--sparse"],
        &[
            "--format=pax",
            "--xattrs",
            "--xattrs-include=*",
            "--sparse",
            "--sparse-version=0.1",
        ],
    ] {
        let archive = tempfile::NamedTempFile::new().unwrap();
        let arguments = [
            &["-cf", archive.path().to_str().unwrap(), "-C", root][..],
            format,
            &["."],
        ]
        .concat();
        run("tar", &arguments);
        let layer = unpack_bytes(&fs_err::read(archive.path()).unwrap());
        assert_eq!(layer.report().notes, [""; 0], "{format:?}");
        assert_eq!(listing(&layer.root()), expected, "{format:?}");
    }
}

/// GNU's own format has whole seconds and no attributes: compared with what GNU tar itself unpacks.
#[test]
fn the_gnu_format_unpacks_as_gnu_tar_does() {
    let source = tempfile::tempdir().unwrap();
    tree(source.path());
    let root = source.path().to_str().unwrap();
    for sparse in [&[][..], &["--sparse"]] {
        let archive = tempfile::NamedTempFile::new().unwrap();
        let file = archive.path().to_str().unwrap();
        run(
            "tar",
            &[
                &["-cf", file, "--format=gnu", "-C", root][..],
                sparse,
                &["."],
            ]
            .concat(),
        );
        let oracle = tempfile::tempdir().unwrap();
        run(
            "tar",
            &[
                "-xpf",
                file,
                "--same-owner",
                "-C",
                oracle.path().to_str().unwrap(),
            ],
        );
        let layer = unpack_bytes(&fs_err::read(archive.path()).unwrap());
        assert_eq!(listing(&layer.root()), listing(oracle.path()), "{sparse:?}");
    }
}
