//! Caches that were made on another machine.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    super::{BuildEvent, BuildInput, CachedStep, ImportedCache, LayersError, MadeStep, steps_of},
    fixture::{Built, Fixture},
};
use crate::model::Digest;

const TWO_STAGES: &str = "FROM scratch AS make\nCOPY a /a\nRUN write /made 1\nFROM scratch\nWORKDIR /w\nCOPY --from=make /made /got\nRUN write /end 2\n";

fn machine() -> Fixture {
    let fixture = Fixture::new();
    fixture.file("a", "text");
    fixture
}

fn steps(made: &[MadeStep], all: bool) -> Vec<CachedStep> {
    let wanted = made.iter().filter(|made| all || made.in_image);
    wanted.map(|made| made.step.clone()).collect()
}

/// A cache with the layers of a build; counts what is fetched into `to`.
fn cache(built: &Built, all: bool, to: &Fixture) -> (ImportedCache<'static>, Arc<AtomicUsize>) {
    let layers: BTreeMap<Digest, PathBuf> = built
        .steps
        .iter()
        .filter_map(|made| made.step.layer.clone())
        .map(|diff_id| {
            let path = built.layer(&diff_id);
            (diff_id, path)
        })
        .collect();
    let fetched = Arc::new(AtomicUsize::new(0));
    let (count, target) = (Arc::clone(&fetched), to.store_directory());
    let cache = ImportedCache {
        name: "there".to_owned(),
        steps: steps(&built.steps, all),
        fetch: Box::new(move |diff_id| {
            let Some(path) = layers.get(diff_id) else {
                return Ok(false);
            };
            count.fetch_add(1, Ordering::SeqCst);
            let copied = Command::new("cp")
                .arg("-a")
                .args([path, &target.join(diff_id.hex())])
                .status();
            assert!(copied.unwrap().success());
            Ok(true)
        }),
    };
    (cache, fetched)
}

#[test]
fn another_machine_finds_every_step_and_makes_the_same_image() {
    let (one, other) = (machine(), machine());
    let first = one.build(TWO_STAGES);
    let (cache, fetched) = cache(&first, true, &other);
    other.imports.lock().unwrap().push(cache);
    let second = other.build(TWO_STAGES);
    assert!(
        other.steps().iter().all(|step| step.starts_with("CACHED")),
        "{:?}",
        other.steps()
    );
    assert_eq!(second.record.id, first.record.id);
    assert_eq!(fetched.load(Ordering::SeqCst), 5);
    // What was found is this machine's from now on, and goes on to others.
    other.imports.lock().unwrap().clear();
    let third = other.build(TWO_STAGES);
    assert!(
        other.steps().iter().all(|step| step.starts_with("CACHED")),
        "{:?}",
        other.steps()
    );
    assert_eq!(steps(&third.steps, true), steps(&first.steps, true));
}

#[test]
fn a_cache_of_the_image_alone_has_not_the_stages_it_was_copied_from() {
    let (one, other) = (machine(), machine());
    let first = one.build(TWO_STAGES);
    let (cache, _) = cache(&first, false, &other);
    other.imports.lock().unwrap().push(cache);
    other.build(TWO_STAGES);
    let done: Vec<String> = other
        .steps()
        .into_iter()
        .filter(|step| step.starts_with("done"))
        .collect();
    // The copy is found by what it copies, although the stage was made anew.
    assert_eq!(done, ["done COPY a /a", "done RUN write /made 1"]);
}

#[test]
fn a_cache_that_fails_is_a_warning_and_a_damaged_key_a_miss() {
    let (one, other) = (machine(), machine());
    let first = one.build(TWO_STAGES);
    other.imports.lock().unwrap().push(ImportedCache {
        name: "broken".to_owned(),
        steps: steps(&first.steps, true),
        fetch: Box::new(|_| Err(LayersError::new("connection refused"))),
    });
    let second = other.build(TWO_STAGES);
    assert_eq!(second.read("/end"), "2");
    let events = other.events.lock().unwrap();
    let warnings: Vec<&String> = events
        .iter()
        .filter_map(|event| match event {
            BuildEvent::Warning { text } => Some(text),
            _ => None,
        })
        .collect();
    assert_eq!(
        warnings,
        ["cache `broken` is not used any more: connection refused"]
    );
}

#[test]
fn without_the_cache_nothing_of_elsewhere_is_used_either() {
    let (one, other) = (machine(), machine());
    let first = one.build(TWO_STAGES);
    let (cache, fetched) = cache(&first, true, &other);
    other.imports.lock().unwrap().push(cache);
    let built = other.try_build_with(TWO_STAGES, |input| input.no_cache = true);
    assert!(built.is_ok());
    assert!(
        other.steps().iter().all(|step| step.starts_with("done")),
        "{:?}",
        other.steps()
    );
    assert_eq!(fetched.load(Ordering::SeqCst), 0);
}

#[test]
fn an_image_carries_its_own_steps_when_asked_to_and_stays_the_same() {
    let fixture = machine();
    let inline = |input: &mut BuildInput| input.inline_cache = true;
    let Ok(first) = fixture.try_build_with(TWO_STAGES, inline) else {
        panic!("it builds");
    };
    let config = first.config.to_string();
    let carried = steps_of(config.as_bytes()).unwrap().unwrap();
    let names: Vec<&str> = carried.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(
        names,
        [
            "WORKDIR /w",
            "COPY --from=make /made /got",
            "RUN write /end 2"
        ]
    );
    let Ok(again) = fixture.try_build_with(TWO_STAGES, inline) else {
        panic!("it builds");
    };
    assert_eq!(again.record.id, first.record.id);
    assert!(steps_of(fixture.build(TWO_STAGES).config.to_string().as_bytes()).is_none());
}

#[test]
fn a_layer_that_does_not_come_has_its_steps_made_and_the_rest_is_used() {
    let (one, other) = (machine(), machine());
    let first = one.build(TWO_STAGES);
    let (whole, fetched) = cache(&first, true, &other);
    let missing = first.steps.last().unwrap().step.layer.clone().unwrap();
    other.imports.lock().unwrap().push(ImportedCache {
        name: "holes".to_owned(),
        steps: steps(&first.steps, true),
        fetch: Box::new(move |diff_id| {
            if *diff_id == missing {
                return Ok(false);
            }
            (whole.fetch)(diff_id)
        }),
    });
    let second = other.build(TWO_STAGES);
    assert_eq!(second.read("/end"), "2");
    let done: Vec<String> = other
        .steps()
        .into_iter()
        .filter(|step| step.starts_with("done"))
        .collect();
    assert_eq!(done, ["done RUN write /end 2"]);
    assert_eq!(fetched.load(Ordering::SeqCst), 4);
    assert!(other.warnings().is_empty(), "{:?}", other.warnings());
}

#[test]
fn layers_of_a_chain_come_at_the_same_time() {
    let (one, other) = (machine(), machine());
    let first = one.build("FROM scratch\nCOPY a /a\nRUN write /b 1\nRUN write /c 1\n");
    let (whole, fetched) = cache(&first, true, &other);
    let together = std::sync::Barrier::new(3);
    other.imports.lock().unwrap().push(ImportedCache {
        name: "slow".to_owned(),
        steps: steps(&first.steps, true),
        fetch: Box::new(move |diff_id| {
            // Ends only when all three are asked for.
            together.wait();
            (whole.fetch)(diff_id)
        }),
    });
    let second = other.build("FROM scratch\nCOPY a /a\nRUN write /b 1\nRUN write /c 1\n");
    assert_eq!(second.record.id, first.record.id);
    assert_eq!(fetched.load(Ordering::SeqCst), 3);
}

#[test]
fn a_fetch_that_panics_is_a_layer_that_does_not_come() {
    let (one, other) = (machine(), machine());
    let first = one.build(TWO_STAGES);
    other.imports.lock().unwrap().push(ImportedCache {
        name: "broken".to_owned(),
        steps: steps(&first.steps, true),
        fetch: Box::new(|_| panic!("a fault of the fetch")),
    });
    assert_eq!(other.build(TWO_STAGES).read("/end"), "2");
}
