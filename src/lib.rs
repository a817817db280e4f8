//! A durable download queue that fills the Hugging Face cache, whole and verified.
//!
//! An app that embeds it opens a [`UnifiedModelDownloadManager`] on a database and a cache, registers models, starts
//! their downloads, and runs the worker in a task of its own. Nothing here reads the environment, sets up logging or
//! keeps global state, but for [`config`] and [`cli`], which make the program `modelhaul` of it.
//!
//! ```no_run
//! use std::sync::Arc;
//! use modelhaul::{ManagerOptions, RegisterOptions, SystemClock, UnifiedModelDownloadManager, WorkScope};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn app() -> Result<(), Box<dyn std::error::Error>> {
//! let options = ManagerOptions::new("app.db", "hub", "https://huggingface.co".parse()?);
//! let manager = UnifiedModelDownloadManager::open(options, Arc::new(SystemClock::new())).await?;
//! let id = "tagger".parse()?;
//! manager
//!     .register_caption_generator(id, "SmilingWolf/wd-vit-tagger-v3".parse()?, RegisterOptions::default())
//!     .await?;
//! manager.start_download(&"tagger".parse()?).await?;
//! let stop = CancellationToken::new();
//! manager.run(WorkScope::All, stop).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A model that is on no hub is brought by a function of the app: see [`DownloadHandler`]. Whoever listens by itself
//! mounts the routes with [`server::Mounted`]. Both are shown in `examples/`.
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

pub use clock::{Clock, SystemClock};
pub use domain::{JobId, Kind, ModelId, ModelStatus, NewModel, RepoId, Revision, Selection};
pub use manager::{
    DownloadHandler, HandlerBody, HandlerClient, HandlerContext, HandlerError, HandlerProgress,
    ManagerError, ManagerOptions, RegisterOptions, Registered, Started,
    UnifiedModelDownloadManager, WorkScope,
};

pub(crate) mod shutdown;
pub(crate) mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
