//! What is a hit and what is a miss.

use std::{fs, os::unix::fs::chown};

use super::{super::cached_layers, fixture::Fixture};

const TWO_COPIES: &str = "FROM scratch\nCOPY a /a\nCOPY b /b\nCMD [\"/a\"]";

fn two_files() -> Fixture {
    let fixture = Fixture::new();
    fixture.file("a", "a").file("b", "b");
    fixture
}

#[test]
fn a_second_build_is_the_same_image_and_does_nothing() {
    let fixture = two_files();
    let first = fixture.build(TWO_COPIES);
    assert_eq!(fixture.steps(), ["done COPY a /a", "done COPY b /b"]);
    let second = fixture.build(TWO_COPIES);
    assert_eq!(fixture.steps(), ["CACHED COPY a /a", "CACHED COPY b /b"]);
    assert_eq!(first.record.id, second.record.id);
    let mut layers = first.record.diff_ids.clone();
    layers.sort();
    assert_eq!(cached_layers(&fixture.root()).unwrap(), layers);
}

#[test]
fn touch_and_chown_are_hits_chmod_is_a_miss() {
    let fixture = two_files();
    fixture.build(TWO_COPIES);
    let file = fs::File::options()
        .write(true)
        .open(fixture.path("a"))
        .unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    chown(fixture.path("a"), Some(1), Some(1)).unwrap();
    fixture.build(TWO_COPIES);
    assert_eq!(fixture.steps(), ["CACHED COPY a /a", "CACHED COPY b /b"]);
    fixture.mode("b", 0o600);
    fixture.build(TWO_COPIES);
    assert_eq!(fixture.steps(), ["CACHED COPY a /a", "done COPY b /b"]);
}

#[test]
fn a_changed_file_redoes_only_what_follows() {
    let fixture = two_files();
    let dockerfile = "FROM scratch\nCOPY b /b\nRUN write /one 1\nCOPY a /a\nRUN write /two 2";
    fixture.build(dockerfile);
    fixture.file("a", "changed");
    let built = fixture.build(dockerfile);
    assert_eq!(
        fixture.steps(),
        [
            "CACHED COPY b /b",
            "CACHED RUN write /one 1",
            "done COPY a /a",
            "done RUN write /two 2"
        ]
    );
    assert_eq!(built.read("/a"), "changed");
    assert_eq!(fixture.runner.count(), 3);
}

#[test]
fn what_is_hidden_does_not_count() {
    let fixture = two_files();
    fixture
        .file(".dockerignore", "Dockerfile\nnoise")
        .file("noise", "1");
    let dockerfile = "FROM scratch\nCOPY --exclude=b . /";
    fixture.build(dockerfile);
    fixture.file("noise", "2").file("b", "2");
    fixture.build(dockerfile);
    assert_eq!(fixture.steps(), ["CACHED COPY --exclude=b . /"]);
    fixture.file("more", "");
    fixture.build(dockerfile);
    assert_eq!(fixture.steps(), ["done COPY --exclude=b . /"]);
}

#[test]
fn an_identical_result_of_a_rebuilt_stage_is_a_hit_downstream() {
    let fixture = two_files();
    let dockerfile = "FROM scratch AS make\nCOPY a /src\nRUN write /out same\nFROM scratch\nCOPY --from=make /out /out\nRUN write /x x";
    fixture.build(dockerfile);
    fixture.file("a", "another source");
    fixture.build(dockerfile);
    assert_eq!(
        fixture.steps(),
        [
            "done COPY a /src",
            "done RUN write /out same",
            "CACHED COPY --from=make /out /out",
            "CACHED RUN write /x x"
        ]
    );
}

#[test]
fn run_counts_its_environment_user_and_directory_but_no_undeclared_proxy() {
    let fixture = Fixture::new();
    let count = |head: &str, args: &[(&str, &str)]| {
        let before = fixture.runner.count();
        fixture
            .try_build_with(&format!("FROM scratch\n{head}\nRUN write /x x"), |input| {
                for (name, value) in args {
                    input.args.insert((*name).to_owned(), (*value).to_owned());
                }
            })
            .map_err(|error| error.to_string())
            .unwrap();
        fixture.runner.count() - before
    };
    assert_eq!(count("", &[]), 1);
    assert_eq!(count("", &[]), 0);
    assert_eq!(count("ENV A=1", &[]), 1);
    assert_eq!(count("ARG B=1", &[]), 1);
    assert_eq!(count("ARG B=1", &[("B", "2")]), 1);
    assert_eq!(count("ARG B=1", &[("B", "1")]), 0);
    assert_eq!(count("USER 5", &[]), 1);
    assert_eq!(count("SHELL [\"/bin/other\"]", &[]), 1);
    assert_eq!(count("LABEL a=b\nEXPOSE 80\nCMD x", &[]), 0);
    assert_eq!(count("", &[("HTTP_PROXY", "p")]), 0);
    assert_eq!(count("ARG HTTP_PROXY", &[("HTTP_PROXY", "p")]), 1);
    assert_eq!(count("ARG UNSET", &[]), 0);
}

#[test]
fn linked_copies_do_not_depend_on_what_is_below() {
    let fixture = two_files();
    fixture.build("FROM scratch\nCOPY a /a\nCOPY --link b /b");
    fixture.file("a", "changed");
    let built = fixture.build("FROM scratch\nCOPY a /a\nCOPY --link b /b");
    assert_eq!(
        fixture.steps(),
        ["done COPY a /a", "CACHED COPY --link b /b"]
    );
    assert_eq!(built.list("/").len(), 3);
}

#[test]
fn the_cache_can_be_left_aside_wholly_or_for_a_stage() {
    let fixture = two_files();
    let dockerfile =
        "FROM scratch AS one\nCOPY a /a\nFROM scratch AS two\nCOPY --from=one /a /a\nCOPY b /b";
    fixture.build(dockerfile);
    let ok = |result: Result<_, super::super::BuildError>| assert!(result.is_ok());
    ok(fixture.try_build_with(dockerfile, |input| input.no_cache = true));
    assert!(fixture.steps().iter().all(|step| step.starts_with("done")));
    ok(fixture.try_build_with(dockerfile, |input| {
        input.no_cache_filter = vec!["two".to_owned()];
    }));
    assert_eq!(
        fixture.steps(),
        [
            "CACHED COPY a /a",
            "done COPY --from=one /a /a",
            "done COPY b /b"
        ]
    );
}

#[test]
fn lost_layers_and_damaged_records_cost_a_step_not_the_build() {
    let fixture = two_files();
    fixture.build(TWO_COPIES);
    fixture.store.forget_layers();
    fixture.build(TWO_COPIES);
    assert_eq!(fixture.steps(), ["done COPY a /a", "done COPY b /b"]);
    for entry in fs::read_dir(fixture.root().state().join("build/steps")).unwrap() {
        fs::write(entry.unwrap().path(), "{").unwrap();
    }
    fixture.build(TWO_COPIES);
    assert_eq!(fixture.steps(), ["done COPY a /a", "done COPY b /b"]);
    assert!(fixture.warnings()[0].contains("is not a valid record"));
}

#[test]
fn a_given_time_makes_builds_reproducible() {
    let build = || {
        let fixture = two_files();
        let built = fixture.try_build_with(
            "FROM scratch\nCOPY a /d/\nRUN write /d/x x\nWORKDIR /w",
            |input| input.source_date_epoch = Some(1_000_000_000),
        );
        built.map_err(|error| error.to_string()).unwrap()
    };
    let (first, second) = (build(), build());
    assert_eq!(first.record.id, second.record.id);
    assert_eq!(first.config["created"], "2001-09-09T01:46:40Z");
}
