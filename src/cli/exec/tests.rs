//! `exec` against a fake monitor.

use std::os::fd::AsRawFd;

use clap::Parser;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix,
    SocketType, accept, bind, listen, recvmsg, send, socket,
};
use serde_json::{Value, json};

use super::*;
use crate::cli::testing::{World, container, exited, load, running};

const FILE: &str = "services: {web: {image: a}}";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn exec(world: &World, line: &str) -> Result<(), Failure> {
    let arguments = Line::try_parse_from(line.split(' ')).unwrap().arguments;
    run(&world.session(), &arguments)
}

/// Serves one connection of a container's monitor: reads a request with its descriptors, then sends the answers.
fn serve(directory: &Path, answers: Vec<Value>) -> std::thread::JoinHandle<(Value, usize)> {
    let opened = fs_err::File::open(directory).unwrap();
    let path = format!("/proc/self/fd/{}/monitor.sock", opened.as_raw_fd());
    let listener = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
    listen(&listener, 1).unwrap();
    std::thread::spawn(move || {
        let client = accept(&listener).unwrap();
        let mut bytes = vec![0; 64 * 1024];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &client,
            &mut [io::IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::empty(),
        )
        .unwrap();
        let descriptors = control
            .drain()
            .map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => fds.count(),
                _ => 0,
            })
            .sum();
        for answer in answers {
            send(&client, answer.to_string().as_bytes(), SendFlags::empty()).unwrap();
        }
        (
            serde_json::from_slice(&bytes[..received.bytes]).unwrap(),
            descriptors,
        )
    })
}

fn world() -> (World, std::path::PathBuf) {
    let world = World::new(FILE);
    let web = container(&load(FILE).unwrap(), "web", 1, running(1));
    world.host().set(&web);
    let directory = world.settings.root.container(&web.record.id);
    (world, directory)
}

fn ended(code: i32) -> Value {
    json!({"event": "exec_exited", "status": {"code": code, "signal": null, "oom_killed": false, "requested": false}})
}

#[test]
fn a_command_gets_our_streams_and_gives_its_code() {
    let (world, directory) = world();
    let server = serve(
        &directory,
        vec![
            json!({"event": "exec_started", "pid": std::process::id()}),
            ended(7),
        ],
    );
    let result = exec(
        &world,
        "exec -T -e A=b -e MODE=test -u nobody -w /tmp web ls -la",
    );
    assert!(matches!(result, Err(Failure::Status(7))), "{result:?}");
    let (request, descriptors) = server.join().unwrap();
    assert_eq!(descriptors, 3);
    assert_eq!(
        request,
        json!({
            "request": "exec",
            "process": {
                "argv": ["ls", "-la"],
                "env": ["PATH=/bin", "A=b", "MODE=test"],
                "cwd": "/tmp",
                "user": "nobody",
                "groups": [],
            },
            "tty": false,
            "size": null,
            "privileged": false,
        })
    );
}

#[test]
fn a_detached_command_is_not_waited_for() {
    let (world, directory) = world();
    let server = serve(
        &directory,
        vec![json!({"event": "exec_started", "pid": std::process::id()})],
    );
    exec(&world, "exec -d web sleep 100").unwrap();
    let (request, descriptors) = server.join().unwrap();
    assert_eq!(descriptors, 3);
    assert_eq!(request["process"]["cwd"], "/data");
    assert_eq!(request["process"]["user"], "redis");
}

#[test]
fn a_refusal_gives_its_code() {
    let (world, directory) = world();
    let refusal = json!({"event": "failed", "message": "execute x: no such file", "code": 127});
    let server = serve(&directory, vec![refusal]);
    let failure = exec(&world, "exec -T web x").unwrap_err();
    server.join().unwrap();
    assert_eq!(failure.report(&world.ui), 127);
    assert_eq!(
        world.err.text(),
        "error: exec in `shop-web-1`: execute x: no such file\n"
    );
}

#[test]
fn a_monitor_that_dies_is_an_error() {
    let (world, directory) = world();
    let server = serve(
        &directory,
        vec![json!({"event": "exec_started", "pid": std::process::id()})],
    );
    let failure = exec(&world, "exec -T web x").unwrap_err();
    server.join().unwrap();
    assert_eq!(failure.report(&world.ui), 1);
    assert!(
        world
            .err
            .text()
            .contains("the container's monitor went away"),
        "{}",
        world.err.text()
    );
}

#[test]
fn only_a_running_container_can_take_a_command() {
    let world = World::new(FILE);
    world
        .host()
        .set(&container(&load(FILE).unwrap(), "web", 1, exited(0)));
    let failure = exec(&world, "exec -T web x").unwrap_err();
    assert_eq!(failure.report(&world.ui), 1);
    assert!(
        world
            .err
            .text()
            .starts_with("error: service `web` has no running container\n")
    );
    let failure = exec(&world, "exec -T --index 3 web x").unwrap_err();
    assert_eq!(failure.report(&world.ui), 1);
    assert!(
        world
            .err
            .text()
            .contains("service `web` has no running container number 3")
    );
}
