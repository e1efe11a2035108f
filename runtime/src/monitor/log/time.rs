//! Writes times of the log. Pure.

use std::time::Duration;

/// Length of a written time.
pub(super) const TIME_LENGTH: usize = 30;

/// Writes a time since the Unix epoch as RFC 3339 with nanoseconds: `2026-01-31T23:59:59.000000001Z`.
///
/// Years have four digits; a clock beyond the year 9999 is shown as that year.
pub(super) fn rfc3339(since_epoch: Duration) -> [u8; TIME_LENGTH] {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let second_of_day = seconds % 86_400;
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    digits(&mut text[0..4], year.min(9999));
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], second_of_day / 3600);
    digits(&mut text[14..16], second_of_day / 60 % 60);
    digits(&mut text[17..19], second_of_day % 60);
    digits(&mut text[20..29], u64::from(since_epoch.subsec_nanos()));
    text
}

fn digits(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and day of a day since the epoch, by counting from 1 March of year 0, so that the leap day is the last of its year;
/// 400 years have 146 097 days.
fn civil(days_since_epoch: u64) -> (u64, u64, u64) {
    let days = days_since_epoch + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: u64, nanoseconds: u32) -> String {
        String::from_utf8(rfc3339(Duration::new(seconds, nanoseconds)).to_vec()).unwrap()
    }

    #[test]
    fn known_times() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000042Z"),
            (951_782_399, "2000-02-28T23:59:59.000000042Z"),
            (951_782_400, "2000-02-29T00:00:00.000000042Z"),
            (951_868_800, "2000-03-01T00:00:00.000000042Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000000042Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000000042Z"),
            (4_102_444_800, "2100-01-01T00:00:00.000000042Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000042Z"),
        ] {
            assert_eq!(text(seconds, 42), expected);
        }
        assert_eq!(text(0, 999_999_999), "1970-01-01T00:00:00.999999999Z");
    }

    #[test]
    fn every_day_of_500_years_follows_the_one_before() {
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..500 * 366 {
            assert_eq!(civil(days), (year, month, day));
            let last = match month {
                2 if leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
