//! Values of flags, parsed where clap reads them, so that a wrong one is a usage error that names its flag.

use std::time::Duration;

use compose_spec::model::{PullPolicy, ServiceName};

use crate::container::logs::LogTime;

/// `SERVICE=REPLICAS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) service: ServiceName,
    pub(super) replicas: u32,
}

pub(super) fn scale(text: &str) -> Result<Scale, String> {
    let (service, replicas) = text
        .split_once('=')
        .ok_or("it has the form SERVICE=REPLICAS")?;
    Ok(Scale {
        service: service.parse().map_err(|error| format!("{error}"))?,
        replicas: replicas
            .parse()
            .map_err(|_error| format!("`{replicas}` is not a number of replicas"))?,
    })
}

/// `NAME=VALUE`, or `NAME` for the value it has where the command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

pub(super) fn variable(text: &str) -> Result<Variable, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("a variable needs a name".into());
    }
    Ok(Variable {
        name: name.to_owned(),
        value,
    })
}

/// `KEY=VALUE`, or `KEY` for an empty one.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err("it has the form KEY=VALUE".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// A grace or timeout: whole seconds, as docker has them, or a duration such as `1m30s`. As milliseconds.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            duration(text).ok_or_else(|| format!("`{text}` is neither seconds nor a duration"))?
        }
    };
    u64::try_from(duration.as_millis()).map_err(|_error| format!("`{text}` is too long"))
}

/// A pull policy by its name.
pub(super) fn pull_policy(text: &str) -> Result<PullPolicy, String> {
    match text {
        "always" => Ok(PullPolicy::Always),
        "missing" | "if_not_present" => Ok(PullPolicy::Missing),
        "never" => Ok(PullPolicy::Never),
        "build" => Ok(PullPolicy::Build),
        _ => Err("it can be always, missing, never or build".into()),
    }
}

/// A point in time of `--since` and `--until`, before the clock is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// So long ago.
    Ago(Duration),
    /// Seconds and nanoseconds since the Unix epoch.
    At(i64, i32),
}

impl Moment {
    /// Returns the time; `None` when it is before or after what logs can hold.
    pub(super) fn at(self, now: jiff::Timestamp) -> Option<LogTime> {
        match self {
            Self::Ago(duration) => {
                let time = now.checked_sub(duration).ok()?;
                LogTime::from_unix(time.as_second(), time.subsec_nanosecond())
            }
            Self::At(seconds, nanoseconds) => LogTime::from_unix(seconds, nanoseconds),
        }
    }
}

/// A duration (`10m`), a date or time (`2026-01-02`, `2026-01-02T15:04:05Z`), or seconds since the Unix epoch (`1767323045.5`).
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Some(duration) = duration(text) {
        return Ok(Moment::Ago(duration));
    }
    if let Some((seconds, nanoseconds)) = unix_seconds(text) {
        return Ok(Moment::At(seconds, nanoseconds));
    }
    let timestamp = match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => timestamp,
        // Without an offset it is the time on this machine's wall.
        Err(_) => text
            .parse::<jiff::civil::DateTime>()
            .and_then(|time| time.to_zoned(jiff::tz::TimeZone::system()))
            .map_err(|_error| {
                "it can be a duration (10m), a time (2026-01-02T15:04:05Z) or seconds since 1970"
                    .to_owned()
            })?
            .timestamp(),
    };
    Ok(Moment::At(
        timestamp.as_second(),
        timestamp.subsec_nanosecond(),
    ))
}

fn unix_seconds(text: &str) -> Option<(i64, i32)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !is_number(seconds) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    Some((
        seconds.parse().ok()?,
        format!("{fraction:0<9}").parse().ok()?,
    ))
}

/// A duration of Go: numbers with units, `1h30m`, `1.5s`, `100ms`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = rest[number..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |end| number + end);
        let value: f64 = rest[..number].parse().ok()?;
        let unit_seconds = match &rest[number..unit] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(value * unit_seconds).ok()?)?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(total)
}

/// `all`, or a number of lines. `None` = all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail(pub(super) Option<usize>);

pub(super) fn tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" => Ok(Tail(None)),
        // docker takes a negative number for all.
        text if text.starts_with('-') && text[1..].parse::<u64>().is_ok() => Ok(Tail(None)),
        text => text
            .parse()
            .map(|lines| Tail(Some(lines)))
            .map_err(|_error| "it can be `all` or a number of lines".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_durations_times_or_unix_seconds() {
        for (text, expected) in [
            ("10m", Some(Moment::Ago(Duration::from_secs(600)))),
            ("1h30m", Some(Moment::Ago(Duration::from_secs(5400)))),
            ("1.5s", Some(Moment::Ago(Duration::from_millis(1500)))),
            ("1767323045", Some(Moment::At(1_767_323_045, 0))),
            (
                "1767323045.25",
                Some(Moment::At(1_767_323_045, 250_000_000)),
            ),
            ("2026-01-02T03:04:05Z", Some(Moment::At(1_767_323_045, 0))),
            (
                "2026-01-02T04:04:05.5+01:00",
                Some(Moment::At(1_767_323_045, 500_000_000)),
            ),
            ("yesterday", None),
            ("", None),
            ("10x", None),
        ] {
            assert_eq!(moment(text).ok(), expected, "{text}");
        }
        // Without an offset the zone of this machine decides, so only that it is one is checked.
        assert!(moment("2026-01-02T03:04:05").is_ok());
        assert!(moment("2026-01-02").is_ok());
    }

    #[test]
    fn other_values_are_checked() {
        assert_eq!(seconds("10"), Ok(10_000));
        assert_eq!(seconds("1m30s"), Ok(90_000));
        assert!(seconds("-1").is_err());
        assert_eq!(tail("all"), Ok(Tail(None)));
        assert_eq!(tail("-1"), Ok(Tail(None)));
        assert_eq!(tail("10"), Ok(Tail(Some(10))));
        assert!(tail("some").is_err());
        assert_eq!(scale("web=3").map(|scale| scale.replicas), Ok(3));
        assert!(scale("web").is_err());
        assert!(scale("web=-1").is_err());
        assert_eq!(variable("A=b=c").unwrap().value.as_deref(), Some("b=c"));
        assert_eq!(variable("A").unwrap().value, None);
        assert!(variable("=x").is_err());
        assert_eq!(pull_policy("always"), Ok(PullPolicy::Always));
        assert!(pull_policy("sometimes").is_err());
    }
}
