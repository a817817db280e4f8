//! The practice hub: three loopback doors (hub, CDN, control) in front of generated repositories.
//!
//! Its invariant: what it sends is the real hub's answer, altered only by the faults and settings that
//! were asked for, and every request leaves a record. The HTTP layer is its own, on plain sockets,
//! because a cut, a stall before the headers or a false length cannot be told to a correct server.

mod answer;
mod cdn;
mod content;
mod control;
mod demo;
mod door;
mod fault;
mod gzip;
mod info;
mod ledger;
mod mischief;
mod misdeed;
mod pace;
mod practice;
mod repo;
mod request;
mod resolve;
mod routes;
mod script;
mod settings;
mod sign;
mod state;
mod tree;
mod wire;
mod world;

#[cfg(test)]
mod tests;

pub use content::Content;
pub use demo::{DEMO_JTP2, DEMO_WDV3, demo_repos};
pub use fault::{Fault, When};
pub use ledger::{Counters, Recorded};
pub use misdeed::{Misdeed, RawPart};
pub use practice::PracticeHub;
pub use repo::{FileSpec, Gate, RepoSpec};
pub use request::Place;
pub use script::{Script, ScriptError};
pub use settings::{HubConfig, Settings};
pub use sign::SIGNATURE_MARK;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock; a panic of another holder does not matter, because every change is one step.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
