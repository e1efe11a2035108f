//! Which files are read, with which variables, and what the project is called.

use std::path::{Path, PathBuf};

use super::{Memory, findings_of, memory, request};
use crate::{Loaded, Request, load};

const FILE: &str = "services: {a: {image: i}}\n";

fn load_with(change: impl FnOnce(&mut Request), files: &[(&str, &str)]) -> Loaded {
    let mut request = request();
    change(&mut request);
    load(&request, &memory(files)).unwrap_or_else(|error| panic!("{error}"))
}

/// A change of the request of a case.
type Change<'a> = &'a dyn Fn(&mut Request);

fn image(loaded: &Loaded) -> &str {
    loaded.canonical["services"]["a"]["image"].as_str().unwrap()
}

fn set(request: &mut Request, name: &str, value: &str) {
    request
        .environment
        .insert(name.to_owned(), value.to_owned());
}

#[test]
fn the_first_known_name_wins_with_a_warning() {
    let files = [
        ("compose.yml", "services: {a: {image: yml}}"),
        ("compose.yaml", FILE),
    ];
    let loaded = load_with(|_| {}, &files);
    assert_eq!(image(&loaded), "i");
    assert_eq!(loaded.warnings[0].code.as_str(), "S0004");
}

#[test]
fn parents_are_searched_and_become_the_base() {
    let files = [(
        "compose.yaml",
        "services: {a: {image: i, volumes: ['./x:/x']}}",
    )];
    let loaded = load_with(|request| request.working_dir.push("deep/er"), &files);
    assert_eq!(loaded.project.working_dir, Path::new("/home/u/shop"));
    assert_eq!(
        loaded.canonical["services"]["a"]["volumes"][0]["source"],
        "/home/u/shop/x"
    );
}

#[test]
fn an_override_of_any_family_is_laid_over() {
    let files = [
        ("docker-compose.yml", FILE),
        ("compose.override.yaml", "services: {a: {image: over}}"),
        (
            "docker-compose.override.yml",
            "services: {a: {image: ignored}}",
        ),
    ];
    let loaded = load_with(|_| {}, &files);
    assert_eq!(image(&loaded), "over");
    assert_eq!(loaded.project.files.len(), 2);
}

#[test]
fn named_files_have_no_override_and_set_the_directory() {
    let files = [
        ("sub/a.yaml", "services: {a: {image: i, build: .}}"),
        ("sub/compose.override.yaml", "services: {a: {image: over}}"),
    ];
    let loaded = load_with(|request| request.files = vec!["sub/a.yaml".into()], &files);
    assert_eq!(image(&loaded), "i");
    assert_eq!(loaded.project.name.as_str(), "sub");
    assert_eq!(
        loaded.canonical["services"]["a"]["build"]["context"],
        "/home/u/shop/sub"
    );
}

#[test]
fn compose_file_may_come_from_dotenv_with_another_separator() {
    let files = [
        (
            ".env",
            "COMPOSE_FILE=a.yaml,b.yaml\nCOMPOSE_PATH_SEPARATOR=,\n",
        ),
        ("a.yaml", FILE),
        ("b.yaml", "services: {a: {image: b}}"),
    ];
    assert_eq!(image(&load_with(|_| {}, &files)), "b");
}

#[test]
fn standard_input_is_a_file() {
    let loaded = load_with(
        |request| {
            request.files = vec![PathBuf::from("-")];
            request.stdin = Some(FILE.as_bytes().to_vec());
        },
        &[],
    );
    assert_eq!(loaded.project.name.as_str(), "shop");
}

#[test]
fn variables_come_from_the_caller_then_from_files() {
    let file = ("compose.yaml", "services: {a: {image: \"i${V-unset}\"}}");
    let dotenv = (".env", "V=dot\n");
    let cases: [(Change<'_>, &str); 6] = [
        (&|_| {}, "idot"),
        (&|request| set(request, "V", "os"), "ios"),
        (&|request| set(request, "V", ""), "i"),
        (
            &|request| set(request, "COMPOSE_DISABLE_ENV_FILE", "1"),
            "iunset",
        ),
        (
            &|request| request.env_files = vec!["e1".into(), "e2".into()],
            "itwo",
        ),
        (&|request| set(request, "COMPOSE_ENV_FILES", "e1"), "ione"),
    ];
    let files = [file, dotenv, ("e1", "V=one\n"), ("e2", "V=two\n")];
    for (index, (change, wanted)) in cases.iter().enumerate() {
        assert_eq!(image(&load_with(change, &files)), *wanted, "case {index}");
    }
}

#[test]
fn names_have_an_order_and_a_grammar() {
    let named = (
        "compose.yaml",
        "name: My.App\nservices: {a: {image: \"${COMPOSE_PROJECT_NAME}\"}}",
    );
    let name = |change: &dyn Fn(&mut Request)| {
        let loaded = load_with(change, &[named]);
        assert_eq!(image(&loaded), loaded.project.name.as_str());
        loaded.project.name.as_str().to_owned()
    };
    assert_eq!(name(&|_| {}), "myapp");
    assert_eq!(
        name(&|request| set(request, "COMPOSE_PROJECT_NAME", "env")),
        "env"
    );
    assert_eq!(
        name(&|request| {
            set(request, "COMPOSE_PROJECT_NAME", "env");
            request.project_name = Some("cli".to_owned());
        }),
        "cli"
    );
    let mut bad = request();
    bad.project_name = Some("My.App".to_owned());
    let text = findings_of(load(&bad, &memory(&[named])));
    assert!(text.contains("S0005") && text.contains("`myapp`"), "{text}");
}

#[test]
fn profiles_decide_which_services_are_on() {
    let files = [(
        "compose.yaml",
        "services:
  a: {image: i}
  b: {image: j, profiles: [p]}
  c: {image: k, profiles: [q], depends_on: {b: {condition: service_started, required: false}}}
",
    )];
    let names = |change: &dyn Fn(&mut Request)| {
        let loaded = load_with(change, &files);
        let names = loaded.project.services.keys();
        names
            .map(crate::model::ServiceName::as_str)
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(names(&|_| {}), "a");
    let inactive = load_with(|_: &mut Request| {}, &files).inactive;
    let inactive: Vec<&str> = inactive
        .iter()
        .map(crate::model::ServiceName::as_str)
        .collect();
    assert_eq!(inactive, ["b", "c"]);
    assert_eq!(
        names(&|request| request.profiles = vec!["p".to_owned()]),
        "a,b"
    );
    assert_eq!(
        names(&|request| request.profiles = vec!["*".to_owned()]),
        "a,b,c"
    );
    assert_eq!(
        names(&|request| set(request, "COMPOSE_PROFILES", "x, q")),
        "a,c"
    );
    assert_eq!(
        names(&|request| request.services = vec!["c".to_owned()]),
        "a,c"
    );
}

#[test]
fn a_service_that_does_not_exist_is_named() {
    let mut asked = request();
    asked.services = vec!["wbe".to_owned()];
    let files = memory(&[("compose.yaml", "services: {web: {image: i}}")]);
    let text = findings_of(load(&asked, &files));
    assert!(
        text.contains("no such service: `wbe`") && text.contains("`web`"),
        "{text}"
    );
}

#[test]
fn a_byte_order_mark_and_carriage_returns_are_fine() {
    let files = [(
        "compose.yaml",
        "\u{feff}services:\r\n  a:\r\n    image: i\r\n",
    )];
    assert_eq!(image(&load_with(|_| {}, &files)), "i");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let path = Path::new(super::HOME).join("compose.yaml");
    let files = Memory([(path, vec![0xff, 0xfe, 0x00])].into());
    assert!(findings_of(load(&request(), &files)).contains("not UTF-8"));
}
