//! Health checks: those of service and image become one probe.

use std::time::Duration;

use compose_spec::model::{Health, HealthCheck, HealthTest};
use runtime::spec::{Probe, ProbeTest};

use super::{error::Checks, process::milliseconds};
use crate::model::ImageConfig;

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
/// Docker refuses anything shorter.
const SHORTEST: Duration = Duration::from_millis(1);

/// Lowers the health check; `None` = the container is not probed.
pub(super) fn lower(
    health: &Health,
    image: &ImageConfig,
    checks: &mut Checks<'_>,
) -> Option<Probe> {
    let empty = HealthCheck {
        test: None,
        interval: None,
        timeout: None,
        retries: None,
        start_period: None,
        start_interval: None,
    };
    let check = match health {
        Health::Disabled => return None,
        Health::Inherit => &empty,
        Health::Check(check) => check,
    };
    let argv = match &check.test {
        Some(HealthTest::Command(argv)) => argv.clone(),
        Some(HealthTest::Shell(line)) => shell(image, line),
        None => image_test(image)?,
    };
    if argv.first().is_none_or(String::is_empty) {
        checks.invalid(
            "healthcheck.test",
            "test",
            argv.join(" "),
            "it names no program",
        );
        return None;
    }
    let base = image.health.as_ref();
    let mut time = |field: &str, own: Option<Duration>, inherited: Option<Duration>, default| {
        if own.is_some_and(|own| !own.is_zero() && own < SHORTEST) {
            checks.invalid(
                format!("healthcheck.{field}"),
                "duration",
                format!("{own:?}"),
                "it must be at least 1ms",
            );
        }
        // Zero means "not set" in both places.
        milliseconds(
            own.filter(|own| !own.is_zero())
                .or_else(|| inherited.filter(|inherited| !inherited.is_zero()))
                .unwrap_or(default),
        )
    };
    Some(Probe {
        test: ProbeTest::Exec(argv),
        interval_ms: time(
            "interval",
            check.interval,
            base.map(|b| b.interval),
            INTERVAL,
        ),
        timeout_ms: time("timeout", check.timeout, base.map(|b| b.timeout), TIMEOUT),
        start_period_ms: time(
            "start_period",
            check.start_period,
            base.map(|b| b.start_period),
            Duration::ZERO,
        ),
        start_interval_ms: time(
            "start_interval",
            check.start_interval,
            base.map(|b| b.start_interval),
            START_INTERVAL,
        ),
        retries: check
            .retries
            .filter(|retries| *retries > 0)
            .or_else(|| base.map(|b| b.retries).filter(|retries| *retries > 0))
            .unwrap_or(RETRIES),
    })
}

/// Tells whether a container of a service is probed, as far as that is known without its image.
pub(in crate::plan) fn is_probed(health: &Health, image: Option<&ImageConfig>) -> Option<bool> {
    match health {
        Health::Disabled => Some(false),
        Health::Check(HealthCheck { test: Some(_), .. }) => Some(true),
        Health::Check(_) | Health::Inherit => image.map(|image| image_test(image).is_some()),
    }
}

fn image_test(image: &ImageConfig) -> Option<Vec<String>> {
    let test = &image.health.as_ref()?.test;
    match test.first().map(String::as_str) {
        Some("CMD") => Some(test[1..].to_vec()),
        Some("CMD-SHELL") => Some(shell(image, test.get(1)?)),
        _ => None,
    }
}

/// A line for the image's SHELL.
fn shell(image: &ImageConfig, line: &str) -> Vec<String> {
    let mut argv = if image.shell.is_empty() {
        vec!["/bin/sh".to_owned(), "-c".to_owned()]
    } else {
        image.shell.clone()
    };
    argv.push(line.to_owned());
    argv
}
