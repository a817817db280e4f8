//! What a person should know before a plan is carried out.
//!
//! Invariant: a warning says what the chosen files show, and what the template declares even if no file shows it.

use std::fmt;

use serde::Serialize;

use super::template::SizeRange;

/// Extensions of formats that a library may unpickle.
const PICKLED: [&str; 7] = ["bin", "pt", "pth", "ckpt", "pkl", "pickle", "joblib"];

/// Something about the chosen files that deserves a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub(crate) enum Warning {
    /// Program code is part of the model, and a library may run it.
    CustomCode {
        /// How many chosen files are code; 0 when only the template says so.
        files: usize,
        /// The first of them.
        example: Option<String>,
    },
    /// Files may be pickled, which can run code when they are loaded.
    Pickle {
        /// How many chosen files may be; 0 when only the template says so.
        files: usize,
        /// The first of them.
        example: Option<String>,
    },
    /// The chosen files together are smaller or larger than the template expects.
    UnusualSize {
        /// What was chosen, in bytes.
        bytes: u64,
        /// The least that is usual, in bytes.
        min: u64,
        /// The most that is usual, in bytes.
        max: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let example =
            |formatter: &mut fmt::Formatter<'_>, files: usize, name: &Option<String>| match (
                files, name,
            ) {
                (1, Some(name)) => write!(formatter, " (`{name}`)"),
                (_, Some(name)) => write!(formatter, " ({files} files, for example `{name}`)"),
                (_, None) => formatter.write_str(" (the template says so)"),
            };
        match self {
            Self::CustomCode {
                files,
                example: name,
            } => {
                formatter.write_str("holds program code that a library may run; pin the commit")?;
                example(formatter, *files, name)
            }
            Self::Pickle {
                files,
                example: name,
            } => {
                formatter
                    .write_str("holds files that may be pickled, which can run code when loaded")?;
                example(formatter, *files, name)
            }
            Self::UnusualSize { bytes, min, max } => {
                write!(
                    formatter,
                    "{bytes} bytes are unusual: {min} to {max} are expected"
                )
            }
        }
    }
}

/// Whether a file is program code that a library may run.
pub(super) fn is_code(path: &str) -> bool {
    extension_is(path, &["py"])
}

/// Whether a file has the extension of a format that may be pickled.
pub(super) fn is_pickled(path: &str) -> bool {
    extension_is(path, &PICKLED)
}

fn extension_is(path: &str, known: &[&str]) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.')
        .is_some_and(|(_, extension)| known.iter().any(|k| extension.eq_ignore_ascii_case(k)))
}

/// What the template declares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declared {
    /// Code is part of it.
    pub(super) custom_code: bool,
    /// Its weights are pickled.
    pub(super) pickle: bool,
    /// The usual size; none when the caller's own patterns chose.
    pub(super) size: Option<SizeRange>,
}

/// The warnings of a set of chosen files.
pub(super) fn of_files<'n>(
    declared: Declared,
    bytes: u64,
    paths: impl Iterator<Item = &'n str>,
) -> Vec<Warning> {
    let (mut code, mut pickled) = ((0, None), (0, None));
    let count = |(files, example): &mut (usize, Option<String>), path: &str| {
        *files += 1;
        example.get_or_insert_with(|| path.to_owned());
    };
    for path in paths {
        if is_code(path) {
            count(&mut code, path);
        }
        if is_pickled(path) {
            count(&mut pickled, path);
        }
    }
    let mut warnings = Vec::new();
    let (files, example) = code;
    if declared.custom_code || files > 0 {
        warnings.push(Warning::CustomCode { files, example });
    }
    let (files, example) = pickled;
    if declared.pickle || files > 0 {
        warnings.push(Warning::Pickle { files, example });
    }
    if let Some(SizeRange { min, max }) = declared.size
        && !(min..=max).contains(&bytes)
    {
        warnings.push(Warning::UnusualSize { bytes, min, max });
    }
    warnings
}
