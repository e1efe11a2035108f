//! Names in containers, asked as programs in containers ask: 127.0.0.11, port 53.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    path::Path,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use compose_spec::model::NetworkMode;
use hickory_proto::{
    op::{Edns, Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use stack::{
    model::ContainerRecord,
    network::{HostResolver, resolv_conf},
};

use super::{
    lab::{DEADLINE, EXT, Lab, exchange, inside, lab, sh, write_resolv_conf},
    records::{container, network},
};

const RESOLVER: &str = "127.0.0.11:53";

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    let name = Name::from_labels(name.split('.').map(str::as_bytes)).unwrap();
    message.add_query(Query::query(name, kind));
    message
}

fn ask(lab: &Lab, from: &ContainerRecord, name: &str, kind: RecordType) -> Message {
    let bytes = query(name, kind).to_vec().unwrap();
    let answer = lab.within(from, || exchange(RESOLVER, &bytes));
    Message::from_vec(&answer.unwrap_or_else(|| panic!("no answer for {name}"))).unwrap()
}

/// `10.201.1.2 10.201.1.3`, `(empty)` or the response code.
fn resolve(lab: &Lab, from: &ContainerRecord, name: &str, kind: RecordType) -> String {
    let answer = ask(lab, from, name, kind);
    if answer.metadata.response_code != ResponseCode::NoError {
        return format!("{:?}", answer.metadata.response_code);
    }
    let mut records: Vec<String> = answer
        .answers
        .iter()
        .map(|record| match &record.data {
            RData::A(address) => address.to_string(),
            RData::PTR(name) => name.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    records.sort();
    if records.is_empty() {
        return "(empty)".to_owned();
    }
    records.join(" ")
}

fn over_tcp(bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(RESOLVER).expect("connect");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut framed = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// A name server at 192.0.2.53 that writes down what it is asked, and answers nothing found; by stream with 60 000 bytes.
struct NameServer {
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (udp, tcp) = inside(Path::new(EXT), || {
            let udp = UdpSocket::bind("192.0.2.53:53").expect("bind");
            (udp, TcpListener::bind("192.0.2.53:53").expect("bind"))
        });
        let log = Arc::clone(&asked);
        // Both threads end with the test's process; their namespace goes with them.
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, client)) = udp.recv_from(&mut buffer) {
                let query = Message::from_vec(&buffer[..length]).expect("a query");
                let name = query.queries[0].name().to_string();
                if name == "end." {
                    return;
                }
                log.lock().unwrap().push(name);
                buffer[2..4].copy_from_slice(&[0x84, 0x80]);
                udp.send_to(&buffer[..length], client).expect("answer");
            }
        });
        thread::spawn(move || {
            let Ok((mut stream, _)) = tcp.accept() else {
                return;
            };
            let mut query = [0; 2 + 512];
            let length = stream.read(&mut query).expect("a query");
            query[2 + 2] |= 0x80;
            let mut answer = 60_000_u16.to_be_bytes().to_vec();
            answer.extend_from_slice(&query[2..length]);
            answer.resize(2 + 60_000, 0);
            stream.write_all(&answer).expect("answer");
        });
        Self { asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let end = query("end", RecordType::A).to_vec().unwrap();
        drop(inside(Path::new(EXT), || {
            UdpSocket::bind("0.0.0.0:0")
                .and_then(|socket| socket.send_to(&end, "192.0.2.53:53"))
                .and_then(|_| TcpStream::connect("192.0.2.53:53"))
        }));
    }
}

#[test]
fn names_follow_the_table_of_semantics() {
    lab(async |lab| {
        let upstream = NameServer::start();
        let fabric = lab.fabric().await;
        let front = network("front", 1);
        let mut back = network("back", 2);
        back.wanted.internal = true;
        for net in [&front, &back] {
            fabric.ensure_network(net).await.unwrap();
        }
        let web = container("web", 2, &[&front, &back]);
        let second = container("web", 3, &[&front]);
        let db = container("db", 4, &[&back]);
        for record in [&web, &second, &db] {
            fabric.attach(record).await.unwrap();
            fabric.set_running(&record.id, true).await.unwrap();
        }
        for (from, name, kind, expected) in [
            (&web, "web", RecordType::A, "10.201.1.2 10.201.1.3"),
            (&web, "WEB-alias", RecordType::A, "10.201.1.2 10.201.1.3"),
            (&web, "shop-web-3", RecordType::A, "10.201.1.3"),
            (&web, "db", RecordType::A, "10.201.2.4"),
            (&web, "db.shop_back", RecordType::A, "10.201.2.4"),
            (&second, "db", RecordType::A, "NXDomain"),
            (&db, "web", RecordType::A, "10.201.2.2"),
            (&db, "example.org", RecordType::A, "NXDomain"),
            (&web, web.id.short(), RecordType::A, "10.201.1.2"),
            (&web, "host.docker.internal", RecordType::A, "10.201.1.1"),
            (
                &web,
                "4.2.201.10.in-addr.arpa",
                RecordType::PTR,
                "shop-db-4.shop_back.",
            ),
            // T17
            (&web, "db", RecordType::AAAA, "(empty)"),
            (&web, "db", RecordType::HTTPS, "(empty)"),
            (&web, "db", RecordType::MX, "(empty)"),
            (&web, "db", RecordType::TXT, "(empty)"),
            (&web, "databse", RecordType::A, "NXDomain"),
        ] {
            let seen = resolve(&lab, from, name, kind);
            assert_eq!(seen, expected, "{name} {kind} from {}", from.name);
        }
        assert_eq!(upstream.asked(), [""; 0], "something went upstream");
        let forwarded = ask(&lab, &web, "example.org", RecordType::A);
        assert!(forwarded.metadata.authoritative);
        assert_eq!(upstream.asked(), ["example.org."]);
        fabric.set_running(&second.id, false).await.unwrap();
        assert_eq!(resolve(&lab, &web, "web", RecordType::A), "10.201.1.2");
        for record in [&web, &second, &db] {
            fabric.detach(&record.id).await.unwrap();
            fabric.remove_netns(record).await.unwrap();
        }
        fabric.remove_network(&front).await.unwrap();
        fabric.remove_network(&back).await.unwrap();
    });
}

#[test]
fn port_53_stays_free_and_nothing_is_tracked() {
    lab(async |lab| {
        let upstream = NameServer::start();
        let fabric = lab.fabric().await;
        let net = network("front", 1);
        fabric.ensure_network(&net).await.unwrap();
        let web = container("web", 2, &[&net]);
        fabric.attach(&web).await.unwrap();
        fabric.set_running(&web.id, true).await.unwrap();
        // T14: a DNS server of the container's own, on all addresses.
        let own = lab.within(&web, || {
            (
                UdpSocket::bind("0.0.0.0:53").expect("udp port 53"),
                TcpListener::bind("0.0.0.0:53").expect("tcp port 53"),
            )
        });
        let bytes = query("web", RecordType::A).to_vec().unwrap();
        lab.within(&web, || {
            for _ in 0..200 {
                assert!(exchange(RESOLVER, &bytes).is_some());
            }
            let answer = Message::from_vec(&over_tcp(&bytes)).unwrap();
            assert_eq!(answer.answers.len(), 1);
            // T15
            assert_eq!(sh("conntrack -C").trim(), "0");
        });
        // T18: a large answer by stream, byte for byte.
        let large = query("large.example", RecordType::TXT).to_vec().unwrap();
        let answer = lab.within(&web, || over_tcp(&large));
        assert_eq!(answer.len(), 60_000);
        assert_eq!(answer[..2], large[..2]);
        drop(own);
        drop(upstream);
        fabric.detach(&web.id).await.unwrap();
        fabric.remove_netns(&web).await.unwrap();
        fabric.remove_network(&net).await.unwrap();
    });
}

#[test]
fn answers_are_cut_and_idle_streams_are_closed() {
    lab(async |lab| {
        let fabric = lab.fabric().await;
        let net = network("front", 1);
        fabric.ensure_network(&net).await.unwrap();
        // 40 replicas do not fit into 512 bytes. Only their names matter.
        let replicas: Vec<_> = (2..42)
            .map(|last| container("web", last, &[&net]))
            .collect();
        for record in &replicas {
            fabric.attach(record).await.unwrap();
            fabric.set_running(&record.id, true).await.unwrap();
        }
        let web = &replicas[0];
        let plain = ask(&lab, web, "web", RecordType::A);
        assert!(plain.metadata.truncation);
        let mut large = query("web", RecordType::A);
        let mut edns = Edns::new();
        edns.set_max_payload(4096);
        large.set_edns(edns);
        let large = large.to_vec().unwrap();
        let answer = lab.within(web, || exchange(RESOLVER, &large)).unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(
            (answer.metadata.truncation, answer.answers.len()),
            (false, 40)
        );
        // T19: noise is survived, and a stream that says nothing is closed.
        lab.within(web, || {
            for length in 0..64_u8 {
                let noise: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37)).collect();
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.send_to(&noise, RESOLVER).unwrap();
            }
            let mut idle = TcpStream::connect(RESOLVER).unwrap();
            idle.set_read_timeout(Some(DEADLINE)).unwrap();
            assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
        });
        assert_eq!(
            resolve(&lab, web, "shop-web-3", RecordType::A),
            "10.201.1.3"
        );
        for record in &replicas {
            fabric.detach(&record.id).await.unwrap();
            fabric.remove_netns(record).await.unwrap();
        }
        fabric.remove_network(&net).await.unwrap();
    });
}

#[test]
fn the_hosts_resolver_configuration_is_followed() {
    lab(async |lab| {
        let upstream = NameServer::start();
        let fabric = lab.fabric().await;
        let net = network("front", 1);
        fabric.ensure_network(&net).await.unwrap();
        let web = container("web", 2, &[&net]);
        fabric.attach(&web).await.unwrap();
        // T20: ourselves in the host's configuration is no loop; nobody else means failure at once.
        write_resolv_conf("nameserver 127.0.0.11\n");
        assert_eq!(resolve(&lab, &web, "a.example", RecordType::A), "ServFail");
        write_resolv_conf("search lan\nnameserver 192.0.2.53\n");
        assert_eq!(resolve(&lab, &web, "b.example", RecordType::A), "(empty)");
        assert_eq!(resolve(&lab, &web, "lan", RecordType::A), "(empty)");
        assert_eq!(upstream.asked(), ["b.example.", "lan."]);
        fabric.detach(&web.id).await.unwrap();
        // Servers of the container's own are asked from inside: the host does not know this address.
        write_resolv_conf("nameserver 192.0.2.99\n");
        let mut own = container("own", 3, &[&net]);
        own.wanted.dns = vec!["127.0.0.1".to_owned()];
        fabric.attach(&own).await.unwrap();
        let inner = lab.within(&own, || UdpSocket::bind("127.0.0.1:53").unwrap());
        let (done, wait) = mpsc::channel();
        let answering = thread::spawn(move || {
            let mut buffer = [0; 512];
            inner
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            let (length, client) = inner.recv_from(&mut buffer).expect("a question");
            buffer[2] |= 0x80;
            inner.send_to(&buffer[..length], client).unwrap();
            done.send(client.ip().to_string()).unwrap();
        });
        assert_eq!(resolve(&lab, &own, "c.example", RecordType::A), "(empty)");
        assert_eq!(wait.recv_timeout(DEADLINE).unwrap(), "127.0.0.1");
        answering.join().unwrap();
        fabric.detach(&own.id).await.unwrap();
        for record in [&web, &own] {
            fabric.remove_netns(record).await.unwrap();
        }
        fabric.remove_network(&net).await.unwrap();
    });
}

#[test]
fn resolv_conf_depends_on_the_kind_of_network() {
    let host = HostResolver::parse("nameserver 127.0.0.53\nsearch lan\noptions timeout:1\n");
    let mut service = container("web", 2, &[&network("front", 1)]).wanted;
    let ours = "nameserver 127.0.0.11\nsearch lan\noptions edns0 trust-ad ndots:0\n";
    assert_eq!(resolv_conf(&service, &host), ours);
    service.dns_search = vec!["a.example".to_owned(), "b.example".to_owned()];
    service.dns_opt = vec!["ndots:2".to_owned()];
    let own = "nameserver 127.0.0.11\nsearch a.example b.example\noptions edns0 trust-ad ndots:2\n";
    assert_eq!(resolv_conf(&service, &host), own);
    service.dns_search = vec![".".to_owned()];
    service.dns_opt.clear();
    service.network = NetworkMode::Host;
    let hosts = "nameserver 127.0.0.53\noptions timeout:1\n";
    assert_eq!(resolv_conf(&service, &host), hosts);
    service.dns = vec!["10.0.0.53".to_owned()];
    let named = "nameserver 10.0.0.53\noptions timeout:1\n";
    assert_eq!(resolv_conf(&service, &host), named);
}
