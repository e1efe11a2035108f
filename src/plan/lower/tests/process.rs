use std::time::Duration;

use compose_spec::model::{Health, HealthCheck, HealthTest, Namespace, NetworkMode, RestartPolicy};
use runtime::spec::{self, Probe, ProbeTest};

use super::*;
use crate::{
    model::{ImageConfig, ImageHealth},
    plan::tests::fixture::{With, service},
};

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn image_with(change: impl FnOnce(&mut ImageConfig)) -> ImageRecord {
    let mut image = plain_image();
    change(&mut image.config);
    image
}

#[test]
fn entrypoint_and_command_combine_as_in_docker() {
    let some = |words: &[&str]| Some(texts(words));
    let both = image_with(|config| {
        config.entrypoint = some(&["/entry"]);
        config.cmd = some(&["a", "b"]);
    });
    for (entrypoint, command, argv) in [
        (None, None, vec!["/entry", "a", "b"]),
        (None, some(&["x"]), vec!["/entry", "x"]),
        (None, some(&[]), vec!["/entry"]),
        (some(&["/own"]), None, vec!["/own"]),
        (some(&["/own"]), some(&["x"]), vec!["/own", "x"]),
        (some(&[]), None, vec!["a", "b"]),
        (some(&[]), some(&["x"]), vec!["x"]),
    ] {
        let service = service("web").with(|service| {
            service.entrypoint = entrypoint;
            service.command = command;
        });
        assert_eq!(lowered(service, &both).record.spec.process.argv, argv);
    }
    let nothing = image_with(|config| config.cmd = None);
    let errors = lower_in(&project([service("web")]), &nothing, |_, _| {}).unwrap_err();
    assert_eq!(errors[0].path, "services.web.command");
    assert_eq!(errors[0].refusal, Refusal::NoCommand);
}

#[test]
fn environment_merges_in_docker_order() {
    let image = image_with(|config| config.env = texts(&["A=image", "B=image", "C=image", "bad"]));
    let service = service("web")
        .env("B", "own")
        .env("D", "own")
        .with(|service| {
            service.environment.insert("C".to_owned(), None);
            service.tty = true;
        });
    let short = &id().short().to_owned();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(
        lowered(service, &image).record.spec.process.env,
        [
            path,
            &format!("HOSTNAME={short}"),
            "TERM=xterm",
            "B=own",
            "D=own",
            "A=image"
        ]
    );
    let image = image_with(|config| config.env = texts(&["PATH=/bin"]));
    let service = crate::plan::tests::fixture::service("web").env("HOSTNAME", "me");
    assert_eq!(
        lowered(service, &image).record.spec.process.env,
        ["HOSTNAME=me", "PATH=/bin"]
    );
}

#[test]
fn user_directory_and_names_come_from_service_image_or_host() {
    let image = image_with(|config| {
        config.user = "app".to_owned();
        config.working_dir = "srv".to_owned();
    });
    let spec = lowered(service("web"), &image).record.spec;
    assert_eq!(
        (spec.process.user.as_str(), spec.process.cwd.as_str()),
        ("app", "/srv")
    );
    assert_eq!(spec.hostname, id().short());
    let own = service("web").with(|service| {
        service.user = Some("1000:staff".to_owned());
        service.working_dir = Some("/work".to_owned());
        service.hostname = Some("front".to_owned());
        service.group_add = texts(&["video", "44"]);
    });
    let spec = lowered(own, &image).record.spec;
    assert_eq!(
        (spec.process.user.as_str(), spec.process.cwd.as_str()),
        ("1000:staff", "/work")
    );
    assert_eq!(
        (spec.hostname.as_str(), spec.process.groups),
        ("front", texts(&["video", "44"]))
    );
    let host = service("web").with(|service| service.network = NetworkMode::Host);
    assert_eq!(lowered(host, &image).record.spec.hostname, "box");
}

#[test]
fn what_makes_no_process_is_refused_with_its_place() {
    let service = service("web").with(|service| {
        service.user = Some("a b".to_owned());
        service.group_add = texts(&["ok", "-1"]);
        service.working_dir = Some("relative".to_owned());
        service.hostname = Some("a/b".to_owned());
        service.uts = Namespace::Host;
        service.stop_signal = Some("SIGNOPE".to_owned());
        service
            .environment
            .insert("A=B".to_owned(), Some("x".to_owned()));
    });
    insta::assert_snapshot!(refusals(service).join("\n"), @r"
    services.web.hostname: `hostname` and `uts: host` exclude each other
    services.web.hostname: invalid host name `a/b`: 1 to 64 letters, digits, `.`, `-` and `_`
    services.web.environment.A=B: invalid variable name `A=B`: it must not be empty or contain `=`
    services.web.working_dir: invalid path `relative`: it must be absolute
    services.web.user: invalid user `a b`: `user[:group]`, names or numbers
    services.web.group_add[1]: invalid group `-1`: a name or number
    services.web.stop_signal: unknown signal `SIGNOPE`
    ");
}

#[test]
fn stop_and_restart_follow_service_then_image_then_default() {
    let image = image_with(|config| config.stop_signal = Some("SIGQUIT".to_owned()));
    let spec = lowered(service("web"), &image).record.spec;
    assert_eq!((spec.stop.signal, spec.stop.grace_ms), (3, 10_000));
    let own = service("web").with(|service| {
        service.stop_signal = Some("SIGRTMIN+3".to_owned());
        service.stop_grace = Some(Duration::from_micros(1500));
        service.restart = RestartPolicy::UnlessStopped;
    });
    let spec = lowered(own, &image).record.spec;
    assert_eq!((spec.stop.signal, spec.stop.grace_ms), (37, 2));
    assert_eq!(spec.restart, spec::RestartPolicy::Always);
    let odd = image_with(|config| config.stop_signal = Some("SIGODD".to_owned()));
    let result = lowered(service("web"), &odd);
    assert_eq!(result.record.spec.stop.signal, 15);
    assert_eq!(result.warnings.len(), 1);
}

#[test]
fn health_checks_of_service_and_image_become_one() {
    let image = image_with(|config| {
        config.shell = texts(&["/bin/bash", "-ec"]);
        config.health = Some(ImageHealth {
            test: texts(&["CMD", "/probe", "-x"]),
            interval: Duration::from_secs(7),
            timeout: Duration::ZERO,
            start_period: Duration::from_secs(2),
            start_interval: Duration::ZERO,
            retries: 0,
        });
    });
    let inherited = Probe {
        test: ProbeTest::Exec(texts(&["/probe", "-x"])),
        interval_ms: 7_000,
        timeout_ms: 30_000,
        retries: 3,
        start_period_ms: 2_000,
        start_interval_ms: 5_000,
    };
    assert_eq!(
        lowered(service("web"), &image).record.spec.probe,
        Some(inherited.clone())
    );
    let check = HealthCheck {
        test: Some(HealthTest::Shell("curl -f localhost".to_owned())),
        interval: None,
        timeout: Some(Duration::from_millis(1500)),
        retries: Some(9),
        start_period: Some(Duration::ZERO),
        start_interval: None,
    };
    let own = service("web").with(|service| service.health = Health::Check(check.clone()));
    assert_eq!(
        lowered(own, &image).record.spec.probe,
        Some(Probe {
            test: ProbeTest::Exec(texts(&["/bin/bash", "-ec", "curl -f localhost"])),
            timeout_ms: 1_500,
            retries: 9,
            ..inherited
        })
    );
    let off = service("web").with(|service| service.health = Health::Disabled);
    assert_eq!(lowered(off, &image).record.spec.probe, None);
    for test in [&["NONE"][..], &[]] {
        let none = image_with(|config| {
            let health = image.config.health.clone().unwrap();
            config.health = Some(ImageHealth {
                test: texts(test),
                ..health
            });
        });
        assert_eq!(lowered(service("web"), &none).record.spec.probe, None);
    }
    let empty = HealthCheck {
        test: Some(HealthTest::Command(Vec::new())),
        interval: Some(Duration::from_micros(10)),
        ..check
    };
    let empty = service("web").with(|service| service.health = Health::Check(empty));
    assert_eq!(refusals(empty).len(), 1);
}

#[test]
fn labels_carry_what_tools_look_for() {
    let image = image_with(|config| {
        config.labels.insert("a".to_owned(), "image".to_owned());
        config.labels.insert("b".to_owned(), "image".to_owned());
    });
    let service = service("web")
        .restarts_with("db")
        .with(|service| drop(service.labels.insert("b".to_owned(), "own".to_owned())));
    let labels = lowered(service, &image).record.labels;
    let lines: Vec<String> = labels
        .iter()
        .filter(|(name, _)| !name.ends_with("version") && !name.ends_with("hash"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    a=image
    b=own
    com.docker.compose.project=shop
    com.docker.compose.service=web
    com.docker.compose.image=sha256:625689958ca5ab9c169ab5ff15ac4a5bccd818670cc0ea42675024e26db792f6
    com.docker.compose.depends_on=db:service_started:true
    com.docker.compose.project.working_dir=/srv/shop
    com.docker.compose.project.config_files=/srv/shop/compose.yaml
    com.docker.compose.container-number=1
    com.docker.compose.oneoff=False
    ");
    assert_eq!(labels["com.docker.compose.config-hash"].len(), 64);
}
