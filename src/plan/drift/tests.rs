use compose_spec::model::{ImageSource, RestartPolicy, Service};

use super::*;
use crate::plan::tests::fixture::{With, build, service};

#[expect(
    clippy::needless_pass_by_value,
    reason = "the callers make it in place"
)]
fn changes(old: Service, change: impl FnOnce(&mut Service)) -> Vec<String> {
    let new = old.clone().with(change);
    differences(&old, &new)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn what_is_not_part_of_a_container_keeps_it() {
    let web = || {
        service("web")
            .publishes(80, 80)
            .publishes(443, 443)
            .env("A", "1")
            .env("B", "2")
    };
    let other = changes(web(), |service| {
        service.replicas = 5;
        service.profiles = vec!["x".to_owned()];
        service.pull_policy = compose_spec::model::PullPolicy::Always;
        service.attach = false;
        service.ports.reverse();
        service.environment.reverse();
        service
            .extensions
            .insert("x-a".to_owned(), serde_json::Value::Bool(true));
        service.image = ImageSource::Build {
            image: None,
            build: Box::new(build("/other")),
        };
        *service = service
            .clone()
            .needs("db", compose_spec::model::Condition::ServiceStarted);
    });
    assert_eq!(other, [""; 0]);
    let always = changes(
        web().with(|s| s.restart = RestartPolicy::Always),
        |service| {
            service.restart = RestartPolicy::UnlessStopped;
        },
    );
    assert_eq!(always, [""; 0]);
}

#[test]
fn changes_are_told_by_field_without_secrets() {
    let old = service("web")
        .env("LOG_LEVEL", "info")
        .env("OLD", "1")
        .env("DB_PASSWORD", "hunter2")
        .env("URL", "postgres://me:pw@db/x");
    let texts = changes(old, |service| {
        service.environment["LOG_LEVEL"] = Some("debug".to_owned());
        service.environment.shift_remove("OLD");
        service.environment.insert("NEW".to_owned(), None);
        service.environment["DB_PASSWORD"] = Some("hunter3".to_owned());
        service.environment["URL"] = Some("postgres://me:pw2@db/x".to_owned());
        service.command = Some(vec!["serve".to_owned()]);
        service.stop_grace = Some(std::time::Duration::from_millis(1500));
        service.restart = RestartPolicy::Always;
        service.cap_add = vec!["NET_ADMIN".to_owned()];
        service.labels.insert("long".to_owned(), "x".repeat(100));
        service.privileged = true;
    });
    insta::assert_snapshot!(texts.join("\n"), @r#"
    command (none) -> ["serve"]
    environment.LOG_LEVEL "info" -> "debug"
    environment.OLD "1" -> (none)
    environment.DB_PASSWORD (sensitive, changed)
    environment.URL (sensitive, changed)
    environment.NEW (none) -> (none)
    stop_grace (none) -> 1.500s
    restart "no" -> "always"
    labels.long changed
    cap_add [] -> ["NET_ADMIN"]
    privileged false -> true
    "#);
    let shown = texts.join("");
    assert!(!shown.contains("hunter") && !shown.contains("pw"));
}
