//! Sizes and lengths of time, as Go and Docker write them.

/// Largest whole number that a float holds exactly enough for a size.
const WHOLE_MAX: f64 = 9.2e18;

/// Returns a float without its fraction, if it fits.
#[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
pub(super) fn whole(number: f64) -> Option<i64> {
    (number.abs() < WHOLE_MAX).then_some(number as i64)
}

/// Reads `64m`, `1.5 GiB`, `1024`, `-1`: powers of 1024, units in any case.
pub(crate) fn parse_size(text: &str) -> Option<i64> {
    // A plain number may be negative, which means "no limit" in places.
    if let Ok(bytes) = text.parse() {
        return Some(bytes);
    }
    // The number ends with the last digit or point, so that an exponent belongs to it; one blank may follow.
    let last = text.rfind(|c: char| c.is_ascii_digit() || matches!(c, '.' | ' '))?;
    let (number, unit) = text.split_at(last + 1);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let unit = unit.to_ascii_lowercase();
    let power = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let number = without_underscores(number)?;
    if let Ok(number) = number.parse::<u64>() {
        return i64::try_from(number)
            .ok()?
            .checked_mul(1024_i64.checked_pow(power)?);
    }
    let number: f64 = number.parse().ok().filter(|number| *number >= 0.0)?;
    whole(number * 1024_f64.powi(power.cast_signed()))
}

/// Removes the `_` that stand between two digits; `None` when one stands elsewhere.
fn without_underscores(number: &str) -> Option<String> {
    let bytes = number.as_bytes();
    let is_digit = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    let between = |at: usize| is_digit(at.checked_sub(1)) && is_digit(at.checked_add(1));
    let mut places = number.match_indices('_');
    places
        .all(|(at, _)| between(at))
        .then(|| number.replace('_', ""))
}

const UNITS: [(&str, i64); 10] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", HOUR),
    ("d", 24 * HOUR),
    ("w", 7 * 24 * HOUR),
];
const HOUR: i64 = 3600 * 1_000_000_000;

/// Reads a Go duration (`1h30m`, `1.5s`, `-5s`, `0`), which may have days and weeks too (`1w2d`), in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let length = rest
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(length);
        let unit_length = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_length);
        let nanos = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(scaled(number, nanos)?)?;
        rest = tail;
    }
    Some(if negative { -total } else { total })
}

/// Multiplies a decimal with a unit, without the rounding of floats.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut total = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        total = total.checked_add(i64::from(digit.to_digit(10)?) * place)?;
    }
    Some(total)
}

/// Writes nanoseconds as Go does: `1m30s`, `24h0m0s`, `1.5s`, `1µs`.
pub(crate) fn format_duration(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    if nanos < 1_000_000_000 {
        let (unit, name) = match nanos {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{sign}{}{name}", decimal(nanos, unit));
    }
    let seconds = nanos / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(value: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, wanted) in [
            ("64M", Some(64 << 20)),
            ("1024", Some(1024)),
            ("1k", Some(1024)),
            ("64 mb", Some(64 << 20)),
            ("1.5GiB", Some(3 << 29)),
            ("1p", Some(1 << 50)),
            ("64b", Some(64)),
            ("-1", Some(-1)),
            ("-1k", None),
            ("-.5m", None),
            ("-.5b", None),
            ("abc", None),
            ("", None),
            ("1x", None),
            ("i", None),
            ("99999999999g", None),
            ("+5k", Some(5 << 10)),
            ("1_000k", Some(1000 << 10)),
            ("1__0k", None),
            ("_1", None),
            ("1e3k", Some(1000 << 10)),
            (".5k", Some(512)),
            ("1.k", Some(1024)),
            ("1 kb", Some(1024)),
            ("1  k", None),
            (" 1k", None),
            ("1kk", None),
            ("1bb", None),
            ("0x10k", None),
            ("inf", None),
        ] {
            assert_eq!(parse_size(text), wanted, "{text}");
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, wanted) in [
            ("1h", Some("1h0m0s")),
            ("1m30s", Some("1m30s")),
            ("24h", Some("24h0m0s")),
            ("1.5s", Some("1.5s")),
            ("1us", Some("1µs")),
            ("0", Some("0s")),
            ("90s", Some("1m30s")),
            ("1500ms", Some("1.5s")),
            (".5s", Some("500ms")),
            ("-5s", Some("-5s")),
            ("1d", Some("24h0m0s")),
            ("10w30s", Some("1680h0m30s")),
            ("1h1.5d", Some("37h0m0s")),
            ("1D", None),
            ("1y", None),
            ("10s5", None),
            ("", None),
            ("5", None),
            ("v", None),
            (".s", None),
            ("1.2.3s", None),
        ] {
            let found = parse_duration(text).map(format_duration);
            assert_eq!(found.as_deref(), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn durations_survive_writing(nanos in any::<i64>().prop_filter("abs", |n| *n > i64::MIN)) {
            prop_assert_eq!(parse_duration(&format_duration(nanos)), Some(nanos));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,20}") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
