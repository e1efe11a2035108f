//! Addresses by tables; a repository on this disk for the rest.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make files and repositories where they need them"
)]

use std::{fs, process::Command};

use super::*;

fn parsed(text: &str) -> GitSource {
    GitSource::parse(text).unwrap().unwrap()
}

#[test]
fn addresses_are_told_from_files_and_downloads() {
    for none in [
        "dir/x",
        "https://h/file.tar",
        "a@b",
        "x.git",
        "file:///x.git",
        "a:b@c",
    ] {
        assert!(GitSource::parse(none).is_none(), "{none}");
    }
    let source = parsed("https://h/x.git#v1:sub/dir");
    assert_eq!(source.remote, "https://h/x.git");
    assert_eq!(source.reference.as_deref(), Some("v1"));
    assert_eq!(source.subdir.as_deref(), Some("sub/dir"));
    let source = parsed("git@h:o/x?branch=b&subdir=s&commit=abc&keep-git-dir&submodules=0");
    assert_eq!(source.reference.as_deref(), Some("refs/heads/b"));
    assert_eq!(source.commit.as_deref(), Some("abc"));
    assert!(source.keep_git_dir == Some(true) && source.without_submodules);
    for (text, expected) in [
        ("https://h/x.git?x=1", "unexpected query \"x\""),
        (
            "https://h/x.git?ref=a&ref=b",
            "query \"ref\" has multiple values",
        ),
        ("https://h/x.git?tag=", "query \"tag\" has no value"),
        (
            "https://h/x.git#--upload-pack=x",
            "`--upload-pack=x` is no git reference",
        ),
        (
            "https://h/x.git#a:../b",
            "`../b` leads out of the repository",
        ),
    ] {
        let error = GitSource::parse(text).unwrap().unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_commit_is_checked_out_and_the_host_is_out_of_reach() {
    let outer = tempfile::tempdir().unwrap();
    let origin = outer.path().join("origin");
    fs::create_dir(&origin).unwrap();
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=x",
                "-c",
                "user.email=x",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(arguments)
            .current_dir(&origin)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q", "."]);
    fs::create_dir(origin.join("sub")).unwrap();
    fs::write(origin.join("sub/file"), "one").unwrap();
    std::os::unix::fs::symlink("/etc", origin.join("out")).unwrap();
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    let first = git(&["rev-parse", "HEAD"]);
    fs::write(origin.join("sub/file"), "two").unwrap();
    git(&["commit", "-qam", "two"]);
    git(&["tag", "v2"]);
    let remote = format!("file://{}", origin.display());
    let mut number = 0;
    let mut checkout = |change: &dyn Fn(&mut GitSource), protocols: &str| {
        number += 1;
        let directory = outer.path().join(number.to_string());
        fs::create_dir(&directory).unwrap();
        let mut source = GitSource {
            remote: remote.clone(),
            ..GitSource::default()
        };
        change(&mut source);
        source.checkout_by(&directory, false, &GitOptions::default(), protocols)
    };
    let head = checkout(&|source| source.subdir = Some("sub".to_owned()), "file").unwrap();
    assert_eq!(fs::read_to_string(head.path.join("file")).unwrap(), "two");
    assert!(!head.path.join("../.git").exists());
    let short = first[..10].to_owned();
    let old = checkout(&|source| source.reference = Some(short.clone()), "file").unwrap();
    assert_eq!(old.commit, first);
    assert_eq!(
        fs::read_to_string(old.path.join("sub/file")).unwrap(),
        "one"
    );
    let tag = checkout(
        &|source| source.reference = Some("refs/tags/v2".to_owned()),
        "file",
    );
    assert_eq!(tag.unwrap().commit, head.commit);
    let wrong = checkout(&|source| source.commit = Some("0000000".to_owned()), "file");
    assert!(matches!(wrong, Err(GitError::Failed { .. })), "{wrong:?}");
    let other = |source: &mut GitSource| {
        source.reference = Some("v2".to_owned());
        source.commit = Some(first.clone());
    };
    let other = checkout(&other, "file").unwrap_err().to_string();
    assert!(other.contains("not at"), "{other}");
    let out = checkout(&|source| source.subdir = Some("out".to_owned()), "file");
    assert!(matches!(out, Err(GitError::NoSubdir { .. })));
    let cancelled = GitOptions::default();
    cancelled.cancel.cancel();
    let source = GitSource {
        remote: remote.clone(),
        ..GitSource::default()
    };
    let empty = outer.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let ended = source.checkout_by(&empty, false, &cancelled, "file");
    assert_eq!(ended, Err(GitError::Cancelled));
    let refused = checkout(&|_| {}, PROTOCOLS).unwrap_err().to_string();
    assert!(
        refused.contains("transport 'file' not allowed"),
        "{refused}"
    );
}
