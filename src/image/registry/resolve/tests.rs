use hickory_proto::rr::{Record, rdata};

use super::*;

#[test]
fn resolv_conf_is_read_as_the_manual_says() {
    let text = "# comment\nnameserver 10.0.0.1 ; x\nnameserver fe80::1%eth0\nnameserver ::1\nsearch a.b c\noptions ndots:2 timeout:1 attempts:9 rotate\n";
    let settings = Settings::parse(text);
    assert_eq!(
        settings.servers,
        [
            "10.0.0.1".parse::<IpAddr>().unwrap(),
            "::1".parse().unwrap()
        ]
    );
    assert_eq!(
        (
            settings.ndots,
            settings.timeout.as_secs(),
            settings.attempts
        ),
        (2, 1, 5)
    );
    assert_eq!(settings.candidates("x.y"), ["x.y.a.b.", "x.y.c.", "x.y."]);
    assert_eq!(
        settings.candidates("x.y.z"),
        ["x.y.z.", "x.y.z.a.b.", "x.y.z.c."]
    );
    assert_eq!(settings.candidates("x."), ["x."]);
    assert_eq!(
        Settings::parse("").servers,
        ["127.0.0.1".parse::<IpAddr>().unwrap()]
    );
}

#[test]
fn the_hosts_file_knows_aliases() {
    let text = "::1 me # my name\n10.1.2.3 Me other\nbroken me\n";
    let expected: [IpAddr; 2] = ["10.1.2.3".parse().unwrap(), "::1".parse().unwrap()];
    assert_eq!(hosts_entries(text, "me"), expected);
    assert!(hosts_entries(text, "my").is_empty());
}

/// Answers A queries for `known.test.`, first with garbage and a wrong id; everything else does not exist.
async fn serve(socket: UdpSocket) {
    let mut buffer = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let question = query.queries[0].clone();
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        answer.add_query(question.clone());
        if question.name().to_string() != "known.test." {
            answer.metadata.response_code = ResponseCode::NXDomain;
        } else if question.query_type() == RecordType::A {
            let data = RData::A(rdata::A::new(10, 9, 8, 7));
            answer.add_answer(Record::from_rdata(question.name().clone(), 1, data));
        }
        let mut forged = answer.clone();
        forged.metadata.id = forged.metadata.id.wrapping_add(1);
        socket.send_to(b"garbage", from).await.unwrap();
        socket
            .send_to(&forged.to_vec().unwrap(), from)
            .await
            .unwrap();
        socket
            .send_to(&answer.to_vec().unwrap(), from)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn names_are_asked_from_the_configured_server() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let resolv_conf = directory.path().join("resolv.conf");
    fs::write(&resolv_conf, "nameserver 127.0.0.1\nsearch test\n").unwrap();
    let resolver = Resolver {
        hosts: directory.path().join("none"),
        resolv_conf,
        port: socket.local_addr().unwrap().port(),
    };
    let ask = async {
        let expected: IpAddr = "10.9.8.7".parse().unwrap();
        assert_eq!(resolver.resolve("known.test").await.unwrap(), [expected]);
        assert_eq!(resolver.resolve("known").await.unwrap(), [expected]);
        assert!(matches!(
            resolver.resolve("other.test").await,
            Err(ResolveError::Unknown(_))
        ));
        assert_eq!(resolver.resolve("::1").await.unwrap().len(), 1);
        assert_eq!(resolver.resolve("localhost").await.unwrap().len(), 2);
    };
    tokio::select! {
        () = ask => {}
        () = serve(socket) => panic!("the server ends with the test"),
    }
}
