//! What `ps` prints of containers in every state.

use runtime::spec::ExitStatus;

use super::*;
use crate::{
    cli::testing::{container, load, running},
    model::EndpointRecord,
};

const FILE: &str = "services: {web: {image: redis:7, expose: [9000]}, db: {image: redis:7}}";

fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_767_323_045 + 3 * 60).unwrap()
}

fn row(container: &ObservedContainer) -> Row<'_> {
    Row {
        container,
        now: now(),
        no_trunc: false,
    }
}

fn published() -> PublishedAddress {
    PublishedAddress {
        host_ip: "0.0.0.0".parse().unwrap(),
        host_port: 8080,
        target: 80,
        protocol: PortProtocol::Tcp,
    }
}

#[test]
fn the_table_has_dockers_columns() {
    let loaded = load(FILE).unwrap();
    let mut web = container(&loaded, "web", 1, running(1_767_323_045_000));
    web.record.published = vec![
        published(),
        PublishedAddress {
            host_ip: "::".parse().unwrap(),
            ..published()
        },
    ];
    let mut db = container(
        &loaded,
        "db",
        1,
        ContainerState::Exited {
            status: ExitStatus {
                code: 137,
                signal: Some(9),
                oom_killed: true,
                requested: false,
            },
            at_ms: 1_767_323_045_000 + 175_000,
        },
    );
    // Its port leads nowhere while it does not run.
    db.record.published = vec![published()];
    insta::assert_snapshot!(table(&[row(&web), row(&db)]).render(), @r#"
        NAME         IMAGE     COMMAND                  SERVICE   CREATED         STATUS                                      PORTS
        shop-web-1   redis:7   "docker-entrypoint.s…"   web       3 minutes ago   Up 3 minutes                                0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 9000/tcp
        shop-db-1    redis:7   "docker-entrypoint.s…"   db        3 minutes ago   Exited (137) 5 seconds ago, out of memory
    "#);
}

#[test]
fn every_state_has_dockers_words() {
    let loaded = load(FILE).unwrap();
    let ms = |ago: u64| 1_767_323_045_000 + 180_000 - ago * 1000;
    let status = |code| ExitStatus {
        code,
        signal: None,
        oom_killed: false,
        requested: false,
    };
    let health = |health| ContainerState::Running {
        pid: 1,
        since_ms: ms(61),
        health,
    };
    let failing = || (0, None);
    for (state, text) in [
        (ContainerState::Created, "Created"),
        (running(ms(0)), "Up Less than a second"),
        (
            health(Health::Healthy {
                failing: failing().0,
                last: failing().1,
            }),
            "Up About a minute (healthy)",
        ),
        (
            health(Health::Unhealthy {
                failing: 3,
                last: None,
            }),
            "Up About a minute (unhealthy)",
        ),
        (
            health(Health::Starting {
                failing: 0,
                last: None,
            }),
            "Up About a minute (health: starting)",
        ),
        (
            ContainerState::Paused {
                pid: 1,
                since_ms: ms(3),
                health: Health::None,
            },
            "Up 3 seconds (Paused)",
        ),
        (
            ContainerState::Restarting {
                attempt: 2,
                until_ms: ms(0) + 1500,
                last: status(1),
            },
            "Restarting (1), next in 1.5s",
        ),
        (
            ContainerState::Exited {
                status: status(0),
                at_ms: ms(5),
            },
            "Exited (0) 5 seconds ago",
        ),
        (
            ContainerState::Lost {
                reason: "the machine was restarted".into(),
            },
            "Dead (the machine was restarted)",
        ),
    ] {
        let container = container(&loaded, "web", 1, state);
        assert_eq!(row(&container).status(), text);
    }
}

#[test]
fn json_has_dockers_keys() {
    let loaded = load(FILE).unwrap();
    let mut web = container(&loaded, "web", 1, running(1_767_323_045_000));
    web.record.published = vec![published()];
    web.record.labels.insert("a".into(), "b".into());
    web.record.volumes = vec!["shop_data".into()];
    web.record.endpoints = vec![EndpointRecord {
        network: "shop_default".into(),
        address: "10.0.0.2".parse().unwrap(),
        mac: [0; 6],
        interface: "eth0".into(),
        names: Vec::new(),
        default_route: true,
    }];
    insta::assert_snapshot!(format!("{:#}", row(&web).object()), @r#"
        {
          "Command": "\"docker-entrypoint.s…\"",
          "CreatedAt": "2026-01-02 03:04:05 +0000 UTC",
          "ExitCode": 0,
          "Health": "",
          "ID": "7765620101010101010101010101010101010101010101010101010101010101",
          "Image": "redis:7",
          "Labels": "a=b",
          "LocalVolumes": "1",
          "Mounts": "shop_data",
          "Name": "shop-web-1",
          "Names": "shop-web-1",
          "Networks": "shop_default",
          "Oneoff": false,
          "Ports": "0.0.0.0:8080->80/tcp, 9000/tcp",
          "Project": "shop",
          "Publishers": [
            {
              "URL": "0.0.0.0",
              "TargetPort": 80,
              "PublishedPort": 8080,
              "Protocol": "tcp"
            }
          ],
          "Restarts": 0,
          "RunningFor": "3 minutes ago",
          "Service": "web",
          "Size": "0B",
          "State": "running",
          "Status": "Up 3 minutes"
        }
    "#);
}

#[test]
fn stopped_ones_are_shown_when_asked_for() {
    let loaded = load(FILE).unwrap();
    let stopped = container(&loaded, "web", 1, ContainerState::Created);
    let runs = container(&loaded, "web", 2, running(0));
    let mut one_off = container(&loaded, "web", 3, running(0));
    one_off.record.role = ContainerRole::OneOff {
        slug: "0123456789ab".into(),
        remove: true,
    };
    let arguments = |all, status: &[&str], filter: Option<&str>| Arguments {
        services: Vec::new(),
        all,
        format: Format::Table,
        quiet: false,
        services_only: false,
        status: status.iter().map(|&state| state.into()).collect(),
        filter: filter.map(Into::into),
        no_trunc: false,
        orphans: true,
    };
    for (arguments, wanted) in [
        (arguments(false, &[], None), [false, true, false]),
        (arguments(true, &[], None), [true, true, true]),
        (arguments(false, &["created"], None), [true, false, false]),
        (
            arguments(false, &["exited"], Some("running")),
            [false, true, true],
        ),
    ] {
        let shown = [&stopped, &runs, &one_off].map(|container| arguments.wants(container));
        assert_eq!(shown, wanted, "{arguments:?}");
    }
}
