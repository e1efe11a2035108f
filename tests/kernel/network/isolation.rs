//! What must not get through, and living beside other firewalls.

use std::{
    net::{TcpListener, UdpSocket},
    path::Path,
};

use compose_spec::model::PortProtocol::{Tcp, Udp};

use super::{
    lab::{EXT, Lab, SILENCE, Service, eventually, exchange, fetch, inside, lab, read, sh},
    records::{container, network, port},
};

/// Makes a container send to 127.0.0.1 over its bridge, as a crafted frame would be.
const CRAFT: &str = "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet && \
    ip route delete local 127.0.0.0/8 table local && ip route delete local 127.0.0.1 table local && \
    ip route add 127.0.0.1 via 10.201.1.1 dev eth0 src 10.201.1.2";

#[test]
fn containers_do_not_reach_the_hosts_loopback() {
    lab(async |lab| {
        let fabric = lab.fabric().await;
        let net = network("front", 1);
        fabric.ensure_network(&net).await.unwrap();
        let web = container("web", 2, &[&net]);
        let attached = fabric.attach(&web).await.unwrap();
        let local = UdpSocket::bind("127.0.0.1:7777").unwrap();
        local.set_read_timeout(Some(SILENCE)).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(read("/proc/sys/net/ipv4/conf/st-front/route_localnet"), "1");
        let crafted = lab.within(&web, || {
            sh(CRAFT);
            UdpSocket::bind("10.201.1.2:0").unwrap()
        });
        crafted.send_to(b"one", "127.0.0.1:7777").unwrap();
        assert!(
            local.recv(&mut buffer).is_err(),
            "the host's loopback was reached"
        );
        // The same without the rule, so that this test can fail.
        drop(fabric);
        eventually("the table is flushed", || {
            sh("nft flush ruleset");
            sh("nft list ruleset").is_empty()
        });
        crafted.send_to(b"two", "127.0.0.1:7777").unwrap();
        let length = local.recv(&mut buffer).expect("it is the rule that drops");
        assert_eq!(&buffer[..length], b"two");
        drop((attached, crafted));
        lab.fabric().await;
    });
}

#[test]
fn networks_are_islands_and_internal_ones_have_no_way_out() {
    lab(async |lab| {
        let fabric = lab.fabric().await;
        let front = network("front", 1);
        let mut back = network("back", 2);
        back.wanted.internal = true;
        for net in [&front, &back] {
            fabric.ensure_network(net).await.unwrap();
        }
        let web = container("web", 2, &[&front]);
        let mut db = container("db", 3, &[&back]);
        db.published = vec![port("0.0.0.0", 5432, 80, Tcp)];
        let peer = container("peer", 4, &[&back]);
        for record in [&web, &db, &peer] {
            fabric.attach(record).await.unwrap();
            fabric.set_running(&record.id, true).await.unwrap();
        }
        let _servers: Vec<Service> = [&web, &db].map(|record| lab.serve(record, 80)).into();
        let outside = inside(Path::new(EXT), || {
            TcpListener::bind("192.0.2.1:90").unwrap()
        });
        let _outside = Service::start(outside, "ext".to_owned());
        let from = |record, address| lab.within(record, || fetch(address));
        assert_eq!(from(&peer, "10.201.2.3:80"), "shop-db-3 10.201.2.4");
        assert_eq!(from(&web, "10.201.2.3:80"), "TimedOut");
        assert_eq!(from(&web, "192.0.2.1:90"), "ext 192.0.2.2");
        assert_eq!(from(&peer, "192.0.2.1:90"), "NetworkUnreachable");
        let by_hand = lab.within(&peer, || {
            sh("ip route add default via 10.201.2.1");
            (fetch("192.0.2.1:90"), fetch("10.201.1.2:80"))
        });
        assert_eq!(by_hand, ("TimedOut".to_owned(), "TimedOut".to_owned()));
        // A published port of an internal network is carried by the listening socket.
        assert_eq!(fetch("127.0.0.1:5432"), "shop-db-3 10.201.2.1");
        let strange = inside(Path::new(EXT), || fetch("192.0.2.2:5432"));
        assert_eq!(strange, "shop-db-3 10.201.2.1");
        for record in [&web, &db, &peer] {
            fabric.detach(&record.id).await.unwrap();
            fabric.remove_netns(record).await.unwrap();
        }
        fabric.remove_network(&front).await.unwrap();
        fabric.remove_network(&back).await.unwrap();
    });
}

#[test]
fn containers_without_icc_do_not_reach_each_other() {
    lab(async |lab| {
        let fabric = lab.fabric().await;
        let mut net = network("front", 1);
        let option = "com.docker.network.bridge.enable_icc".to_owned();
        net.wanted.driver_opts.insert(option, "false".to_owned());
        fabric.ensure_network(&net).await.unwrap();
        let records = [container("web", 2, &[&net]), container("db", 3, &[&net])];
        for record in &records {
            fabric.attach(record).await.unwrap();
        }
        let _server = lab.serve(&records[0], 80);
        let seen = lab.within(&records[1], || fetch("10.201.1.2:80"));
        assert!(seen == "TimedOut" || seen == "HostUnreachable", "{seen}");
        assert_eq!(fetch("10.201.1.2:80"), "shop-web-2 10.201.1.1");
        tear_down(&fabric, &records, &net).await;
    });
}

#[test]
fn published_datagrams_arrive_and_their_answers_come_back() {
    lab(async |lab| {
        let fabric = lab.fabric().await;
        let net = network("front", 1);
        fabric.ensure_network(&net).await.unwrap();
        let mut web = container("web", 2, &[&net]);
        web.published = vec![port("0.0.0.0", 5353, 53, Udp)];
        fabric.attach(&web).await.unwrap();
        fabric.set_running(&web.id, true).await.unwrap();
        let socket = lab.within(&web, || UdpSocket::bind("10.201.1.2:53").unwrap());
        let end = socket.try_clone().unwrap();
        let echo = std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                if &buffer[..length] == b"end" {
                    return;
                }
                socket.send_to(&buffer[..length], client).unwrap();
            }
        });
        let hello = |address| exchange(address, b"hello");
        for address in ["127.0.0.1:5353", "192.0.2.2:5353", "[::1]:5353"] {
            assert_eq!(hello(address).as_deref(), Some(&b"hello"[..]), "{address}");
        }
        let strange = inside(Path::new(EXT), || hello("192.0.2.2:5353"));
        assert_eq!(strange.as_deref(), Some(&b"hello"[..]));
        // A client that keeps its port is not led to a container that has gone.
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"hello", "127.0.0.1:5353").unwrap();
        let tracked =
            || sh("conntrack -L -p udp -d 127.0.0.1 2>/dev/null | grep -c 10.201.1.2; true");
        eventually("the connection is tracked", || tracked().trim() != "0");
        fabric.detach(&web.id).await.unwrap();
        assert_eq!(tracked().trim(), "0");
        end.send_to(b"end", "10.201.1.2:53").unwrap();
        echo.join().unwrap();
        drop(end);
        tear_down(&fabric, &[web], &net).await;
    });
}

#[test]
fn a_forward_chain_that_drops_lets_our_bridges_pass() {
    for program in ["iptables-nft", "nft"] {
        lab(async move |lab| {
            std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "1").unwrap();
            if program == "nft" {
                sh(
                    "nft 'add table inet strict; add chain inet strict f { type filter hook forward priority 10; policy drop; }'",
                );
            } else {
                sh("iptables-nft -P FORWARD DROP");
            }
            let before = sh("nft list ruleset");
            let fabric = lab.fabric().await;
            let net = network("front", 1);
            fabric.ensure_network(&net).await.unwrap();
            let mut web = container("web", 2, &[&net]);
            web.published = vec![port("0.0.0.0", 8081, 80, Tcp)];
            let records = [web, container("other", 3, &[&net])];
            for record in &records {
                fabric.attach(record).await.unwrap();
                fabric.set_running(&record.id, true).await.unwrap();
            }
            let _server = lab.serve(&records[0], 80);
            let strange = inside(Path::new(EXT), || fetch("192.0.2.2:8081"));
            assert_eq!(strange, "shop-web-2 192.0.2.1", "{program}");
            let peer = lab.within(&records[1], || fetch("10.201.1.2:80"));
            assert_eq!(peer, "shop-web-2 10.201.1.3", "{program}");
            if program == "iptables-nft" {
                let rules = sh("iptables-nft -S");
                assert!(
                    rules.contains("-A FORWARD -i st-+") && rules.contains("-j ACCEPT"),
                    "{rules}"
                );
            }
            tear_down(&fabric, &records, &net).await;
            assert_eq!(sh("nft list ruleset"), before, "{program}");
            sh("nft flush ruleset");
        });
    }
}

#[test]
fn publishing_does_not_go_around_a_guarded_input() {
    lab(async |lab| {
        sh("iptables-nft -P INPUT DROP");
        sh("iptables-nft -A INPUT -i lo -j ACCEPT");
        sh("iptables-nft -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT");
        let fabric = lab.fabric().await;
        let net = network("front", 1);
        fabric.ensure_network(&net).await.unwrap();
        let mut web = container("web", 2, &[&net]);
        web.published = vec![port("0.0.0.0", 8081, 80, Tcp)];
        fabric.attach(&web).await.unwrap();
        fabric.set_running(&web.id, true).await.unwrap();
        let _server = lab.serve(&web, 80);
        let strange = || inside(Path::new(EXT), || fetch("192.0.2.2:8081"));
        assert_eq!(fetch("127.0.0.1:8081"), "shop-web-2 10.201.1.1");
        assert_eq!(strange(), "TimedOut");
        sh("iptables-nft -A INPUT -p tcp --dport 8081 -j ACCEPT");
        assert_eq!(strange(), "shop-web-2 10.201.1.1");
        tear_down(&fabric, &[web], &net).await;
        sh("nft flush ruleset");
    });
}

#[test]
fn the_host_forwards_for_nobody_else_unless_somebody_needs_it() {
    lab(async |lab| {
        let fabric = lab.fabric().await;
        let net = network("front", 1);
        fabric.ensure_network(&net).await.unwrap();
        // A neighbour that takes this host for its router.
        for line in [
            "ip netns add far",
            "ip link add far0 type veth peer name eth0 netns far",
            "ip address add 198.51.100.1/24 dev far0 && ip link set far0 up",
            "ip -n far address add 198.51.100.2/24 dev eth0 && ip -n far link set eth0 up",
            "ip -n far route add default via 198.51.100.1",
            "ip -n ext route add 198.51.100.0/24 via 192.0.2.2",
        ] {
            sh(line);
        }
        let outside = inside(Path::new(EXT), || {
            TcpListener::bind("192.0.2.1:90").unwrap()
        });
        let _outside = Service::start(outside, "ext".to_owned());
        let far = || inside(Path::new("/run/netns/far"), || fetch("192.0.2.1:90"));
        assert_eq!(read("/proc/sys/net/ipv4/ip_forward"), "1");
        assert_eq!(
            far(),
            "TimedOut",
            "we made this host a router for strangers"
        );
        // A bridge of somebody else (libvirt, Docker): what it forwards is not ours to drop, and forwarding stays on.
        sh("ip link add virbr0 type bridge");
        fabric.repair().await.unwrap();
        assert_eq!(far(), "ext 198.51.100.2");
        fabric.remove_network(&net).await.unwrap();
        assert_eq!(read("/proc/sys/net/ipv4/ip_forward"), "1");
        sh("ip link delete virbr0; ip netns delete far; echo 0 > /proc/sys/net/ipv4/ip_forward");
    });
}

#[test]
fn a_taken_port_names_its_owner_and_leaves_nothing() {
    lab(async |lab| {
        let fabric = lab.fabric().await;
        let net = network("front", 1);
        fabric.ensure_network(&net).await.unwrap();
        let mut web = container("web", 2, &[&net]);
        web.published = vec![port("0.0.0.0", 8081, 80, Tcp)];
        let foreign = TcpListener::bind("127.0.0.1:8081").unwrap();
        let error = fabric.attach(&web).await.unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            error.starts_with("port 8081/tcp on 0.0.0.0 is taken by "),
            "{error}"
        );
        assert!(error.ends_with(&format!("(pid {pid})")), "{error}");
        assert!(!lab.pin(&web).exists());
        drop(foreign);
        let attached = fabric.attach(&web).await.unwrap();
        let mut other = container("other", 3, &[&net]);
        other.published = vec![port("127.0.0.1", 8081, 80, Tcp)];
        let error = fabric.attach(&other).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "port 8081/tcp on 127.0.0.1 is taken by service web of project shop"
        );
        let error = fabric.remove_network(&net).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "network shop_front is in use by container shop-web-2"
        );
        drop(attached);
        tear_down(&fabric, &[web], &net).await;
        collisions(&lab).await;
    });
}

async fn collisions(lab: &Lab) {
    let fabric = lab.fabric().await;
    sh(
        "ip link add tun0 type bridge && ip link set tun0 up && ip address add 10.201.0.1/16 dev tun0",
    );
    let error = fabric
        .ensure_network(&network("front", 1))
        .await
        .unwrap_err()
        .to_string();
    let expected = "subnet 10.201.1.0/24 of network shop_front collides with route 10.201.0.0/16 of interface tun0";
    assert_eq!(error, expected);
    sh("ip link delete tun0");
    sh("ip link add st-front type bridge");
    let error = fabric
        .ensure_network(&network("front", 1))
        .await
        .unwrap_err()
        .to_string();
    let expected =
        "interface st-front of network shop_front exists and belongs to somebody else (bridge)";
    assert_eq!(error, expected);
    sh("ip link delete st-front");
}

async fn tear_down(
    fabric: &stack::network::Fabric,
    records: &[stack::model::ContainerRecord],
    net: &stack::model::NetworkRecord,
) {
    for record in records {
        fabric.detach(&record.id).await.unwrap();
        fabric.remove_netns(record).await.unwrap();
    }
    fabric.remove_network(net).await.unwrap();
}
