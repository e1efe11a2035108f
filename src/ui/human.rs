//! Durations and sizes as docker words them.

use std::time::Duration;

/// Returns `3 minutes`, `About an hour`, `2 weeks`: the words of docker's STATUS and CREATED columns.
pub fn rough_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    // Hours are rounded to the nearest, as docker does; days and more come from them.
    let hours = (seconds + 30 * 60) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

/// Returns `12ms`, `1.2s`, `2m05s`: how long a step took.
pub fn exact_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..1000 => format!("{ms}ms"),
        1000..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        _ => format!("{}m{:02}s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// Returns `5.59MB`, `133MB`, `1.2GB`: three digits, powers of 1000, as docker prints sizes.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    // The size in thousandths of the unit, so that everything stays an integer.
    let (mut thousandths, mut unit) = (u128::from(bytes) * 1000, 0);
    while thousandths >= 1_000_000 && unit + 1 < UNITS.len() {
        thousandths /= 1000;
        unit += 1;
    }
    // Three significant digits of at most 999 999 thousandths.
    let step = match thousandths {
        0..10_000 => 10,
        10_000..100_000 => 100,
        _ => 1000,
    };
    let rounded = (thousandths + step / 2) / step * step;
    let (whole, fraction) = (rounded / 1000, rounded % 1000);
    let fraction = format!("{fraction:03}");
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}{}", UNITS[unit]),
        digits => format!("{whole}.{digits}{}", UNITS[unit]),
    }
}

/// Returns `64MiB`, `1.953GiB`: four digits, powers of 1024, as docker prints memory.
pub fn binary_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 1)) > 0 {
        unit += 1;
    }
    // In thousandths of the unit, so that everything stays an integer; four significant digits of at most 1 023 999 thousandths.
    let thousandths = (u128::from(bytes) * 1000) >> (10 * unit);
    let step = match thousandths {
        0..10_000 => 1,
        10_000..100_000 => 10,
        100_000..1_000_000 => 100,
        _ => 1000,
    };
    let rounded = (thousandths + step / 2) / step * step;
    let fraction = format!("{:03}", rounded % 1000);
    match fraction.trim_end_matches('0') {
        "" => format!("{}{}", rounded / 1000, UNITS[unit]),
        digits => format!("{}.{digits}{}", rounded / 1000, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_sizes_have_four_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (1536, "1.5KiB"),
            (64 << 20, "64MiB"),
            (2_097_152_000, "1.953GiB"),
            (u64::MAX, "16EiB"),
        ] {
            assert_eq!(binary_size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn rough_durations_are_worded_as_docker_does() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * 60, "59 minutes"),
            (60 * 60, "About an hour"),
            (90 * 60, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86400, "2 weeks"),
            (60 * 86400, "2 months"),
            (730 * 86400, "2 years"),
        ] {
            assert_eq!(
                rough_duration(Duration::from_secs(seconds)),
                text,
                "{seconds}"
            );
        }
    }

    #[test]
    fn exact_durations_have_two_digits_or_so() {
        for (ms, text) in [
            (0, "0ms"),
            (12, "12ms"),
            (1249, "1.2s"),
            (59_999, "59.9s"),
            (125_000, "2m05s"),
        ] {
            assert_eq!(exact_duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (5_592_345, "5.59MB"),
            (133_400_000, "133MB"),
            (13_349_000, "13.3MB"),
            (1_200_000_000, "1.2GB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }
}
