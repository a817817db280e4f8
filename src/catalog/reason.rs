//! Why a file is in a plan or not.

use std::fmt;
use std::sync::Arc;

/// Why a file is in a plan or not. Texts are shared with the template, so a reason per file costs little.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The template takes every file.
    Everything,
    /// A required pattern matches.
    Required(Arc<str>),
    /// It belongs to the choice taken for a group: the group's name and the pattern.
    ChoiceOf(Arc<str>, Arc<str>),
    /// An optional pattern matches.
    Optional(Arc<str>),
    /// The template's exclude pattern matches.
    Excluded(Arc<str>),
    /// The caller's patterns drop it.
    Filtered,
    /// It is another way to have what a group has already: the group's name.
    OtherChoiceOf(Arc<str>),
    /// The template does not name it.
    NotNamed,
}

impl Reason {
    /// Whether a file with this reason is fetched.
    pub(crate) fn is_chosen(&self) -> bool {
        match self {
            Self::Everything | Self::Required(_) | Self::ChoiceOf(..) | Self::Optional(_) => true,
            Self::Excluded(_) | Self::Filtered | Self::OtherChoiceOf(_) | Self::NotNamed => false,
        }
    }

    /// Whether the model does not work without the file.
    pub(super) fn is_needed(&self) -> bool {
        matches!(self, Self::Required(_) | Self::ChoiceOf(..))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => formatter.write_str("every file is taken"),
            Self::Required(pattern) => write!(formatter, "required by `{pattern}`"),
            Self::ChoiceOf(group, pattern) => write!(formatter, "{group}: `{pattern}`"),
            Self::Optional(pattern) => write!(formatter, "optional by `{pattern}`"),
            Self::Excluded(pattern) => write!(formatter, "excluded by `{pattern}`"),
            Self::Filtered => formatter.write_str("dropped by the allow or ignore patterns"),
            Self::OtherChoiceOf(group) => write!(formatter, "another choice was taken for {group}"),
            Self::NotNamed => formatter.write_str("not named by the template"),
        }
    }
}
