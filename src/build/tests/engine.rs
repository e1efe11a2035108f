//! Builds at the same time, builds that are stopped, and what is said of steps that were not cached.

use super::{
    super::{BuildError, BuildEvent, DockerfileSource, Secret, build},
    fixture::{Fixture, chain},
};

const STEPS: &str = "FROM scratch\nARG V=1\nCOPY a /a\nCOPY d /d\nRUN write /x x";

fn context() -> Fixture {
    let fixture = Fixture::new();
    fixture.file("a", "1").file("d/b", "2").file("d/c", "3");
    fixture
}

#[test]
fn a_miss_names_what_changed() {
    let fixture = context();
    fixture.build(STEPS);
    assert!(fixture.changes().is_empty(), "{:?}", fixture.changes());
    fixture.build(STEPS);
    assert!(fixture.changes().is_empty());
    fixture.file("d/c", "other");
    fixture.build(STEPS);
    assert_eq!(fixture.changes(), ["d/c", "what is below"]);
    fixture.file("d/new", "");
    std::fs::remove_file(fixture.path("d/b")).unwrap();
    fixture.build(STEPS);
    assert_eq!(fixture.changes()[0], "d/new, d/b (removed)");
    fixture.build(&STEPS.replace("/x x", "/x y"));
    assert_eq!(fixture.changes(), ["the instruction"]);
    fixture.build(STEPS);
    let outcome = fixture.try_build_with(STEPS, |input| {
        input.args.insert("V".to_owned(), "2".to_owned());
    });
    assert!(outcome.is_ok());
    assert_eq!(fixture.changes(), ["variable V"]);
    fixture.store.forget_layers();
    fixture.build(&STEPS.replace("V=1", "V=2"));
    assert_eq!(fixture.changes()[0], "its cached layer was removed");
}

#[test]
fn a_build_without_the_cache_says_so() {
    let fixture = context();
    fixture.build(STEPS);
    let outcome = fixture.try_build_with(STEPS, |input| input.no_cache = true);
    assert!(outcome.is_ok());
    assert_eq!(fixture.changes(), ["the cache is not used"; 3]);
}

#[test]
fn a_failed_stage_stops_what_the_others_do() {
    let fixture = Fixture::new();
    let dockerfile = "FROM scratch AS slow\nRUN wait\nFROM scratch AS bad\nRUN meet && exit 7\nFROM scratch\nCOPY --from=slow / /\nCOPY --from=bad / /";
    let error = fixture.error(dockerfile);
    assert!(error.contains("exit code 7"), "{error}");
    let events = fixture.events.lock().unwrap();
    let count =
        |wanted: fn(&BuildEvent) -> bool| events.iter().filter(|event| wanted(event)).count();
    assert_eq!(
        count(|event| matches!(event, BuildEvent::Cancelled { .. })),
        1
    );
    assert_eq!(count(|event| matches!(event, BuildEvent::Failed { .. })), 1);
}

#[test]
fn an_interrupted_build_ends_and_keeps_what_it_has() {
    let fixture = context();
    let dockerfile = "FROM scratch\nCOPY a /a\nRUN wait";
    std::thread::scope(|scope| {
        let build = scope.spawn(|| fixture.try_build(dockerfile).map(drop));
        fixture.runner.waiting.wait();
        fixture.cancel.cancel();
        let error = build.join().unwrap().unwrap_err();
        assert!(chain(&error).ends_with("cancelled"), "{}", chain(&error));
    });
    let mut after = fixture;
    after.cancel = tokio_util::sync::CancellationToken::new();
    after.build("FROM scratch\nCOPY a /a");
    assert_eq!(after.steps(), ["CACHED COPY a /a"]);
}

#[test]
fn builds_at_the_same_time_make_a_step_once() {
    let fixture = context();
    fixture.file("Dockerfile", STEPS);
    let root = fixture.root();
    let ids: Vec<_> = std::thread::scope(|scope| {
        let builds: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let host = fixture.host(&fixture.store, &root, &|_| {});
                    build(&fixture.input(), host).unwrap().image.id
                })
            })
            .collect();
        builds
            .into_iter()
            .map(|build| build.join().unwrap())
            .collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(fixture.runner.count(), 1);
}

#[test]
fn a_layer_may_lie_twice_in_an_image() {
    let fixture = context();
    let built = fixture.build(
        "FROM scratch AS base\nCOPY d /d\nFROM base AS other\nRUN remove /d/b\nCOPY d /d\nRUN write /e e\nCOPY --from=base / /\nWORKDIR /w",
    );
    assert_eq!(built.read("/d/b"), "2");
    assert_eq!(built.read("/e"), "e");
}

#[test]
fn a_secret_is_in_no_record_layer_history_or_event() {
    const VALUE: &str = "s3cr3t-98763";
    let fixture = context();
    let dockerfile = "FROM scratch\nRUN --mount=type=secret,id=t --mount=type=secret,id=t,env=T,target=/x write /made y";
    let build = |value: &str| {
        let outcome = fixture.try_build_with(dockerfile, |input| {
            let secret = Secret::Value(value.as_bytes().to_vec());
            input.secrets.insert("t".to_owned(), secret);
        });
        outcome.map_err(|error| chain(&error)).unwrap()
    };
    let built = build(VALUE);
    assert!(
        fixture
            .runner
            .last()
            .process
            .env
            .contains(&format!("T={VALUE}"))
    );
    assert!(!built.config.to_string().contains(VALUE));
    let events = format!("{:?}", fixture.events.lock().unwrap());
    assert!(!events.contains(VALUE));
    let mut pending = vec![fixture.root().state().to_owned(), fixture.path("../store")];
    let mut files = 0;
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).unwrap();
            pending.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            assert!(
                !String::from_utf8_lossy(&bytes).contains(VALUE),
                "{}",
                path.display()
            );
        }
    }
    assert!(files > 1);
    // Another value is no reason to run the step again.
    build("another");
    assert_eq!(fixture.runner.count(), 1);
}

#[test]
fn a_step_that_waits_for_a_locked_cache_ends_with_its_build() {
    let fixture = Fixture::new();
    let lock = |id: &str| format!("RUN --mount=type=cache,id={id},target=/c,sharing=locked");
    let holder = format!("FROM scratch\n{} wait", lock("one"));
    let waiter = format!("FROM scratch\n{} write /x x", lock("one"));
    let other = format!("FROM scratch\n{} write /y y", lock("two"));
    let stopped = |error: &BuildError| chain(error).ends_with("cancelled");
    let root = fixture.root();
    let build_text = |text: &str| {
        let mut input = fixture.input();
        input.dockerfile = DockerfileSource::Inline {
            name: "dockerfile_inline".to_owned(),
            text: text.to_owned(),
        };
        let host = fixture.host(&fixture.store, &root, &|_| {});
        build(&input, host).map(drop)
    };
    std::thread::scope(|scope| {
        let held = scope.spawn(|| build_text(&holder));
        fixture.runner.waiting.wait();
        let waits = scope.spawn(|| build_text(&waiter));
        // Another cache is nobody's; and when this is built, the waiting one has had its time.
        build_text(&other).unwrap();
        fixture.cancel.cancel();
        assert!(stopped(&waits.join().unwrap().unwrap_err()));
        assert!(stopped(&held.join().unwrap().unwrap_err()));
    });
}

#[test]
fn locked_caches_are_taken_in_one_order_and_once() {
    let fixture = Fixture::new();
    let mounts = |ids: [&str; 3]| {
        let mounts = ids.iter().enumerate();
        let mounts = mounts
            .map(|(at, id)| format!("--mount=type=cache,id={id},target=/c{at},sharing=locked"));
        mounts.collect::<Vec<_>>().join(" ")
    };
    // Taken as they are written, the two would wait for each other, and each for itself.
    let stages = (0..8).map(|number| {
        let order = if number % 2 == 0 {
            ["a", "b", "a"]
        } else {
            ["b", "a", "b"]
        };
        let mounts = mounts(order);
        format!("FROM scratch AS s{number}\nRUN {mounts} write /{number} x\n")
    });
    let copies = (0..8).map(|number| format!("COPY --from=s{number} / /\n"));
    let last = ["FROM scratch\n".to_owned()];
    let stages: String = stages.chain(last).chain(copies).collect();
    fixture.build(&stages);
    assert_eq!(fixture.runner.count(), 8);
}
