//! What happens when supervisors die, and when somebody removes our kernel objects.

use std::net::{TcpListener, UdpSocket};

use compose_spec::model::PortProtocol::Tcp;
use stack::{
    model::{ContainerRecord, NetworkRecord},
    network::{Attached, Changes, Fabric, Wiring},
};

use super::{
    hammer::Hammer,
    lab::{DEADLINE, Lab, eventually, fetch, lab, sh},
    records::{container, network, port},
};

/// Starts as a supervisor does that finds its predecessor's records and monitors.
async fn take_over(
    lab: &Lab,
    networks: &[&NetworkRecord],
    containers: Vec<(&ContainerRecord, Attached)>,
) -> Fabric {
    let fabric = Fabric::open(&lab.root).await.unwrap();
    for network in networks {
        fabric.ensure_network(network).await.unwrap();
    }
    for (record, attached) in containers {
        let again = fabric.adopt(record, attached.sockets).await.unwrap();
        assert_eq!(again.published, record.published);
        fabric.set_running(&record.id, true).await.unwrap();
    }
    fabric.settle().await.unwrap();
    fabric
}

#[test]
fn a_dead_supervisor_costs_no_request() {
    lab(async |lab| {
        let net = network("front", 1);
        let mut web = container("web", 2, &[&net]);
        web.published = vec![port("0.0.0.0", 8081, 80, Tcp)];
        let mut fabric = lab.fabric().await;
        fabric.ensure_network(&net).await.unwrap();
        let mut attached = fabric.attach(&web).await.unwrap();
        let names: Vec<&str> = attached.sockets.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(
            names,
            ["dns-udp", "dns-tcp", "tcp 0.0.0.0:8081", "tcp [::]:8081"]
        );
        fabric.set_running(&web.id, true).await.unwrap();
        let _server = lab.serve(&web, 80);
        let rules = sh("nft list ruleset");
        assert!(
            rules.contains("shop-web-2") && rules.contains("masquerade"),
            "{rules}"
        );
        let translated = Hammer::start("127.0.0.1:8081");
        let carried = Hammer::start("[::1]:8081");
        for _ in 0..5 {
            translated.wait_for_more();
            carried.wait_for_more();
            // The sockets that a monitor would hold are all that is left.
            drop(fabric);
            translated.wait_for_more();
            assert!(
                TcpListener::bind("0.0.0.0:8081").is_err(),
                "T6: the port is free"
            );
            // T16: a question while nobody reads.
            let waiting = lab.within(&web, || {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.connect("127.0.0.11:53").unwrap();
                socket.set_read_timeout(Some(DEADLINE)).unwrap();
                socket
                    .send(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01")
                    .unwrap();
                socket
            });
            fabric = take_over(&lab, &[&net], vec![(&web, attached)]).await;
            let mut answer = [0; 512];
            assert!(waiting.recv(&mut answer).unwrap() > 30);
            assert_eq!(answer[..2], [0x12, 0x34]);
            // T4: taking over replaces.
            assert_eq!(sh("nft list ruleset"), rules);
            attached = fabric.attach(&web).await.unwrap();
        }
        assert_eq!(translated.finish(), [""; 0]);
        // What is under way through the proxy dies with it; what connects meanwhile waits in the socket.
        let broken = carried.finish();
        assert!(
            broken.len() <= 5 && !broken.iter().any(|error| error.contains("refused")),
            "{broken:?}"
        );
        drop(attached);
        fabric.detach(&web.id).await.unwrap();
        drop(TcpListener::bind("0.0.0.0:8081").expect("the port is free again"));
        fabric.remove_netns(&web).await.unwrap();
        fabric.remove_network(&net).await.unwrap();
    });
}

#[test]
fn others_cannot_flush_the_table_and_an_orphaned_one_is_rebuilt() {
    lab(async |lab| {
        let net = network("front", 1);
        let mut fabric = lab.fabric().await;
        fabric.ensure_network(&net).await.unwrap();
        let rules = sh("nft list ruleset");
        sh("nft flush ruleset");
        assert_eq!(
            sh("nft list ruleset"),
            rules,
            "flushed while the owner lives"
        );
        drop(fabric);
        eventually("the table is orphaned and flushed", || {
            sh("nft flush ruleset");
            sh("nft list ruleset").is_empty()
        });
        fabric = take_over(&lab, &[&net], Vec::new()).await;
        assert_eq!(sh("nft list ruleset"), rules);
        fabric.remove_network(&net).await.unwrap();
    });
}

#[test]
fn what_nobody_claims_goes_at_the_next_start() {
    lab(async |lab| {
        let nets = [network("front", 1), network("back", 2)];
        let records: Vec<_> = (2..5)
            .map(|last| container("web", last, &[&nets[0], &nets[1]]))
            .collect();
        let fabric = lab.fabric().await;
        for net in &nets {
            fabric.ensure_network(net).await.unwrap();
        }
        for record in &records {
            fabric.attach(record).await.unwrap();
        }
        let wiring = Wiring::read(&lab.root).unwrap();
        assert!(records.iter().all(|record| wiring.is_intact(record, &nets)));
        drop(fabric);
        // Another state root on this host is left alone.
        sh("ip link add st-other type bridge");
        sh("ip link set st-other alias 'stack:0badcafe network x_default'");
        let fabric = take_over(&lab, &[], Vec::new()).await;
        eventually("our links are gone", || {
            !sh("ip -o link").contains(": stv-")
        });
        let links = sh("ip -o link");
        assert!(
            !links.contains("st-front") && !links.contains("st-back"),
            "{links}"
        );
        assert!(links.contains("st-other"), "{links}");
        sh("ip link delete st-other");
        let wiring = Wiring::read(&lab.root).unwrap();
        assert!(!records.iter().any(|record| wiring.is_intact(record, &nets)));
        drop(fabric);
    });
}

#[test]
fn recreating_without_pause_neither_fails_nor_changes_the_bridge() {
    lab(async |lab| {
        let net = network("front", 1);
        let fabric = lab.fabric().await;
        fabric.ensure_network(&net).await.unwrap();
        let bridge = || sh("ip -o link show st-front | grep -o 'link/ether [^ ]*'");
        let mac = bridge();
        assert_eq!(mac.trim(), "link/ether 02:42:0a:c9:01:01");
        let record = container("web", 2, &[&net]);
        for _ in 0..20 {
            fabric.attach(&record).await.unwrap();
            // T23
            assert_eq!(bridge(), mac);
            fabric.detach(&record.id).await.unwrap();
            fabric.remove_netns(&record).await.unwrap();
        }
        fabric.remove_network(&net).await.unwrap();
    });
}

#[test]
fn a_namespace_survives_a_stop_and_is_used_again() {
    lab(async |lab| {
        let net = network("front", 1);
        let fabric = lab.fabric().await;
        fabric.ensure_network(&net).await.unwrap();
        let mut web = container("web", 2, &[&net]);
        web.published = vec![port("127.0.0.1", 0, 80, Tcp)];
        let attached = fabric.attach(&web).await.unwrap();
        let number = attached.published[0].host_port;
        assert_ne!(number, 0);
        web.published.clone_from(&attached.published);
        drop(attached);
        let _server = lab.serve(&web, 80);
        for _ in 0..3 {
            fabric.attach(&web).await.unwrap();
            fabric.set_running(&web.id, true).await.unwrap();
            let here = format!("127.0.0.1:{number}");
            assert_eq!(fetch(&here), "shop-web-2 10.201.1.1");
            let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01";
            assert!(
                lab.within(&web, || super::lab::exchange("127.0.0.11:53", question))
                    .is_some()
            );
            fabric.detach(&web.id).await.unwrap();
            assert_eq!(fetch(&here), "ConnectionRefused");
        }
        fabric.remove_netns(&web).await.unwrap();
        fabric.remove_network(&net).await.unwrap();
    });
}

#[test]
fn repair_puts_back_a_removed_bridge() {
    lab(async |lab| {
        let net = network("front", 1);
        let fabric = lab.fabric().await;
        fabric.ensure_network(&net).await.unwrap();
        let changes = Changes::open(&lab.root).unwrap();
        sh("ip link delete st-front");
        tokio::time::timeout(DEADLINE, changes.removed())
            .await
            .expect("an event")
            .unwrap();
        assert!(!Wiring::read(&lab.root).unwrap().has_bridge(&net));
        fabric.repair().await.unwrap();
        assert!(Wiring::read(&lab.root).unwrap().has_bridge(&net));
        assert!(sh("ip -o -4 address show st-front").contains("10.201.1.1/24"));
        fabric.remove_network(&net).await.unwrap();
    });
}
