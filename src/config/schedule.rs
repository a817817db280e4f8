//! When downloads are slower or stand still, and where the clock for that hangs.

use std::path::Path;

use chrono_tz::Tz;

use super::error::ConfigError;
use super::key;
use super::resolver::Resolver;
use super::units;
use crate::domain::{Allowed, Schedule, Window};

/// The link that most systems keep their time zone in.
const LOCALTIME: &str = "/etc/localtime";

impl Resolver<'_> {
    /// The windows in the order in which they were written, and their time zone.
    pub(crate) fn schedule(&mut self) -> Result<Schedule, ConfigError> {
        let windows = self.value(
            &key::BANDWIDTH_WINDOWS,
            Vec::new(),
            |text| windows(text).map(Some),
            |windows: &Vec<(String, Window)>| match windows.as_slice() {
                [] => "none".to_owned(),
                some => some
                    .iter()
                    .map(|(text, _)| text.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            },
        )?;
        let here = self.system_zone();
        let zone = self.value(
            &key::TIME_ZONE,
            here,
            |text| {
                let known = text.trim().parse().map(Some);
                known.map_err(|_unknown| {
                    "a time zone is expected, for example Europe/Berlin".to_owned()
                })
            },
            |zone: &Tz| zone.name().to_owned(),
        )?;
        let windows = windows.into_iter().map(|(_, window)| window).collect();
        Ok(Schedule::new(windows, zone))
    }

    /// The zone of the system, by `TZ` or its link; UTC when neither names one.
    fn system_zone(&self) -> Tz {
        let named = self
            .environment
            .lookup("TZ")
            .and_then(|text| text.trim_start_matches(':').parse().ok());
        named
            .or_else(|| linked(Path::new(LOCALTIME)))
            .unwrap_or(Tz::UTC)
    }
}

fn linked(link: &Path) -> Option<Tz> {
    let target = std::fs::read_link(link).ok()?;
    let text = target.to_str()?;
    text.split_once("zoneinfo/")?.1.parse().ok()
}

/// A list joins its texts with commas, and days have commas too: a window ends behind its rate.
fn windows(text: &str) -> Result<Vec<(String, Window)>, String> {
    let mut all = Vec::new();
    let mut begun = String::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        if !begun.is_empty() {
            begun.push(',');
        }
        begun.push_str(part.trim());
        if part.contains("->") {
            let text = std::mem::take(&mut begun);
            let window = Window::parse(&text, allowed).map_err(|error| error.to_string())?;
            all.push((text, window));
        }
    }
    if begun.is_empty() {
        Ok(all)
    } else {
        Err(format!("`{begun}`: `days HH:MM-HH:MM -> rate` is expected"))
    }
}

/// `5 MB/s`, `0` for a standstill, `none` for no limit.
fn allowed(text: &str) -> Result<Allowed, String> {
    if matches!(units::size(text.trim_end_matches("/s").trim()), Ok(0)) {
        return Ok(Allowed::Nothing);
    }
    units::rate(text).map(|rate| rate.map_or(Allowed::Everything, Allowed::Rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_windows_is_read_though_days_have_commas() {
        let text = "Mon,Wed 08:00-12:00 -> 5 MB/s,Sat-Sun 00:00-24:00 -> 0, 22:00-06:00 -> none";
        let read: Vec<String> = windows(text)
            .unwrap()
            .into_iter()
            .map(|(text, _)| text)
            .collect();
        assert_eq!(
            read,
            [
                "Mon,Wed 08:00-12:00 -> 5 MB/s",
                "Sat-Sun 00:00-24:00 -> 0",
                "22:00-06:00 -> none"
            ]
        );
        assert!(windows("").unwrap().is_empty());
        for bad in [
            "Mon 08:00-12:00",
            "08:00-09:00 -> 5MB/s, Mon",
            "08:00-09:00 -> 3",
        ] {
            assert!(windows(bad).is_err(), "{bad}");
        }
        assert_eq!(allowed("0 MB/s"), Ok(Allowed::Nothing));
        assert_eq!(allowed("5 MB/s"), Ok(Allowed::Rate(5_000_000)));
        assert_eq!(allowed("none"), Ok(Allowed::Everything));
    }

    #[test]
    fn the_system_s_zone_is_where_its_link_leads() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("localtime");
        std::os::unix::fs::symlink("../usr/share/zoneinfo/Europe/Berlin", &link).unwrap();
        assert_eq!(linked(&link), Some(Tz::Europe__Berlin));
        assert_eq!(linked(folder.path()), None);
    }
}
