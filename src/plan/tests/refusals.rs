//! What is found before anything is touched.

use std::net::Ipv4Addr;

use compose_spec::model::{
    Condition, ImageSource, IpamSubnet, NetworkMode, PortProtocol, Project, PullPolicy, Service,
};
use indexmap::IndexMap;

use super::{
    fixture::{With, build, name, project, scale, service},
    world::World,
};
use crate::{
    model::{FailureKind, PortUse},
    plan::{UpOptions, plan},
};

/// Returns the errors of a plan as `path: message` lines.
fn refused(world: &mut World, project: &Project, options: UpOptions) -> String {
    world.call(options);
    let errors = plan(&world.inputs(project)).expect_err("it is refused");
    let line = |error: &crate::plan::PlanError| {
        format!("{}: {error}", error.config_path().unwrap_or_default())
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn refused_new(project: &Project) -> String {
    refused(&mut World::new(), project, UpOptions::default())
}

#[test]
fn ports_of_others_and_of_each_other() {
    let mut world = World::new();
    world.observed.taken.ports.push(PortUse {
        host_ip: "127.0.0.1".parse().unwrap(),
        host_port: 8080,
        protocol: PortProtocol::Tcp,
        container: "other-web-1".to_owned(),
    });
    let udp = service("udp")
        .publishes(8080, 80)
        .with(|s| s.ports[0].protocol = PortProtocol::Udp);
    let lan = service("lan")
        .publishes(8080, 80)
        .with(|s| s.ports[0].host_ip = Some("192.0.2.1".parse().unwrap()));
    let many = service("many").publishes(7000, 70).with(|s| s.replicas = 2);
    let project = project([
        service("a").publishes(8080, 80),
        service("b").publishes(9000, 1).publishes(9001, 2),
        service("c").publishes(9001, 80),
        udp,
        lan,
        many,
    ]);
    insta::assert_snapshot!(refused(&mut world, &project, UpOptions::default()), @r"
    services.a.ports[0]: port 0.0.0.0:8080/tcp of service `a` is taken by container other-web-1
    services.c.ports[0]: port 0.0.0.0:9001/tcp of service `c` is taken by service `b`
    services.many.ports[0]: service `many` cannot have 2 replicas: they cannot all publish 0.0.0.0:7000/tcp
    ");
}

#[test]
fn a_port_of_an_orphan_that_stays_is_taken_and_of_one_that_goes_is_not() {
    let old = project([service("old").publishes(8080, 80)]);
    let new = project([service("new").publishes(8080, 80)]);
    let mut world = World::new();
    world.up(&old, UpOptions::default());
    insta::assert_snapshot!(refused(&mut world, &new, UpOptions::default()), @"services.new.ports[0]: port 0.0.0.0:8080/tcp of service `new` is taken by container shop-old-1");
    world.up(
        &new,
        UpOptions {
            remove_orphans: true,
            ..UpOptions::default()
        },
    );
    assert_eq!(world.observed.containers.len(), 1);
}

#[test]
fn names_that_are_taken() {
    let named = |text: &str, container: &str| {
        service(text).with(|service| service.container_name = Some(container.to_owned()))
    };
    let mut world = World::new();
    world.observed.taken.container_names.push("db".to_owned());
    let project = project([named("a", "db"), named("b", "same"), named("c", "same")]);
    insta::assert_snapshot!(refused(&mut world, &project, UpOptions::default()), @r"
    services.a.container_name: container name `db` of service `a` is taken by a container of another project
    services.c.container_name: container name `same` of service `c` is taken by service `b`
    ");
    let options = UpOptions {
        scale: scale("b", 2),
        services: vec![name("b")],
        ..UpOptions::default()
    };
    insta::assert_snapshot!(refused(&mut World::new(), &project, options), @"services.b.container_name: service `b` cannot have 2 replicas: `container_name` gives all of them one name");
}

fn with_subnet(project: &mut Project, key: &str, subnet: &str) {
    project.networks[key].subnets = vec![IpamSubnet {
        subnet: Some(subnet.to_owned()),
        ip_range: None,
        gateway: None,
        aux_addresses: IndexMap::new(),
    }];
}

fn fixed(text: &str, address: &str) -> Service {
    service(text).with(|service| {
        let NetworkMode::Networks(attachments) = &mut service.network else {
            panic!("a service has networks");
        };
        attachments["default"].ipv4_address = Some(address.parse().unwrap());
    })
}

#[test]
fn addresses_that_cannot_be_given() {
    let mut project = project([
        fixed("outside", "10.9.1.5"),
        fixed("gateway", "10.9.0.1"),
        fixed("broadcast", "10.9.0.255"),
        fixed("first", "10.9.0.5"),
        fixed("second", "10.9.0.5"),
        fixed("many", "10.9.0.6").with(|service| service.replicas = 2),
    ]);
    with_subnet(&mut project, "default", "10.9.0.0/24");
    insta::assert_snapshot!(refused_new(&project), @r"
    services.outside.networks.default.ipv4_address: address 10.9.1.5 of service `outside` on network `default` is not in its subnet 10.9.0.0/24
    services.gateway.networks.default.ipv4_address: address 10.9.0.1 of service `gateway` on network `default` is that of the gateway
    services.broadcast.networks.default.ipv4_address: address 10.9.0.255 of service `broadcast` on network `default` cannot be that of a host
    services.second.networks.default.ipv4_address: address 10.9.0.5 of service `second` on network `default` is taken by shop-first-1
    services.many.networks.default.ipv4_address: address 10.9.0.6 of service `many` on network `default` cannot be given to 2 replicas
    ");
}

#[test]
fn an_address_that_one_asks_for_is_left_to_it() {
    let autos = ["a", "b", "c", "d"].map(service);
    let mut project = project(autos.into_iter().chain([fixed("last", "10.9.0.4")]));
    with_subnet(&mut project, "default", "10.9.0.0/29");
    let mut world = World::new();
    world.up(&project, UpOptions::default());
    assert_eq!(world.observed.containers.len(), 5);
}

#[test]
fn a_network_without_room() {
    let mut project = project([service("web").with(|service| service.replicas = 6)]);
    with_subnet(&mut project, "default", "10.9.0.0/29");
    insta::assert_snapshot!(refused_new(&project), @": network `shop_default` has no free address for service `web`");
}

#[test]
fn subnets_that_clash_or_are_none() {
    let mut world = World::new();
    world
        .observed
        .taken
        .subnets
        .push((Ipv4Addr::new(10, 8, 0, 0), 14));
    let mut project = project([service("web").on(&["a", "b", "c", "d", "e", "f"])]);
    with_subnet(&mut project, "a", "10.9.0.0/24");
    with_subnet(&mut project, "b", "10.77.0.0/24");
    with_subnet(&mut project, "c", "10.77.0.128/25");
    with_subnet(&mut project, "d", "zzz");
    with_subnet(&mut project, "e", "10.1.0.0/31");
    project.networks["f"].driver = Some("overlay".to_owned());
    insta::assert_snapshot!(refused(&mut world, &project, UpOptions::default()), @r"
    networks.a.ipam: network `a`: subnet 10.9.0.0/24 overlaps 10.8.0.0/14 of this host
    networks.c.ipam: network `c`: subnet 10.77.0.128/25 overlaps 10.77.0.0/24 of network `shop_b`
    networks.d.ipam: network `d`: `zzz` is not a subnet as in 10.1.0.0/24
    networks.e.ipam: network `e`: subnet 10.1.0.0/31 must have a prefix of 8 to 30
    networks.f.driver: network `f`: driver `overlay` is not supported
    ");
}

#[test]
fn no_subnet_is_left() {
    let mut world = World::new();
    world.host.pools = vec![(Ipv4Addr::new(10, 201, 0, 0), 23)];
    world
        .observed
        .taken
        .subnets
        .push((Ipv4Addr::new(10, 201, 0, 0), 24));
    let project = project([service("web").on(&["a", "b"])]);
    insta::assert_snapshot!(refused(&mut world, &project, UpOptions::default()), @"networks.b: network `b`: every subnet of the address pools is in use");
}

#[test]
fn external_things_that_are_not_there() {
    let mut project = project([service("web").mounts("data", "/data")]);
    project.networks["default"].external = true;
    project.volumes["data"].external = true;
    insta::assert_snapshot!(refused_new(&project), @r#"
    networks.default: network shop_default declared as external, but could not be found; `stack network create shop_default` makes it
    volumes.data: external volume "shop_data" not found; `stack volume create shop_data` makes it
    "#);
}

#[test]
fn a_changed_network_with_strangers_on_it() {
    let mut project = project([service("web")]);
    let mut world = World::new();
    world.up(&project, UpOptions::default());
    world
        .observed
        .taken
        .addresses
        .insert("shop_default".to_owned(), vec![Ipv4Addr::new(10, 1, 1, 1)]);
    project.networks["default"].internal = true;
    insta::assert_snapshot!(refused(&mut world, &project, UpOptions::default()), @"networks.default: network `shop_default` has changed and cannot be made anew: other containers are on it");
}

#[test]
fn images_that_may_not_be_fetched() {
    let built = service("built").built();
    let project = project([
        service("never").with(|service| service.pull_policy = PullPolicy::Never),
        built,
        service("build").with(|service| service.pull_policy = PullPolicy::Build),
    ]);
    let options = UpOptions {
        no_build: true,
        ..UpOptions::default()
    };
    insta::assert_snapshot!(refused(&mut World::new(), &project, options), @r"
    services.never.image: image `never:1` of service `never` is not in the store and its pull policy is `never`
    services.built.image: image `shop-built` of service `built` is not in the store and building is switched off
    services.build.image: image `build:1` of service `build` is not in the store and it may only be built
    ");
    let two = |text: &str, context: &str| {
        service(text).with(|service| {
            let build = Box::new(build(context));
            service.image = ImageSource::Build {
                image: Some("app".to_owned()),
                build,
            };
        })
    };
    let project = super::fixture::project([two("a", "/a"), two("b", "/b")]);
    assert!(
        refused_new(&project)
            .starts_with("services.b.image: services `a` and `b` build different images")
    );
}

#[test]
fn waiting_for_health_that_nobody_probes() {
    let mut world = World::new();
    let project = project([
        service("web").needs("db", Condition::ServiceHealthy),
        service("db").with(|service| service.health = compose_spec::model::Health::Disabled),
    ]);
    insta::assert_snapshot!(refused(&mut world, &project, UpOptions::default()), @"services.web.depends_on.db: service `web` waits until `db` is healthy, which has no healthcheck configured");
}

#[test]
fn everything_wrong_with_services_is_told_at_once() {
    let project = project([
        service("a").with(|service| service.cap_add = vec!["FLY".to_owned()]),
        service("b").with(|service| {
            service.replicas = 3;
            service.sysctls.insert("vm.x".to_owned(), "1".to_owned());
        }),
        service("c").with(|service| service.network = NetworkMode::Service(name("none"))),
        service("none").with(|service| service.replicas = 0),
    ]);
    let mut world = World::new();
    insta::assert_snapshot!(refused(&mut world, &project, UpOptions::default()), @r"
    services.a.cap_add[0]: service `a`: unknown capability `FLY`
    services.b.sysctls.vm.x: service `b`: sysctl `vm.x` is not one of the container's own (net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*, kernel.domainname, and no namespace of the host)
    ");
    world.call(UpOptions {
        services: vec![name("zzz")],
        ..UpOptions::default()
    });
    let errors = plan(&world.inputs(&project)).unwrap_err();
    assert_eq!(errors[0].to_string(), "no such service: zzz");
    assert_eq!(errors[0].kind(), FailureKind::Operation);
}

#[test]
fn services_in_a_circle() {
    let project = project([
        service("a").needs("b", Condition::ServiceStarted),
        service("b").needs("a", Condition::ServiceStarted),
    ]);
    assert!(refused_new(&project).contains("depend on each other in a circle"));
}
