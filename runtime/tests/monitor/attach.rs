//! Attached clients, input, terminals.

use std::time::Duration;

use runtime::{
    monitor::{
        Client, Received,
        protocol::{Event, Ready, Request},
    },
    spec::{ContainerState, Stdio},
};

use crate::container::{Container, shell};

/// What a client saw until the connection was closed.
#[derive(Debug, Default)]
struct Seen {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    last: Option<Event>,
}

impl Seen {
    fn to_end(client: &Client) -> Seen {
        let mut seen = Seen::default();
        while seen.next(client) {}
        seen
    }

    fn next(&mut self, client: &Client) -> bool {
        match client.receive_frame().unwrap() {
            Some(Received::Stdout(bytes)) => self.stdout.extend(bytes),
            Some(Received::Stderr(bytes)) => self.stderr.extend(bytes),
            Some(Received::Event(event)) => self.last = Some(event),
            None => return false,
        }
        true
    }

    fn until(&mut self, client: &Client, text: &str) {
        while !String::from_utf8_lossy(&self.stdout).contains(text) {
            assert!(self.next(client), "{text:?} does not come: {self:?}");
        }
    }

    fn exit_code(&self) -> i32 {
        match &self.last {
            Some(Event::State {
                state: ContainerState::Exited { status, .. },
                ..
            }) => status.code,
            other => panic!("{other:?}"),
        }
    }
}

fn attach(container: &Container, stdin: bool) -> Client {
    let client = container.connect();
    client.request(&Request::Attach { stdin }, &[]).unwrap();
    client
}

pub(crate) fn a_client_that_waits_sees_the_first_byte_and_the_end() {
    let mut container = Container::new("echo first; echo bad >&2; exit 6");
    assert_eq!(container.run("await"), Ready::Waiting);
    assert_eq!(container.record().state, ContainerState::Created);
    let seen = Seen::to_end(&attach(&container, false));
    assert_eq!(seen.stdout, b"first\n");
    assert_eq!(seen.stderr, b"bad\n");
    assert_eq!(seen.exit_code(), 6);
    assert_eq!(container.wait(), 0);
    container.assert_clean();
}

pub(crate) fn a_program_that_cannot_start_is_refused_to_the_client_that_waits() {
    let mut container = Container::new("");
    container.spec.process.argv = vec!["/etc".to_owned()];
    assert_eq!(container.run("await"), Ready::Waiting);
    let client = attach(&container, false);
    let Some(Received::Event(Event::Failed { code, .. })) = client.receive_frame().unwrap() else {
        panic!("it cannot start");
    };
    assert_eq!(code, 126);
    assert_eq!(Seen::to_end(&client).exit_code(), 126);
    container.wait();
    container.assert_clean();
}

pub(crate) fn input_reaches_the_program_and_its_end_too() {
    let mut container = Container::new("cat; echo over");
    container.spec.stdio.stdin = true;
    container.run("await");
    let client = attach(&container, true);
    let line = vec![b'x'; 99_999];
    let mut expected = Vec::new();
    // More than all buffers on the way hold, while the other direction is read.
    let reader = std::thread::scope(|scope| {
        let reader = scope.spawn(|| Seen::to_end(&client));
        for _ in 0..30 {
            client.send_input(&line).unwrap();
            expected.extend_from_slice(&line);
        }
        client.send_input(b"").unwrap();
        reader.join().unwrap()
    });
    expected.extend_from_slice(b"over\n");
    assert_eq!(reader.stdout.len(), expected.len());
    assert!(reader.stdout == expected, "bytes differ");
    assert_eq!(reader.exit_code(), 0);
    container.wait();
    container.assert_clean();
}

pub(crate) fn nothing_is_lost_to_a_slow_reader() {
    let mut container = Container::new("yes 0123456789 | head -c 3300000; exit 9");
    container.run("await");
    let client = attach(&container, true);
    let mut seen = Seen::default();
    let mut turn = 0;
    while seen.next(&client) {
        turn += 1;
        if turn % 20 == 0 {
            // Slower than the program prints.
            rustix::event::poll(&mut [], Some(&Duration::from_millis(5).try_into().unwrap()))
                .unwrap();
        }
    }
    assert_eq!(seen.stdout.len(), 3_300_000);
    assert!(seen.stdout.chunks(11).all(|line| line == b"0123456789\n"));
    assert_eq!(seen.exit_code(), 9);
    assert_eq!(container.printed("stdout").len(), 300_000);
    container.wait();
}

pub(crate) fn several_clients_see_the_same() {
    let mut container = Container::new("cat");
    container.spec.stdio.stdin = true;
    container.start();
    let (first, second) = (attach(&container, true), attach(&container, false));
    let (mut seen_first, mut seen_second) = (Seen::default(), Seen::default());
    // The first frame says that the client is attached.
    assert!(seen_first.next(&first) && seen_second.next(&second));
    first.send_input(b"hello\n").unwrap();
    seen_first.until(&first, "hello\n");
    seen_second.until(&second, "hello\n");
    drop(first);
    let third = attach(&container, true);
    third.send_input(b"again\n").unwrap();
    seen_second.until(&second, "again\n");
    third.send_input(b"").unwrap();
    assert_eq!(Seen::to_end(&second).exit_code(), 0);
    container.wait();
    container.assert_clean();
}

pub(crate) fn a_terminal_echoes_and_has_the_size_it_was_given() {
    let mut container = Container::new("");
    container.spec.process =
        shell("read line; echo got $line; stty size; read line; stty size; exit 2");
    container.spec.stdio = Stdio {
        tty: true,
        stdin: true,
    };
    container.run("await");
    let resize = |rows, columns| container.ask(&Request::Resize { rows, columns });
    assert_eq!(resize(33, 99), Event::Done);
    let client = attach(&container, true);
    let mut seen = Seen::default();
    client.send_input(b"word\n").unwrap();
    seen.until(&client, "got word\r\n33 99\r\n");
    assert_eq!(resize(20, 40), Event::Done);
    client.send_input(b"\n").unwrap();
    seen.until(&client, "20 40\r\n");
    while seen.next(&client) {}
    assert!(
        seen.stdout.starts_with(b"word\r\n"),
        "{:?}",
        String::from_utf8_lossy(&seen.stdout)
    );
    assert_eq!(seen.exit_code(), 2);
    container.wait();
    container.assert_clean();
}
