//! The client against a tiny server on a unix socket.

use std::{os::unix::net::UnixListener, thread};

use super::*;
use crate::protocol::{ImageTagRequest, Outcome, Progress, StepState, Subject, SubjectKind};

/// Serves one connection: reads the request to its end, answers with the pieces, one write each.
fn serve(root: &Root, pieces: &'static [&'static str]) -> thread::JoinHandle<String> {
    serve_all(root, vec![pieces])
}

/// Serves a connection for each list of pieces; returns the last request.
fn serve_all(root: &Root, answers: Vec<&'static [&'static str]>) -> thread::JoinHandle<String> {
    fs_err::create_dir_all(root.run()).unwrap();
    let directory = fs_err::File::open(root.run()).unwrap();
    let path = format!("/proc/self/fd/{}/supervisor.sock", directory.as_raw_fd());
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        let mut request = Vec::new();
        for pieces in answers {
            let (mut stream, _) = listener.accept().unwrap();
            request.clear();
            let mut chunk = [0; 1024];
            while !request.ends_with(b"}") {
                let length = stream.read(&mut chunk).unwrap();
                assert!(length > 0, "the client closed early");
                request.extend_from_slice(&chunk[..length]);
            }
            for piece in pieces {
                stream.write_all(piece.as_bytes()).unwrap();
            }
        }
        String::from_utf8(request).unwrap()
    })
}

fn tag() -> Request {
    Request::ImageTag(ImageTagRequest {
        source: "a".into(),
        target: "b".into(),
    })
}

#[test]
fn a_call_is_http_and_its_answer_is_read_whatever_the_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::below(directory.path());
    let server = serve(
        &root,
        &[
            "HTTP/1.0 200 O",
            "K\r\ndate: now\r\n\r\n{\"event\":\"step\",\"subject\":{\"kind\":\"image\",\"name\":\"b\"},",
            "\"state\":{\"state\":\"done\",\"text\":\"tagged\"},\"took_ms\":3}\n{\"event\":\"fini",
            "shed\",\"errors\":[],\"container\":null,\"names\":[\"b\"]}\n",
        ],
    );
    let mut call = call(&root, &tag(), None).unwrap();
    assert_eq!(
        call.next_event().unwrap(),
        Event::Step(Progress {
            subject: Subject {
                kind: SubjectKind::Image,
                name: "b".into()
            },
            state: StepState::Done {
                text: "tagged".into()
            },
            took_ms: Some(3),
        })
    );
    assert_eq!(
        call.next_event().unwrap(),
        Event::Finished(Outcome {
            names: vec!["b".into()],
            ..Outcome::default()
        })
    );
    let request = server.join().unwrap();
    assert!(
        request.starts_with("POST /v1/image_tag HTTP/1.0\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\nstack-protocol: 3\r\n"), "{request}");
    assert!(
        request.ends_with("\r\n\r\n{\"source\":\"a\",\"target\":\"b\"}"),
        "{request}"
    );
}

#[test]
fn a_root_deeper_than_sun_path_is_reached() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::below(directory.path().join("d".repeat(100)).join("e".repeat(100)));
    let server = serve(
        &root,
        &["HTTP/1.0 426 Upgrade Required\r\n\r\n{\"error\":\"speaks 7\"}"],
    );
    let error = call(&root, &tag(), None).unwrap().next_event().unwrap_err();
    server.join().unwrap();
    assert!(
        matches!(&error, ClientError::Version { message } if message == "speaks 7"),
        "{error:?}"
    );
}

#[test]
fn an_answer_that_breaks_off_is_an_error() {
    for (pieces, cut_off) in [
        (
            &["HTTP/1.0 200 OK\r\n\r\n{\"event\":"] as &'static [&'static str],
            true,
        ),
        (&["HTTP/1.0 400 Bad Request\r\n\r\nno such project"], false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::below(directory.path());
        let server = serve(&root, pieces);
        let error = call(&root, &tag(), None).unwrap().next_event().unwrap_err();
        server.join().unwrap();
        match error {
            ClientError::CutOff { .. } => assert!(cut_off, "{pieces:?}"),
            ClientError::Refused { message, .. } => assert_eq!(message, "no such project"),
            error => panic!("{error:?}"),
        }
    }
}

#[test]
fn what_is_not_http_is_refused() {
    let mut answer = Answer::default();
    answer.push(b"SSH-2.0-x\r\n\r\n");
    assert!(answer.line().is_err());
    let mut endless = Answer::default();
    endless.push(&vec![b'x'; 65 * 1024]);
    assert!(endless.line().is_err());
}

#[test]
fn a_supervisor_that_refuses_without_a_word_still_gives_a_message() {
    let status = |body: &str| Status {
        code: 404,
        version: None,
        body: body.into(),
    };
    assert_eq!(status("").message(), "status 404");
    assert_eq!(status("{\"error\":\"no\"}").message(), "no");
    assert_eq!(status("plain\n").message(), "plain");
}

#[test]
fn a_supervisor_that_leaves_before_it_answers_is_asked_again() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::below(directory.path());
    let good: &[&str] = &[
        "HTTP/1.0 200 OK\r\n\r\n{\"event\":\"finished\",\"errors\":[],\"container\":null,\"names\":[]}\n",
    ];
    let server = serve_all(&root, vec![&[], &[], good]);
    let event = call(&root, &tag(), None).unwrap().next_event().unwrap();
    server.join().unwrap();
    assert_eq!(event, Event::Finished(Outcome::default()));

    fs_err::remove_file(root.supervisor_socket()).unwrap();
    let server = serve_all(&root, vec![&[]; 6]);
    let error = call(&root, &tag(), None).unwrap().next_event().unwrap_err();
    server.join().unwrap();
    assert!(matches!(error, ClientError::CutOff { .. }), "{error:?}");
}

#[test]
fn a_call_that_was_not_begun_is_for_the_next_supervisor() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::below(directory.path());
    let leaving: &[&str] = &["HTTP/1.0 200 OK\r\n\r\n{\"event\":\"leaving\"}\n"];
    let good: &[&str] = &[
        "HTTP/1.0 200 OK\r\n\r\n{\"event\":\"finished\",\"errors\":[],\"container\":null,\"names\":[]}\n",
    ];
    for receives in [false, true] {
        let server = serve_all(&root, vec![leaving, leaving, good]);
        let mut call = call(&root, &tag(), None).unwrap();
        let event = if receives {
            loop {
                if let Some(event) = call.receive().unwrap().pop() {
                    break event;
                }
            }
        } else {
            call.next_event().unwrap()
        };
        server.join().unwrap();
        assert_eq!(event, Event::Finished(Outcome::default()));
        fs_err::remove_file(root.supervisor_socket()).unwrap();
    }
}

#[test]
fn only_a_refusal_of_an_older_protocol_is_one_of_an_older_supervisor() {
    for (head, body, is_older) in [
        ("426 Upgrade Required\r\nStack-Protocol: 2", "x", true),
        ("426 Upgrade Required\r\nstack-protocol: 3", "x 1", false),
        ("426 Upgrade Required\r\nstack-protocol: 4", "", false),
        (
            "426 Upgrade Required",
            "{\"error\":\"this supervisor speaks protocol 1\"}",
            true,
        ),
        (
            "426 Upgrade Required",
            "{\"error\":\"this supervisor speaks protocol 9\"}",
            false,
        ),
        ("400 Bad Request\r\nstack-protocol: 2", "", false),
    ] {
        let mut answer = Answer::default();
        answer.push(format!("HTTP/1.0 {head}\r\n\r\n{body}").as_bytes());
        assert_eq!(answer.line().unwrap(), None);
        assert_eq!(answer.end().unwrap().is_older(), is_older, "{head} {body}");
    }
}
