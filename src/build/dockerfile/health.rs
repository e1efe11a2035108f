//! HEALTHCHECK, and the durations of its flags.

use std::time::Duration;

use super::{
    error::{Located, Problem},
    instruction::{CommandLine, Healthcheck, InstructionKind},
    lines::Joined,
    source::{Span, Word},
    words::{Flags, json_strings, split_name},
};

pub(crate) fn parse(
    flags: &mut Flags,
    arguments: &Joined,
    span: Span,
) -> Result<InstructionKind, Located> {
    if arguments.text.is_empty() {
        return Err(Located::new(
            span,
            Problem::AtLeastOne("HEALTHCHECK".to_owned()),
        ));
    }
    let (word, rest) = split_name(arguments);
    let kind = word.text.to_ascii_uppercase();
    let check = match kind.as_str() {
        "NONE" if rest.text.is_empty() => Healthcheck::None,
        "NONE" => return Err(Located::new(rest.whole(), Problem::HealthNone)),
        "CMD" => Healthcheck::Check {
            interval: interval(flags, "interval")?,
            timeout: interval(flags, "timeout")?,
            start_period: interval(flags, "start-period")?,
            start_interval: interval(flags, "start-interval")?,
            retries: retries(flags)?,
            command: match json_strings(&rest)? {
                Some(arguments) if !arguments.is_empty() => CommandLine::Exec(arguments),
                None if !rest.text.is_empty() => CommandLine::Shell(rest.text.clone()),
                _ => return Err(Located::new(word.span, Problem::HealthCommand)),
            },
        },
        _ => {
            return Err(Located::new(word.span, Problem::HealthType(kind.clone()))
                .near(&kind, ["CMD", "NONE"]));
        }
    };
    Ok(InstructionKind::Healthcheck(check))
}

fn interval(flags: &mut Flags, name: &'static str) -> Result<Duration, Located> {
    let Some(word) = flags.text(name)?.filter(|word| !word.text.is_empty()) else {
        return Ok(Duration::ZERO);
    };
    match duration(&word.text) {
        None => Err(Located::new(word.span, Problem::Duration(word.text))),
        Some(duration) if duration > Duration::ZERO && duration < Duration::from_millis(1) => {
            Err(Located::new(word.span, Problem::ShortInterval(word.text)))
        }
        Some(duration) => Ok(duration),
    }
}

fn retries(flags: &mut Flags) -> Result<u32, Located> {
    let Some(Word { text, span }) = flags.text("retries")?.filter(|word| !word.text.is_empty())
    else {
        return Ok(0);
    };
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(Located::new(span, Problem::NegativeRetries(number))),
        Ok(number) => {
            u32::try_from(number).map_err(|_too_large| Located::new(span, Problem::Number(text)))
        }
        Err(_) => Err(Located::new(span, Problem::Number(text))),
    }
}

/// Parses a duration as Go writes it (`1h30m`, `1.5s`, `100ms`, `0`).
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let factor: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60 * 1_000_000_000,
            "h" => 3_600 * 1_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let parse = |digits: &str| match digits {
            "" => Some(0),
            _ => digits.parse::<u64>().ok().map(u128::from),
        };
        let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        nanos = nanos
            .checked_add(parse(whole)?.checked_mul(factor)?)?
            .checked_add(parse(fraction)?.checked_mul(factor)? / scale)?;
        rest = tail;
    }
    // Go's durations are signed 64-bit nanoseconds.
    i64::try_from(nanos)
        .ok()
        .map(|nanos| Duration::from_nanos(nanos.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, expected) in [
            ("0", Some(0)),
            ("5s", Some(5_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("100ms", Some(100)),
            (".5s", Some(500)),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("-5s", None),
            (".s", None),
            ("1d", None),
            ("9999999999999h", None),
        ] {
            assert_eq!(
                duration(text),
                expected.map(Duration::from_millis),
                "{text}"
            );
        }
    }
}
