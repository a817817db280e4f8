//! Tools for tests, benches and the offline demo; built only with the feature `testing`.
//!
//! [`PracticeHub`] answers what the real hub answers, on loopback, and misbehaves on command.
//! Nothing here is part of the product, and no other module uses it.

#[doc(hidden)]
pub mod bench;
mod hub;

pub use hub::{
    Content, Counters, DEMO_JTP2, DEMO_WDV3, Fault, FileSpec, Gate, HubConfig, Misdeed, Place,
    PracticeHub, RawPart, Recorded, RepoSpec, SIGNATURE_MARK, Script, ScriptError, Settings, When,
    demo_repos,
};
