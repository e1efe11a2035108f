//! What a RUN step reaches: what lies outside of the host, by name and address; neither the host's loopback nor other steps.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, unshare};

use super::{SOON, compose, made};
use crate::support::{World, eventually, run_tool};

/// Longest time that a step waits for an answer that must not come, in seconds.
const SILENCE: u32 = 1;

/// Tells everybody who connects under which address he came.
fn serve(listener: TcpListener) {
    // Ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip();
            let _gone = writeln!(stream, "{peer}");
        }
    });
}

/// Puts 192.0.2.1 behind an uplink of this thread's network namespace, where it is 192.0.2.2, and serves there.
/// The outside ends when what is returned is dropped.
fn outside(port: u16) -> mpsc::Sender<()> {
    run_tool(
        "ip",
        &["link", "add", "up0", "type", "veth", "peer", "name", "up1"],
    );
    let (tell, told) = mpsc::channel();
    let (moved, wait) = mpsc::channel::<()>();
    let (ready, done) = mpsc::channel();
    thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        tell.send(nix::unistd::gettid()).unwrap();
        wait.recv().unwrap();
        run_tool("ip", &["address", "add", "192.0.2.1/24", "dev", "up1"]);
        run_tool("ip", &["link", "set", "up1", "up"]);
        serve(TcpListener::bind(("192.0.2.1", port)).unwrap());
        ready.send(()).unwrap();
        // Keeps the namespace until the test ends.
        let _end = wait.recv();
    });
    let tid = told.recv().unwrap().to_string();
    run_tool("ip", &["link", "set", "up1", "netns", &tid]);
    run_tool("ip", &["address", "add", "192.0.2.2/24", "dev", "up0"]);
    run_tool("ip", &["link", "set", "up0", "up"]);
    moved.send(()).unwrap();
    done.recv().unwrap();
    moved
}

fn links() -> String {
    run_tool("ip", &["-o", "link"])
}

#[test]
fn steps_reach_the_outside_and_not_the_loopback_of_the_host() {
    let ask = |name: &str, address: &str, port: u16| {
        format!(
            "busybox timeout {SILENCE} busybox nc {address} {port} </dev/null >/{name} || true; "
        )
    };
    let mut line = "RUN ".to_owned();
    line += &ask("outside", "192.0.2.1", 9001);
    line += &ask("loopback", "127.0.0.1", 9002);
    line += &ask("gateway", "host.test", 9003);
    line += "busybox cp /etc/hosts /hosts; busybox cp /etc/resolv.conf /resolv";
    let text = compose(&[("web", &format!("FROM busybox\n{line}"))]).replace(
        "context: .",
        "context: .\n      extra_hosts: [\"host.test:host-gateway\"]",
    );
    let world = World::new(&text);
    let _outside = outside(9001);
    serve(TcpListener::bind("127.0.0.1:9002").unwrap());
    // Only the host itself answers on the gateway's address.
    serve(TcpListener::bind("0.0.0.0:9003").unwrap());
    world.stack(&["build"]).ok();
    let read = |name| fs_err::read_to_string(made(&world, name)).unwrap();
    assert_eq!(read("outside"), "192.0.2.2\n", "translated on the way out");
    assert_eq!(read("loopback"), "", "the host's loopback is reached");
    let own = read("gateway");
    assert!(
        own.starts_with("10.201.") || own.starts_with("172."),
        "{own}"
    );
    assert!(read("hosts").contains("\thost.test\n"));
    assert!(read("resolv").contains("nameserver 127.0.0.11\n"));
    eventually("the bridge is gone", SOON, || {
        let links = links();
        if links.contains(": st") {
            Err(links)
        } else {
            Ok(())
        }
    });
    run_tool("ip", &["link", "delete", "up0"]);
    world.finish();
}

#[test]
fn steps_with_the_hosts_network_are_allowed_by_name_only() {
    let dockerfile = "FROM busybox\nRUN --network=host busybox nc 127.0.0.1 9004 </dev/null >/peer";
    let text = compose(&[("web", dockerfile)]);
    let world = World::new(&text);
    serve(TcpListener::bind("127.0.0.1:9004").unwrap());
    let refused = world.stack(&["build"]).fails(4);
    assert!(
        refused.stderr.contains("network.host"),
        "{}",
        refused.stderr
    );
    let allowed = "context: .\n      entitlements: [network.host]";
    world.write("compose.yaml", &text.replace("context: .", allowed));
    world.stack(&["build"]).ok();
    assert_eq!(
        fs_err::read_to_string(made(&world, "peer")).unwrap(),
        "127.0.0.1\n"
    );
    world.finish();
}

#[test]
fn steps_at_the_same_time_have_their_own_ports_and_do_not_meet() {
    // Both listen on the same port and connect to the other's likely addresses, each for longer than the other needs to start.
    let stage = |name: &str| {
        format!(
            "FROM busybox AS {name}\nRUN busybox nc -l -p 7000 -e busybox echo {name} & busybox sleep 0.5; for n in 2 3 4; do busybox timeout 1 busybox nc \"$(busybox ip -4 -o addr show eth0 | busybox sed 's/.* inet \\([0-9.]*\\)\\.[0-9]*\\/.*/\\1/').$n\" 7000 </dev/null >>/met-{name}; done; busybox touch /met-{name}\n"
        )
    };
    let (one, two) = (stage("one"), stage("two"));
    let dockerfile =
        format!("{one}{two}FROM scratch\nCOPY --from=one /met-one /\nCOPY --from=two /met-two /\n");
    let world = World::new(&compose(&[("web", &dockerfile.replace('$', "$$"))]));
    world.stack(&["build"]).ok();
    for (name, other) in [("one", "two"), ("two", "one")] {
        let met = fs_err::read_to_string(made(&world, &format!("met-{name}"))).unwrap();
        assert!(
            met.contains(name),
            "{name} does not even reach itself: {met}"
        );
        assert!(!met.contains(other), "{name} met {met}");
    }
    world.finish();
}

#[test]
fn a_killed_supervisor_leaves_no_bridge_behind() {
    let marker = super::marker();
    let world = World::new(&compose(&[(
        "web",
        &format!("FROM busybox\nRUN sleep {marker}"),
    )]));
    let mut client = super::building(&world, &marker);
    assert!(links().contains(": st-"), "{}", links());
    for pid in world.supervisors() {
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    assert!(!client.wait().unwrap().success());
    world.stack(&["builder", "prune", "-f"]).ok();
    eventually("the orphaned step is killed", SOON, || {
        super::has_ended(&marker)
    });
    world.finish();
}

#[test]
#[ignore = "prints figures"]
fn overhead_of_steps() {
    for (network, count) in [
        ("none", 1),
        ("default", 1),
        ("host", 1),
        ("none", 20),
        ("default", 20),
        ("host", 20),
    ] {
        let runs = "RUN true\n".repeat(count as usize);
        let text = compose(&[("web", &format!("FROM busybox\n{runs}"))]).replace(
            "context: .",
            &format!("context: .\n      network: {network}"),
        );
        let world = World::new(&text);
        for _ in 0..3 {
            let begin = std::time::Instant::now();
            world.stack(&["build", "--no-cache"]).ok();
            let each: Duration = begin.elapsed() / count;
            eprintln!("{network}, {count} steps: {each:?} each");
        }
        world.finish();
    }
}
