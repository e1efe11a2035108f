//! What docker compose v5.6.1 does in corners that the differential test found; each was another here before.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{findings, load_files, loaded, memory, request};
use crate::{Passes, configuration, load};

fn environment_of(files: &[(&str, &str)], caller: &[(&str, &str)]) -> Value {
    let mut request = request();
    let caller = caller.iter();
    request
        .environment
        .extend(caller.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let loaded = load(&request, &memory(files)).unwrap_or_else(|error| panic!("{error}"));
    loaded.canonical["services"]["a"]["environment"].clone()
}

/// Returns a project as `config` shows it without some passes.
fn shown(text: &str, passes: Passes) -> Value {
    let files = memory(&[("compose.yaml", text)]);
    let shown = configuration(&request(), passes, &files);
    shown.unwrap_or_else(|error| panic!("{error}")).canonical
}

fn model(text: &str) -> Value {
    let interpolation = false;
    shown(
        text,
        Passes {
            interpolation,
            ..Passes::default()
        },
    )
}

#[test]
fn braces_of_a_default_count_in_pairs() {
    let label = |text: &str, caller: &[(&str, &str)]| {
        let file = format!("services: {{a: {{image: i, environment: {{E: '{text}'}}}}}}\n");
        environment_of(&[("compose.yaml", &file)], caller)["E"].clone()
    };
    for text in ["${X:-{}}", "${X:-{\"a\":{}}}", "${X:-a{}b}"] {
        assert_eq!(label(text, &[("X", "val")]), "val", "{text}");
    }
    assert_eq!(label("${X:-{\"a\":{}}}", &[]), "{\"a\":{}}");
    assert_eq!(label("${X:-a{}b}", &[]), "a{}b");
    assert_eq!(label("${X:-{a}}z}", &[]), "{a}z}");
    assert_eq!(label("${X}}", &[("X", "v")]), "v}");
    assert_eq!(label("${X:-b}${Y:-{c}}", &[]), "b{c}");
}

#[test]
fn an_env_file_sees_the_caller_then_the_service_then_itself_then_earlier_files() {
    let compose = "services: {a: {image: i, env_file: [one.env, two.env], environment: {S: service, P: service}}}\n";
    let one = "A=one\nO=one\n";
    let two = "A=two\nFROM_A=$A\nFROM_O=$O\nS=file\nFROM_S=$S\nFROM_P=$P\n";
    let files = [
        ("compose.yaml", compose),
        ("one.env", one),
        ("two.env", two),
    ];
    let found = environment_of(&files, &[("P", "caller")]);
    assert_eq!(found["FROM_A"], "two");
    assert_eq!(found["FROM_O"], "one");
    assert_eq!(found["FROM_S"], "service");
    assert_eq!(found["FROM_P"], "caller");
}

#[test]
fn of_two_includes_the_first_is_laid_over_the_second_and_extensions_stay_behind() {
    let files = [
        (
            "compose.yaml",
            "include: [one.yaml, two.yaml]\nservices: {}\n",
        ),
        (
            "one.yaml",
            "x-one: 1\nservices: {a: {image: one, build: {target: t}}}\n",
        ),
        ("two.yaml", "services: {a: {image: two, hostname: two}}\n"),
    ];
    let loaded = load_files(&files).unwrap_or_else(|error| panic!("{error}"));
    let service = &loaded.canonical["services"]["a"];
    assert_eq!(
        (&service["image"], &service["hostname"]),
        (&json!("one"), &json!("two"))
    );
    assert!(loaded.canonical.get("x-one").is_none());
}

#[test]
fn an_included_build_starts_in_its_own_directory() {
    let files = [
        ("compose.yaml", "include: [sub/inc.yaml]\nservices: {}\n"),
        ("sub/inc.yaml", "services: {a: {build: {target: t}}}\n"),
    ];
    let loaded = load_files(&files).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        loaded.canonical["services"]["a"]["build"]["context"],
        "/home/u/shop/sub"
    );
}

#[test]
fn digits_and_single_letters_are_no_booleans() {
    for word in ["'0'", "'1'", "t", "F"] {
        let found = findings(&format!(
            "services: {{a: {{image: i, privileged: {word}}}}}\n"
        ));
        assert!(found.contains("S0303"), "{word}: {found}");
    }
    let text = "services: {a: {image: i, depends_on: {b: {condition: service_started, required: 'off'}}}, b: {image: i}}\n";
    assert_eq!(
        loaded(text).canonical["services"]["a"]["depends_on"]["b"]["required"],
        false
    );
}

#[test]
fn a_reset_goes_when_a_later_document_says_it_again() {
    let text = "services:\n  a:\n    image: i\n    networks: {n: !reset null, m: null}\n\
                networks: {n: null, m: null}\nx-a: {b: !reset 1, c: 2}\n---\n\
                services:\n  a:\n    networks: {n: null}\n";
    let canonical = loaded(text).canonical;
    assert_eq!(
        canonical["services"]["a"]["networks"],
        json!({"m": null, "n": null})
    );
    assert_eq!(canonical["x-a"], json!({"c": 2}));
}

#[test]
fn an_option_without_a_value_keeps_what_is_below() {
    let text = "services: {a: {image: i, logging: {driver: d, options: {a: b, c: null}}}}\n---\n\
                services: {a: {logging: {options: {a: null}}}}\n";
    let options = &loaded(text).canonical["services"]["a"]["logging"]["options"];
    assert_eq!(*options, json!({"a": "b", "c": ""}));
}

#[test]
fn device_requests_without_a_number_want_all() {
    let text = "services: {a: {image: i, gpus: all, deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}}}\n";
    let service = &loaded(text).canonical["services"]["a"];
    assert_eq!(service["gpus"], json!([{"count": -1}]));
    assert_eq!(
        service["deploy"]["resources"]["reservations"]["devices"][0]["count"],
        -1
    );
}

#[test]
fn scale_is_written_below_deploy_too() {
    let text = "services: {a: {image: i, scale: 3, deploy: {labels: [a=b]}}}\n";
    assert_eq!(
        loaded(text).canonical["services"]["a"]["deploy"]["replicas"],
        3
    );
}

#[test]
fn an_init_container_runs_the_command_of_its_service_unless_it_has_one() {
    let text = "services: {a: {image: i, command: [q], pre_start: [{image: j}, {command: [r]}]}}\n";
    let hooks = &loaded(text).canonical["services"]["a"]["pre_start"];
    assert_eq!(hooks[0]["command"], json!(["q"]));
    assert_eq!(hooks[1]["command"], json!(["r"]));
}

#[test]
fn limits_are_known_in_any_case_and_zero_is_written_out() {
    let text = "services: {a: {image: i, ulimits: {NOFILE: 5, core: 0}}}\n";
    let limits = &loaded(text).canonical["services"]["a"]["ulimits"];
    assert_eq!(
        *limits,
        json!({"NOFILE": 5, "core": {"soft": 0, "hard": 0}})
    );
}

#[test]
fn a_model_keeps_the_forms_of_its_file() {
    let text = "services:\n  a:\n    image: i\n    labels: [a=b]\n    annotations: {n: 1}\n    dns: 1.1.1.1\n    \
                dns_search: x\n    extra_hosts: {h: 1.1.1.1}\n    sysctls: [a=1]\n    storage_opt: {s: 1, t: null}\n    \
                env_file: ['${E}.env']\n    volumes: ['${V}:/x', '${W:-y}:/z', './b:/b']\n    ports: ['80', '${P}:81']\n    \
                build: {context: '${C}', provenance: true}\n    gpus: all\n    secrets: [{source: s, uid: '${U}'}]\n";
    let a = model(text)["services"]["a"].clone();
    let wanted = [
        ("labels", json!(["a=b"])),
        ("annotations", json!({"n": 1})),
        ("dns", json!(["1.1.1.1"])),
        ("dns_search", json!("x")),
        ("extra_hosts", json!({"h": "1.1.1.1"})),
        ("sysctls", json!(["a=1"])),
        ("storage_opt", json!({"s": 1, "t": null})),
        (
            "env_file",
            json!([{"path": "/home/u/shop/${E}.env", "required": true}]),
        ),
        ("ports", json!(["80", "${P}:81"])),
        ("gpus", json!([{"count": "all"}])),
    ];
    for (key, value) in wanted {
        assert_eq!(a[key], value, "{key}");
    }
    assert_eq!(a["volumes"][0]["source"], "${V}");
    assert_eq!(a["volumes"][1], "${W:-y}:/z");
    assert_eq!(a["volumes"][2]["source"], "/home/u/shop/b");
    assert_eq!(a["build"]["context"], "/home/u/shop/${C}");
    assert_eq!(a["build"]["provenance"], "true");
}

#[test]
fn two_documents_of_a_model_make_one_list_of_pairs() {
    let text = "services: {a: {image: i, labels: {b: 1, a: x}, tmpfs: /t}}\n---\n\
                services: {a: {labels: [a=y, c], tmpfs: [/u]}}\n";
    let a = model(text)["services"]["a"].clone();
    assert_eq!(a["labels"], json!(["a=y", "b=1", "c"]));
    assert_eq!(a["tmpfs"], json!(["/t", "/u"]));
}

#[test]
fn the_name_stays_as_written_without_normalization() {
    let normalization = false;
    let passes = Passes {
        normalization,
        ..Passes::default()
    };
    assert_eq!(shown("name: A b\nservices: {}\n", passes)["name"], "A b");
    assert_eq!(
        shown("name: A b\nservices: {}\n", Passes::default())["name"],
        "ab"
    );
}

#[test]
fn paths_of_an_extended_file_are_clean_also_when_paths_are_not_resolved() {
    let files = memory(&[
        (
            "f.yaml",
            "services: {a: {extends: {service: b, file: base.yaml}}, c: {build: ./ctx}}\n",
        ),
        ("base.yaml", "services: {b: {build: ./ctx}}\n"),
    ]);
    let mut request = request();
    request.files = vec![PathBuf::from("f.yaml")];
    let path_resolution = false;
    let passes = Passes {
        path_resolution,
        ..Passes::default()
    };
    let shown = configuration(&request, passes, &files).unwrap_or_else(|error| panic!("{error}"));
    let context = |name: &str| shown.canonical["services"][name]["build"]["context"].clone();
    assert_eq!((context("a"), context("c")), (json!("ctx"), json!("./ctx")));
}

#[test]
fn sources_are_judged_whatever_is_left_out() {
    let files = memory(&[(
        "compose.yaml",
        "services: {}\nconfigs: {c: {file: a, content: b}}\n",
    )]);
    for passes in [
        Passes {
            consistency: false,
            ..Passes::default()
        },
        Passes {
            interpolation: false,
            ..Passes::default()
        },
    ] {
        let error = configuration(&request(), passes, &files).expect_err("two sources");
        assert_eq!(error.diagnostics[0].code.as_str(), "S0507");
    }
}
