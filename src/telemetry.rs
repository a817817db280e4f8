//! The log: one line per event on standard error, escaped, cut, and never in the way of a progress bar.
//!
//! What comes from outside (file names, answers of servers) may hold control characters; a line that reaches the
//! terminal holds none. Secrets are masked by their types, not here.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{ConfigError, LogFormat, LogOptions};

/// The longest line in bytes, without its line break.
const LONGEST: usize = 8 * 1024;

/// What is logged when nobody says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A service: what it does is of interest.
    Service,
    /// A command: its progress and result say that already.
    Command,
}

/// Starts the log.
pub(crate) fn start(options: &LogOptions, audience: Audience) -> Result<(), ConfigError> {
    let directives = options.filter.as_deref().unwrap_or(match audience {
        Audience::Service => "warn,modelhaul=info",
        // How a job ends is the command's own result; it need not be said twice.
        Audience::Command => "warn,modelhaul::queue::settle=error",
    });
    let filter = EnvFilter::try_new(directives).map_err(|error| ConfigError::Value {
        name: "log",
        origin: options.filter_origin.clone(),
        value: printable(directives).into_owned(),
        rule: format!("directives like `info,modelhaul=debug` are expected ({error})"),
    })?;
    let json = match options.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => audience == Audience::Service && !io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Lines { json });
    // A second start in one process keeps the first log: an embedding app may have its own.
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_target(true).try_init()
    };
    if let Err(error) = started {
        tracing::debug!(%error, "the log was started before");
    }
    Ok(())
}

static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Keeps log lines off a bar until the guard is dropped.
pub(crate) fn share_terminal_with(bar: &ProgressBar) -> BarGuard {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
    BarGuard(())
}

/// While it lives, log lines are printed above the bar.
#[derive(Debug)]
pub(crate) struct BarGuard(());

impl Drop for BarGuard {
    fn drop(&mut self) {
        *BAR.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// `text` without characters that move the cursor, change colours or turn the direction of writing.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) {
            write!(safe, "{}", c.escape_default()).expect("a string takes any text");
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One event as it may be printed: one line, short enough, ended by a line break.
fn line(event: &[u8], json: bool) -> String {
    let text = String::from_utf8_lossy(event);
    let text = printable(text.trim_end_matches('\n'));
    if text.len() <= LONGEST {
        return format!("{text}\n");
    }
    let cut = |most: usize| &text[..text.floor_char_boundary(most)];
    if json {
        // Half an object is none, so the whole becomes a text in another; escaping may double its length.
        let beginning = serde_json::Value::from(cut(LONGEST / 2));
        format!(
            "{{\"truncated_from\":{},\"line\":{beginning}}}\n",
            text.len()
        )
    } else {
        format!("{}… ({} bytes)\n", cut(LONGEST), text.len())
    }
}

/// The writer of the log.
#[derive(Debug, Clone, Copy)]
struct Lines {
    json: bool,
}

impl Write for Lines {
    /// Takes one whole event: the subscriber formats it first and writes it at once.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = line(event, self.json);
        let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let print = || io::stderr().lock().write_all(line.as_bytes());
        // A log that nobody can read must not stop the work: an error here would end in a panic of the subscriber.
        drop(bar.map_or_else(print, |bar| bar.suspend(print)));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    #[test]
    fn what_moves_a_terminal_is_escaped_and_the_rest_is_kept() {
        for (given, expected) in [
            ("models/äöü 模型.onnx", "models/äöü 模型.onnx"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("a\u{9b}31mb\u{7f}", "a\\u{9b}31mb\\u{7f}"),
            ("exe.\u{202e}gpj", "exe.\\u{202e}gpj"),
        ] {
            assert_eq!(printable(given), expected);
        }
        assert!(matches!(printable("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        let forged = line(b"file a\n2026 ERROR forged\x1b[31m\n", false);
        assert_eq!(forged, "file a\\n2026 ERROR forged\\u{1b}[31m\n");
        assert!(line(b"\xff\xfe", false).ends_with('\n'));
    }

    #[test]
    fn long_lines_are_cut_and_json_stays_json() {
        let long = "ä\\\"".repeat(LONGEST);
        let text = line(long.as_bytes(), false);
        assert!(text.len() < LONGEST + 40 && text.ends_with("bytes)\n"));
        let json = line(long.as_bytes(), true);
        assert!(json.len() < 2 * LONGEST);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["truncated_from"], long.len());
        assert!(value["line"].as_str().unwrap().starts_with("ä\\\""));
    }

    #[test]
    fn a_bad_filter_is_a_configuration_error() {
        let options = LogOptions {
            filter: Some("modelhaul=loud".to_owned()),
            filter_origin: Origin::Environment("MODELHAUL_LOG"),
            format: LogFormat::Text,
        };
        let error = start(&options, Audience::Command).unwrap_err().to_string();
        assert!(error.contains("MODELHAUL_LOG") && error.contains("modelhaul=loud"));
    }
}
