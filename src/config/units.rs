//! Sizes, rates, durations and switches as people write them. Each error is the rule that was broken.

use std::time::Duration;

type Parsed<T> = Result<T, String>;

/// True values of the field: `1 ON YES TRUE` in any case; everything else is false.
pub(crate) fn is_true(text: &str) -> bool {
    ["1", "ON", "YES", "TRUE"]
        .iter()
        .any(|word| word.eq_ignore_ascii_case(text))
}

/// A switch of modelhaul's own, where a misspelling must not pass for "no".
pub(crate) fn switch(text: &str) -> Parsed<bool> {
    let text = text.trim();
    let no = ["", "0", "OFF", "NO", "FALSE"];
    if is_true(text) {
        Ok(true)
    } else if no.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        Ok(false)
    } else {
        Err("one of 1, on, yes, true, 0, off, no, false is expected".to_owned())
    }
}

/// A whole number within bounds.
pub(crate) fn whole<T: Copy + std::str::FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    least: T,
    most: T,
) -> Parsed<T> {
    text.trim()
        .parse()
        .ok()
        .filter(|number| *number >= least && *number <= most)
        .ok_or_else(|| format!("a whole number from {least} to {most} is expected"))
}

/// A number of bytes: `1024`, `5 MiB`, `1.5GB`.
pub(crate) fn size(text: &str) -> Parsed<u64> {
    const RULE: &str = "a size is expected, for example 1048576, 256MiB or 1.5GB (K, M, G, T; decimal without the i)";
    let (number, unit) = split(text);
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (prefix, base) = unit
        .strip_suffix('i')
        .map_or((unit, 1000_u128), |prefix| (prefix, 1024));
    let factor = match prefix {
        "" if base == 1000 => 1,
        "k" => base,
        "m" => base.pow(2),
        "g" => base.pow(3),
        "t" => base.pow(4),
        _ => return Err(RULE.to_owned()),
    };
    scaled(number, factor)
        .and_then(|bytes| i64::try_from(bytes).ok())
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| RULE.to_owned())
}

/// Bytes per second: a size with or without `/s`; `0`, `none` and `unlimited` mean no limit.
pub(crate) fn rate(text: &str) -> Parsed<Option<u64>> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("none") || text.eq_ignore_ascii_case("unlimited") {
        return Ok(None);
    }
    let bytes = text
        .strip_suffix("/s")
        .or_else(|| text.strip_suffix("ps"))
        .unwrap_or(text);
    match size(bytes) {
        Ok(0) => Ok(None),
        Ok(1..1024) => Err("a limit of at least 1 KiB/s is expected, or none".to_owned()),
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) => Err("a rate is expected, for example 20MB/s or 512KiB/s, or none".to_owned()),
    }
}

/// A span of time: `10` (seconds), `500ms`, `1.5s`, `5m`, `1h`, `2d`.
pub(crate) fn duration(text: &str) -> Parsed<Duration> {
    const RULE: &str =
        "a duration is expected, for example 10 (seconds), 500ms, 1.5s, 5m, 1h or 2d";
    const LONGEST: u128 = 366 * 86_400_000;
    let (number, unit) = split(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "ms" => 1,
        "" | "s" | "sec" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(RULE.to_owned()),
    };
    scaled(number, factor)
        .filter(|millis| *millis <= LONGEST)
        .and_then(|millis| u64::try_from(millis).ok())
        .map(Duration::from_millis)
        .ok_or_else(|| RULE.to_owned())
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// `number` times `factor`, in whole arithmetic and rounded down.
fn scaled(number: &str, factor: u128) -> Option<u128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    if whole.len() > 20 || part.is_empty() || part.len() > 9 {
        return None;
    }
    let ten = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let digits = whole.parse::<u128>().ok()? * ten + part.parse::<u128>().ok()?;
    Some(digits.checked_mul(factor)? / ten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("10B", 10),
            ("5 MiB", 5 << 20),
            ("5mb", 5_000_000),
            ("1.5GB", 1_500_000_000),
            ("20M", 20_000_000),
            ("1Ki", 1024),
            ("2TiB", 2 << 40),
            (" 7 ", 7),
            ("0.5KiB", 512),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in [
            "",
            "x",
            "-1",
            "1XB",
            "1.GB",
            ".5GB",
            "1e9",
            "1i",
            "1.2.3",
            "99999999999999999999TB",
            "9223372036854775808",
            "1 M B",
        ] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_may_be_none() {
        assert_eq!(rate("20MB/s"), Ok(Some(20_000_000)));
        assert_eq!(rate("20MBps"), Ok(Some(20_000_000)));
        assert_eq!(rate("1MiB"), Ok(Some(1 << 20)));
        for none in ["0", "none", "Unlimited", "0MB/s"] {
            assert_eq!(rate(none), Ok(None), "{none}");
        }
        for bad in ["", "fast", "5", "5/s", "-1MB/s"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_seconds_unless_they_say_otherwise() {
        for (text, millis) in [
            ("10", 10_000),
            ("500ms", 500),
            ("1.5s", 1500),
            ("5m", 300_000),
            ("1 h", 3_600_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "-1", "1y", "soon", "1000d", "99999999999999999999"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn switches_of_the_field_are_lax_and_our_own_are_not() {
        for yes in ["1", "on", "Yes", "TRUE"] {
            assert!(is_true(yes));
            assert_eq!(switch(yes), Ok(true));
        }
        for no in ["0", "off", "", "no", "false"] {
            assert!(!is_true(no));
            assert_eq!(switch(no), Ok(false));
        }
        assert!(!is_true("y") && !is_true("enabled"));
        assert!(switch("enabled").is_err() && switch("ture").is_err());
    }
}
