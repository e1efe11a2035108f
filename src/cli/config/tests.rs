use clap::Parser;
use serde_json::json;

use super::{Arguments, digests, images, run};
use crate::cli::{failure::Failure, testing::World};

#[test]
fn a_service_without_an_image_runs_what_it_builds() {
    let canonical = json!({
        "name": "shop",
        "services": {"web": {"build": {"context": "/p"}}, "db": {"image": "postgres:16"}},
    });
    assert_eq!(images(&canonical), ["shop-web", "postgres:16"]);
}

#[test]
fn images_of_init_containers_are_images_of_the_project() {
    let yaml = "services: {a: {image: i, pre_start: [{command: x}, {image: j}, {image: i}]}}";
    assert_eq!(printed(yaml, "--images").unwrap(), "i\nj\n");
}

#[test]
fn a_lock_file_holds_images_and_nothing_else() {
    let mut canonical = json!({
        "name": "shop",
        "services": {"db": {"image": "postgres:16", "ports": []}},
        "networks": {},
    });
    digests::keep_images_only(&mut canonical);
    assert_eq!(
        canonical,
        json!({"services": {"db": {"image": "postgres:16"}}})
    );
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// Runs `config` with flags on a project and returns what it prints.
fn printed(yaml: &str, flags: &str) -> Result<String, Failure> {
    let world = World::new(yaml);
    let words = std::iter::once("config").chain(flags.split(' '));
    let arguments = Line::try_parse_from(words).unwrap().arguments;
    run(&world.session(), &arguments)?;
    Ok(world.out.text())
}

#[test]
fn lists_are_of_everything_whatever_services_are_named() {
    let yaml = "
services:
  a: {image: i, env_file: none.env, volumes: ['v:/v'], profiles: [p]}
  b: {image: j, models: [m, n]}
volumes: {v: }
models: {m: {model: ai/x}, n: {model: ai/a}}
";
    for (flags, wanted) in [
        ("--services", "b\n"),
        // A service that is named has its profile on where resources are listed, not where services are.
        ("--services a", "b\n"),
        ("--volumes", ""),
        ("--volumes a", "v\n"),
        ("--networks a", "default\n"),
        ("--models", "ai/a\nai/x\n"),
    ] {
        assert_eq!(printed(yaml, flags).unwrap(), wanted, "{flags}");
    }
    // Lists read no `env_file`; what shows the variables of services does.
    assert!(printed(yaml, "a").is_err());
    assert!(printed(yaml, "--services c").is_err());
}

#[test]
fn digests_are_of_the_services_that_they_are_asked_of() {
    let yaml = "services: {a: {image: i}, b: {image: j}}";
    let all = printed(yaml, "--hash *").unwrap();
    let names: Vec<&str> = all.lines().map(|line| &line[..1]).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(printed(yaml, "--hash b,a").unwrap(), all);
    assert_eq!(printed(yaml, "--hash * a").unwrap(), all);
    assert!(printed(yaml, "--hash c").is_err());
}

#[test]
fn variables_of_messages_are_not_used() {
    let yaml = "services: {a: {image: \"i${A:?set ${B}}${C:-${D}}\"}}";
    let table = printed(yaml, "--variables").unwrap();
    let names: Vec<&str> = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["A", "C", "D"]);
}
