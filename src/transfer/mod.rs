//! The transfer engine: brings the bytes of files from a [`Source`] into part files, whole and verified.
//!
//! Invariant: a byte of a part is written at most once per generation of that part, it is hashed as it was
//! written, and a file is handed to [`Keeper::finish`] only after its length and hash were right and its data
//! was synced, with no write to it still under way. Where parts live, what they are called, locks, rows and
//! final names are left to the [`Keeper`]; how bytes come over the network is left to the [`Source`].

mod buffer;
#[cfg(test)]
mod chunks;
mod compare;
mod disk;
mod dispatch;
mod engine;
mod error;
mod hasher;
mod keeper;
mod limiter;
mod opening;
mod options;
mod pace;
mod part;
mod piece;
mod progress;
mod ramp;
mod run;
mod schedule;
mod slot;
mod source;
mod stop;
mod stream;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use compare::content_matches;
pub(crate) use engine::Engine;
pub(crate) use error::{SourceError, SourceErrorKind, TransferError};
pub(crate) use keeper::{FileTask, Keeper, Known, Opening};
pub(crate) use limiter::RateLimiter;
pub(crate) use options::Options;
pub(crate) use progress::Progress;
pub(crate) use source::{Body, Source};
