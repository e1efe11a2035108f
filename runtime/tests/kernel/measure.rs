//! What a start costs, against the system calls that cannot be left out. Not a test: `kernel --measure` prints microseconds.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use runtime::netns;
use runtime::spec::Namespace;
use runtime::sys::clone::clone_child;
use runtime::sys::exec::Texts;

use crate::world::{World, wait};

/// Starts measured of each kind.
const ROUNDS: usize = 300;

/// All namespaces of a container but the network's, whose cost is its own.
const NAMESPACES: libc::c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;

/// Prints the tenth percentile and the median of each kind.
pub(crate) fn run() {
    let world = World::new();
    let network = world.path("share/net");
    netns::create(&network).unwrap();
    let bare = |flags| {
        let arguments = Texts::new(vec![c"probe".to_owned(), c"exit:0".to_owned()]);
        let environment = Texts::new(vec![]);
        let program =
            std::ffi::CString::new(world.path("image/bin/probe").to_str().unwrap()).unwrap();
        let child = clone_child(flags, None, || {
            let Err(_) = arguments.execute(&program, &environment);
            127
        })
        .unwrap();
        assert_eq!(wait(child.pidfd.as_fd()), 0);
    };
    report("fork, execute, exit, reap", || bare(0));
    report("the same in new namespaces, network not", || {
        bare(NAMESPACES);
    });
    report("the same in new namespaces, network too", || {
        bare(NAMESPACES | libc::CLONE_NEWNET);
    });
    report("container that joins a network", || {
        let mut spec = world.spec(&["exit:0"]);
        spec.namespaces.net = Namespace::Join(network.clone());
        assert_eq!(world.run(spec).code, 0);
    });
    report("container with a network of its own", || {
        assert_eq!(world.run(world.spec(&["exit:0"])).code, 0);
    });
    let mut running = world.start(world.spec(&["sleep"])).unwrap();
    running.await_text("ready");
    report("exec in a container", || {
        assert_eq!(running.exec(&["exit:0"]).code, 0);
    });
    running.kill();
    netns::remove(&network).unwrap();
}

fn report(name: &str, mut once: impl FnMut()) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            once();
            start.elapsed()
        })
        .collect();
    times.sort();
    let (low, median) = (
        times[ROUNDS / 10].as_micros(),
        times[ROUNDS / 2].as_micros(),
    );
    println!("{name:42} p10 {low:6}  median {median:6}");
}
