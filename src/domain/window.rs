//! Windows of the week in which downloads are slower, or stand still: `Mon-Fri 08:00-18:00 -> 5 MB/s`.
//!
//! A window speaks of the clock on the wall. Whether it is open is decided anew each time from that clock, never from a
//! moment that was computed before, so a change to or from summer time needs no case of its own.

use std::str::FromStr as _;

use chrono::{
    DateTime, Datelike as _, Days, NaiveDateTime, NaiveTime, TimeZone as _, Timelike as _, Utc,
    Weekday,
};
use chrono_tz::Tz;

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// How far ahead the end of a window is looked for, in days.
const AHEAD: u64 = 8;
const NAMES: [(&str, Weekday); 7] = [
    ("mon", Weekday::Mon),
    ("tue", Weekday::Tue),
    ("wed", Weekday::Wed),
    ("thu", Weekday::Thu),
    ("fri", Weekday::Fri),
    ("sat", Weekday::Sat),
    ("sun", Weekday::Sun),
];

/// What downloads may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// As much as there is.
    Everything,
    /// So many bytes per second, at least 1.
    Rate(u64),
    /// Nothing: they stand still.
    Nothing,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// By days from Monday; a window over midnight belongs to the day on which it begins.
    days: [bool; 7],
    /// Minutes of the day; `from` may lie behind `to`: then it goes over midnight.
    from: u16,
    to: u16,
    allowed: Allowed,
    /// As it was written.
    text: String,
}

/// A window that cannot be understood: what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}`: {rule}")]
pub struct InvalidWindow {
    given: String,
    rule: String,
}

impl Window {
    /// Reads `[days] HH:MM-HH:MM -> rate`; `rate` reads what stands behind the arrow.
    ///
    /// Days are `Mon-Fri`, `Sat,Sun` or none for all; 24:00 is the end of a day.
    ///
    /// # Errors
    /// The part that breaks its rule.
    pub fn parse(
        text: &str,
        rate: impl Fn(&str) -> Result<Allowed, String>,
    ) -> Result<Self, InvalidWindow> {
        let refuse = |rule: String| InvalidWindow {
            given: text.chars().take(100).collect(),
            rule,
        };
        let (when, how) = text
            .split_once("->")
            .ok_or_else(|| refuse("`days HH:MM-HH:MM -> rate` is expected".to_owned()))?;
        let words: Vec<&str> = when.split_whitespace().collect();
        let (days, span) = match words.as_slice() {
            [span] => ([true; 7], *span),
            [days, span] => (
                parse_days(days).ok_or_else(|| {
                    refuse(format!("`{days}` are no days; write Mon-Fri or Sat,Sun"))
                })?,
                *span,
            ),
            _ => {
                return Err(refuse(
                    "days without spaces and one span of time are expected".to_owned(),
                ));
            }
        };
        let ends = span
            .split_once('-')
            .and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
        let (from, to) = ends
            .filter(|(from, to)| from != to && *from < DAY)
            .ok_or_else(|| refuse(format!("`{span}` is no span of time; write 08:00-18:00")))?;
        Ok(Self {
            days,
            from,
            to,
            allowed: rate(how.trim()).map_err(refuse)?,
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
        })
    }

    fn is_open(&self, at: NaiveDateTime) -> bool {
        let today = at.weekday().num_days_from_monday() as usize;
        let now = u16::try_from(at.hour() * 60 + at.minute()).unwrap_or(0);
        if self.from < self.to {
            return self.days[today] && (self.from..self.to).contains(&now);
        }
        let yesterday = (today + 6) % 7;
        self.days[today] && now >= self.from || self.days[yesterday] && now < self.to
    }
}

/// All windows, and where their clock hangs. The first one that is open counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    windows: Vec<Window>,
    zone: Tz,
}

impl Default for Schedule {
    fn default() -> Self {
        Self::new(Vec::new(), Tz::UTC)
    }
}

/// The window that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// What it allows.
    pub allowed: Allowed,
    /// The window as it was written.
    pub text: String,
    /// When another rule will hold; none when this one always holds.
    pub until: Option<DateTime<Utc>>,
}

impl Schedule {
    /// Windows in the order in which they go before each other.
    pub fn new(windows: Vec<Window>, zone: Tz) -> Self {
        Self { windows, zone }
    }

    /// Whether there is no window at all.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// The window that is open now.
    pub fn open(&self, now: DateTime<Utc>) -> Option<Open> {
        let local = now.with_timezone(&self.zone).naive_local();
        let window = self.at(local)?;
        Some(Open {
            allowed: window.allowed,
            text: window.text.clone(),
            until: self.end(window, now),
        })
    }

    fn at(&self, local: NaiveDateTime) -> Option<&Window> {
        self.windows.iter().find(|window| window.is_open(local))
    }

    /// The first moment after `now` at which some window begins or ends and another one than `window` holds.
    fn end(&self, window: &Window, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = now.with_timezone(&self.zone).date_naive();
        let mut minutes: Vec<u16> = self
            .windows
            .iter()
            .flat_map(|window| [window.from, window.to])
            .chain([0])
            .map(|minute| minute % DAY)
            .collect();
        minutes.sort_unstable();
        minutes.dedup();
        (0..=AHEAD)
            .filter_map(|ahead| today.checked_add_days(Days::new(ahead)))
            .flat_map(|day| minutes.iter().map(move |minute| (day, *minute)))
            .filter_map(|(day, minute)| {
                let time =
                    NaiveTime::from_num_seconds_from_midnight_opt(u32::from(minute) * 60, 0)?;
                // A time that the change to summer time leaves out: the rule is asked for an hour later.
                self.zone
                    .from_local_datetime(&day.and_time(time))
                    .earliest()
                    .or_else(|| {
                        let later = day.and_time(time) + chrono::TimeDelta::hours(1);
                        self.zone.from_local_datetime(&later).earliest()
                    })
            })
            .filter(|moment| *moment > now)
            .find(|moment| self.at(moment.naive_local()) != Some(window))
            .map(|moment| moment.with_timezone(&Utc))
    }
}

fn parse_days(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let mut at = first;
        loop {
            days[at] = true;
            if at == last {
                break;
            }
            at = (at + 1) % 7;
        }
    }
    Some(days)
}

/// Days from Monday; names may be written out.
fn day(text: &str) -> Option<usize> {
    let full = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let text = text.to_ascii_lowercase();
    let at = NAMES
        .iter()
        .zip(full)
        .position(|((short, _), full)| text == *short || text == full)?;
    Some(NAMES[at].1.num_days_from_monday() as usize)
}

/// `HH:MM` in minutes; `24:00` is the end of the day.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes) = (u16::from_str(hours).ok()?, u16::from_str(minutes).ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY).then_some(minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Result<Window, InvalidWindow> {
        Window::parse(text, |rate| match rate {
            "0" => Ok(Allowed::Nothing),
            "none" => Ok(Allowed::Everything),
            _ => rate
                .parse()
                .map(Allowed::Rate)
                .map_err(|error: std::num::ParseIntError| error.to_string()),
        })
    }

    fn schedule(zone: Tz, texts: &[&str]) -> Schedule {
        Schedule::new(
            texts.iter().map(|text| window(text).unwrap()).collect(),
            zone,
        )
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// What holds, and when it ends, in UTC.
    fn open(schedule: &Schedule, now: &str) -> Option<(Allowed, String)> {
        let open = schedule.open(at(now))?;
        let until = open
            .until
            .map(|until| until.format("%m-%dT%H:%M").to_string());
        Some((open.allowed, until.unwrap_or_default()))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with an option")]
    fn rate(rate: u64, until: &str) -> Option<(Allowed, String)> {
        Some((Allowed::Rate(rate), until.to_owned()))
    }

    #[test]
    fn office_hours_are_those_of_the_place() {
        let berlin = schedule(Tz::Europe__Berlin, &["Mon-Fri 08:00-18:00 -> 5"]);
        // 2026-11-23 is a Monday; Berlin is an hour ahead.
        assert_eq!(open(&berlin, "2026-11-23T06:59:59Z"), None);
        assert_eq!(
            open(&berlin, "2026-11-23T07:00:00Z"),
            rate(5, "11-23T17:00")
        );
        assert_eq!(
            open(&berlin, "2026-11-23T16:59:59Z"),
            rate(5, "11-23T17:00")
        );
        assert_eq!(open(&berlin, "2026-11-23T17:00:00Z"), None);
        assert_eq!(open(&berlin, "2026-11-22T12:00:00Z"), None, "a Sunday");
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = schedule(
            Tz::UTC,
            &["Fri 22:00-07:00 -> 0", "Sun 20:00-24:00 -> none"],
        );
        assert_eq!(open(&night, "2026-11-27T21:59:00Z"), None);
        let held = Some((Allowed::Nothing, "11-28T07:00".to_owned()));
        assert_eq!(open(&night, "2026-11-27T22:00:00Z"), held);
        assert_eq!(open(&night, "2026-11-28T06:59:00Z"), held);
        assert_eq!(
            open(&night, "2026-11-28T22:30:00Z"),
            None,
            "Saturday's night"
        );
        let free = Some((Allowed::Everything, "11-30T00:00".to_owned()));
        assert_eq!(open(&night, "2026-11-29T23:59:00Z"), free);
        let week = schedule(Tz::UTC, &["Sat-Mon 10:00-11:00 -> 1"]);
        assert!(open(&week, "2026-11-29T10:30:00Z").is_some());
        assert!(open(&week, "2026-11-24T10:30:00Z").is_none());
    }

    #[test]
    fn the_first_that_is_open_counts_and_its_end_is_when_another_rule_holds() {
        let both = schedule(Tz::UTC, &["Mon 12:00-13:00 -> none", "00:00-24:00 -> 7"]);
        assert_eq!(open(&both, "2026-11-23T11:00:00Z"), rate(7, "11-23T12:00"));
        let noon = Some((Allowed::Everything, "11-23T13:00".to_owned()));
        assert_eq!(open(&both, "2026-11-23T12:30:00Z"), noon);
        assert_eq!(open(&both, "2026-11-23T13:00:00Z"), rate(7, "11-30T12:00"));
        let always = schedule(Tz::UTC, &["00:00-24:00 -> 7"]);
        assert_eq!(open(&always, "2026-11-23T11:00:00Z"), rate(7, ""));
    }

    #[test]
    fn summer_time_moves_the_window_with_the_clock_on_the_wall() {
        let berlin = schedule(
            Tz::Europe__Berlin,
            &["01:00-04:00 -> 5", "22:00-23:00 -> 6"],
        );
        // 2026-03-29: 02:00 becomes 03:00, so the window lasts two hours.
        assert_eq!(
            open(&berlin, "2026-03-29T00:00:00Z"),
            rate(5, "03-29T02:00")
        );
        assert_eq!(open(&berlin, "2026-03-29T02:00:00Z"), None);
        // 2026-10-25: 03:00 becomes 02:00, so it lasts four.
        assert_eq!(
            open(&berlin, "2026-10-24T23:00:00Z"),
            rate(5, "10-25T03:00")
        );
        assert_eq!(
            open(&berlin, "2026-10-25T02:59:00Z"),
            rate(5, "10-25T03:00")
        );
        // A window that begins within the hour that is left out begins after it.
        let gap = schedule(Tz::Europe__Berlin, &["02:30-05:00 -> 5"]);
        assert_eq!(open(&gap, "2026-03-29T00:59:00Z"), None);
        assert_eq!(open(&gap, "2026-03-29T01:00:00Z"), rate(5, "03-29T03:00"));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_its_rule() {
        for bad in [
            "",
            "08:00-18:00",
            "Mon-Fri 8:00-18:00 -> 5",
            "Mon-Fri 08:00-08:00 -> 5",
            "Mon-Fri 24:00-08:00 -> 5",
            "Mon-Fri 08:00-24:01 -> 5",
            "Mon-Fri 08:60-09:00 -> 5",
            "Mo-Fr 08:00-18:00 -> 5",
            "Mon - Fri 08:00-18:00 -> 5",
            "Mon 08:00-18:00 -> fast",
            "Mon 08:00 -> 5",
        ] {
            assert!(window(bad).is_err(), "{bad}");
        }
        let spaced = window("  Monday,Sat-Sun   08:00-18:00  ->  5 ").unwrap();
        assert_eq!(spaced.text, "Monday,Sat-Sun 08:00-18:00 -> 5");
        assert_eq!(spaced.days, [true, false, false, false, false, true, true]);
    }
}
