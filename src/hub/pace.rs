//! How long a server asks to wait: `Retry-After` in both forms, and `RateLimit`.
//!
//! Invariant: the answer lies between one second and fifteen minutes, whatever the server says.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(15);

/// The pause that the headers ask for; none when they ask for none or cannot be understood.
///
/// A date is compared with the server's own `Date`, and with `now` only if there is none.
pub(crate) fn asked_pause(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let after = text(RETRY_AFTER.as_str()).and_then(|value| {
        let sent = text(DATE.as_str()).and_then(http_date).unwrap_or(now);
        retry_after(value.trim(), sent)
    });
    let limit = headers
        .get_all("ratelimit")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter_map(used_up)
        .max();
    after.max(limit).map(|pause| pause.clamp(SHORTEST, LONGEST))
}

fn retry_after(value: &str, sent: DateTime<Utc>) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number can hold mean very long.
        return Some(value.parse().map_or(LONGEST, Duration::from_secs));
    }
    Some((http_date(value)? - sent).to_std().unwrap_or_default())
}

/// The three forms of RFC 9110, section 5.6.7.
pub(super) fn http_date(value: &str) -> Option<DateTime<Utc>> {
    [
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
    ]
    .iter()
    .find_map(|form| NaiveDateTime::parse_from_str(value.trim(), form).ok())
    .map(|date| date.and_utc())
}

/// `"api";r=0;t=55`: nothing remains of the policy for 55 more seconds; one second is added for rounding.
fn used_up(value: &str) -> Option<Duration> {
    value
        .split(',')
        .filter_map(|policy| {
            let field = |name: &str| {
                policy.split(';').find_map(|part| {
                    let (key, number) = part.trim().split_once('=')?;
                    (key.trim() == name).then(|| number.trim().parse::<u64>().ok())?
                })
            };
            (field("r") == Some(0)).then(|| field("t"))?
        })
        .map(|seconds| Duration::from_secs(seconds.saturating_add(1)))
        .max()
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;
    use reqwest::header::HeaderName;

    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Option<u64> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        let now = Utc.with_ymd_and_hms(2026, 11, 22, 10, 0, 0).unwrap();
        asked_pause(&headers, now).map(|pause| pause.as_secs())
    }

    #[test]
    fn seconds_dates_and_limits_are_understood_and_clamped() {
        let after = |value| asked(&[("retry-after", value)]);
        assert_eq!(after("5"), Some(5));
        assert_eq!(after("0"), Some(1));
        assert_eq!(after("999999999"), Some(900));
        assert_eq!(after("99999999999999999999999"), Some(900));
        assert_eq!(after("Sun, 22 Nov 2026 10:01:30 GMT"), Some(90));
        assert_eq!(after("Sunday, 22-Nov-26 10:01:30 GMT"), Some(90));
        assert_eq!(after("Sun Nov 22 10:01:30 2026"), Some(90));
        assert_eq!(after("Sun, 22 Nov 2020 10:00:00 GMT"), Some(1));
        assert_eq!(after("Sun, 22 Nov 2099 10:00:00 GMT"), Some(900));
        for junk in ["-1", "", "soon", "1.5", "Sun, 99 Nov 2026 10:00:00 GMT"] {
            assert_eq!(after(junk), None, "{junk}");
        }
    }

    #[test]
    fn a_date_is_measured_by_the_servers_own_clock() {
        let pause = asked(&[
            ("retry-after", "Sun, 22 Nov 2026 03:00:20 GMT"),
            ("date", "Sun, 22 Nov 2026 03:00:00 GMT"),
        ]);
        assert_eq!(pause, Some(20));
    }

    #[test]
    fn only_a_limit_that_is_used_up_asks_for_a_pause() {
        let limit = |value| asked(&[("ratelimit", value)]);
        assert_eq!(limit("\"api\";r=0;t=55"), Some(56));
        assert_eq!(limit("\"api\";r=7;t=55"), None);
        assert_eq!(limit("\"api\";r=7;t=55, \"resolvers\";r=0;t=20"), Some(21));
        assert_eq!(limit("\"api\";r=0"), None);
        assert_eq!(limit("r=0;t=18446744073709551615"), Some(900));
        assert_eq!(
            asked(&[("ratelimit", "\"api\";r=0;t=9"), ("retry-after", "30")]),
            Some(30)
        );
    }
}
