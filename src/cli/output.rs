//! Results on standard output, everything else on standard error.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::Serialize;

use super::args::Format;
use super::error::CliError;
use crate::telemetry::printable;

/// Where a command writes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) quiet: bool,
}

impl Output {
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// A hint on standard error, unless `--quiet`.
    pub(crate) fn hint(self, text: &str) {
        if !self.quiet {
            complain(&printable(text));
        }
    }
}

/// One JSON value on a line of its own.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(|error| CliError::Io {
        what: "the answer cannot be written as JSON",
        source: error.into(),
    })?;
    write_out(text.as_bytes())
}

/// One line for people; control characters are escaped.
pub(crate) fn line(text: &str) -> Result<(), CliError> {
    write_out(printable(text).as_bytes())
}

/// A path for `$(…)`: its own bytes, except on a terminal.
pub(crate) fn path(path: &Path) -> Result<(), CliError> {
    if io::stdout().is_terminal() {
        line(&path.display().to_string())
    } else {
        write_out(path.as_os_str().as_bytes())
    }
}

/// Bytes as they are.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), CliError> {
    write_out(bytes)
}

/// Columns, each as wide as its longest cell.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Result<(), CliError> {
    let safe: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| printable(cell).into_owned()))
        .collect();
    let width = |column: usize| {
        safe.iter()
            .map(|row| row[column].chars().count())
            .chain([head[column].len()])
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(safe);
    for cells in lines {
        let line: Vec<String> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        write_out(line.join("  ").trim_end().as_bytes())?;
    }
    Ok(())
}

/// A line on standard error. When even that is gone there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

fn write_out(line: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(line)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .map_err(|source| match source.kind() {
            ErrorKind::BrokenPipe => CliError::NobodyReads,
            _ => CliError::Io {
                what: "standard output cannot be written",
                source,
            },
        })
}
