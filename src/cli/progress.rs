//! Progress on standard error: a bar on a terminal, now and then a plain line elsewhere.
//!
//! Texts are made by pure functions of a status, so both forms say the same and tests can read them.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{Output, complain};
use crate::config::TerminalOptions;
use crate::domain::ModelStatus;
use crate::telemetry::{BarGuard, printable, share_terminal_with};

/// The least time between two plain lines of the same phase.
const PAUSE: Duration = Duration::from_secs(5);

const KNOWN: &str = "{wide_msg}\n{wide_bar} {prefix}";
const UNKNOWN: &str = "{spinner} {wide_msg}  {prefix}";

/// Shows how far a download is.
#[derive(Debug)]
pub(crate) enum Display {
    Silent,
    Lines(Cadence),
    Bar { bar: ProgressBar, _guard: BarGuard },
}

impl Display {
    pub(crate) fn new(output: Output, terminal: TerminalOptions) -> Self {
        if output.quiet {
            Self::Silent
        } else if io::stderr().is_terminal() && !terminal.plain {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
            bar.set_style(style(UNKNOWN));
            let guard = share_terminal_with(&bar);
            Self::Bar { bar, _guard: guard }
        } else {
            Self::Lines(Cadence::default())
        }
    }

    /// Shows a status; `now` is a monotonic time.
    pub(crate) fn update(&mut self, status: &ModelStatus, now: Duration) {
        match self {
            Self::Silent => {}
            Self::Lines(cadence) => {
                if let Some(line) = cadence.line(status, now) {
                    complain(&line);
                }
            }
            Self::Bar { bar, .. } => {
                let progress = &status.progress;
                if bar.length() != progress.bytes_total {
                    match progress.bytes_total {
                        Some(total) => {
                            bar.set_length(total);
                            bar.set_style(style(KNOWN));
                        }
                        None => bar.set_style(style(UNKNOWN)),
                    }
                }
                let file =
                    current_file(status).map_or_else(String::new, |file| format!("  {file}"));
                bar.set_message(format!("{}  {}{file}", status.model_id, activity(status)));
                bar.set_prefix(figures(status).join("  "));
                bar.set_position(progress.bytes_downloaded);
                bar.tick();
            }
        }
    }

    /// Takes the bar off the terminal, so that what follows stands alone.
    pub(crate) fn finish(self) {
        if let Self::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the template parses")
        .progress_chars("=> ")
}

/// Decides which statuses become a plain line.
#[derive(Debug, Default)]
pub(crate) struct Cadence {
    last: Option<(Duration, String, String)>,
}

impl Cadence {
    /// The line to print: at once when the activity changed, else when something changed and enough time passed.
    fn line(&mut self, status: &ModelStatus, now: Duration) -> Option<String> {
        let key = activity(status);
        let line = line(status);
        if let Some((at, last_key, last_line)) = &self.last {
            let same = *last_key == key;
            if same && (*last_line == line || now.saturating_sub(*at) < PAUSE) {
                return None;
            }
        }
        self.last = Some((now, key, line.clone()));
        Some(line)
    }
}

/// The whole status in one line.
pub(crate) fn line(status: &ModelStatus) -> String {
    let mut parts = vec![status.model_id.to_string(), activity(status)];
    parts.extend(figures(status));
    parts.extend(current_file(status));
    parts.join("  ")
}

/// What the job does or waits for.
pub(crate) fn activity(status: &ModelStatus) -> String {
    let words = |word: &str| word.replace('_', " ");
    match (status.state.as_str(), status.phase, &status.waiting) {
        ("running", Some(phase), _) => words(phase.as_str()),
        ("waiting", _, Some(waiting)) => {
            let why = status.error.as_ref().map_or_else(String::new, |error| {
                format!(" ({})", printable(&error.to_string()))
            });
            format!(
                "waiting: {}, tries again by {}{why}",
                words(waiting.reason.as_str()),
                waiting.until.format("%H:%M:%S UTC")
            )
        }
        ("queued", _, _) => status.queue_position.map_or_else(
            || "queued".to_owned(),
            |place| format!("queued, place {place}"),
        ),
        ("paused", _, _) => {
            "paused: `modelhaul resume` with the model or with --queue ends it".to_owned()
        }
        (state, _, _) => words(&printable(state)),
    }
}

/// Percent, bytes, speed and remaining time, as far as they are known.
fn figures(status: &ModelStatus) -> Vec<String> {
    let progress = &status.progress;
    let mut parts = Vec::new();
    if let Some(percent) = progress.percent {
        parts.push(format!("{percent:.1}%"));
    }
    let here = DecimalBytes(progress.bytes_downloaded);
    match progress.bytes_total {
        Some(total) => {
            let about = if progress.estimated { "about " } else { "" };
            parts.push(format!("{here} of {about}{}", DecimalBytes(total)));
        }
        None if progress.bytes_downloaded > 0 => parts.push(here.to_string()),
        None => {}
    }
    if status.state == "running" && progress.speed_bytes_per_second > 0 {
        parts.push(format!(
            "{}/s",
            DecimalBytes(progress.speed_bytes_per_second)
        ));
        if let Some(seconds) = progress.eta_seconds {
            parts.push(format!(
                "{} left",
                HumanDuration(Duration::from_secs(seconds))
            ));
        }
    }
    parts
}

fn current_file(status: &ModelStatus) -> Option<String> {
    let file = status.progress.current_file.as_deref()?;
    (status.state == "running").then(|| printable(file).into_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::{
        CacheStatus, Failure, FailureCode, Kind, Phase, ProgressStatus, QueueSummary, Status,
        Timestamps, WaitReason, Waiting,
    };

    pub(crate) fn status(state: &str) -> ModelStatus {
        ModelStatus {
            model_id: "org/m".parse().unwrap(),
            kind: Kind::Generic,
            status: Status::Downloading,
            state: state.to_owned(),
            phase: None,
            waiting: None,
            queue_position: None,
            job_id: None,
            job_kind: None,
            attempt: 0,
            progress: ProgressStatus::default(),
            timestamps: Timestamps::default(),
            error: None,
            cache: CacheStatus::default(),
            queue: QueueSummary::default(),
        }
    }

    fn downloading(bytes: u64) -> ModelStatus {
        let mut status = status("running");
        status.phase = Some(Phase::Downloading);
        status.progress = ProgressStatus {
            current_file: Some("w/a\u{1b}[2J.bin".to_owned()),
            bytes_downloaded: bytes,
            bytes_total: Some(7_400_000_000),
            percent: Some(42.1),
            speed_bytes_per_second: 88_000_000,
            eta_seconds: Some(49),
            ..ProgressStatus::default()
        };
        status
    }

    #[test]
    fn a_line_tells_all_that_is_known_and_escapes_names() {
        assert_eq!(
            line(&downloading(3_100_000_000)),
            "org/m  downloading  42.1%  3.10 GB of 7.40 GB  88.00 MB/s  49 seconds left  w/a\\u{1b}[2J.bin"
        );
        let mut estimated = status("queued");
        estimated.queue_position = Some(2);
        estimated.progress.bytes_total = Some(1000);
        estimated.progress.estimated = true;
        assert_eq!(
            line(&estimated),
            "org/m  queued, place 2  0 B of about 1.00 kB"
        );
    }

    #[test]
    fn waiting_says_for_what_until_when_and_why() {
        let mut waiting = status("waiting");
        waiting.waiting = Some(Waiting {
            reason: WaitReason::HubUnreachable,
            until: DateTime::from_timestamp(3723, 0).unwrap(),
        });
        waiting.error = Some(Failure::new(
            FailureCode::HubUnreachable,
            "no route\nto hub",
        ));
        assert_eq!(
            activity(&waiting),
            "waiting: hub unreachable, tries again by 01:02:03 UTC (no route\\nto hub)"
        );
    }

    #[test]
    fn lines_come_on_change_of_phase_and_else_every_five_seconds() {
        let at = Duration::from_secs_f64;
        let mut cadence = Cadence::default();
        assert!(cadence.line(&status("queued"), at(0.0)).is_some());
        assert!(
            cadence.line(&status("queued"), at(60.0)).is_none(),
            "nothing new"
        );
        assert!(
            cadence.line(&downloading(1), at(60.1)).is_some(),
            "another phase"
        );
        assert!(
            cadence
                .line(&downloading(2_000_000_000), at(65.0))
                .is_none(),
            "too early"
        );
        assert!(
            cadence
                .line(&downloading(2_000_000_000), at(65.1))
                .is_some()
        );
        assert!(
            cadence
                .line(&downloading(2_000_000_000), at(90.0))
                .is_none(),
            "nothing new"
        );
        let mut verifying = downloading(2_000_000_000);
        verifying.phase = Some(Phase::Verifying);
        assert!(cadence.line(&verifying, at(90.1)).is_some());
    }
}
