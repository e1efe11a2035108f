//! Stages, bases and arguments.

use serde_json::json;

use super::{
    super::NamedContext,
    fixture::{Fixture, base_config, chain},
};

#[test]
fn only_what_the_target_needs_is_built() {
    let fixture = Fixture::new();
    fixture.file("a", "a");
    let dockerfile = "FROM scratch AS base\nCOPY a /base\nFROM nothere AS unused\nRUN exit 1\nFROM base AS left\nCOPY a /left\nFROM base AS right\nCOPY a /right\nFROM scratch AS all\nCOPY --from=left / /\nCOPY --from=3 /right /right\n";
    let built = fixture.build(dockerfile);
    assert_eq!(
        built.list("/")[1..],
        ["f 644 0:0 /base", "f 644 0:0 /left", "f 644 0:0 /right"]
    );
    assert!(fixture.store.pulled.lock().unwrap().is_empty());
    let built = fixture
        .try_build_with(dockerfile, |input| input.target = Some("LEFT".to_owned()))
        .map_err(|error| chain(&error))
        .unwrap();
    assert_eq!(built.list("/").len(), 3);
    let error = fixture
        .try_build_with(dockerfile, |input| input.target = Some("lefft".to_owned()))
        .map(drop)
        .unwrap_err();
    assert_eq!(
        chain(&error),
        "target stage `lefft` does not exist, did you mean `left`?"
    );
}

#[test]
fn stages_are_named_before_they_are_used() {
    let fixture = Fixture::new();
    for (dockerfile, expected) in [
        (
            "FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b",
            None,
        ),
        (
            "FROM scratch AS a\nCOPY --from=a /x /",
            Some("Dockerfile:2:1: COPY --from=a /x /: stage `a` needs to be defined before"),
        ),
        (
            "FROM scratch\nCOPY --from=0 /x /",
            Some("stage `0` needs to be defined before"),
        ),
        (
            "FROM scratch\nCOPY --from=7 /x /",
            Some("there is no stage number 7"),
        ),
        (
            "FROM scratch AS build\nFROM biuld",
            Some(
                "Dockerfile:2:1: FROM biuld: get image `biuld`, did you mean `build`?: manifest unknown",
            ),
        ),
        (
            "FROM ${NONE}",
            Some("base name `${NONE}` should not be blank"),
        ),
        (
            "FROM --platform=x scratch",
            Some("platform `x` must be os/architecture"),
        ),
    ] {
        match expected {
            // The faulty stage is not needed.
            None => drop(fixture.build(dockerfile)),
            Some(expected) => {
                let error = fixture.error(dockerfile);
                assert!(error.contains(expected), "{dockerfile}: {error}");
            }
        }
    }
}

#[test]
fn a_base_is_resolved_once_and_its_config_is_inherited() {
    let fixture = Fixture::new();
    fixture.store.offer(
        "base:1",
        base_config(&json!({
            "Env": ["A=base", "PATH=/p"], "Cmd": ["old"], "User": "5", "WorkingDir": "/w", "Labels": { "l": "base" },
        })),
    );
    let dockerfile = "ARG V=1\nFROM base:$V AS one\nFROM base:${V} AS two\nENV B=$A\nLABEL m=x\nCOPY --from=one / /\n";
    let built = fixture.build(dockerfile);
    assert_eq!(*fixture.store.pulled.lock().unwrap(), ["base:1"]);
    assert_eq!(
        built.config["config"],
        json!({
            "Env": ["A=base", "PATH=/p", "B=base"], "Cmd": ["old"], "User": "5", "WorkingDir": "/w",
            "Labels": { "l": "base", "m": "x" },
        })
    );
    assert_eq!(built.config["created"], "2020-02-02T02:02:02Z");
    fixture.build(dockerfile);
    assert_eq!(fixture.store.pulled.lock().unwrap().len(), 1);
    let pulled = fixture.try_build_with(dockerfile, |input| input.pull = true);
    assert!(pulled.is_ok());
    assert_eq!(fixture.store.pulled.lock().unwrap().len(), 2);
}

#[test]
fn triggers_run_first_in_those_who_build_on_it() {
    let fixture = Fixture::new();
    fixture.file("a", "a");
    fixture.store.offer(
        "parent",
        base_config(
            &json!({ "OnBuild": ["COPY --from=helper /h /h", "RUN write /t t", "ENV T=1"] }),
        ),
    );
    let built = fixture.build(
        "FROM scratch AS helper\nCOPY a /h\nFROM parent\nRUN write /own $T\nONBUILD RUN later\n",
    );
    assert_eq!(
        built.list("/")[1..],
        ["f 644 0:0 /h", "f 644 0:0 /own", "f 644 0:0 /t"]
    );
    assert_eq!(built.config["config"]["OnBuild"], json!(["RUN later"]));
    assert_eq!(fixture.runner.count(), 2);
    fixture
        .store
        .offer("bad", base_config(&json!({ "OnBuild": ["RUM x"] })));
    let error = fixture.error("FROM bad");
    assert!(error.contains("ONBUILD trigger `RUM x`"), "{error}");
    assert!(error.contains("did you mean RUN?"), "{error}");
}

#[test]
fn named_contexts_stand_for_stages_and_images() {
    let fixture = Fixture::new();
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("o"), "o").unwrap();
    fixture
        .store
        .offer("real", base_config(&json!({ "User": "9" })));
    let built = fixture
        .try_build_with("FROM app\nCOPY --from=other o /o", |input| {
            let contexts = &mut input.additional_contexts;
            contexts.insert("app".to_owned(), NamedContext::Image("real".to_owned()));
            contexts.insert(
                "other".to_owned(),
                NamedContext::Directory(other.path().to_owned()),
            );
        })
        .map_err(|error| chain(&error))
        .unwrap();
    assert_eq!(built.read("/o"), "o");
    assert_eq!(built.config["config"]["User"], "9");
}

#[test]
fn undeclared_arguments_are_reported() {
    let fixture = Fixture::new();
    let built = fixture.try_build_with("ARG KNOWN\nFROM scratch", |input| {
        for name in ["KNOWN", "TYPO", "http_proxy", "TARGETOS"] {
            input.args.insert(name.to_owned(), "x".to_owned());
        }
    });
    assert!(built.is_ok());
    assert_eq!(
        fixture.warnings(),
        ["build argument `TYPO` is not declared by any ARG"]
    );
}
