//! Refusals: one typed error, and nothing left behind (each world checks that when it ends).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use runtime::Step;
use runtime::cgroup::JoinPlan;
use runtime::check::check;
use runtime::process::launch;
use runtime::spec::Namespace;

use crate::harness::Test;
use crate::world::{World, bind, files};

pub(crate) const TESTS: &[Test] = &[
    (
        "missing_and_bad_programs_have_the_codes_of_shells",
        missing_and_bad_programs_have_the_codes_of_shells,
    ),
    (
        "programs_are_found_in_the_containers_path",
        programs_are_found_in_the_containers_path,
    ),
    (
        "a_working_directory_that_is_a_file_is_refused",
        a_working_directory_that_is_a_file_is_refused,
    ),
    (
        "missing_parts_of_the_host_are_named",
        missing_parts_of_the_host_are_named,
    ),
    (
        "a_caller_with_threads_is_refused",
        a_caller_with_threads_is_refused,
    ),
    (
        "failures_leave_the_image_and_the_host_alone",
        failures_leave_the_image_and_the_host_alone,
    ),
    ("many_starts_leave_nothing", many_starts_leave_nothing),
];

fn missing_and_bad_programs_have_the_codes_of_shells() {
    let world = World::new();
    let write = |name: &str, text: &[u8], mode| {
        let path = world.path("image/bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("plain", b"data", 0o644);
    write("garbage", b"\x00\x01\x02", 0o755);
    write("script", b"#!/bin/none\n", 0o755);
    write("good", b"#!/bin/probe echo:from-script\n", 0o755);
    let run = |program: &str| {
        let mut spec = world.spec(&[]);
        spec.process.argv = vec![program.into()];
        world.start(spec)
    };
    for (program, code, text) in [
        ("nope", 127, "execute nope: no such file in the container"),
        (
            "/bin/nope",
            127,
            "execute /bin/nope: no such file in the container",
        ),
        (
            "script",
            127,
            "execute script: the interpreter that it names is not in the container",
        ),
        ("plain", 126, "execute plain: permission denied"),
        (
            "/bin/plain/x",
            127,
            "execute /bin/plain/x: no such file in the container",
        ),
        ("garbage", 126, "execute garbage: exec format error"),
        ("/tmp", 126, "execute /tmp: permission denied"),
    ] {
        let error = run(program).err().unwrap();
        assert_eq!(
            (error.to_string().as_str(), error.exit_code()),
            (text, code)
        );
        assert!(matches!(error.step, Step::Execute | Step::FindInterpreter));
    }
    assert_eq!(
        run("good").unwrap().finish().answer("echo:from-script"),
        "from-script"
    );
}

fn programs_are_found_in_the_containers_path() {
    let world = World::new();
    fs::create_dir(world.path("image/opt")).unwrap();
    fs::hard_link(world.path("image/bin/probe"), world.path("image/opt/tool")).unwrap();
    let run = |program: &str, path: &str, cwd: &str| {
        let mut spec = world.spec(&["cwd"]);
        spec.process.argv[0] = program.into();
        spec.process.env = if path.is_empty() {
            vec![]
        } else {
            vec![format!("PATH={path}")]
        };
        spec.process.cwd = cwd.into();
        world
            .start(spec)
            .map(|running| running.finish().code)
            .map_err(|error| error.exit_code())
    };
    assert_eq!(run("tool", "/bin:/opt", "/"), Ok(0));
    assert_eq!(run("tool", "/bin:/etc/passwd:/none", "/"), Err(127));
    assert_eq!(run("tool", "/none:", "/opt"), Ok(0));
    assert_eq!(run("./tool", "/none", "/opt"), Ok(0));
    assert_eq!(run("opt/tool", "/none", "/"), Ok(0));
    assert_eq!(run("probe", "", "/"), Ok(0));
    // A program of the host is none of the container's.
    assert_eq!(run("sh", "/bin:/usr/bin", "/"), Err(127));
}

fn a_working_directory_that_is_a_file_is_refused() {
    let world = World::new();
    let mut spec = world.spec(&[]);
    spec.process.cwd = "/etc/passwd".into();
    let error = world.start(spec).err().unwrap();
    assert_eq!(
        error.to_string(),
        "enter working directory /etc/passwd: not a directory"
    );
}

fn missing_parts_of_the_host_are_named() {
    let world = World::new();
    let mut spec = world.spec(&[]);
    spec.namespaces.net = Namespace::Join("/run/none".into());
    let error = world.start(spec).err().unwrap();
    assert_eq!(
        error.to_string(),
        "join namespace network at /run/none: no such file or directory"
    );
    let mut spec = world.spec(&[]);
    spec.namespaces.net = Namespace::Join("/proc/self/ns/uts".into());
    let error = world.start(spec).err().unwrap();
    assert_eq!(
        error.to_string(),
        "join namespace network at /proc/self/ns/uts: invalid argument"
    );
    fs::remove_dir_all(world.path("work")).unwrap();
    let error = world.start(world.spec(&[])).err().unwrap();
    assert_eq!((error.step, error.source.0), (Step::Overlay, libc::ENOENT));
    assert!(
        error
            .to_string()
            .contains(world.path("work").to_str().unwrap()),
        "{error}"
    );
    fs::create_dir(world.path("work")).unwrap();
}

fn a_caller_with_threads_is_refused() {
    let world = World::new();
    let spec = check(world.spec(&[])).unwrap();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || wait.recv());
    let (io, _output) = files();
    let error = launch(&spec, io, &JoinPlan::default(), &[]).unwrap_err();
    drop(done);
    assert!(other.join().unwrap().is_err());
    assert_eq!((error.step, error.source.0), (Step::Clone, libc::EDEADLK));
}

fn failures_leave_the_image_and_the_host_alone() {
    let world = World::new();
    let look = |name: &str| {
        let mut names: Vec<_> = fs::read_dir(world.path(name))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = ["image", "share", "root"].map(look);
    fs::write(world.path("share/file"), "").unwrap();
    let mut spec = world.spec(&[]);
    spec.mounts.push(bind(&world.path("share"), "/a"));
    spec.mounts.push(bind(&world.path("share"), "/b/c"));
    spec.mounts.push(bind(&world.path("share"), "/a/file"));
    let error = world.start(spec).err().unwrap();
    assert_eq!(
        (error.step, error.source.0),
        (Step::Bind, libc::ENOTDIR),
        "{error}"
    );
    fs::remove_file(world.path("share/file")).unwrap();
    assert_eq!(["image", "share", "root"].map(look), before);
}

fn many_starts_leave_nothing() {
    let world = World::new();
    for _ in 0..20 {
        assert_eq!(world.run(world.spec(&["exit:0"])).code, 0);
        let mut spec = world.spec(&[]);
        spec.process.argv = vec!["nope".into()];
        assert!(world.start(spec).is_err());
    }
}
