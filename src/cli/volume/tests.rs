use compose_spec::model::Volume;
use indexmap::IndexMap;

use super::*;
use crate::{
    cli::testing::World,
    model::{Timestamp, VolumeRecord},
    store,
};

const FILE: &str = "services: {web: {image: a}}\n";

fn record(name: &str, key: Option<&str>, labels: &[(&str, &str)]) -> VolumeRecord {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    VolumeRecord {
        version: VolumeRecord::VERSION,
        name: name.to_owned(),
        project: key.map(|_| "shop".parse().unwrap()),
        key: key.map(str::to_owned),
        wanted: (key.is_some() || labels.len() > 0).then(|| Volume {
            name: name.to_owned(),
            external: false,
            driver: None,
            driver_opts: IndexMap::new(),
            labels: labels.collect(),
            extensions: IndexMap::new(),
        }),
        created: Timestamp(1_767_323_045_000),
        protected: name == "kept",
    }
}

/// Three volumes: of the project, by hand, anonymous.
fn world() -> World {
    let world = World::new(FILE);
    let volumes = world.settings.root.volumes();
    for record in [
        record("shop_data", Some("data"), &[]),
        record("kept", None, &[("team", "a")]),
        record(&"0".repeat(64), None, &[]),
    ] {
        let directory = volumes.join(&record.name);
        fs_err::create_dir_all(directory.join("_data")).unwrap();
        store::write_json(&directory.join("volume.json"), &record).unwrap();
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
    list::all(&world.session(), &filters, &format, quiet).unwrap();
    world.out.text()
}

#[test]
fn volumes_are_listed_as_docker_lists_them() {
    insta::assert_snapshot!(list(&[], "table", false), @r"
    DRIVER    VOLUME NAME
    local     0000000000000000000000000000000000000000000000000000000000000000
    local     kept
    local     shop_data
    ");
    assert_eq!(
        list(&["name=kept"], "{{.Driver}} {{.Labels}}", false),
        "local team=a\n"
    );
    let labels = list(&["name=shop"], "{{.Labels}}", false);
    assert_eq!(
        labels,
        "com.docker.compose.project=shop,com.docker.compose.volume=data\n"
    );
}

#[test]
fn filters_are_dockers() {
    let anonymous = "0".repeat(64) + "\n";
    for (filters, names) in [
        (&["name=shop", "name=kep"][..], "kept\nshop_data\n"),
        (&["label=team"], "kept\n"),
        (&["label=team=b"], ""),
        (&["label=team=a", "label=other"], ""),
        (&["label=com.docker.compose.project=shop"], "shop_data\n"),
        (&["label=com.docker.volume.anonymous"], &anonymous),
        (&["dangling=false"], ""),
        (&["driver=nfs"], ""),
        (&["driver=nfs", "driver=local", "name=kept"], "kept\n"),
    ] {
        assert_eq!(list(filters, "table", true), names, "{filters:?}");
    }
    for text in ["dangling=maybe", "label=", "label", "until=1h", ""] {
        assert!(Filter::of_list(text).is_err(), "{text}");
    }
    for text in ["label!=", "label", "name=x", ""] {
        assert!(Filter::of_prune(text).is_err(), "{text}");
    }
}

#[test]
fn inspect_tells_everything_and_fails_for_what_is_not_there() {
    let world = world();
    let names = ["kept".to_owned(), "nothing".to_owned()];
    let failure = list::inspect(&world.session(), &names, None, true).unwrap_err();
    assert_eq!(failure.report(&world.ui), 1);
    let array: serde_json::Value = serde_json::from_str(&world.out.text()).unwrap();
    let volume = &array[0];
    assert_eq!(volume["Name"], "kept");
    assert_eq!(volume["CreatedAt"], "2026-01-02T03:04:05Z");
    assert_eq!(volume["Labels"]["team"], "a");
    assert_eq!(volume["Options"], serde_json::Value::Null);
    assert_eq!(volume["Protected"], true);
    assert_eq!(volume["UsageData"]["RefCount"], 0);
    assert!(volume["UsageData"]["Size"].as_u64().unwrap() > 0);
    let mountpoint = volume["Mountpoint"].as_str().unwrap();
    assert!(mountpoint.ends_with("volumes/kept/_data"), "{mountpoint}");
    assert_eq!(array.as_array().unwrap().len(), 1);
    assert!(world.err.text().contains("no such volume: nothing"));
}
