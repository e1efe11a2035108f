//! Who reaches whom: the traffic matrix, and published ports.

use std::path::Path;

use compose_spec::model::PortProtocol::Tcp;

use super::{
    lab::{EXT, fetch, inside, lab, sh},
    records::{container, network, port},
};

#[test]
fn traffic_follows_the_matrix() {
    for bridge_nf in ["0", "1"] {
        lab(async move |lab| {
            std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", bridge_nf).unwrap();
            let fabric = lab.fabric().await;
            let net = network("front", 1);
            fabric.ensure_network(&net).await.unwrap();
            let mut web = container("web", 2, &[&net]);
            web.published = vec![
                port("127.0.0.1", 8080, 80, Tcp),
                port("0.0.0.0", 8081, 80, Tcp),
            ];
            let other = container("other", 3, &[&net]);
            for record in [&web, &other] {
                fabric.attach(record).await.unwrap();
                fabric.set_running(&record.id, true).await.unwrap();
            }
            let _server = lab.serve(&web, 80);
            let _unpublished = lab.serve(&other, 80);
            sh("ip -n ext route add 10.201.0.0/16 via 192.0.2.2");
            let ext = Path::new(EXT);
            let (web_pin, other_pin) = (lab.pin(&web), lab.pin(&other));
            let here = |address| fetch(address);
            let from = |pin: &Path, address| inside(pin, || fetch(address));
            for (what, seen, expected) in [
                (
                    "host to a loopback port",
                    here("127.0.0.1:8080"),
                    "shop-web-2 10.201.1.1",
                ),
                (
                    "host to 127.0.0.1",
                    here("127.0.0.1:8081"),
                    "shop-web-2 10.201.1.1",
                ),
                (
                    "host to its own address",
                    here("192.0.2.2:8081"),
                    "shop-web-2 192.0.2.2",
                ),
                (
                    "T9: own address, loopback port",
                    here("192.0.2.2:8080"),
                    "ConnectionRefused",
                ),
                (
                    "T7: host to ::1",
                    here("[::1]:8081"),
                    "shop-web-2 10.201.1.1",
                ),
                (
                    "host to the container",
                    here("10.201.1.2:80"),
                    "shop-web-2 10.201.1.1",
                ),
                (
                    "T10: stranger to a published port",
                    from(ext, "192.0.2.2:8081"),
                    "shop-web-2 192.0.2.1",
                ),
                (
                    "T10: stranger to a loopback port",
                    from(ext, "192.0.2.2:8080"),
                    "ConnectionRefused",
                ),
                (
                    "T10: stranger to the container",
                    from(ext, "10.201.1.2:80"),
                    "TimedOut",
                ),
                (
                    "T10: stranger to an unpublished one",
                    from(ext, "10.201.1.3:80"),
                    "TimedOut",
                ),
                (
                    "container to container",
                    from(&other_pin, "10.201.1.2:80"),
                    "shop-web-2 10.201.1.3",
                ),
                (
                    "container to the gateway's port",
                    from(&other_pin, "10.201.1.1:8081"),
                    "shop-web-2 10.201.1.1",
                ),
                (
                    "T2: container to its own port",
                    from(&web_pin, "10.201.1.1:8081"),
                    "shop-web-2 10.201.1.1",
                ),
            ] {
                assert_eq!(seen, expected, "{what} (bridge-nf {bridge_nf})");
            }
            let outside = inside(ext, || std::net::TcpListener::bind("192.0.2.1:90").unwrap());
            let _outside = super::lab::Service::start(outside, "ext".to_owned());
            assert_eq!(from(&web_pin, "192.0.2.1:90"), "ext 192.0.2.2", "egress");
            assert!(sh("ip -o link show st-front").contains("mtu 1400"));
            for record in [&web, &other] {
                fabric.detach(&record.id).await.unwrap();
                fabric.remove_netns(record).await.unwrap();
            }
            fabric.remove_network(&net).await.unwrap();
        });
    }
}
