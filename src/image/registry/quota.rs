//! Quotas of pulls as registries announce them: `ratelimit-limit: 100;w=21600`, `ratelimit-remaining: 7;w=21600`. Pure.

use std::{fmt, time::Duration};

use hyper::header::HeaderMap;

/// Part of the quota, in percent, below which the user is warned.
const LOW_PERCENT: u64 = 10;

/// A quota and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// The time that it is for.
    window: Option<Duration>,
}

impl Quota {
    /// Tells whether the user should know.
    pub(super) fn is_low(&self) -> bool {
        self.remaining.saturating_mul(100) <= self.limit.saturating_mul(LOW_PERCENT)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            limit, remaining, ..
        } = self;
        write!(f, "{remaining} of {limit} pulls left")?;
        match self.window.map(|window| window.as_secs()) {
            Some(seconds) if seconds >= 3600 => write!(f, " of those in {} h", seconds / 3600)?,
            Some(seconds) if seconds >= 60 => write!(f, " of those in {} min", seconds / 60)?,
            Some(seconds) => write!(f, " of those in {seconds} s")?,
            None => {}
        }
        f.write_str("; more with credentials (`stack login`) or a mirror")
    }
}

/// Reads the headers of an answer; `None` when it says nothing about a quota.
pub(super) fn read(headers: &HeaderMap) -> Option<Quota> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let (remaining, window) = parse(text("ratelimit-remaining")?)?;
    let limit = text("ratelimit-limit").and_then(parse);
    Some(Quota {
        // Without a limit only the end of the quota means something.
        limit: limit.map_or_else(|| remaining.min(1), |(limit, _)| limit),
        remaining,
        window: limit.and_then(|(_, window)| window).or(window),
    })
}

fn parse(text: &str) -> Option<(u64, Option<Duration>)> {
    let mut parts = text.split(';').map(str::trim);
    let number = parts.next()?.parse().ok()?;
    let seconds = parts.find_map(|part| part.strip_prefix("w=")?.parse().ok());
    Some((number, seconds.map(Duration::from_secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(limit: &str, remaining: &str) -> Option<Quota> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ratelimit-limit", limit),
            ("ratelimit-remaining", remaining),
        ] {
            if !value.is_empty() {
                headers.insert(name, value.parse().unwrap());
            }
        }
        read(&headers)
    }

    #[test]
    fn the_last_tenth_is_low() {
        for (limit, remaining, low) in [
            ("100;w=21600", "76;w=21600", false),
            ("100;w=21600", "11;w=21600", false),
            ("100;w=21600", "10;w=21600", true),
            ("100", "0", true),
            ("", "5", false),
            ("", "0", true),
        ] {
            let quota = quota(limit, remaining).unwrap();
            assert_eq!(quota.is_low(), low, "{limit} {remaining}");
        }
        for (limit, remaining) in [("100", ""), ("100", "x"), ("", "")] {
            assert_eq!(quota(limit, remaining), None);
        }
        assert_eq!(
            quota("100;w=21600", "7;w=21600").unwrap().to_string(),
            "7 of 100 pulls left of those in 6 h; more with credentials (`stack login`) or a mirror"
        );
    }
}
