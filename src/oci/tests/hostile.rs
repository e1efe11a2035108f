//! Any value in any place of config.json.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Values of every kind, at and beyond the edges.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![
            Just(json!(-1)),
            Just(json!(i64::MIN)),
            Just(json!(u64::MAX)),
            Just(json!(1e300))
        ],
        any::<i64>().prop_map(Value::from),
        "[a-z/.:\\x00-]{0,12}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[{"type": {}}]])),
        Just(json!("x".repeat(100_000))),
    ]
}

/// Paths of all values of a document.
fn pointers(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                pointers(value, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                pointers(value, &format!("{path}/{at}"), found);
            }
        }
        _ => {}
    }
}

/// A description that uses every property that is mapped.
fn everything() -> Value {
    let mut config = template();
    config["process"]["scheduler"] = json!({"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 6000, "period": 7000, "flags": ["SCHED_FLAG_RECLAIM"]});
    config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_RT", "priority": 1});
    config["process"]["oomScoreAdj"] = json!(5);
    config["process"]["user"]["umask"] = json!(18);
    config["process"]["user"]["additionalGids"] = json!([7]);
    config["annotations"] = json!({"a": "b"});
    config["hooks"] =
        json!({"poststop": [{"path": "/bin/true", "args": ["x"], "env": ["A=b"], "timeout": 3}]});
    let linux = config["linux"].as_object_mut().unwrap();
    linux.insert(
        "devices".into(),
        json!([{"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "fileMode": 420, "uid": 1, "gid": 2}]),
    );
    linux.insert(
        "uidMappings".into(),
        json!([{"containerID": 0, "hostID": 5, "size": 6}]),
    );
    linux.insert("personality".into(), json!({"domain": "LINUX"}));
    linux.insert(
        "memoryPolicy".into(),
        json!({"mode": "MPOL_BIND", "nodes": "0", "flags": []}),
    );
    linux.insert("rootfsPropagation".into(), json!("private"));
    linux.insert("sysctl".into(), json!({"net.core.somaxconn": "5"}));
    linux.insert("cgroupsPath".into(), json!("/a/b"));
    linux.insert("seccomp".into(), json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [{"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_EQ"}]}]}));
    linux.insert(
        "resources".into(),
        json!({
            "devices": [{"allow": true, "type": "c", "major": 1, "minor": 2, "access": "r"}],
            "memory": {"limit": 5, "swap": 6, "kernel": 7}, "cpu": {"shares": 8, "cpus": "0", "idle": 1},
            "pids": {"limit": 9}, "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
            "blockIO": {"weight": 10, "leafWeight": 5, "weightDevice": [{"major": 8, "minor": 0, "weight": 10}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 10}]},
            "network": {"classID": 1}, "rdma": {"a": {"hcaHandles": 1}}, "unified": {"memory.high": "1"},
        }),
    );
    config
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any property with any value is mapped and judged, or refused in one line; nothing panics.
    #[test]
    fn no_value_of_any_property_is_too_much(at in any::<proptest::sample::Index>(), value in any_value()) {
        let mut config = everything();
        let mut found = Vec::new();
        pointers(&config, "", &mut found);
        let pointer: &String = at.get(&found);
        *config.pointer_mut(pointer).unwrap() = value;
        if let Ok(config) = serde_json::from_value::<Config>(config) {
            let text = match map(&config, place()) {
                Ok(mapped) => check(mapped.spec).err().map(|error| error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            let text = text.map(|text| super::super::printable(&text));
            prop_assert!(text.is_none_or(|text| !text.contains(char::is_control)));
        }
    }

    #[test]
    fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(config) = serde_json::from_slice::<Config>(&bytes) {
            drop(map(&config, place()));
        }
    }
}

#[test]
fn the_description_with_everything_is_good() {
    let config: Config = serde_json::from_value(everything()).unwrap();
    let mapped = map(&config, place());
    // Ranges without a user namespace: the one thing that it has too much.
    assert!(mapped.unwrap_err().to_string().contains("uidMappings"));
    let mut config = config;
    config.linux.as_mut().unwrap().uid_mappings.clear();
    check(map(&config, place()).unwrap().spec).unwrap();
}
