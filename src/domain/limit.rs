//! The bandwidth limit in force, and who said so.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::window::{Allowed, Schedule};

/// Why downloads are held to a rate, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitOrigin {
    /// There is no limit.
    #[default]
    None,
    /// The configuration's limit for all times.
    Config,
    /// A window that is open.
    Window,
    /// A person, while the service runs.
    Live,
}

/// The limit in force and its reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LimitStatus {
    /// Bytes per second over all connections; 0 while downloads stand still, none without a limit.
    pub bytes_per_second: Option<u64>,
    /// Who said so.
    pub why: LimitOrigin,
    /// The window, as it was written.
    pub window: Option<String>,
    /// When the window ends.
    pub until: Option<DateTime<Utc>>,
}

impl LimitStatus {
    /// A person's limit goes before a window, a window before the configuration's limit.
    pub fn of(
        live: Option<u64>,
        schedule: &Schedule,
        config: Option<u64>,
        now: DateTime<Utc>,
    ) -> Self {
        if live.is_some() {
            return Self {
                bytes_per_second: live,
                why: LimitOrigin::Live,
                ..Self::default()
            };
        }
        if let Some(open) = schedule.open(now) {
            return Self {
                bytes_per_second: match open.allowed {
                    Allowed::Everything => None,
                    Allowed::Rate(rate) => Some(rate),
                    Allowed::Nothing => Some(0),
                },
                why: LimitOrigin::Window,
                window: Some(open.text),
                until: open.until,
            };
        }
        Self {
            bytes_per_second: config,
            why: config.map_or(LimitOrigin::None, |_| LimitOrigin::Config),
            ..Self::default()
        }
    }

    /// Whether nothing may be downloaded.
    pub fn is_standstill(&self) -> bool {
        self.bytes_per_second == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::super::window::Window;
    use super::*;

    #[test]
    fn a_person_goes_before_a_window_and_a_window_before_the_configuration() {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let window = Window::parse("00:00-24:00 -> 0", |_| Ok(Allowed::Nothing)).unwrap();
        let windows = Schedule::new(vec![window], Tz::UTC);
        let of = |live, schedule: &Schedule, config| {
            let limit = LimitStatus::of(live, schedule, config, now);
            (limit.bytes_per_second, limit.why)
        };
        assert_eq!(of(Some(9), &windows, Some(3)), (Some(9), LimitOrigin::Live));
        assert_eq!(of(None, &windows, Some(3)), (Some(0), LimitOrigin::Window));
        assert_eq!(
            of(None, &Schedule::default(), Some(3)),
            (Some(3), LimitOrigin::Config)
        );
        assert_eq!(
            of(None, &Schedule::default(), None),
            (None, LimitOrigin::None)
        );
        assert!(LimitStatus::of(None, &windows, None, now).is_standstill());
    }
}
