//! A durable download queue that fills the Hugging Face cache, whole and verified.
//!
//! Modules lie on floors; a module uses lower floors only (`tests/it/floors.rs` checks it):
//!
//! | floor | modules |
//! |---|---|
//! | 0 | [`domain`] [`clock`] [`redact`]: words; `failpoint`: places where tests let it die |
//! | 1 | `store` `hub` `transfer` `cache` `catalog`: engines |
//! | 2 | `queue`: where the engines meet |
//! | 3 | [`manager`]: the use cases |
//! | 4 | `api`: the HTTP doors |
//! | 5 | [`config`] [`server`] `shutdown` `telemetry` [`cli`] `testing`: composition |

#[macro_use]
pub(crate) mod failpoint;

pub mod clock;
pub mod domain;
mod metrics;
pub mod redact;

pub(crate) mod cache;
pub(crate) mod catalog;
pub(crate) mod hub;
pub(crate) mod store;
pub(crate) mod transfer;

pub(crate) mod queue;

pub mod manager;

pub(crate) mod api;

pub mod cli;
pub mod config;
pub mod server;
pub(crate) mod shutdown;
pub(crate) mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
