use compose_spec::model::Network;
use indexmap::IndexMap;

use super::*;
use crate::{
    cli::testing::World,
    model::{NetworkRecord, Timestamp},
    store,
};

const FILE: &str = "services: {web: {image: a}}\n";

fn record(name: &str, key: Option<&str>, third: u8) -> NetworkRecord {
    NetworkRecord {
        version: NetworkRecord::VERSION,
        name: name.to_owned(),
        project: key.map(|_| "shop".parse().unwrap()),
        key: key.unwrap_or(name).to_owned(),
        wanted: Network {
            name: name.to_owned(),
            external: false,
            driver: None,
            driver_opts: IndexMap::new(),
            internal: key.is_none(),
            enable_ipv4: true,
            enable_ipv6: false,
            subnets: Vec::new(),
            labels: IndexMap::from([("team".to_owned(), "a".to_owned())]),
        },
        bridge: format!("st-{third:08x}"),
        subnet: [10, 89, third, 0].into(),
        prefix: 24,
        gateway: [10, 89, third, 1].into(),
        mtu: 1500,
        created: Timestamp(1_767_323_045_000),
    }
}

/// Two networks: of the project, by hand.
fn world() -> World {
    let world = World::new(FILE);
    for record in [
        record("shop_default", Some("default"), 1),
        record("shared", None, 2),
    ] {
        store::write_network(&world.settings.root, &record).unwrap();
    }
    world
}

fn list(filters: &[&str], format: &str, quiet: bool) -> String {
    let world = world();
    let filters: Vec<Filter> = filters
        .iter()
        .map(|text| Filter::of_list(text).unwrap())
        .collect();
    let format: Format = format.parse().unwrap();
    list::all(&world.session(), &filters, &format, (false, quiet)).unwrap();
    world.out.text()
}

#[test]
fn networks_are_listed_as_docker_lists_them() {
    let shared = record("shared", None, 2).id();
    let default = record("shop_default", Some("default"), 1).id();
    let table = list(&[], "table", false);
    let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
    assert_eq!(lines[0], "NETWORK ID     NAME           DRIVER    SCOPE");
    assert_eq!(
        lines[1],
        format!("{}   shared         bridge    local", &shared[..12])
    );
    assert_eq!(
        lines[2],
        format!("{}   shop_default   bridge    local", &default[..12])
    );
    assert_eq!(
        list(&["name=shop"], "table", true),
        format!("{}\n", &default[..12])
    );
    assert_eq!(list(&["driver=overlay"], "{{.Name}}", false), "");
    assert_eq!(list(&["dangling=false"], "{{.Name}}", false), "");
    let label = "label=com.docker.compose.network=default";
    assert_eq!(
        list(&[label], "{{.Name}} {{.Internal}}", false),
        "shop_default false\n"
    );
    assert_eq!(
        list(&["label=team=a"], "{{.CreatedAt}} {{.Labels}}", false),
        "2026-01-02T03:04:05Z team=a\n2026-01-02T03:04:05Z \
         team=a,com.docker.compose.project=shop,com.docker.compose.network=default\n"
    );
}

#[test]
fn a_network_is_inspected_by_name_or_id() {
    let world = world();
    let id = record("shared", None, 2).id();
    list::inspect(&world.session(), &[id[..6].to_owned()], None).unwrap();
    let text = world.out.text();
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown[0]["Id"], id);
    assert_eq!(shown[0]["Internal"], true);
    let pool = serde_json::json!([{"Subnet": "10.89.2.0/24", "Gateway": "10.89.2.1"}]);
    assert_eq!(shown[0]["IPAM"]["Config"], pool);
    assert_eq!(shown[0]["Containers"], serde_json::json!({}));

    let names = ["shared".to_owned(), "nobody".to_owned()];
    let format: Format = "{{.Name}}".parse().unwrap();
    let error = list::inspect(&world.session(), &names, Some(&format)).unwrap_err();
    assert!(
        format!("{error:?}").contains("no such network: nobody"),
        "{error:?}"
    );
    assert!(world.out.text().ends_with("shared\n"));
}

#[test]
fn what_a_prune_takes_is_of_no_project_that_is_wanted() {
    let world = world();
    let names = |world: &World| -> Vec<String> {
        let unused = unused(&world.session()).unwrap().into_iter();
        unused.map(|network| network.record.name).collect()
    };
    assert_eq!(names(&world), ["shared", "shop_default"]);
    let project = world.settings.root.project(&"shop".parse().unwrap());
    fs_err::create_dir_all(project).unwrap();
    assert_eq!(names(&world), ["shared"]);
}
