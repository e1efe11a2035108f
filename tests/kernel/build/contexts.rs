//! Contexts that are repositories, served by git itself.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::made;
use crate::support::{World, eventually, run_tool};

const ADDRESS: &str = "127.0.0.1:9418";

/// A server of the repositories of a directory. It ends with the test.
struct Server(Child);

impl Server {
    fn start(directory: &Path) -> Self {
        let child = Command::new("git")
            .args([
                "daemon",
                "--export-all",
                "--reuseaddr",
                "--listen=127.0.0.1",
            ])
            .arg(format!("--base-path={}", directory.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self(child);
        eventually("the server listens", Duration::from_secs(30), || {
            std::net::TcpStream::connect(ADDRESS).map(drop)
        });
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // `git daemon` is a child of `git`: the whole group ends.
        let children = format!("/proc/{0}/task/{0}/children", self.0.id());
        for pid in fs_err::read_to_string(children)
            .unwrap_or_default()
            .split_whitespace()
        {
            let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
            let _gone = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn git(directory: &Path, arguments: &[&str]) {
    let directory = directory.to_str().unwrap();
    let settings = [
        "-C",
        directory,
        "-c",
        "user.name=x",
        "-c",
        "user.email=x",
        "-c",
        "init.defaultBranch=main",
    ];
    run_tool("git", &[&settings[..], arguments].concat());
}

#[test]
fn a_repository_is_a_context_at_any_commit_and_directory() {
    let world = World::new("services: {}");
    let origin = world.project().join("served/app.git");
    fs_err::create_dir_all(origin.join("sub")).unwrap();
    git(&origin, &["init", "-q", "."]);
    let write = |name: &str, text: &str| fs_err::write(origin.join(name), text).unwrap();
    write("Dockerfile", "FROM scratch\nCOPY . /repository/\n");
    write("sub/Dockerfile", "FROM scratch\nCOPY file /of-sub\n");
    write("sub/file", "one");
    git(&origin, &["add", "."]);
    git(&origin, &["commit", "-qm", "one"]);
    git(&origin, &["tag", "v1"]);
    write("sub/file", "two");
    git(&origin, &["commit", "-qam", "two"]);
    let _server = Server::start(&world.project().join("served"));
    let address = format!("git://{ADDRESS}/app.git");
    world
        .stack(&["image", "build", "-t", "whole", &address])
        .ok();
    let repository = made(&world, "repository");
    assert_eq!(
        fs_err::read_to_string(repository.join("sub/file")).unwrap(),
        "two"
    );
    assert!(!repository.join(".git").exists());
    let text = format!("services:\n  web:\n    build: {address}#v1:sub\n");
    world.write("compose.yaml", &text);
    world.stack(&["build"]).ok();
    assert_eq!(
        fs_err::read_to_string(made(&world, "of-sub")).unwrap(),
        "one"
    );
    // The same commit is recognised by what it holds.
    let again = world.stack(&["--progress", "plain", "build"]).ok();
    assert!(again.stderr.contains("CACHED"), "{}", again.stderr);
    let none = world
        .stack(&["image", "build", &format!("{address}#none")])
        .fails(4);
    assert!(none.stderr.contains("fetch the context"), "{}", none.stderr);
    world.finish();
}
